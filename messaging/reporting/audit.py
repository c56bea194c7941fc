"""The ledger's part of the audit: queries that find violations, and totals that must add up."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from messaging.common.counts import count_of
from messaging.common.database import Pool
from messaging.common.values import Value
from messaging.sending.claim_lifetimes import CLAIM_LIFETIME, longer_lifetimes
from messaging.sending.message_status import SETTLED, UNSETTLED

__all__ = [
    "Totals",
    "active_campaigns",
    "active_contacts",
    "broken_constraints",
    "count_messages",
    "ended_contacts",
    "ended_lately",
    "lost_leads",
    "lost_steps",
    "resends_under_way",
    "sent_twice",
    "stuck",
    "totals",
]

UNIQUE_CONSTRAINTS = (
    "leads_phone_unique",
    "sequences_name_unique",
    "sequence_steps_key_unique",
    "sequence_contacts_unique",
    "campaigns_name_unique",
    "unique_sequence_message",
    "unique_campaign_message",
)
UNIQUE_INDEXES = ("one_live_sequence_message", "one_live_campaign_message", "one_confirmation")

PATIENCE = timedelta(minutes=5)
"""The recovery finds an abandoned message within a minute or two."""


class Totals(Value):
    """All messages that should exist, by their outcome."""

    should: int
    sent: int
    failed: int
    suppressed: int
    cancelled: int
    expired: int
    unconfirmed: int
    waiting: int
    """Messages without an outcome yet, and the next steps of active contacts."""

    @property
    def adds_up(self) -> bool:
        """True if nothing is missing and nothing is too much."""
        found: int = sum(self.model_dump(exclude={"should"}).values())
        return self.should == found


# {column}: of the message; {name}: of that thing, in words.
SELECT_SENT_TWICE = """
select {name} as what, m.recipient_phone as phone, count(*) as copies
  from broadcast_messages m
 where m.{column} is not null and (m.status = 'sent' or m.sent_at is not null)
 group by m.{column}, m.recipient_phone
having count(*) > 1
 order by m.recipient_phone
 limit 100
"""

SELECT_VALID_CONSTRAINTS = """
select conname
  from pg_constraint
  join pg_index on indexrelid = conindid
 where contype = 'u' and convalidated and indisvalid and indisunique
   and connamespace = current_schema()::regnamespace
"""

SELECT_VALID_INDEXES = """
select relname
  from pg_index
  join pg_class on pg_class.oid = indexrelid
 where indisvalid and indisunique and relnamespace = current_schema()::regnamespace
"""

# $1, $2: as is_abandoned takes them; $3: for how long it may be abandoned. A message that is tried again and again,
# while its gateway cannot be reached, is not forgotten.
SELECT_STUCK = """
select m.id, m.recipient_phone, m.processing_worker_id
  from broadcast_messages m
 where m.status = 'processing' and m.purpose is distinct from 'test' and is_abandoned(m, $1, $2, clock_timestamp() - $3::interval)
   and (isfinite(m.claimed_at) or m.updated_at < clock_timestamp() - interval '10 minutes' - $3::interval)
 order by m.updated_at
 limit 100
"""

# A message that is sent again has a workflow of its own, which another check looks for. The step may also belong to
# another enrollment.
SELECT_STEPS_WITHOUT_OUTCOME = """
select c.phone, s.name as sequence, done.key
  from sequence_contacts c
  join sequences s on s.id = c.sequence_id
 cross join lateral jsonb_array_elements_text(c.timeline -> 'done') as done (key)
 where not exists (select from broadcast_messages m join sequence_steps t on t.id = m.sequence_stepid
                    where m.sequence_contact_id = c.id and t.key = done.key
                      and (m.resends > 0 or not is_unsettled(m.status)))
   and not exists (select from broadcast_messages m join sequence_steps t on t.id = m.sequence_stepid
                    where m.recipient_phone = c.phone and t.sequence_id = c.sequence_id and t.key = done.key
                      and m.sequence_contact_id <> c.id)
 order by c.id
