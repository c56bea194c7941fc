"""Many contacts skip a step, or move to another sequence, in one transaction."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from cli.selection import _format_found, format_change
from messaging.common.errors import InvalidInput, NotFound
from messaging.leads.opt_outs import record_opt_out
from messaging.selection.change_over import change_over, count_wanted, find_to_change_over
from messaging.selection.selection import Selection
from messaging.sending.message_ids import sequence_message_id
from messaging.sequences import skip_many as module
from messaging.sequences.skip_many import skip_many
from messaging.sequences.wanted import wanted_page
from operations.bulk import BulkChange
from rig.people import phone
from rig.waiting import until
from tests.support.contact import NOON
from tests.support.scenario import Scenario

WELCOME = """
sequence: welcome
steps:
  - {id: hello, after: 1h, text: "Hi"}
  - {id: more, after: 2h, text: "More"}
"""
OTHER = "sequence: other\nrequire_consent: true\nsteps:\n  - {id: one, day: 1, text: One}\n"


async def begin(scenario: Scenario, count: int) -> list[int]:
    await scenario.add_device()
    await scenario.apply(WELCOME)
    return [
        (await scenario.enroll("welcome", phone(index), run=f"run-{index}", now=NOON)).enrollment_id
        for index in range(count)
    ]


async def stand(scenario: Scenario) -> list[tuple[Any, ...]]:
    rows = await scenario.pool.fetch(
        "select t.key as step, c.next_due_at, m.status, m.reason from sequence_contacts c"
        " left join sequence_steps t on t.id = c.next_step_id"
        " left join broadcast_messages m on m.sequence_contact_id = c.id order by c.id"
    )
    return [tuple(row) for row in rows]


async def test_many_skip_a_step_together(scenario: Scenario) -> None:
    ids = await begin(scenario, 3)
    done = await skip_many(scenario.pool, ids, "hello", now=NOON)
    assert done == (ids, [])
    # As if it had gone out when it was due.
    after = ("more", NOON + timedelta(hours=3), "cancelled", "skipped by an operator")
    assert await stand(scenario) == [after] * 3
    assert (
        await scenario.pool.fetchval(
            "select count(*) from sequence_contacts where plan_changed_at is not null"
        )
        == 3
    )
    kinds = await scenario.pool.fetch(
        "select phone, data ->> 'step' as step from events where kind = 'contact.skipped' order by phone"
    )
    assert [tuple(row) for row in kinds] == [(phone(index), "hello") for index in range(3)]
    assert await skip_many(scenario.pool, ids, "hello", now=NOON) == ([], []), (
        "again, nothing is left to skip"
    )


@pytest.mark.parametrize("changes", [False, True], ids=["", "one of them changes meanwhile"])
async def test_of_many_those_whose_step_is_under_way_stay(
    scenario: Scenario, monkeypatch: pytest.MonkeyPatch, changes: bool
) -> None:
    ids = await begin(scenario, 4)
    for index, status in ((1, "processing"), (2, "sent"), (3, "queued")):
        await scenario.pool.execute(
            "insert into broadcast_messages (id, sequence_stepid, sequence_contact_id, lead_id, recipient_phone, device_id, due_at,"
            " status, claimed_at, processing_worker_id, sent_at)"
            " select $2, c.next_step_id, c.id, c.lead_id, c.phone, c.device_id, c.enrolled_at, $3::text, c.enrolled_at, 'w',"
            " case when $3::text = 'sent' then c.enrolled_at end from sequence_contacts c where c.id = $1",
            *(ids[index], sequence_message_id(await first_step(scenario), phone(index)), status),
        )
    if changes:  # nothing of the batch stays, and each goes by itself
        changed = module.LOCK_UNCHANGED.replace("c.xmin::text", "c.xmin::text || 'x'")
        monkeypatch.setattr(module, "LOCK_UNCHANGED", changed)
    done = await skip_many(scenario.pool, ids, "hello", now=NOON)
    assert done.skipped == [ids[0], ids[3]]
    assert sorted(done.refused) == ["'hello' is being sent just now", "'hello' is sent already"]
    assert [(one[0], one[2]) for one in await stand(scenario)] == [
        ("more", "cancelled"),
        ("hello", "processing"),
        ("hello", "sent"),
        ("more", "cancelled"),
    ]


async def test_a_message_that_is_claimed_meanwhile_is_not_said_to_be_skipped(scenario: Scenario) -> None:
    ids = await begin(scenario, 2)
    message = sequence_message_id(await first_step(scenario), phone(1))
    async with scenario.pool.acquire() as attempt:
        async with attempt.transaction():
            await attempt.execute(
                "insert into broadcast_messages (id, sequence_stepid, sequence_contact_id, lead_id, recipient_phone, device_id,"
                " due_at, status, claimed_at, processing_worker_id)"
                " select $2, c.next_step_id, c.id, c.lead_id, c.phone, c.device_id, c.enrolled_at, 'processing', $3, 'w'"
                " from sequence_contacts c where c.id = $1",
                *(ids[1], message, NOON),
            )
            skipping = asyncio.create_task(skip_many(scenario.pool, ids, "hello", now=NOON))

            async def waits() -> bool:
                return bool(
                    await scenario.pool.fetchval(
                        "select exists (select from pg_locks where not granted and locktype = 'transactionid')"
                    )
                )

            await until(waits)
        done = await skipping
    assert done == ([ids[0]], ["'hello' is being sent just now"])


async def first_step(scenario: Scenario) -> int:
    step: int = await scenario.pool.fetchval("select id from sequence_steps where key = 'hello'")
    return step


async def test_contacts_move_and_those_who_cannot_stay(scenario: Scenario) -> None:
    pool = scenario.pool
    ids = await begin(scenario, 5)
    await scenario.apply(OTHER)
    await pool.execute(
        "update leads set consent_at = now(), consent_source = 'import' where phone <> $1", phone(1)
    )
    await scenario.enroll("other", phone(2), run="another", now=NOON)
    async with pool.acquire() as connection:
        await record_opt_out(connection, phone(3), "called us", category="marketing")
        await pool.execute(
            "update sequence_contacts set status = 'active', ended_at = null where phone = $1", phone(3)
        )
        chosen = Selection(sequence="welcome")
        found = await find_to_change_over(connection, chosen, "other")
        assert found.count == 2
        assert {one.phone for one in found.examples} == {phone(0), phone(4)}
        refused = {
            "1 stay where they are: in that sequence before",
            "1 stay where they are: opted out of such messages",
            "1 stay where they are: the sequence requires consent",
        }
        assert set(found.refused) == refused
        done = await change_over(connection, chosen, "other", "moved to other")
        assert (done.enrollments, done.phones) == ([ids[0], ids[4]], [phone(0), phone(4)])
        assert set(done.refused) == refused
        assert (await change_over(connection, chosen, "other", "again")).enrollments == []
        with pytest.raises(NotFound, match="no sequence 'othr'"):
            await change_over(connection, chosen, "othr", "")
        with pytest.raises(InvalidInput):
            await change_over(connection, Selection(), "other", "")
    rows = await pool.fetch("select status, reason from sequence_contacts where sequence_id = 1 order by id")
    assert [tuple(row) for row in rows] == [
        ("stopped", "moved to other"),
        *[("active", None)] * 2,
        ("active", rows[3]["reason"]),
        ("stopped", "moved to other"),
    ]
    assert await count_wanted(pool, "other", done.phones) == 2
    requests = (await wanted_page(pool, 0, 10)).requests
    assert sorted((one.sequence, one.lead.phone) for one in requests) == [
        ("other", phone(0)),
        ("other", phone(4)),
    ]
    for number in done.phones:
        assert not (await scenario.enroll("other", number, run="run", now=NOON)).duplicate
    assert await count_wanted(pool, "other", done.phones) == 0


async def test_who_is_paused_stays_paused_in_the_other_sequence(scenario: Scenario) -> None:
    pool = scenario.pool
    await begin(scenario, 3)
    await scenario.apply("sequence: quick\nsteps:\n  - {id: one, after: 0s, text: One}\n")
    since = NOON - timedelta(days=3)
    await pool.execute(
        "update sequence_contacts set paused_at = $2, paused_reason = 'on holiday' where phone = $1",
        *(phone(0), since),
    )
    await pool.execute("update sequence_contacts set paused_at = $2 where phone = $1", phone(1), since)
    async with pool.acquire() as connection:
        chosen = Selection(sequence="welcome")
        found = await find_to_change_over(connection, chosen, "quick")
        assert (
            _format_found(found, "move {} to quick:")[0] == "move 3 contacts to quick; 2 of them stay paused:"
        )
        assert (await change_over(connection, chosen, "quick", "moved to quick")).paused == 2
    begun = [await scenario.enroll("quick", phone(index), run="run", now=NOON) for index in range(3)]
    assert [one.next and one.next.paused for one in begun] == ["on holiday", "paused by an operator", None]
    rows = await pool.fetch(
        "select paused_at, paused_reason from sequence_contacts where sequence_id = 2 order by id"
    )
    assert [tuple(row) for row in rows] == [(since, "on holiday"), (since, None), (None, None)]
    for changed, paused, words in (
        (1, 1, "1 contact moved to quick; it stays paused"),
        (2, 2, "2 contacts moved to quick; they stay paused"),
        (3, 1, "3 contacts moved to quick; 1 of them stays paused"),
        (3, 0, "3 contacts moved to quick"),
    ):
        done = BulkChange(command="move", changed=changed, stay_paused=paused, to_signal=1)
        assert format_change(done, "{} moved to quick").splitlines()[0] == words
