"""Reads stored sequences, their plans and lists, and pauses and resumes them. Times are aware UTC."""

from collections.abc import Sequence
from datetime import datetime, time, timedelta
from typing import Any, Literal

from messaging.common.database import Connection, Pool, Record
from messaging.common.errors import NotFound
from messaging.common.suggestions import did_you_mean
from messaging.common.values import Value
from messaging.events.latest import By, paused_by
from messaging.sending.results import Results
from messaging.times.calendar import Plan, PlanStep

__all__ = [
    "ContactCounts",
    "SequenceDetails",
    "SequenceRow",
    "SequenceStatus",
    "SequenceSummary",
    "StepDetails",
    "UsedUp",
    "find_sequence",
    "find_used_up",
    "list_sequences",
    "load_plan",
    "load_plan_of",
    "no_such_sequence",
    "require_trigger",
    "set_sequence_status",
    "show_sequence",
]

SequenceStatus = Literal["active", "paused"]


class SequenceRow(Value):
    """A sequence without its steps."""

    id: int
    name: str
    trigger: str | None
    next_trigger: str | None
    keywords: tuple[str, ...]
    """Who writes one of these is enrolled."""
    ads: tuple[str, ...]
    """Who writes by one of these advertisements is enrolled."""
    time_zone: str
    skip_weekends: bool
    device_id: str | None
    category: str
    """``marketing`` or ``utility``: which opt-outs hold."""
    require_consent: bool
    """True if leads without consent are left out."""
    outside_window: str
    """``fail`` or ``wait``: what becomes of free text outside the service window."""
    status: SequenceStatus
    status_reason: str | None
    revision: int


class ContactCounts(Value):
    """Contacts of a sequence by status."""

    active: int = 0
    paused: int = 0
    """How many of the active ones are paused."""
    completed: int = 0
    stopped: int = 0
    opted_out: int = 0


class SequenceSummary(SequenceRow):
    """A sequence in a list."""

    paused_by: By | None = None

    steps: int
    contacts: ContactCounts
    next_due_at: datetime | None
    """The earliest moment at which the next step of a contact is due; it may have passed."""


class StepDetails(Value):
    """A step of the present plan, and how many contacts and messages are where."""

    id: int
    key: str
    day: int | None
    at: time | None
    after: timedelta | None
    wait_for: timedelta | None
    conditions: dict[str, Any] | None
    """See messaging.sequences.conditions; None: every contact gets it."""
    expires_after: timedelta | None
    text: str
    image_url: str | None
    waiting: int
    """Active contacts for which this step comes next."""
    next_due_at: datetime | None
    sent: int
    """Messages of this step that were sent."""
    expired: int
    """Messages of this step that were over before they could be sent."""
    passed_over: int
    """Contacts that did not get this step because a condition of it was false."""
    results: Results


class SequenceDetails(SequenceRow):
    """A sequence with its steps. ``results``: of all its steps, also those that were removed."""

    paused_by: By | None = None

    contacts: ContactCounts
    next_due_at: datetime | None
    steps: tuple[StepDetails, ...]
    results: Results


COLUMNS = (
    "s.id, s.name, s.trigger, s.next_trigger, s.time_zone, s.skip_weekends, s.device_id, s.category, s.require_consent,"
    " s.outside_window, s.status, s.status_reason, s.revision,"
    " array(select written from sequence_keywords where sequence_id = s.id and kind = 'keyword' order by written)"
    " as keywords,"
    " array(select written from sequence_keywords where sequence_id = s.id and kind = 'ad' order by written) as ads"
)

SELECT_SUMMARIES = f"""
select {COLUMNS},
       (select count(*) from sequence_steps t where t.sequence_id = s.id and t.removed_at is null) as steps,
       jsonb_build_object('active', c.active, 'paused', c.paused, 'completed', c.completed, 'stopped', c.stopped,
                          'opted_out', c.opted_out) as contacts,
       c.next_due_at
  from sequences s
 cross join lateral (select count(*) filter (where status = 'active') as active,
                            count(*) filter (where status = 'active' and paused_at is not null) as paused,
                            count(*) filter (where status = 'completed') as completed,
                            count(*) filter (where status = 'stopped') as stopped,
                            count(*) filter (where status = 'opted_out') as opted_out,
                            min(next_due_at) filter (where status = 'active' and paused_at is null) as next_due_at
                       from sequence_contacts
                      where sequence_id = s.id) c
"""  # noqa: S608 - the text is all our own

