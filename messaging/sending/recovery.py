"""Abandoned messages: messages that were claimed, and that no attempt or workflow works on any more.

How that happens: an attempt dies, or the gateway's answer is lost. Before another attempt takes the message over, its
contact opts out, is stopped or moves on, its campaign is cancelled, or its workflow is terminated. Then no workflow
comes back to it. A Temporal Schedule runs a sweep that finds such messages and gives each a workflow of its own. That
settles the message like any other in doubt: it asks the gateway if that is possible, and never sends a message that is
not wanted any more.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from messaging.common.database import Pool, Record
from messaging.sending.claim_lifetimes import CLAIM_LIFETIME, longer_lifetimes
from messaging.sending.outcomes import MessageRef

__all__ = [
    "ABANDONED_TOGETHER",
    "abandoned",
    "close_unwanted",
    "forgotten_leads",
    "message_refs",
    "to_one_phone",
]

ABANDONED_TOGETHER = 200
"""How many are found at a time; the next sweep, a minute later, finds the rest."""

FORGOTTEN_AFTER = timedelta(minutes=2)
"""How long after its slot, or after the last attempt gave it back, a message counts as forgotten. If its workflow runs
after all, starting it again does nothing.
"""


# Of a message m that may have to be delivered by a workflow of its own.
REF = """
m.id, m.recipient_phone, m.device_id, m.purpose, s.name as sequence, t.key as step, k.name as campaign
  from broadcast_messages m
  left join sequence_steps t on t.id = m.sequence_stepid
  left join sequences s on s.id = t.sequence_id
  left join campaigns k on k.id = m.campaign_id
"""

# $1, $2: see is_abandoned; $3: the moment, null for the database's clock; $4: how many at most; $5: how long after the
# slot.
SELECT_ABANDONED = f"""
select {REF}
 where (m.status = 'processing' and is_abandoned(m, $1, $2, coalesce($3, clock_timestamp())))
    or (is_waiting(m.status) and (m.resends > 0 or m.purpose is not null) and m.campaign_id is null and hold_of(m) is null
        and greatest(m.slot_at, m.updated_at) < coalesce($3, clock_timestamp()) - $5::interval)
 order by m.updated_at
 limit $4
"""

SELECT_TO_ONE_PHONE = (
    f"select {REF} where m.recipient_phone = $1 and m.purpose is not null and is_waiting(m.status)"
)

CLOSE_UNWANTED = """
with unwanted as materialized (
    select m.id, u.status, u.reason
      from broadcast_messages m
     cross join lateral unwanted(m) u
     where is_waiting(m.status) and m.campaign_id is null and u.status is not null
     limit 1000
)
update broadcast_messages m
   set status = u.status, reason = u.reason, slot_at = null, updated_at = clock_timestamp()
  from unwanted u
 where m.id = u.id and is_waiting(m.status)
"""

# $1: the moment, null for the database's clock; $2: how long after the slot; $3: how many at most.
SELECT_FORGOTTEN_LEADS = """
select m.id, coalesce(m.key_phone, m.recipient_phone) as recipient_phone, m.device_id, l.name, k.name as campaign
  from broadcast_messages m
  join campaigns k on k.id = m.campaign_id
  join leads l on l.id = m.lead_id
 where m.status = 'queued' and greatest(m.slot_at, m.updated_at) < coalesce($1, clock_timestamp()) - $2::interval
   and k.status = 'running' and hold_of(m) is null
 order by m.updated_at
 limit $3
"""


async def abandoned(pool: Pool, *, now: datetime | None) -> list[MessageRef]:
    """The abandoned messages, oldest first; and messages to be sent again whose workflow seems not to have been
    started.
    """
    rows = await pool.fetch(
        SELECT_ABANDONED,
        CLAIM_LIFETIME,
        longer_lifetimes(),
        now,
        ABANDONED_TOGETHER,
        FORGOTTEN_AFTER,
    )
    return [_ref(row) for row in rows]


async def to_one_phone(pool: Pool, phone: str) -> list[MessageRef]:
    """Waiting messages to this phone that are no step's and no campaign's: each has a workflow of its own."""
    return [_ref(row) for row in await pool.fetch(SELECT_TO_ONE_PHONE, phone)]


async def message_refs(pool: Pool, ids: Sequence[str]) -> list[MessageRef]:
    """These messages, for workflows of their own."""
    return [_ref(row) for row in await pool.fetch(f"select {REF} where m.id = any ($1::uuid[])", list(ids))]


def _ref(row: Record) -> MessageRef:
    return MessageRef(
        message_id=row["id"],
        phone=row["recipient_phone"],
        campaign=row["campaign"] or "",
        sequence=row["sequence"] or "",
        step=row["step"] or "",
        purpose=row["purpose"] or "",
        device_id=row["device_id"],
    )


async def close_unwanted(pool: Pool) -> int:
    """Closes waiting messages of sequences, or to one phone alone, that are not wanted any more; answers how many.

    Ending a contact closes its waiting messages. This finds those that an attempt gave back afterwards, when no
    workflow was left to claim them.
    """
    done = await pool.execute(CLOSE_UNWANTED)
    return int(done.split()[-1])


async def forgotten_leads(pool: Pool, *, now: datetime | None) -> list[MessageRef]:
    """Messages of campaigns whose slot has passed without an attempt: their workflow may be gone."""
    rows = await pool.fetch(SELECT_FORGOTTEN_LEADS, now, FORGOTTEN_AFTER, ABANDONED_TOGETHER)
    return [
        MessageRef(
            campaign=row["campaign"],
            message_id=row["id"],
            phone=row["recipient_phone"],
            name=row["name"],
            device_id=row["device_id"],
        )
        for row in rows
    ]
