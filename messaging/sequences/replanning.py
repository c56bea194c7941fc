"""Replans all contacts whose plan has become old, because a sequence was edited or a time zone corrected.

The next step of each contact is computed here, so that the rows are true when this returns. The contacts' workflows do
not know it yet: if a contact's next step or its time has changed, ``plan_changed_at`` says that its workflow is still
to be signalled (see :mod:`messaging.sending.telling`). Until then, a claim answers that the workflow must replan, so
nothing goes out by an old plan. But a workflow whose new moment is earlier than its old one needs the signal in time.
If neither has changed, no signal is needed: most edits change texts only.
"""

from functools import partial

from messaging.common.database import Connection, Pool
from messaging.common.transactions import all_or_nothing
from messaging.sequences.next_step import position_of, timeline_of
from messaging.sequences.store import load_plan
from messaging.times.calendar import next_due

__all__ = ["replan", "sequences_of_other_zones"]

PAGE = 500
"""Contacts that are locked together. A send that settles meanwhile waits for that lock, some hundredths of a second."""

SELECT_EDITED = """
select id
  from sequence_contacts
 where sequence_id = $1 and status = 'active'
   and plan_revision < (select revision from sequences where id = $1)
 order by id
"""

SELECT_REZONED = """
select c.id
  from sequence_contacts c
  join sequences s on s.id = c.sequence_id
  join leads l on l.id = c.lead_id
 where c.sequence_id = $1 and c.status = 'active' and c.timeline ->> 'zone' <> coalesce(l.time_zone, s.time_zone)
 order by c.id
"""

SELECT_SEQUENCES_OF_OTHER_ZONES = """
select distinct s.id
  from sequence_contacts c
  join sequences s on s.id = c.sequence_id
  join leads l on l.id = c.lead_id
 where c.status = 'active' and c.timeline ->> 'zone' <> coalesce(l.time_zone, s.time_zone)
 order by s.id
"""

# Locked in the order of IDs, so that two of these at once do not deadlock. $2, $3: the sequence's zone and revision; $4:
# whether one of its steps waits for a reply.
LOCK_CONTACTS = """
select c.id, c.timeline, c.next_step_id, c.next_due_at, coalesce(l.time_zone, $2) as zone, clock_timestamp() as now,
       case when $4 then first_reply(c) end as replied_at,
       coalesce(c.key_phone, c.phone) as key_phone, c.plan_changed_at is not null as to_signal,
       exists (select from broadcast_messages m
                where m.sequence_contact_id = c.id and m.sequence_stepid = c.next_step_id
                  and m.status = 'processing') as begun
  from sequence_contacts c
  join leads l on l.id = c.lead_id
 where c.id = any ($1) and c.status = 'active' and c.plan_revision <= $3
 order by c.id
   for no key update of c
"""

STORE_POSITIONS = """
select move_contact(p.id, p.position::jsonb)
  from unnest($1::bigint[], $2::text[]) as p (id, position)
"""

MARK_TO_SIGNAL = "update sequence_contacts set plan_changed_at = clock_timestamp() where id = any ($1)"


async def replan(pool: Pool, sequence_id: int, *, zones: bool = False) -> int:
    """Replans the contacts that follow an old revision; answers for how many the next step or its time has changed.

    ``zones``: replans instead those whose plan was made for another time zone than the one known now.
    """
    stale = [row["id"] for row in await pool.fetch(SELECT_REZONED if zones else SELECT_EDITED, sequence_id)]
    changed = 0
    for first in range(0, len(stale), PAGE):
        async with pool.acquire() as connection:
            # Messages of steps that are left out are locked after the contacts: an enrollment that ends meanwhile takes
            # these locks the other way round, and the two may deadlock.
            replan_page = partial(_replan_page, connection, sequence_id, stale[first : first + PAGE])
            changed += await all_or_nothing(connection, replan_page)
    return changed


async def _replan_page(connection: Connection, sequence_id: int, contacts: list[int]) -> int:
    plan = await load_plan(connection, sequence_id)
    steps = {step.id for step in plan.steps}
    changed = 0
    stored: list[tuple[int, str]] = []
    to_signal: list[int] = []
    waits = any(step.wait_for is not None for step in plan.steps)
    for row in await connection.fetch(LOCK_CONTACTS, contacts, plan.time_zone, plan.revision, waits):
        timeline = timeline_of(row["timeline"], row["zone"], row["replied_at"])
        stands = position_of(plan, timeline, next_due(plan, timeline, row["now"]), row["key_phone"])
        before = {"next_step_id": row["next_step_id"], "next_due_at": row["next_due_at"]}
        begun = row["begun"] and row["next_step_id"] in steps
        if begun:  # the step is not overtaken: its contact is replanned once it is settled
            stands = stands.model_copy(update=before)
        another = (stands.next_step_id, stands.next_due_at) != tuple(before.values())
        changed += another
        stored.append((row["id"], stands.model_dump_json()))
        if another or begun or row["to_signal"]:
            to_signal.append(row["id"])
    await connection.execute(STORE_POSITIONS, [one for one, _ in stored], [stands for _, stands in stored])
    await connection.execute(MARK_TO_SIGNAL, to_signal)
    return changed


async def sequences_of_other_zones(pool: Pool) -> list[int]:
    """The sequences with an active contact whose plan was made for another time zone than the one known now."""
    rows = await pool.fetch(SELECT_SEQUENCES_OF_OTHER_ZONES)
    return [row["id"] for row in rows]
