"""Several leads of one sequence change their numbers, in a circle or a chain: each goes on at the number that its owner has."""

import itertools
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from messaging.common.errors import InvalidInput
from messaging.common.keywords import DEFAULT_KEYWORDS
from messaging.leads.opt_outs import record_opt_out
from messaging.replies.record import record_inbound
from messaging.replies.renaming import rename_phone
from messaging.reporting.audit import lost_steps, sent_twice
from messaging.selection.contacts import contact_ids
from messaging.selection.selection import Selection
from messaging.sending.outcomes import Settled
from messaging.sequences.contract import EnrollmentEnd, Replanned, StepRef
from messaging.sequences.enrollments import Enrollments
from rig.people import phone
from tests.support.contact import NOON, Contact
from tests.support.replies import inbound

SEQUENCE = "sequence: welcome\nsteps:\n" + "".join(
    f"  - {{id: step-{index}, after: 1h, text: Step {index}}}\n" for index in range(4)
)

Change = tuple[int, int, int]
"""A number, the next number of its owner, and when that was."""

CIRCLES: list[list[tuple[int, int]]] = [
    [(0, 1), (1, 0)],
    [(0, 1), (1, 2), (2, 0)],
    [(0, 2), (2, 1), (1, 0)],
]


def cases() -> list[tuple[list[Change], Sequence[int]]]:
    """Every circle of two and three numbers: reported in every order, the times in every order and all the same."""
    found: list[tuple[list[Change], Sequence[int]]] = []
    for circle in CIRCLES:
        for times in [*itertools.permutations(range(len(circle))), (0,) * len(circle)]:
            changes = [(old, new, 10 * at) for (old, new), at in zip(circle, times, strict=True)]
            found += [(changes, order) for order in itertools.permutations(range(len(circle)))]
    return found


ALL = cases()
SOME = [case for case in ALL if case[0][0][2] <= case[0][-1][2]][::12]


class People:
    """Some leads of the sequence, each with a number, and how many steps each has had."""

    def __init__(self, contact: Contact, place: int) -> None:
        self.contact, self.pool = contact, contact.scenario.pool
        self.place = place
        self.first = 10 + 5 * place

    def phone(self, index: int) -> str:
        return phone(self.first + index)

    async def begin(self, had: Sequence[int | None]) -> None:
        """The leads; None: it is not in the sequence."""
        self.contact.now = NOON
        for index, steps in enumerate(had):
            if steps is None:
                await self.contact.scenario.pool.execute(
                    "insert into leads (phone, name, device_id) values ($1, $2, $3)",
                    *(self.phone(index), f"Lead {index}", self.contact.scenario.device),
                )
                continue
            enrolled = await self.contact.scenario.enroll(
                "welcome", self.phone(index), run=f"run-{index}", now=self.contact.now, name=f"Lead {index}"
            )
            await self.send(enrolled.enrollment_id, self.phone(index), steps)

    async def send(self, enrollment: int, key: str, steps: int) -> None:
        """Sends so many steps, when they are due, as the contact's workflow would."""
        enrollments = Enrollments(self.pool)
        for _ in range(steps):
            due = await enrollments.replan(enrollment, now=self.contact.now)
            if due is None or due.paused:
                return
            self.contact.now = max(due.due_at, self.contact.now)
            ref = StepRef(
                enrollment_id=enrollment,
                step_id=due.step_id,
                revision=due.revision,
                phone=key,
                device_id=due.device_id,
            )
            outcome = await self.contact.activities.send_step(ref)
            assert isinstance(outcome, Settled | Replanned), outcome

    async def report(self, old: int, new: int, at: float, again: str = "") -> None:
        told = inbound(
            f"{self.first} {old} {new} {at}{again}",
            self.phone(old),
            "changed",
            kind="number_changed",
            payload=self.phone(new),
            identities=(f"wa_id:{self.phone(old)[1:]}",),
            after=at,
        )
        async with self.pool.acquire() as connection:
            await record_inbound(
                connection, "simulated", self.contact.scenario.device, [told], DEFAULT_KEYWORDS
            )

    async def leads(self) -> dict[str, str]:
        """Who has which number."""
        rows = await self.pool.fetch("select name, phone from leads order by name")
        return {row["name"]: row["phone"] for row in rows if row["phone"] in self.phones()}

    def phones(self) -> list[str]:
        return [self.phone(index) for index in range(4)]

    async def contacts(self) -> list[dict[str, Any]]:
        rows = await self.pool.fetch(
            "select c.id, l.name, c.phone, coalesce(c.key_phone, c.phone) as key, c.status, c.reason, c.paused_at is null as goes_on"
            "  from sequence_contacts c join leads l on l.id = c.lead_id where l.phone = any ($1) order by l.name, c.id",
            self.phones(),
        )
        return [dict(row) for row in rows]

    async def finish(self) -> None:
        """Sends what is left, of all of them."""
        for one in await self.contacts():
            self.contact.now = NOON + timedelta(days=1)
            await self.send(one["id"], one["key"], 9)

    async def got(self) -> list[tuple[str, str]]:
        """What has arrived, and where."""
        rows = await self.contact.scenario.accepted()
        return [(row["phone"], row["text"]) for row in rows if row["phone"] in self.phones()]


