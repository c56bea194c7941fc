"""Which devices are about to get into trouble: each sign where it is one, and silence where it is none."""

from datetime import timedelta
from typing import Any

import pytest

from cli.device import _format_list
from messaging.campaigns.audience import freeze_audience
from messaging.campaigns.lifecycle import begin_campaign
from messaging.common.database import Pool
from messaging.reporting import troubles
from messaging.reporting.status import status_report
from messaging.reporting.troubles import find_troubles, list_with_troubles
from rig.people import phone
from tests.support.scenario import Scenario

MESSAGES = """
insert into broadcast_messages (id, sequence_stepid, sequence_contact_id, lead_id, recipient_phone, device_id, due_at, status,
                                sent_at, delivered_at, updated_at)
select gen_random_uuid(), t.id, c.id, c.lead_id, '+1999' || (1000000 + $1::integer * 10000 + n), $2, now() - $3::interval, $4,
       case when $4 = 'sent' then now() - $3 end, case when $5 then now() - $3 end, now() - $3
  from sequence_steps t, sequence_contacts c, generate_series(1, $6) n
"""


async def signs(pool: Pool) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for one in await find_troubles(pool):
        found.setdefault(one.device, set()).add(one.sign)
    return found


async def test_each_sign_of_trouble_and_none_without(scenario: Scenario) -> None:
    pool, numbers = scenario.pool, iter(range(100))
    names = ("fine", "faulty", "alike", "limited", "blocked", "failing", "silent", "left", "paused")
    for name in names:
        await scenario.add_device(device=name, daily_limit=100 if name == "limited" else None)
    await scenario.add_device()
    await scenario.apply("sequence: intro\nsteps:\n  - {id: a, day: 1, text: Hi}\n")
    await scenario.enroll("intro", phone(0))

    async def ledger(
        device: str, count: int, status: str = "sent", *, delivered: bool = True, ago: Any = None
    ) -> None:
        ago = timedelta(hours=3) if ago is None else ago
        arrived = delivered and status == "sent"
        await pool.execute(MESSAGES, next(numbers), device, ago, status, arrived, count)

    before = timedelta(days=3)
    for name in names:  # each with a good week behind it
        await ledger(name, 40, ago=before)
        await ledger(name, 25)
    assert await signs(pool) == {}
    assert (await status_report(pool)).attention == ()

    await pool.execute(
        "update devices set faults = 2, waits_reason = 'logged out' where id in ('faulty', 'paused')"
    )
    await pool.execute("update devices set status = 'paused' where id = 'paused'")
    await pool.execute("update devices set late_refusals = 3 where id = 'alike'")
    await pool.execute(
        "update devices set limit_day = now() at time zone time_zone, limit_used = 90 where id = 'limited'"
    )
    await ledger("blocked", 25, delivered=False)
    await ledger("blocked", 25, delivered=False, ago=timedelta(minutes=10))  # too young to tell
    await ledger("failing", 3, "failed")
    await ledger("silent", 2, "unconfirmed")
    for index in range(3):
        await pool.execute(
            "with i as (insert into inbound_messages (device_id, gateway_message_id, kind, phone, meaning, sent_at)"
            " values ('left', $1, 'text', $2, 'stop', now()) returning id)"
            " insert into suppressions (phone, source, inbound_message_id) select $2, 'reply', id from i",
            *(f"stop {index}", phone(50 + index)),
        )
    assert await signs(pool) == {
        "faulty": {"faults"},
        "alike": {"refusals"},
        "limited": {"daily limit"},
        "blocked": {"delivery"},
        "failing": {"failures"},
        "silent": {"unconfirmed"},
        "left": {"opt-outs"},
    }
    words = {one.device: one.words for one in await find_troubles(pool)}
    assert words["faulty"] == (
        "device faulty has had 2 failures of its own in a row (logged out): with 3 it is parked; is it logged in?"
        " 'device resume faulty' goes on at once"
    )
    assert "50% of what it sent in the last 24 hours arrived, 100% in the week before" in words["blocked"]
    assert set(words.values()) <= set((await status_report(pool)).attention)
    listed = {one.id: [trouble.sign for trouble in one.troubles] for one in await list_with_troubles(pool)}
    await pool.execute("update devices set waits_until = now() + interval '1 minute' where id = 'faulty'")
    (of_faulty,) = (line for line in (await status_report(pool)).attention if "device faulty " in line)
    assert of_faulty.startswith("device faulty waits until ")
    assert ", as it has had 2 failures of its own in a row (logged out): with 3 it is parked" in of_faulty
    page = _format_list(await list_with_troubles(pool)).splitlines()
    assert "waits" in next(line for line in page if line.startswith("faulty "))
    assert "paused" in next(line for line in page if line.startswith("paused "))
    assert sum(line.startswith("! device faulty ") for line in page) == 1
    assert (listed["failing"], listed["fine"]) == (["failures"], [])


