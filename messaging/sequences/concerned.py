"""Whom an edit of a sequence would concern: contacts under way, compared with the plan after the edit, without locks."""

from collections import Counter
from datetime import datetime

from messaging.common.database import Connection
from messaging.common.values import Value
from messaging.sequences.next_step import timeline_of
from messaging.times.calendar import Plan, next_due

__all__ = ["Concerned", "MovedContact", "concerned_by"]

EXAMPLES = 5

# $2, $3: the time zone of the sequence after the edit, and whether one of its steps waits for a reply.
SELECT_UNDER_WAY = """
select c.phone, c.timeline, c.next_due_at, t.key as next_step, coalesce(l.time_zone, $2) as zone, clock_timestamp() as now,
       case when $3 then first_reply(c) end as replied_at,
       exists (select from broadcast_messages m
                where m.sequence_contact_id = c.id and m.sequence_stepid = c.next_step_id and m.status = 'processing') as begun
  from sequence_contacts c
  join leads l on l.id = c.lead_id
  left join sequence_steps t on t.id = c.next_step_id
 where c.sequence_id = $1 and c.status = 'active'
 order by c.id
"""


class MovedContact(Value):
    """A contact that gets another step next, or at another moment. None: nothing more."""

    phone: str
    step: str | None
    due_at: datetime | None
    then_step: str | None
    """After the edit."""
    then_due_at: datetime | None


class Concerned(Value):
    """The contacts under way that an edit concerns."""

    contacts: int
    """All that are under way."""
    moved: int
    """How many have another step or moment next."""
    examples: tuple[MovedContact, ...]
    to_come: dict[str, int]
    """By step of the edited plan: for how many it is still to come."""


async def concerned_by(connection: Connection, plan: Plan) -> Concerned:
    """Whom the sequence concerns if ``plan`` becomes its plan."""
    contacts, moved, examples = 0, 0, list[MovedContact]()
    to_come = Counter({step.key: 0 for step in plan.steps})
    waits = any(step.wait_for is not None for step in plan.steps)
    keys = {step.key for step in plan.steps}
    async with connection.transaction(readonly=True):
        async for row in connection.cursor(
            SELECT_UNDER_WAY, plan.sequence_id, plan.time_zone, waits, prefetch=1000
        ):
            contacts += 1
            timeline = timeline_of(row["timeline"], row["zone"], row["replied_at"])
            done = set(timeline.done)
            to_come.update(step.key for step in plan.steps if step.key not in done)
            due = next_due(plan, timeline, row["now"])
            before = (row["next_step"], row["next_due_at"])
            after = (due.step.key, due.due_at) if due else (None, None)
            # A step that an attempt has begun is not overtaken.
            if before == after or (row["begun"] and row["next_step"] in keys):
                continue
            moved += 1
            if len(examples) < EXAMPLES:
                examples.append(
                    MovedContact(
                        phone=row["phone"],
                        step=before[0],
                        due_at=before[1],
                        then_step=after[0],
                        then_due_at=after[1],
                    )
                )
    return Concerned(contacts=contacts, moved=moved, examples=tuple(examples), to_come=dict(to_come))