"""

# Steps that an edit put before a step that the contact has had. A contact that the edit has not replanned yet gets the
# row then.
SELECT_STEPS_PASSED_OVER = """
select c.phone, s.name as sequence, t.key
  from sequence_contacts c
  join sequences s on s.id = c.sequence_id and s.revision = c.plan_revision
 cross join lateral (select max(d.position) as position from sequence_steps d
                      where d.sequence_id = s.id and d.removed_at is null and c.timeline -> 'done' ? d.key) last
  join sequence_steps t on t.sequence_id = s.id and t.removed_at is null and t.missed = 'leave_out'
                       and t.position < last.position and not c.timeline -> 'done' ? t.key
 where c.status = 'active'
   and not exists (select from broadcast_messages m
                    where m.sequence_stepid = t.id and m.recipient_phone = c.phone)
 order by c.id
"""

SELECT_CAMPAIGN_COUNTS = """
select c.name, c.status, c.ended_at, count(m.id) as messages,
       count(m.id) filter (where is_unsettled(m.status)) as unsettled,
       (select coalesce(sum(n::integer), 0) from jsonb_each_text(c.audience) a (d, n)) as leads
  from campaigns c
  left join broadcast_messages m on m.campaign_id = c.id
 group by c.id
 order by c.id
"""

# next: each active contact's; past: steps that contacts are past; closed: messages that were closed when a contact left.
SELECT_TOTALS = """
with ledger as (
    select status, count(*) as messages from broadcast_messages where purpose is null group by status
), next as (
    select c.id, exists (select from broadcast_messages m
                          where m.sequence_contact_id = c.id and m.sequence_stepid = c.next_step_id) as in_ledger
      from sequence_contacts c
     where c.status = 'active' and c.next_step_id is not null
), past as (
    select coalesce(sum(jsonb_array_length(timeline -> 'done')), 0) as steps from sequence_contacts
), closed as (
    select count(*) as messages
      from broadcast_messages m
      join sequence_contacts c on c.id = m.sequence_contact_id
      join sequence_steps t on t.id = m.sequence_stepid
     where not c.timeline -> 'done' ? t.key and c.next_step_id is distinct from t.id
), audiences as (
    select coalesce(sum(n::integer), 0) as leads from campaigns c, jsonb_each_text(c.audience) a (d, n)
)
select (select steps from past) + (select count(*) from next) + (select messages from closed)
       + (select leads from audiences) as should,
       (select count(*) from next where not in_ledger) as to_come,
       coalesce((select jsonb_object_agg(status, messages) from ledger), '{}') as counts
"""


SELECT_ENDED_LATELY = """
select workflow_id
  from sequence_contacts
 where status <> 'active' and plan_changed_at > clock_timestamp() - $1::interval
"""


async def count_messages(pool: Pool) -> tuple[int, int]:
    """How many messages of sequences, and how many of campaigns, are in the ledger."""
    row = await pool.fetchrow(
        "select count(sequence_stepid) as of_sequences, count(campaign_id) as of_campaigns from broadcast_messages"
    )
    assert row is not None
    return row["of_sequences"], row["of_campaigns"]


async def sent_twice(pool: Pool, kind: str) -> list[str]:
    """Steps or campaigns (``kind``) that were sent to a phone more than once, on any device."""
    column, name = {
        "step": ("sequence_stepid", "(select key from sequence_steps where id = m.sequence_stepid)"),
        "campaign": ("campaign_id", "(select name from campaigns where id = m.campaign_id)"),
    }[kind]
    rows = await pool.fetch(SELECT_SENT_TWICE.format(column=column, name=name))
    return [f"{row['what']} to {row['phone']}: {row['copies']} times" for row in rows]


async def broken_constraints(pool: Pool) -> list[str]:
    """Unique constraints and indexes that are missing or not valid."""
    constraints = {row["conname"] for row in await pool.fetch(SELECT_VALID_CONSTRAINTS)}
    indexes = {row["relname"] for row in await pool.fetch(SELECT_VALID_INDEXES)}
    missing = [name for name in UNIQUE_CONSTRAINTS if name not in constraints]
    missing += [name for name in UNIQUE_INDEXES if name not in indexes]
    return [f"{name} is missing or not valid" for name in missing]


async def stuck(pool: Pool) -> list[str]:
    """Messages in ``processing`` that have been abandoned for some minutes, and that the recovery has not found."""
    rows = await pool.fetch(SELECT_STUCK, CLAIM_LIFETIME, longer_lifetimes(), PATIENCE)
    return [
        f"message {row['id']} to {row['recipient_phone']}, by {row['processing_worker_id']}: is a worker running?"
        f" It finds out by itself; 'message resolve {row['id']}' does it by hand"
        for row in rows
    ]


async def lost_steps(pool: Pool) -> list[str]:
    """Steps before a contact's position for which the ledger has no message with an outcome."""
    without_outcome = await pool.fetch(SELECT_STEPS_WITHOUT_OUTCOME)
    passed_over = await pool.fetch(SELECT_STEPS_PASSED_OVER)
    return [f"{row['phone']} is past step {row['key']} of {row['sequence']}" for row in without_outcome] + [
        f"{row['phone']} never gets step {row['key']} of {row['sequence']}, and has no message that says so"
        for row in passed_over
    ]


