"""Whom a campaign goes to, frozen at its start in a real database."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import pytest

from messaging.campaigns.audience import SHARD_SIZE, freeze_audience
from messaging.campaigns.contract import Frozen
from messaging.campaigns.lifecycle import begin_campaign, cancel_campaign, forecast_campaign, pause_campaign
from messaging.common.database import Connection, Pool, Record
from messaging.common.errors import Conflict, InvalidInput
from messaging.reporting.status import status_report
from messaging.sending.message_ids import campaign_message_id
from messaging.times.local_time import load_zone
from rig.people import phone
from tests.support.scenario import Scenario

NOW = datetime(2026, 3, 7, 18, 0, tzinfo=UTC)
EVERYBODY = "target: {status: all}"
OTHER = "other-device"


async def add_lead(
    pool: Pool,
    index: int,
    device: str | None,
    *,
    niches: tuple[str, ...] = ("VITAC",),
    status: str = "prospect",
    zone: str | None = None,
    opted_out: bool = False,
) -> None:
    await pool.execute(
        "insert into leads (phone, niches, device_id, target_status, time_zone) values ($1, $2, $3, $4, $5)",
        *(phone(index), niches, device, status, zone),
    )
    if opted_out:
        await pool.execute("insert into suppressions (phone) values ($1)", phone(index))


async def begun(scenario: Scenario, *fields: str, start_now: bool = True) -> int:
    """The ID of a campaign that is to start, and has not."""
    await scenario.apply_campaign(
        "".join(f"{field}\n" for field in ("campaign: sale", *fields, "text: Hello"))
    )
    async with scenario.pool.acquire() as connection:
        _, plan = await begin_campaign(connection, "sale", start_now=start_now, now=NOW - timedelta(days=1))
    return plan.campaign_id


async def freeze(pool: Pool, campaign: int, *, now: datetime = NOW, shard_size: int = SHARD_SIZE) -> Frozen:
    async with pool.acquire() as connection:
        return await freeze_audience(connection, campaign, now=now, shard_size=shard_size)


async def rows(pool: Pool) -> list[Record]:
    """The ledger in the order of feeding."""
    return await pool.fetch("select * from broadcast_messages order by campaign_position")


async def stored(pool: Pool) -> list[tuple[object, ...]]:
    """Everything of the campaign, with the transactions that wrote it last."""
    campaigns = await pool.fetch("select *, xmin::text from campaigns")
    messages = await pool.fetch("select *, xmin::text from broadcast_messages order by id")
    return [tuple(row.values()) for row in [*campaigns, *messages]]


async def chosen(scenario: Scenario, *fields: str) -> list[str]:
    """The phones that such a campaign goes to."""
    frozen = await freeze(scenario.pool, await begun(scenario, *fields))
    found = [row["recipient_phone"] for row in await rows(scenario.pool)]
    assert frozen == Frozen(frozen=True, leads=len(found), opted_out=0, without_device=0)
    return found


@pytest.mark.parametrize("niche", ["VITAC", "vitac", "ViTac"])
async def test_a_niche_is_a_whole_word_in_any_case(scenario: Scenario, niche: str) -> None:
    await scenario.add_device()
    for index, niches in enumerate([("VITAC",), ("VITAC2",), ("AVITAC",), ("COLD", "VITAC"), (), ("VITA",)]):
        await add_lead(scenario.pool, index, scenario.device, niches=niches)
    assert await chosen(scenario, f"target: {{niche: {niche}}}") == [phone(0), phone(3)]


@pytest.mark.parametrize(
    ("status", "expected"), [("prospect", [0, 2]), ("customer", [1]), ("all", [0, 1, 2])]
)
async def test_target_status(scenario: Scenario, status: str, expected: list[int]) -> None:
    await scenario.add_device()
    for index, own in enumerate(["prospect", "customer", "prospect"]):
        await add_lead(scenario.pool, index, scenario.device, status=own)
    assert await chosen(scenario, f"target: {{status: {status}}}") == [phone(i) for i in expected]


async def test_only_leads_of_the_devices_that_are_named(scenario: Scenario) -> None:
    for device in (scenario.device, OTHER, "third-device"):
        await scenario.add_device(device=device)
    for index, device in enumerate([scenario.device, OTHER, "third-device", OTHER]):
        await add_lead(scenario.pool, index, device)
    target = f"target: {{niche: vitac, devices: [{OTHER}, {scenario.device}]}}"
    assert await chosen(scenario, target) == [phone(0), phone(1), phone(3)]


async def test_each_goes_by_the_device_of_its_lead_under_the_ids_that_workflows_know(
    scenario: Scenario,
) -> None:
    await scenario.add_device()
    await scenario.add_device(device=OTHER)
    for index, device in enumerate([scenario.device, OTHER, scenario.device]):
        await add_lead(scenario.pool, index, device)
    campaign = await begun(scenario, EVERYBODY)
    await freeze(scenario.pool, campaign)
    found = await rows(scenario.pool)
    assert [row["device_id"] for row in found] == [scenario.device, OTHER, scenario.device]
    for row in found:
        assert row["id"] == campaign_message_id(campaign, row["recipient_phone"])
        assert (row["status"], row["due_at"], row["attempts"]) == ("pending", NOW, 0)
    assert [row["lead_id"] for row in found] == [
        row["id"] for row in await scenario.pool.fetch("select id from leads order by phone")
    ]
    (stored_as,) = await scenario.pool.fetch("select * from campaigns")
    assert (stored_as["audience"], stored_as["status"]) == ({scenario.device: 2, OTHER: 1}, "running")
    assert (stored_as["frozen_at"], stored_as["shards"]) == (NOW, 1)


async def test_who_opted_out_is_left_out_and_counted(scenario: Scenario) -> None:
    await scenario.add_device()
    await scenario.add_device(device=OTHER)
    await add_lead(scenario.pool, 0, scenario.device)
    await add_lead(scenario.pool, 1, scenario.device, opted_out=True)
    await add_lead(scenario.pool, 2, None, opted_out=True)
    await add_lead(scenario.pool, 3, scenario.device, niches=("COLD",), opted_out=True)  # not of the target
    frozen = await freeze(scenario.pool, await begun(scenario, "target: {niche: vitac}"))
    assert frozen == Frozen(frozen=True, leads=1, opted_out=2, without_device=0)
    assert [row["recipient_phone"] for row in await rows(scenario.pool)] == [phone(0)]


@pytest.mark.parametrize("devices", [1, 2])
async def test_a_lead_without_a_device_goes_by_the_only_one_there_is(
    scenario: Scenario, devices: int
) -> None:
    await scenario.add_device()
    await add_lead(scenario.pool, 0, None)
    campaign = await begun(scenario, EVERYBODY)
    if devices == 2:
        await scenario.add_device(device=OTHER)
    frozen = await freeze(scenario.pool, campaign)
    found = [(row["recipient_phone"], row["device_id"]) for row in await rows(scenario.pool)]
    if devices == 1:
        assert frozen == Frozen(frozen=True, leads=1, opted_out=0, without_device=0)
        assert found == [(phone(0), scenario.device)]
    else:
        assert not frozen.frozen
        reason = await scenario.pool.fetchval("select reason from campaigns")
        assert (found, reason) == ([], "no lead was left to write to: 1 have no device")


async def test_freezing_again_changes_nothing(scenario: Scenario) -> None:
    await scenario.add_device()
    await scenario.add_leads(20)
    await add_lead(scenario.pool, 20, scenario.device, opted_out=True)
    campaign = await begun(scenario, EVERYBODY)
    first = await freeze(scenario.pool, campaign)
    before = await stored(scenario.pool)
    assert await freeze(scenario.pool, campaign, now=NOW + timedelta(hours=1), shard_size=5) == first
    assert await stored(scenario.pool) == before


async def test_freezing_from_several_connections_at_once(scenario: Scenario) -> None:
    await scenario.add_device()
    await scenario.add_leads(200)
    campaign = await begun(scenario, EVERYBODY)
    answers = await asyncio.gather(*(freeze(scenario.pool, campaign) for _ in range(4)))
    assert set(answers) == {Frozen(frozen=True, leads=200, opted_out=0, without_device=0)}
    assert await scenario.pool.fetchval("select count(distinct xmin::text) from broadcast_messages") == 1
    assert len(await rows(scenario.pool)) == 200


async def test_edits_of_leads_come_too_late(scenario: Scenario) -> None:
    await scenario.add_device()
    await scenario.add_device(device=OTHER)
    for index in range(4):
        await add_lead(scenario.pool, index, scenario.device)
    campaign = await begun(scenario, "target: {niche: vitac, status: prospect}")
    frozen = await freeze(scenario.pool, campaign)
    before = await stored(scenario.pool)
    for edit in (
        "niches = '{}'",
        f"device_id = '{OTHER}'",
        "target_status = 'customer'",
        "time_zone = 'Asia/Tokyo'",
    ):
        await scenario.pool.execute(f"update leads set {edit}")
    await add_lead(scenario.pool, 4, scenario.device)
    await scenario.pool.execute("insert into suppressions (phone) values ($1)", phone(0))
    assert await freeze(scenario.pool, campaign) == frozen
    assert await stored(scenario.pool) == before


async def test_one_that_nobody_would_get_is_a_draft_again(scenario: Scenario) -> None:
    await scenario.add_device()
    await add_lead(scenario.pool, 0, scenario.device)
    campaign = await begun(scenario, EVERYBODY)
    await scenario.pool.execute("delete from leads")
    assert await freeze(scenario.pool, campaign) == Frozen(
        frozen=False, leads=0, opted_out=0, without_device=0
    )
    row = await scenario.pool.fetchrow("select * from campaigns")
    assert row is not None
    assert (row["status"], row["reason"]) == ("draft", "no lead matched the target")
    assert (row["started_at"], row["asked_at"], row["start_now"]) == (None, None, False)
    shown = (await status_report(scenario.pool)).attention
    assert (
        "campaign sale did not start, and is a draft again: no lead matched the target; 'campaign start sale' starts it"
        in shown
    )
    with pytest.raises(Conflict, match="there is no lead yet"):
        await begun(scenario, EVERYBODY)
    await add_lead(scenario.pool, 1, scenario.device)
    assert await begun(scenario, EVERYBODY) == campaign
    assert (await freeze(scenario.pool, campaign)).leads == 1
    assert await scenario.pool.fetchval("select reason from campaigns") is None


async def test_a_start_says_why_nobody_would_get_it(scenario: Scenario) -> None:
    await scenario.add_device()
    await scenario.add_device(device=OTHER)
    await add_lead(scenario.pool, 0, None, niches=("SHOE",))
    typo = "target: {niche: SHOES}"
    with pytest.raises(
        Conflict, match="the one lead does not match its target \\(niche SHOES\\); did you mean 'SHOE'"
    ):
        await begun(scenario, typo)
    why = "1 lead matches its target, of them 1 have no device"
    with pytest.raises(Conflict, match=f"no lead would get campaign 'sale': {why}"):
        await begun(scenario, "target: {niche: SHOE}")
    # Later there may be some: it is said, and the target can be mended until then.
    await begun(scenario, typo, "scheduled_at: 2026-03-07 18:30", "timezone: UTC", start_now=False)
    async with scenario.pool.acquire() as connection:
        found = await forecast_campaign(connection, "sale", now=NOW)
    assert found is not None
    assert (found.leads, found.lines[0].split(":")[1]) == (0, " 0 leads would get it now")
    assert "did you mean 'SHOE'?" in found.lines[0]


@pytest.mark.parametrize(
    ("leads", "shard_size", "shards"),
    [(12_000, SHARD_SIZE, 2), (1_200, 500, 3), (120, 120, 1), (121, 120, 2), (200, 1, 64)],
)
async def test_a_large_audience_is_shared_out(
    scenario: Scenario, leads: int, shard_size: int, shards: int
) -> None:
    await scenario.add_device()
    await scenario.pool.execute(
        "insert into leads (phone, device_id) select '+1' || (2015550000 + n), $2 from generate_series(1, $1::int) n",
        leads,
        scenario.device,
    )
    frozen = await freeze(scenario.pool, await begun(scenario, EVERYBODY), shard_size=shard_size)
    assert frozen.leads == leads
    assert await scenario.pool.fetchval("select shards from campaigns") == shards
    found = await rows(scenario.pool)
    assert len({row["recipient_phone"] for row in found}) == leads
    assert [row["campaign_position"] for row in found] == list(range(leads))
    sizes = [0] * shards
    for row in found:
        sizes[row["campaign_shard"]] += 1
    assert max(sizes) - min(sizes) <= 1
    assert max(sizes) <= max(shard_size, -(-leads // 64))


BERLIN, KUALA_LUMPUR, NEW_YORK = "Europe/Berlin", "Asia/Kuala_Lumpur", "America/New_York"
HALF_PAST_TWO = ("scheduled_at: 2026-03-08 02:30", "timezone: recipient")


async def test_each_is_due_when_its_own_clocks_show_the_time(scenario: Scenario) -> None:
    await scenario.add_device(time_zone=BERLIN)
    await scenario.add_device(device=OTHER, time_zone=KUALA_LUMPUR)
    zones = [NEW_YORK, None, KUALA_LUMPUR, "America/Chicago", BERLIN]
    for index, zone in enumerate(zones):
        await add_lead(scenario.pool, index, scenario.device, zone=zone)
    await add_lead(scenario.pool, 5, OTHER)
    await freeze(scenario.pool, await begun(scenario, EVERYBODY, *HALF_PAST_TWO, start_now=False))
    kuala_lumpur = datetime(2026, 3, 7, 18, 30, tzinfo=UTC)
    berlin = datetime(2026, 3, 8, 1, 30, tzinfo=UTC)
    assert [(row["recipient_phone"], row["due_at"]) for row in await rows(scenario.pool)] == [
        (phone(2), kuala_lumpur),
        (phone(5), kuala_lumpur),  # the zone of its device
        (phone(1), berlin),
        (phone(4), berlin),
        # Clocks there skip this hour in that night: an hour later.
        (phone(0), datetime(2026, 3, 8, 7, 30, tzinfo=UTC)),
        (phone(3), datetime(2026, 3, 8, 8, 30, tzinfo=UTC)),
    ]


async def test_a_zone_under_another_name_is_as_good(scenario: Scenario) -> None:
    """Leads take every name that the machine knows, also those that ``available_timezones`` leaves out."""
    name = f"posix/{KUALA_LUMPUR}"
    try:
        load_zone(name)
    except InvalidInput:
        pytest.skip("this machine knows no such names, and no lead has them")
    await scenario.add_device()
    for index, zone in enumerate([NEW_YORK, name]):
        await add_lead(scenario.pool, index, scenario.device, zone=zone)
    await freeze(scenario.pool, await begun(scenario, EVERYBODY, *HALF_PAST_TWO, start_now=False))
    assert [(row["recipient_phone"], row["due_at"]) for row in await rows(scenario.pool)] == [
        (phone(1), datetime(2026, 3, 7, 18, 30, tzinfo=UTC)),
        (phone(0), datetime(2026, 3, 8, 7, 30, tzinfo=UTC)),
    ]


@pytest.mark.parametrize("start_now", [True, False])
async def test_without_recipients_time_all_are_due_together(scenario: Scenario, start_now: bool) -> None:
    await scenario.add_device()
    for index, zone in enumerate([NEW_YORK, KUALA_LUMPUR]):
        await add_lead(scenario.pool, index, scenario.device, zone=zone)
    time = HALF_PAST_TWO if start_now else (HALF_PAST_TWO[0], f"timezone: {KUALA_LUMPUR}")
    await freeze(scenario.pool, await begun(scenario, EVERYBODY, *time, start_now=start_now))
    due = NOW if start_now else datetime(2026, 3, 7, 18, 30, tzinfo=UTC)
    assert [row["due_at"] for row in await rows(scenario.pool)] == [due, due]


@pytest.mark.parametrize("stop", [pause_campaign, cancel_campaign])
async def test_paused_or_cancelled_at_the_last_moment(
    scenario: Scenario, stop: Callable[[Connection, str], Awaitable[object]]
) -> None:
    await scenario.add_device()
    await scenario.add_leads(3)
    campaign = await begun(scenario, EVERYBODY)
    async with scenario.pool.acquire() as connection:
        await stop(connection, "sale")
    before = await stored(scenario.pool)
    assert await freeze(scenario.pool, campaign) == Frozen(
        frozen=False, leads=0, opted_out=0, without_device=0
    )
    assert await stored(scenario.pool) == before
    assert await rows(scenario.pool) == []