async def check_nothing_twice(people: People, *, one_person: bool = False) -> None:
    """``one_person``: leads that have become one may have had the same step before."""
    got = await people.got()
    assert len(got) == len(set(got)), "no number gets a step twice"
    rows = await people.pool.fetch(
        "select l.name, m.sequence_stepid as step from broadcast_messages m"
        " join leads l on l.id = m.lead_id where m.status = 'sent' and l.phone = any ($1)",
        people.phones(),
    )
    sent = [tuple(row) for row in rows]
    assert one_person or len(sent) == len(set(sent)), "nor does a person"
    # What is not sent has a row that says why.
    for one in await people.contacts():
        if one["goes_on"]:
            steps = await people.pool.fetchval(
                "select count(distinct sequence_stepid) from broadcast_messages where sequence_contact_id = $1 and status in ('sent', 'cancelled')",
                one["id"],
            )
            assert steps == 4, one
    assert await sent_twice(people.pool, "step") == await lost_steps(people.pool) == []


async def try_circle(people: People, changes: list[Change], order: Sequence[int]) -> None:
    had = [(people.place + 2 * index) % 4 for index in range(len(changes))]
    await people.begin(had)
    for index in order:
        await people.report(*changes[index])
    for old, new, at in changes:  # another of our numbers tells the same
        await people.report(old, new, at + 2, " again")
    assert await people.leads() == {f"Lead {old}": people.phone(new) for old, new, _ in changes}
    assert [
        (one["name"], one["phone"], one["status"], one["goes_on"]) for one in await people.contacts()
    ] == [(f"Lead {old}", people.phone(new), "active", True) for old, new, _ in sorted(changes)]
    await people.finish()
    await check_nothing_twice(people)


async def test_leads_that_exchange_their_numbers_go_on_each(contact: Contact) -> None:
    await contact.scenario.apply(SEQUENCE)
    for place, (changes, order) in enumerate(SOME):
        await try_circle(People(contact, place), changes, order)


@pytest.mark.long
@pytest.mark.parametrize("part", range(4))
async def test_the_same_in_every_order_and_at_any_times(contact: Contact, part: int) -> None:
    await contact.scenario.apply(SEQUENCE)
    for place, (changes, order) in list(enumerate(ALL))[part::4]:
        await try_circle(People(contact, place), changes, order)


@pytest.mark.parametrize("in_sequence", [(0,), (1,), (1, 2), ()])
async def test_only_some_of_them_are_in_the_sequence(contact: Contact, in_sequence: Sequence[int]) -> None:
    await contact.scenario.apply(SEQUENCE)
    people = People(contact, 0)
    await people.begin([2 if index in in_sequence else None for index in range(3)])
    for old, new, at in ((0, 1, 10), (1, 2, 20), (2, 0, 30)):
        await people.report(old, new, at)
    assert await people.leads() == {f"Lead {index}": people.phone((index + 1) % 3) for index in range(3)}
    assert [(one["name"], one["phone"], one["goes_on"]) for one in await people.contacts()] == [
        (f"Lead {index}", people.phone((index + 1) % 3), True) for index in in_sequence
    ]
    await people.finish()
    await check_nothing_twice(people)


