"""Whom a campaign goes to and why not the others, before the start and after it."""

from datetime import UTC, datetime, timedelta

import pytest

from messaging.campaigns.audience import freeze_audience
from messaging.campaigns.lifecycle import begin_campaign
from messaging.common.errors import InvalidInput, NotFound
from messaging.reporting.audience import AudienceReport, all_of_audience, audience_report
from rig.people import phone
from tests.support.scenario import Scenario

SALE = "campaign: sale\ntarget: {niche: VITAC, status: prospect}\ntext: Hello\n"


async def report(scenario: Scenario, only: str | None = None, **page: int) -> AudienceReport:
    async with scenario.pool.acquire() as connection:
        return await audience_report(connection, "sale", only=only, **page)


def counts(found: AudienceReport) -> dict[tuple[bool, str | None], int]:
    return {(group.gets, group.why): group.leads for group in found.groups}


async def freeze(scenario: Scenario) -> int:
    """Starts the campaign and freezes its audience; answers how many leads get it."""
    async with scenario.pool.acquire() as connection:
        _, state = await begin_campaign(connection, "sale", start_now=True)
        return (await freeze_audience(connection, state.campaign_id, now=None)).leads


async def make_leads(scenario: Scenario) -> None:
    """Of each way of not getting it one, and three that get it."""
    await scenario.add_device()
    await scenario.add_device(device="other")
    await scenario.add_leads(6)
    pool = scenario.pool
    await pool.execute("insert into suppressions (phone) values ($1)", phone(3))
    await pool.execute("update leads set device_id = null where phone = $1", phone(4))
    await pool.execute("update leads set niches = '{SKIN}' where phone = $1", phone(5))
    await scenario.add_leads(1, first=6)
    await pool.execute("update leads set target_status = 'customer' where phone = $1", phone(6))
    await scenario.add_leads(1, first=7, niche="OLD")


async def test_it_counts_who_gets_it_and_who_does_not_by_the_condition(scenario: Scenario) -> None:
    await make_leads(scenario)
    await scenario.apply_campaign(SALE)
    found = await report(scenario)
    assert (found.leads, found.gets, found.frozen_at) == (8, 3, None)
    assert counts(found) == {
        (True, None): 3,
        (False, "niche"): 2,
        (False, "opted_out"): 1,
        (False, "status"): 1,
        (False, "without_device"): 1,
    }
    words = {group.why: group.words for group in found.groups}
    assert words["niche"] == "do not have the niche VITAC"
    assert words["status"] == "are not of the status prospect"
    # Listed are those of the target, with the reason.
    assert {lead.phone: lead.why for lead in found.listed} == {
        **{phone(index): None for index in range(3)},
        phone(3): "opted_out",
        phone(4): "without_device",
    }
    assert found.total == 5
    assert found.gets == await freeze(scenario), "what was shown is what the start finds"


async def test_parts_and_pages_of_the_list(scenario: Scenario) -> None:
    await make_leads(scenario)
    await scenario.apply_campaign(SALE)
    by_niche = await report(scenario, "niche")
    assert [lead.phone for lead in by_niche.listed] == [phone(5), phone(7)]
    left_out = await report(scenario, "left-out")
    assert {lead.phone for lead in left_out.listed} == {phone(3), phone(4)}
    second = await report(scenario, "gets", page=2, limit=2)
    assert ([lead.phone for lead in second.listed], second.first, second.total) == ([phone(2)], 3, 3)
    async with scenario.pool.acquire() as connection:
        everybody = [lead.phone async for lead in all_of_audience(connection, "sale", only="all")]
    assert sorted(everybody) == sorted(phone(index) for index in range(8))
    with pytest.raises(InvalidInput, match="did you mean 'opted-out'"):
        await report(scenario, "opted-aut")
    async with scenario.pool.acquire() as connection:
        with pytest.raises(NotFound, match="did you mean 'sale'"):
            await audience_report(connection, "sail")


async def test_recipients_whose_time_has_passed_or_comes_too_late(scenario: Scenario) -> None:
    await scenario.add_device()
    await scenario.add_leads(2)
    now = datetime.now(UTC)
    wall = (now + timedelta(hours=14)).replace(tzinfo=None)
    await scenario.pool.execute(
        "update leads set time_zone = 'Pacific/Kiritimati' where phone = $1", phone(0)
    )
    await scenario.apply_campaign(
        f"{SALE}scheduled_at: {wall - timedelta(hours=1):%Y-%m-%d %H:%M}\ntimezone: recipient\nif_passed: leave_out\n"
    )
    assert counts(await report(scenario)) == {(True, None): 1, (False, "passed"): 1}
    assert (await report(scenario, "passed")).listed[0].phone == phone(0)


async def test_after_the_start_the_frozen_one_and_who_changed_since(scenario: Scenario) -> None:
    await make_leads(scenario)
    await scenario.apply_campaign(SALE)
    assert await freeze(scenario) == 3
    await scenario.pool.execute("update leads set niches = '{SKIN}' where phone = $1", phone(0))
    await scenario.pool.execute("insert into suppressions (phone) values ($1)", phone(1))
    await scenario.pool.execute("update leads set niches = '{VITAC}' where phone = $1", phone(5))
    found = await report(scenario)
    assert found.frozen_at is not None
    assert found.gets == 3, "the frozen audience stays"
    assert counts(found) == {
        (True, None): 1,
        (True, "niche"): 1,
        (True, "opted_out"): 1,
        (False, "since"): 1,
        (False, "niche"): 1,
        (False, "opted_out"): 1,
        (False, "status"): 1,
        (False, "without_device"): 1,
    }
    changed = await report(scenario, "changed")
    assert {lead.phone: (lead.gets, lead.why) for lead in changed.listed} == {
        phone(0): (True, "niche"),
        phone(1): (True, "opted_out"),
        phone(5): (False, "since"),
    }
    assert {lead.status for lead in changed.listed} == {"pending", None}
