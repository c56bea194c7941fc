"""The queries that run for every contact, and those of the sweep, which runs every minute."""

from collections.abc import Callable
from typing import cast

import pytest

from messaging.common.database import Pool
from messaging.leads.lead import Lead
from messaging.leads.store import upsert_lead
from messaging.replies.renaming import rename_phone
from messaging.sequences.contract import Enrolled, EnrollmentEnd, EnrollmentRequest, SweepCursor
from messaging.sequences.enrollments import Enrollments
from messaging.sequences.triggers import due_enrollments
from operations.connection import Drumbeat
from operations.opt_outs import opt_out
from tests.support.big_ledger import NOW, Big
from tests.support.query_costs import Case, Limit, NobodyToTell, needs_its_index, stays_small

pytestmark = pytest.mark.timeout(400)


def _sweep(trigger: str | None, *, least: int = 150) -> Case:
    """A page of 200 leads, of whom so many are to be enrolled. ``trigger``: the one that the page before ended with."""

    async def case(pool: Pool, big: Big) -> None:
        after = big.rows // 10 if trigger else 0
        due = await due_enrollments(pool, SweepCursor(lead_id=after, trigger=trigger))
        assert least <= len(due.requests) <= 200

    return case


async def _enroll(pool: Pool, big: Big) -> None:
    request = EnrollmentRequest(sequence="S0", lead=Lead(phone=big.phone, name="Lead"))
    enrolled = await Enrollments(pool).enroll(request, workflow_id="w", run_id="new", now=NOW)
    assert isinstance(enrolled, Enrolled)
    assert not enrolled.duplicate


async def _plan(pool: Pool, big: Big) -> None:
    assert await Enrollments(pool).replan(big.contact, now=NOW) is not None


async def _move_past(pool: Pool, big: Big) -> None:
    await Enrollments(pool).move_past(big.contact, big.contact_step, None, now=NOW)


def _end(contact: Callable[[Big], int], *, follows: bool) -> Case:
    async def case(pool: Pool, big: Big) -> None:
        end = EnrollmentEnd(enrollment_id=contact(big), status="completed")
        finished = await Enrollments(pool).finish(end, now=NOW)
        assert (finished.follow_up is not None) == follows

    return case


async def _new_lead(pool: Pool, big: Big) -> None:
    async with pool.acquire() as connection:
        lead = Lead(phone="+120055501000000", name="Lead", niches=("NICHE1",), triggers=("SPRING", "AUTUMN"))
        await upsert_lead(connection, lead)


async def _opt_out(pool: Pool, big: Big) -> None:
    answer = await opt_out(cast("Drumbeat", NobodyToTell(pool)), big.phone)
    assert (answer.changed, answer.ended) == (True, 0)


async def _join(pool: Pool, big: Big) -> None:
    other = await pool.fetchval("select phone from sequence_contacts where id = $1", big.contact)
    async with pool.acquire() as connection:
        changed, _ = await rename_phone(connection, big.phone, other)
    assert changed.joined


REMOVED = "update sequence_steps set removed_at = now() where key = 'step-1'"
"""What waits of a removed step is looked for among the contact's messages, not among those of the step."""

CASES: dict[str, tuple[Case, Limit]] = {
    # For every contact.
    "enroll": (_enroll, Limit(rows=20, buffers=200)),
    "enroll, a lead that is new": (_new_lead, Limit(rows=5, buffers=100)),
    "plan": (_plan, Limit(rows=20, buffers=150, before=REMOVED)),
    "plan, past a step": (_move_past, Limit(rows=20, buffers=150, before=REMOVED)),
    "end of a contact": (_end(lambda big: big.contact_waits, follows=False), Limit(rows=20, buffers=150)),
    "end of a contact, which is passed on": (
        _end(lambda big: big.done, follows=True),
        Limit(rows=20, buffers=150, before="update sequences set next_trigger = 'SPRING' where name <> 'S0'"),
    ),
    "two leads become one": (_join, Limit(rows=200, buffers=1_500)),
    "opt out": (_opt_out, Limit(rows=30, buffers=130)),
    # The sweep: once a minute. It reads the leads that bear a trigger, and does not look into the ledger. The buffers of
    # the first case are the index entries of the 10,000 leads that bore one until now.
    "sweep, nobody due": (
        _sweep(None, least=0),
        Limit(
            rows=5,
            buffers=12_000,
            before="update leads set triggers = '{}' where triggers <> '{}'; analyze leads",
        ),
    ),
    "sweep, the first page": (_sweep(None), Limit(rows=2_000, buffers=3_000)),
    "sweep, a later page": (_sweep("SPRING"), Limit(rows=2_000, buffers=3_000)),
    "sweep, everybody due": (
        _sweep(None),
        Limit(
            rows=2_000,
            buffers=5_000,
            before="update leads set triggers = '{SPRING}' where id <= :rows / 5; analyze leads",
        ),
    ),
}


@pytest.mark.parametrize("name", CASES)
async def test_it_stays_small(big: Big, name: str) -> None:
    await stays_small(big, *CASES[name])


@pytest.mark.parametrize(
    ("taken_away", "name"),
    [
        ("drop index broadcast_messages_lead", "two leads become one"),
        ("drop index sequence_contacts_lead", "two leads become one"),
        ("drop index broadcast_messages_contact", "plan"),
        ("drop index broadcast_messages_contact", "end of a contact"),
        ("drop index leads_triggered", "sweep, nobody due"),
        # One of the two is enough: there are few sequences, and the server skips from one to the next.
        (
            "drop index sequence_contacts_phone; alter table sequence_contacts drop constraint sequence_contacts_unique",
            "opt out",
        ),
    ],
)
async def test_without_its_index_it_does_not(big: Big, taken_away: str, name: str) -> None:
    await needs_its_index(big, *CASES[name], taken_away)