async def test_of_a_device_that_sends_much_the_last_messages_stand_for_all(
    scenario: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(troubles, "LAST", 30)
    pool, numbers = scenario.pool, iter(range(100))
    await scenario.add_device()
    await scenario.apply("sequence: intro\nsteps:\n  - {id: a, day: 1, text: Hi}\n")
    await scenario.enroll("intro", phone(0))

    async def ledger(count: int, hours: float, status: str = "sent", *, delivered: bool = True) -> None:
        ago = timedelta(hours=hours)
        await pool.execute(MESSAGES, next(numbers), scenario.device, ago, status, delivered, count)

    await ledger(40, 72)
    await ledger(40, 20)  # more than are looked at
    await ledger(30, 2, delivered=False)
    await ledger(4, 10, "failed", delivered=False)  # before those, so it counts for nothing
    (one,) = await find_troubles(pool)
    assert (
        one.sign,
        "0% of the last 30 that it sent an hour ago and more arrived, 100% in" in one.words,
    ) == ("delivery", True)
    await ledger(2, 2, "failed", delivered=False)
    assert [two.sign for two in await find_troubles(pool)] == ["delivery", "failures"]
    (_, failures) = await find_troubles(pool)
    assert "6% of its messages of the last 30, 0% in the week before" in failures.words


async def test_more_is_due_than_the_device_can_send(scenario: Scenario) -> None:
    await scenario.add_device(min_delay=60, max_delay=60, daily_limit=1000)
    await scenario.add_leads(30)
    await scenario.apply("sequence: intro\nsteps:\n  - {id: a, day: 1, text: Hi}\n")
    for index in range(30):
        await scenario.enroll("intro", phone(index), run=f"run-{index}")
    assert await signs(scenario.pool) == {}, "half an hour's work"
    await scenario.pool.execute("update devices set daily_limit = 5")
    assert await signs(scenario.pool) == {scenario.device: {"backlog"}}
    (one,) = await find_troubles(scenario.pool)
    assert "cannot keep up: 30 messages are due within 24 hours" in one.words
    await scenario.pool.execute("update sequences set status = 'paused'")
    assert await signs(scenario.pool) == {}, "nothing of it is due"


async def test_what_a_pause_of_its_campaign_holds_is_not_due(scenario: Scenario) -> None:
    await scenario.add_device(min_delay=60, max_delay=60, daily_limit=5)
    await scenario.add_leads(30)
    await scenario.apply_campaign("campaign: sale\ntarget: {status: all}\ntext: Hi\n")
    async with scenario.pool.acquire() as connection:
        _, state = await begin_campaign(connection, "sale", start_now=True)
        await freeze_audience(connection, state.campaign_id, now=None)
    assert await signs(scenario.pool) == {scenario.device: {"backlog"}}
    await scenario.pool.execute("update campaigns set status = 'paused'")
    assert await signs(scenario.pool) == {}
