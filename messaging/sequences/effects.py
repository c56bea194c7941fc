"""The effects of an edit on active contacts: which will not get a step, and which get something at once.

They are counted before anything is stored, without locks, to help an operator decide.
"""

from collections import Counter
from collections.abc import Iterator, Sequence

from messaging.common.counts import count_of
from messaging.common.database import Connection
from messaging.common.values import Value
from messaging.sequences.file import SequenceDraft, SequenceFile
from messaging.sequences.next_step import timeline_of
from messaging.sequences.store import load_plan
from messaging.times.calendar import Plan, PlanStep, caught_up, left_out, next_due

__all__ = ["Effects", "effects_of"]


# $2: whether a step of the edited sequence waits for a reply.
SELECT_NOT_DUE = """
select c.timeline, c.timeline ->> 'zone' as zone, clock_timestamp() as now, case when $2 then first_reply(c) end as replied_at
  from sequence_contacts c
 where c.sequence_id = $1 and c.status = 'active' and c.next_due_at > clock_timestamp()
"""


class Effects(Value):
    """How many contacts an edit affects in a way that its author may not expect, by the step's key."""

    sequence: str
    left_out: dict[str, int]
    """They have had a step that now comes after this one, and will not get this one."""
    caught_up: dict[str, int]
    """They have had a step that now comes after this one, and get this one all the same."""
    already_due: dict[str, int]
    """With the edit, the time of their next step has passed, which it had not before."""

    def lines(self) -> Iterator[str]:
        """Each of them as a sentence."""
        for key, count in self.left_out.items():
            yield (
                f"{_contacts(count)} had a step that comes after {key!r} now, and will not get {key!r}"
                " (with 'missed: send' at the step they get it next)"
            )
        for key, count in self.caught_up.items():
            yield f"{_contacts(count)} had a step that comes after {key!r} now, and get {key!r} next (missed: send)"
        for key, count in self.already_due.items():
            yield f"{_contacts(count)} not had {key!r}, whose time has passed for them now: they get it at once"


async def effects_of(connection: Connection, drafts: Sequence[SequenceDraft]) -> list[Effects]:
    """The effects on active contacts, for each file that is usable and has any."""
    found = []
    for draft in drafts:
        row = draft.sequence and await connection.fetchrow(
            "select id, clock_timestamp() as now from sequences where name = $1", draft.sequence.sequence
        )
        if not draft.sequence or not row:
            continue
        before = await load_plan(connection, row["id"])
        after = _planned(draft.sequence, before)
        if _order(before) == _order(after):
            continue
        effects = Effects(
            sequence=before.sequence,
            **await _passed_over(connection, before, after),
            already_due=await _already_due(connection, before, after),
        )
        if any(effects.lines()):
            found.append(effects)
    return found


def _planned(file: SequenceFile, before: Plan) -> Plan:
    """The plan after the edit; the IDs of its steps do not matter here."""
    steps = tuple(
        PlanStep(
            id=0,
            key=step.id,
            day=step.day,
            at=step.at,
            after=step.after,
            wait_for=step.wait_for.reply if step.wait_for else None,
            missed=step.missed,
        )
        for step in file.steps
    )
    return before.model_copy(update={"steps": steps, "skip_weekends": file.skip_weekends})


def _order(plan: Plan) -> list[PlanStep]:
    return [step.model_copy(update={"id": 0}) for step in plan.steps]


async def _passed_over(connection: Connection, before: Plan, after: Plan) -> dict[str, dict[str, int]]:
    # Group the contacts by the steps that they have had: contacts are many, such groups are few.
    rows = await connection.fetch(
        "select coalesce(timeline -> 'done', '[]') as done, count(*) as contacts from sequence_contacts"
        " where sequence_id = $1 and status = 'active' group by 1",
        before.sequence_id,
    )
    counts: dict[str, Counter[str]] = {"left_out": Counter(), "caught_up": Counter()}
    for row in rows:
        done = set(row["done"])
        # A contact that was to miss the step before the edit is not counted: the ledger already has its row.
        known = {step.key for step in left_out(before, done)}
        for name, steps in (
            ("left_out", left_out(after, done)),
            ("caught_up", [step for step in caught_up(after, done) if step not in caught_up(before, done)]),
        ):
            for step in steps:
                if step.key not in known:
                    counts[name][step.key] += row["contacts"]
    return {name: dict(counter) for name, counter in counts.items()}


async def _already_due(connection: Connection, before: Plan, after: Plan) -> dict[str, int]:
    found: Counter[str] = Counter()
    async with connection.transaction(readonly=True):
        async for row in connection.cursor(
            SELECT_NOT_DUE,
            before.sequence_id,
            any(step.wait_for is not None for step in after.steps),
            prefetch=1000,
        ):
            timeline, now = timeline_of(row["timeline"], row["zone"], row["replied_at"]), row["now"]
            due = next_due(after, timeline, now)
            if due is not None and due.due_at <= now and due.step not in caught_up(after, timeline.done):
                found[due.step.key] += 1
    return dict(found)


def _contacts(count: int) -> str:
    return count_of(count, "contact has", "contacts have")