async def test_one_of_them_has_been_through_the_sequence(contact: Contact) -> None:
    await contact.scenario.apply(SEQUENCE)
    people = People(contact, 0)
    await people.begin([4, 1, 2])
    through = (await people.contacts())[0]["id"]
    end = EnrollmentEnd(enrollment_id=through, status="completed")
    await Enrollments(people.pool).finish(end, now=None)
    for old, new, at in ((2, 0, 10), (0, 1, 20), (1, 2, 30)):
        await people.report(old, new, at)
    assert [(one["name"], one["phone"], one["status"]) for one in await people.contacts()] == [
        ("Lead 0", people.phone(1), "completed"),
        ("Lead 1", people.phone(2), "active"),
        ("Lead 2", people.phone(0), "active"),
    ]
    await people.finish()
    await check_nothing_twice(people)
    assert [text for number, text in await people.got() if number == people.phone(2)] == [
        *("Step 0", "Step 1"),  # of its former owner
        *("Step 2", "Step 3"),
    ]


@pytest.mark.parametrize("late", [False, True])
async def test_a_chain_in_which_each_moves_up_before_the_next(contact: Contact, late: bool) -> None:
    """1 -> 2, and before that 2 -> 3: two persons, also if the first change is reported last."""
    await contact.scenario.apply(SEQUENCE)
    people = People(contact, 0)
    await people.begin([1, 3])
    reports = [(1, 2, 10), (0, 1, 20)]
    for old, new, at in reports[::-1] if late else reports:
        await people.report(old, new, at)
    assert await people.leads() == {"Lead 0": people.phone(1), "Lead 1": people.phone(2)}
    assert [(one["phone"], one["goes_on"]) for one in await people.contacts()] == [
        (people.phone(1), True),
        (people.phone(2), True),
    ]
    await people.finish()
    await check_nothing_twice(people)


async def test_one_person_with_three_numbers_gets_each_step_once(contact: Contact) -> None:
    """1 -> 2 and then 2 -> 3: the owner of the first has the last. All the others rest, and end with that one."""
    await contact.scenario.apply(SEQUENCE)
    people = People(contact, 0)
    await people.begin([2, 0, 1])
    await people.report(0, 1, 10)
    await people.report(1, 2, 20)
    assert await people.leads() == {"Lead 2": people.phone(2)}
    contacts = await people.contacts()
    assert [(one["key"], one["goes_on"]) for one in contacts] == [
        (people.phone(0), False),
        (people.phone(1), False),
        (people.phone(2), True),
    ]
    async with people.pool.acquire() as connection:
        assert await contact_ids(connection, "resume", Selection(sequence="welcome")) == [], (
            "they do not go on"
        )
    await people.finish()
    await check_nothing_twice(people, one_person=True)
    assert [text for _, text in await people.got()] == ["Step 0", "Step 1", "Step 0", "Step 2", "Step 3"]
    end = EnrollmentEnd(enrollment_id=contacts[2]["id"], status="completed")
    await Enrollments(people.pool).finish(end, now=None)
    assert [one["status"] for one in await people.contacts()] == ["stopped", "stopped", "completed"]
    assert "has been through the sequence" in (await people.contacts())[0]["reason"]


async def test_an_opt_out_goes_with_its_owner(contact: Contact) -> None:
    await contact.scenario.apply(SEQUENCE)
    people = People(contact, 0)
    await people.begin([1, 1])
    async with people.pool.acquire() as connection:
        await record_opt_out(connection, people.phone(0), "called us")
    await people.report(0, 1, 10)
    await people.report(1, 0, 20)
    opted_out = {row["phone"] for row in await people.pool.fetch("select phone from suppressions")}
    assert people.phone(1) in opted_out
    assert (await people.contacts())[0]["status"] == "opted_out"


async def test_an_operator_exchanges_two_numbers(contact: Contact) -> None:
    await contact.scenario.apply(SEQUENCE)
    people = People(contact, 0)
    await people.begin([1, 2])
    async with people.pool.acquire() as connection:
        first, _ = await rename_phone(connection, people.phone(0), people.phone(1))
        assert first.joined
        second, _ = await rename_phone(connection, people.phone(1), people.phone(0))
        assert (second.joined, second.apart) == (False, (people.phone(1),))
        with pytest.raises(InvalidInput):
            await rename_phone(connection, people.phone(0), people.phone(0))
    assert await people.leads() == {"Lead 0": people.phone(1), "Lead 1": people.phone(0)}
    await people.finish()
    await check_nothing_twice(people)
