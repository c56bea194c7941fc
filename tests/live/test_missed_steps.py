"""Steps that an edit puts before what a contact has had: nobody loses one in silence."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from messaging.reporting.audit import lost_steps, totals
from messaging.sending.outcomes import Deferred, Settled
from messaging.sequences.contract import EnrollmentEnd, Replanned
from messaging.sequences.effects import effects_of
from messaging.sequences.enrollments import Enrollments
from messaging.sequences.file import read_sequence
from messaging.times.calendar import Due
from operations import enrollment
from rig.people import phone
from rig.waiting import until
from tests.support.contact import NOON, Contact
from tests.support.live import Live


def file(*steps: str, sequence: str = "letters") -> str:
    return f"sequence: {sequence}\nsteps:\n" + "".join(f"  - {{{step}}}\n" for step in steps)


A = "id: a, day: 1, text: A"
B = "id: b, after: 1h, text: B"
C = "id: c, after: 1h, text: C"
D = "id: d, after: 1h, text: D"
SEND_C = C + ", missed: send"


async def has_had(contact: Contact, steps: int, *, source: str) -> None:
    """A contact of the sequence that has had so many steps."""
    await contact.scenario.apply(source)
    await contact.enroll(phone(2), "letters")
    for _ in range(steps):
        await sends(contact)


async def sends(contact: Contact) -> None:
    """The next step goes out when it is due, by whatever plan is true then."""
    while contact.due is not None:
        contact.now = max(contact.now, contact.due.due_at)
        outcome = await contact.send()
        assert isinstance(outcome, Settled | Replanned), outcome
        contact.due = outcome.next
        if isinstance(outcome, Settled):
            return


async def rows(contact: Contact) -> dict[str, tuple[str, str | None]]:
    found = [row for row in await contact.scenario.messages() if row["recipient_phone"] == phone(2)]
    return {row["step"]: (row["status"], row["reason"]) for row in found}


async def plan(contact: Contact) -> Due | None:
    assert contact.enrolled is not None
    enrollment_id = contact.enrolled.enrollment_id
    contact.due = await Enrollments(contact.scenario.pool).replan(enrollment_id, now=contact.now)
    return contact.due


LEFT_OUT = ("cancelled", "left out: an edit put the step before one that the contact had had")


@pytest.mark.parametrize(
    "edited",
    [file(A, C, B), file(A, C, B, D), file(C, A, B)],
    ids=["moved before the last", "more to come", "moved to the front"],
)
async def test_a_step_that_was_moved_before_the_last_one_leaves_a_row_that_says_so(
    contact: Contact, edited: str
) -> None:
    await has_had(contact, 2, source=file(A, B, C))
    await contact.scenario.apply(edited)
    due = await plan(contact)
    assert (due and due.step) == ("d" if "id: d" in edited else None)
    assert (await rows(contact))["c"] == LEFT_OUT
    await plan(contact)
    assert len(await rows(contact)) == 3
    assert await lost_steps(contact.scenario.pool) == []
    assert (await totals(contact.scenario.pool)).adds_up


async def test_a_step_that_is_to_be_sent_to_whoever_has_missed_it_comes_next(contact: Contact) -> None:
    await has_had(contact, 2, source=file(A, B, C, D))
    await contact.scenario.apply(file(A, SEND_C, B, D))
    due = await plan(contact)
    assert due is not None
    assert due.step == "c"
    assert await lost_steps(contact.scenario.pool) == []
    await sends(contact)
    await sends(contact)
    texts = [m["text"] for m in await contact.scenario.accepted() if m["phone"] == phone(2)]
    assert texts == ["A", "B", "C", "D"]
    gaps = contact.now - NOON
    assert timedelta(hours=3) <= gaps < timedelta(hours=4), "each an hour after the one before"


async def test_a_step_that_waited_for_its_slot_is_closed_when_it_is_left_out(contact: Contact) -> None:
    await has_had(contact, 2, source=file(A, B, C))
    assert contact.due is not None
    contact.now = contact.due.due_at
    await contact.scenario.pool.execute(
        "update devices set max_delay = 1, next_slot_at = $1", contact.now + timedelta(minutes=1)
    )
    assert isinstance(await contact.send(), Deferred)
    assert (await rows(contact))["c"][0] == "queued"
    await contact.scenario.apply(file(A, C, B))
    assert await plan(contact) is None
    assert (await rows(contact))["c"] == LEFT_OUT


async def test_what_was_left_out_stays_so(contact: Contact) -> None:
    await has_had(contact, 2, source=file(A, B, C, D))
    await contact.scenario.apply(file(A, C, B, D))
    await plan(contact)
    await contact.scenario.apply(file(A, SEND_C, B, D))
    await plan(contact)
    await sends(contact)
    await sends(contact)
    texts = [m["text"] for m in await contact.scenario.accepted() if m["phone"] == phone(2)]
    assert texts == ["A", "B", "D"]


async def test_the_audit_finds_a_step_before_the_position_that_has_no_row(contact: Contact) -> None:
    await has_had(contact, 2, source=file(A, B, C, D))
    await contact.scenario.apply(file(A, C, B, D))
    assert await lost_steps(contact.scenario.pool) == [], "the contact has yet to plan anew"
    await plan(contact)
    await contact.scenario.pool.execute("delete from broadcast_messages where status = 'cancelled'")
    assert await lost_steps(contact.scenario.pool) == [
        f"{phone(2)} never gets step c of letters, and has no message that says so"
    ]


@pytest.mark.parametrize(("step", "expected"), [(SEND_C, "c"), (C, None)])
async def test_an_edit_while_the_last_step_is_sent_is_not_missed(
    contact: Contact, step: str, expected: str | None
) -> None:
    """The message settles by the plan that it was claimed with, and nothing is left by that one."""
    await has_had(contact, 2, source=file(A, B))
    assert contact.due is None
    await contact.scenario.apply(file(A, step, B))
    assert contact.enrolled is not None
    end = EnrollmentEnd(enrollment_id=contact.enrolled.enrollment_id, status="completed")
    finished = await Enrollments(contact.scenario.pool).finish(end, now=contact.now)
    assert (finished.next and finished.next.step) == expected
    status = await contact.scenario.pool.fetchval(
        "select status from sequence_contacts where phone = $1", phone(2)
    )
    assert status == ("active" if expected else "completed")
    if expected is None:
        assert (await rows(contact))["c"] == LEFT_OUT


@pytest.mark.parametrize(
    ("edited", "expected"),
    [
        (file(A, B, C), {}),
        (file(A, C, B), {"left_out": {"c": 1}}),
        (file(A, SEND_C, B), {"caught_up": {"c": 1}}),
        (file("id: new, day: 1, text: New", A, B, C), {"left_out": {"new": 1}}),
        (file(A, B, "id: new, after: 1h, text: New", C), {}),
        (file(A, B, "id: c, after: 1m, text: C"), {"already_due": {"c": 1}}),
        (file(A, B, C.replace("text: C", "text: Other")), {}),
    ],
    ids=[
        "nothing",
        "moved",
        "moved and sent",
        "inserted before",
        "inserted after",
        "due at once",
        "reworded",
    ],
)
async def test_an_edit_says_how_many_it_concerns(
    contact: Contact, edited: str, expected: dict[str, Any]
) -> None:
    pool = contact.scenario.pool
    contact.now = (await pool.fetchval("select clock_timestamp()")) - timedelta(minutes=70)
    await has_had(contact, 2, source=file(A, B, C))
    async with pool.acquire() as connection:
        found = await effects_of(connection, [read_sequence(edited, "letters.yaml")])
    assert [one.model_dump(exclude={"sequence"}) for one in found] == (
        [{"left_out": {}, "caught_up": {}, "already_due": {}, **expected}] if expected else []
    )


async def test_apply_asks_before_it_passes_over_people(live: Live, tmp_path: Path) -> None:
    await live.scenario.add_device()
    letters = tmp_path / "letters.yaml"
    letters.write_text(file(A, "id: b, after: 0s, text: B", C))
    assert (await live.run("starter.py", "sequence", "apply", str(letters)))[0] == 0
    await live.start_worker()
    await enrollment.enroll(live.connection, "letters", phone(0), device=live.scenario.device)

    async def had_two() -> bool:
        return len(await live.scenario.accepted()) == 2

    await until(had_two)
    letters.write_text(file(A, C, "id: b, after: 0s, text: B"))
    code, out, error = await live.run("starter.py", "sequence", "apply", str(letters))
    says = (
        "1 contact has had a step that comes after 'c' now, and will not get 'c'"
        " (with 'missed: send' at the step they get it next)"
    )
    assert (code, out) == (1, "")
    assert error.splitlines() == [
        f"drumbeat: letters: {says}",
        "drumbeat: nothing was changed; with --yes it is applied",
    ]
    assert await live.scenario.pool.fetchval("select revision from sequences") == 1
    code, out, error = await live.run("starter.py", "sequence", "apply", str(letters), "--yes")
    assert (code, error) == (0, "")
    assert f"  {says}\n" in out
    await live.all_over(1)
    (left,) = [row for row in await live.scenario.messages() if row["step"] == "c"]
    assert (left["status"], left["reason"]) == LEFT_OUT
    assert await lost_steps(live.scenario.pool) == []