async def resends_under_way(pool: Pool) -> list[str]:
    """Messages of sequences that an operator has sent again, and that are not settled."""
    rows = await pool.fetch(
        "select id from broadcast_messages where is_unsettled(status) and resends > 0"
        " and campaign_id is null order by id"
    )
    return [str(row["id"]) for row in rows]


async def lost_leads(pool: Pool) -> list[str]:
    """Campaigns whose messages do not match the frozen audience, or that ended with unsettled messages."""
    rows = await pool.fetch(SELECT_CAMPAIGN_COUNTS)
    found = [
        f"campaign {row['name']}: "
        + count_of(row["leads"], "lead")
        + f", and {count_of(row['messages'], 'message')}"
        for row in rows
        if row["leads"] != row["messages"]
    ]
    return found + [
        f"campaign {row['name']} is {row['status']}, and "
        + count_of(row["unsettled"], "message is not settled", "messages are not settled")
        for row in rows
        if row["ended_at"] is not None and row["unsettled"]
    ]


async def totals(pool: Pool) -> Totals:
    """Compares what should have been sent, counted from the enrollments, with the outcomes in the ledger.

    Should: every step that a contact is past, the next one of each active contact, each message that was closed
    when a contact left, and every lead of a campaign's audience.
    """
    row = await pool.fetchrow(SELECT_TOTALS)
    assert row is not None
    counts: dict[str, int] = row["counts"]
    return Totals(
        should=int(row["should"]),
        waiting=row["to_come"] + sum(counts.get(status, 0) for status in UNSETTLED),
        **{status.value: counts.get(status, 0) for status in SETTLED},
    )


async def active_contacts(pool: Pool) -> dict[str, datetime]:
    """The workflow of each active enrollment, with the time of its enrollment."""
    rows = await pool.fetch("select workflow_id, enrolled_at from sequence_contacts where status = 'active'")
    return {row["workflow_id"]: row["enrolled_at"] for row in rows}


async def ended_lately(pool: Pool) -> set[str]:
    """The workflows of contacts that ended at most some minutes ago, and that are still to be signalled."""
    rows = await pool.fetch(SELECT_ENDED_LATELY, PATIENCE)
    return {row["workflow_id"] for row in rows}


async def ended_contacts(pool: Pool, workflow_ids: Sequence[str]) -> list[str]:
    """Those of these workflows whose enrollment has ended."""
    rows = await pool.fetch(
        "select workflow_id from sequence_contacts where workflow_id = any ($1) and status <> 'active'",
        list(workflow_ids),
    )
    return [row["workflow_id"] for row in rows]


async def active_campaigns(pool: Pool) -> set[str]:
    """The names of the campaigns that were started and have not ended."""
    rows = await pool.fetch("select name from campaigns where status <> 'draft' and ended_at is null")
    return {row["name"] for row in rows}