SELECT_STEPS = """
select t.id, t.key, t.day, t.at_time as at, t.after, t.wait_for, t.conditions, t.expires_after, t.text, t.image_url,
       coalesce(c.waiting, 0) as waiting, c.next_due_at
  from sequence_steps t
  left join (select next_step_id, count(*) as waiting, min(next_due_at) as next_due_at
               from sequence_contacts
              where sequence_id = $1 and status = 'active'
              group by next_step_id) c on c.next_step_id = t.id
 where t.sequence_id = $1 and t.removed_at is null
 order by t.position
"""

# One row for each step, and one without a step for all of them: one person may have answered two steps. wrote: what the
# sequence's contacts have written.
SELECT_RESULTS = """
with wrote as materialized (
    select c.id, i as message from sequence_contacts c join inbound_messages i on i.phone = c.phone where c.sequence_id = $1),
came_back as (
    select m.sequence_stepid as step, m.recipient_phone as phone, true as replied, false as opted_out
      from wrote w
     cross join lateral answered_messages(w.message) m
     where m.sequence_contact_id = w.id
    union all
    select m.sequence_stepid, m.recipient_phone, false, true
      from wrote w
     cross join lateral message_before(w.message) m
     where (w.message).meaning = 'stop' and m.sequence_contact_id = w.id),
answers as (
    select step, count(distinct phone) filter (where replied) as replied,
           count(distinct phone) filter (where opted_out) as opted_out
      from came_back
     group by rollup (step)),
outcomes as (
    select t.id as step, sum(m.sent)::bigint as sent, sum(m.expired)::bigint as expired,
           sum(m.passed_over)::bigint as passed_over, sum(m.delivered)::bigint as delivered, sum(m.read)::bigint as read
      from sequence_steps t
     cross join lateral (select count(*) filter (where status = 'sent') as sent,
                                count(*) filter (where status = 'expired') as expired,
                                count(*) filter (where status = 'cancelled' and reason like 'condition: %') as passed_over,
                                count(delivered_at) as delivered, count(read_at) as read
                           from broadcast_messages
                          where sequence_stepid = t.id) m
     where t.sequence_id = $1
     group by rollup (t.id))
select o.*, coalesce(a.replied, 0) as replied, coalesce(a.opted_out, 0) as opted_out
  from outcomes o
  left join answers a on a.step is not distinct from o.step
"""

# One statement, so that revision and steps belong together.
SELECT_PLAN = """
select s.name, s.revision, s.time_zone, s.skip_weekends, t.id, t.key, t.day, t.at_time, t.after, t.wait_for, t.missed
  from sequences s
  left join sequence_steps t on t.sequence_id = s.id and t.removed_at is null
 where s.id = $1
 order by t.position
"""

SET_STATUS = """
update sequences
   set status = $2, status_reason = $3, updated_at = clock_timestamp()
 where name = $1 and status <> $2
returning true
"""


async def find_sequence(connection: Connection, name: str) -> SequenceRow | None:
    """The sequence of that name, or None."""
    row = await connection.fetchrow(f"select {COLUMNS} from sequences s where name = $1", name)  # noqa: S608
    return SequenceRow.model_validate(dict(row)) if row else None


async def load_plan(connection: Connection | Pool, sequence_id: int) -> Plan:
    """When the steps of a sequence come, as of its present revision. Raises NotFound."""
    rows = await connection.fetch(SELECT_PLAN, sequence_id)
    if not rows:
        raise NotFound(f"there is no sequence with the number {sequence_id}")
    first = rows[0]
    return Plan(
        sequence_id=sequence_id,
        sequence=first["name"],
        revision=first["revision"],
        time_zone=first["time_zone"],
        skip_weekends=first["skip_weekends"],
        steps=tuple(
            PlanStep(
                id=row["id"],
                key=row["key"],
                day=row["day"],
                at=row["at_time"],
                after=row["after"],
                wait_for=row["wait_for"],
                missed=row["missed"],
            )
            for row in rows
            if row["id"] is not None
        ),
    )


async def load_plan_of(connection: Connection, name: str) -> Plan:
    """The same by the sequence's name. Raises NotFound."""
    number = await connection.fetchval("select id from sequences where name = $1", name)
    if number is None:
        raise await no_such_sequence(connection, name)
    return await load_plan(connection, number)


async def list_sequences(connection: Connection) -> list[SequenceSummary]:
    """All sequences, by name."""
    rows = await connection.fetch(f"{SELECT_SUMMARIES} order by s.name")
    paused = await _paused_by(connection, rows)
    return [SequenceSummary.model_validate({**row, "paused_by": paused.get(row["name"])}) for row in rows]


async def show_sequence(connection: Connection, name: str) -> SequenceDetails:
    """A sequence with its steps, and where its contacts stand. Raises NotFound."""
    row = await connection.fetchrow(f"{SELECT_SUMMARIES} where s.name = $1", name)
    if row is None:
        raise await no_such_sequence(connection, name)
    steps = await connection.fetch(SELECT_STEPS, row["id"])
    counted = {one["step"]: one for one in await connection.fetch(SELECT_RESULTS, row["id"])}
    return SequenceDetails.model_validate(
        {
            **row,
            "paused_by": (await _paused_by(connection, [row])).get(name),
            "steps": tuple(
                {
                    **step,
                    **{name: counted[step["id"]][name] for name in ("sent", "expired", "passed_over")},
                    "results": _results(counted[step["id"]]),
                }
                for step in steps
            ),
            "results": _results(counted[None]),
        }
    )


async def _paused_by(connection: Connection, rows: Sequence[Record]) -> dict[str, By]:
    return await paused_by(connection, "sequence", [row["name"] for row in rows if row["status"] == "paused"])


def _results(counted: Record) -> Results:
    return Results.model_validate({name: counted[name] for name in Results.model_fields})


async def set_sequence_status(
    connection: Connection, name: str, status: SequenceStatus, reason: str | None = None
) -> bool:
    """Pauses or resumes a sequence; False if it has that status already. Raises NotFound."""
    changed = await connection.fetchval(SET_STATUS, name, status, reason)
    if not changed and await find_sequence(connection, name) is None:
        raise await no_such_sequence(connection, name)
    return bool(changed)


SELECT_TRIGGERED = """
select s.name as sequence, count(c.id) as contacts, max(c.enrolled_at) as last_enrolled_at
  from sequences s
  left join sequence_contacts c on c.sequence_id = s.id
 where s.trigger = $1 and not exists (select from leads l where l.triggers @> array[$1])
 group by s.id
"""


class UsedUp(Value):
    """A trigger that no lead has now. ``contacts``: all that its sequence has ever had."""

    trigger: str
    sequence: str
    contacts: int
    last_enrolled_at: datetime | None
    """When the last one of them was enrolled."""


async def find_used_up(pool: Pool, trigger: str) -> UsedUp | None:
    """What became of a trigger (in upper case) that no lead has now; None if a lead has it."""
    row = await pool.fetchrow(SELECT_TRIGGERED, trigger)
    return None if row is None else UsedUp(trigger=trigger, **row)


async def require_trigger(connection: Connection, trigger: str) -> SequenceStatus:
    """The status of the sequence with this trigger (in upper case). Raises NotFound, with a suggestion."""
    status: SequenceStatus | None = await connection.fetchval(
        "select status from sequences where trigger = $1", trigger
    )
    if status is None:
        rows = await connection.fetch(
            "select trigger from sequences where trigger is not null order by trigger"
        )
        hint = did_you_mean(trigger, [row["trigger"] for row in rows]) or "see 'sequence list'"
        raise NotFound(f"no sequence has the trigger {trigger}: {hint}")
    return status


async def no_such_sequence(connection: Connection, name: str) -> NotFound:
    """The error for an unknown name, with a suggestion."""
    names = [row["name"] for row in await connection.fetch("select name from sequences order by name")]
    hint = did_you_mean(name, names) or "create it with 'sequence apply FILE.yaml'"
    return NotFound(f"there is no sequence {name!r}: {hint}")
