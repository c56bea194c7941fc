"""Feeding campaigns from a real database: pages, windows, and what is begun of a paused or cancelled one."""

import asyncio
from datetime import timedelta

import pytest

from messaging.campaigns import feed as campaign_feed
from messaging.campaigns.feed import HORIZON, MAX_WINDOW, MIN_WINDOW, PAGE, close_page
from messaging.campaigns.lifecycle import retry_failed
from messaging.sending.outcomes import MessageRef
from rig.people import phone
from tests.support.frozen import NOW, Shard, devices, phones, running, settle, statuses, steer
from tests.support.scenario import Scenario

OTHER = "other-device"


# Pages and windows.


async def test_an_answer_that_was_lost_costs_nothing(scenario: Scenario) -> None:
    await scenario.add_device()
    await scenario.add_leads(120)
    fed = Shard(scenario.pool, await running(scenario))
    first = await fed.look()
    assert await fed.look() == first
    assert phones(first.messages) == [phone(index) for index in range(PAGE)]
    assert (first.messages[3].name, first.messages[3].campaign) == ("Lead 3", "sale")
    assert first.status == "running"
    rest = await fed.everything()
    assert phones(rest) == [phone(index) for index in range(120)], "each once, in order"


async def test_a_page_is_shared_between_the_devices(scenario: Scenario) -> None:
    await scenario.add_device()
    await scenario.add_device(device=OTHER)
    await scenario.add_leads(100)
    await scenario.add_leads(100, device=OTHER, first=100)
    fed = Shard(scenario.pool, await running(scenario))
    page = await fed.page()
    assert devices(page.messages) == {scenario.device: PAGE // 2, OTHER: PAGE // 2}
    everybody = [*page.messages, *await fed.everything()]
    assert sorted(phones(everybody)) == sorted(phone(index) for index in range(200))


@pytest.mark.parametrize(
    ("delays", "more", "shards", "window"),
    [
        ((0, 0), (), 1, MAX_WINDOW),
        ((0, 0), (), 4, MAX_WINDOW // 4),
        ((5, 15), (), 1, HORIZON / 10),
        ((5, 15), (), 4, HORIZON / 10 / 4),
        ((0.1, 0.1), (), 1, MAX_WINDOW),
        ((0, 0), ("min_delay: 5", "max_delay: 15"), 1, HORIZON / 10),
        ((5, 15), ("min_delay: 10", "max_delay: 20"), 1, HORIZON / 15),
        ((5, 15), ("min_delay: 0", "max_delay: 1"), 1, HORIZON / 10),
        ((600, 900), (), 1, MIN_WINDOW),
        ((600, 900), (), 8, 1),
    ],
)
async def test_a_window_is_never_exceeded_and_holds_up_nobody_else(
    scenario: Scenario, delays: tuple[float, float], more: tuple[str, ...], shards: int, window: float
) -> None:
    await scenario.add_device(min_delay=delays[0], max_delay=delays[1])
    await scenario.add_device(min_delay=delays[0], max_delay=delays[1], device=OTHER)
    await scenario.add_leads(250 * shards)
    await scenario.add_leads(250 * shards, device=OTHER, first=250 * shards)
    campaign = await running(scenario, *more, shard_size=500)
    assert await scenario.pool.fetchval("select shards from campaigns") == shards
    fed = Shard(scenario.pool, campaign, shards=shards)
    begun = await fed.everything()
    assert devices(begun) == {scenario.device: window, OTHER: window}
    for turn in range(2, 4):
        await settle(scenario.pool, [lead for lead in begun if lead.device_id == OTHER])
        begun += await fed.everything()
        assert devices(begun) == {
            scenario.device: window,
            OTHER: min(turn * window, 250),
        }, "one is offline, the other goes on"


@pytest.mark.parametrize("unsettled", ["pending", "queued", "processing"])
async def test_settled_messages_give_room(scenario: Scenario, unsettled: str) -> None:
    await scenario.add_device(min_delay=10, max_delay=10)
    await scenario.add_leads(40)
    fed = Shard(scenario.pool, await running(scenario))
    begun = await fed.everything()
    assert len(begun) == 12
    await settle(scenario.pool, begun, unsettled)
    assert (await fed.page()).messages == ()
    await settle(scenario.pool, begun[:2])
    before = fed.positions
    assert (await fed.page()).messages == (), "it waits until a quarter of the window is free"
    assert fed.positions == before
    await settle(scenario.pool, begun[2:3], "failed")
    assert phones((await fed.page()).messages) == [phone(index) for index in (12, 13, 14)]
    assert (await fed.page()).messages == ()


async def test_the_last_few_do_not_wait_for_more(scenario: Scenario) -> None:
    await scenario.add_device(min_delay=10, max_delay=10)
    await scenario.add_leads(13)
    fed = Shard(scenario.pool, await running(scenario))
    begun = await fed.everything()
    await settle(scenario.pool, begun[:2])
    assert phones((await fed.page()).messages) == [phone(12)]


async def test_from_the_start_again_it_finds_what_is_unsettled(scenario: Scenario) -> None:
    await scenario.add_device()
    await scenario.add_leads(6)
    fed = Shard(scenario.pool, await running(scenario))
    begun = await fed.everything()
    await settle(scenario.pool, begun)
    await settle(scenario.pool, [begun[1], begun[4]], "failed")
    async with scenario.pool.acquire() as connection:
        assert await retry_failed(connection, "sale") == 2
    page = await fed.page()
    assert (page.messages, page.exhausted, page.settled) == ((), True, False), "they are behind its positions"
    fed.positions = {}
    again = await fed.page()
    assert again.messages == (begun[1], begun[4])
    assert (again.exhausted, again.settled) == (False, False)


async def test_a_page_says_how_its_messages_are_started_as_the_campaign_has_it_then(
    scenario: Scenario,
) -> None:
    await scenario.add_device()
    await scenario.add_leads(1)
    shard = Shard(scenario.pool, await running(scenario, "fan_out: eager"))
    assert (await shard.look()).fan_out == "eager"
    await scenario.pool.execute("update campaigns set fan_out = 'children'")
    assert (await shard.look()).fan_out == "children"


async def test_each_shard_feeds_its_own(scenario: Scenario) -> None:
    await scenario.add_device()
    await scenario.add_leads(25)
    campaign = await running(scenario, shard_size=10)
    shards = [Shard(scenario.pool, campaign, shard=shard, shards=3) for shard in range(3)]
    begun = [await fed.everything() for fed in shards]
    assert [len(leads) for leads in begun] == [9, 8, 8]
    assert sorted(phones([lead for leads in begun for lead in leads])) == [phone(i) for i in range(25)]
    await settle(scenario.pool, begun[1])
    assert [(await fed.look()).settled for fed in shards] == [False, True, False]


async def test_nothing_is_begun_before_it_is_due(scenario: Scenario) -> None:
    await scenario.add_device()
    await scenario.add_leads(3)
    for index, zone in enumerate(["America/New_York", "Asia/Tokyo", "Europe/Berlin"]):
        await scenario.pool.execute("update leads set time_zone = $2 where phone = $1", phone(index), zone)
    campaign = await running(
        scenario, "scheduled_at: 2026-11-27 12:00", "timezone: recipient", start_now=False
    )
    fed = Shard(scenario.pool, campaign)
    tokyo, berlin, new_york = (NOW.replace(hour=hour) for hour in (3, 11, 17))
    for now, expected, following in [
        (tokyo - timedelta(seconds=1), [], tokyo),
        (tokyo, [phone(1)], berlin),
        (tokyo, [], berlin),
        (berlin - timedelta(seconds=1), [], berlin),
        (new_york, [phone(2), phone(0)], None),
    ]:
        page = await fed.page(now=now)
        assert (phones(page.messages), page.next_due_at) == (expected, following)
        assert page.exhausted is page.settled is False
    assert (await fed.page(now=new_york)).exhausted


async def test_room_is_looked_for_before_another_devices_later_time(scenario: Scenario) -> None:
    """A full window empties within minutes; the other device's next message is due in hours."""
    await scenario.add_device(min_delay=10, max_delay=10)
    await scenario.add_leads(30)
    await scenario.add_device(device="later")
    await scenario.add_leads(1, device="later", first=100)
    campaign = await running(scenario)
    await scenario.pool.execute(
        "update broadcast_messages set due_at = $1 where device_id = 'later'", NOW + timedelta(hours=6)
    )
    fed = Shard(scenario.pool, campaign)
    await fed.everything()
    page = await fed.page()
    assert (page.messages, page.exhausted, page.next_due_at) == ((), False, None)


async def test_exhausted_and_settled(scenario: Scenario) -> None:
    await scenario.add_device()
    await scenario.add_leads(60)
    fed = Shard(scenario.pool, await running(scenario))
    begun: list[MessageRef] = []
    for _ in range(2):
        page = await fed.page()
        begun += page.messages
        assert (page.exhausted, page.settled) == (False, False)
    page = await fed.page()
    assert (page.messages, page.exhausted, page.settled) == ((), True, False)
    await settle(scenario.pool, begun[1:])
    await settle(scenario.pool, begun[:1], "processing")
    assert not (await fed.page()).settled
    await settle(scenario.pool, begun[:1], "unconfirmed")
    assert (await fed.page()).settled


# Paused and cancelled.


async def test_a_paused_campaign_begins_nothing(scenario: Scenario) -> None:
    await scenario.add_device()
    await scenario.add_leads(5)
    fed = Shard(scenario.pool, await running(scenario))
    expected = await fed.look()
    await steer(scenario.pool, "pause")
    page = await fed.page()
    assert (page.status, page.messages, page.positions) == ("paused", (), {})
    assert (page.exhausted, page.settled) == (False, False)
    await steer(scenario.pool, "resume")
    assert await fed.page() == expected


async def test_of_a_cancelled_campaign_only_what_is_being_sent_goes_on(scenario: Scenario) -> None:
    await scenario.add_device()
    await scenario.add_leads(6)
    campaign = await running(scenario)
    begun = await Shard(scenario.pool, campaign).everything()
    for lead, status in zip(begun, ["queued", "processing", "sent", "processing", "failed"], strict=False):
        await settle(scenario.pool, [lead], status)
    await steer(scenario.pool, "cancel")
    page = await Shard(scenario.pool, campaign).page()
    assert (page.status, page.messages) == ("cancelled", (begun[1], begun[3]))


async def test_closing_takes_what_waits_and_nothing_else(scenario: Scenario) -> None:
    await scenario.add_device()
    await scenario.add_leads(7)
    campaign = await running(scenario)
    await running(scenario, name="another")
    begun = await Shard(scenario.pool, campaign).everything()
    others = ["processing", "sent", "failed", "unconfirmed", "suppressed"]
    for lead, status in zip(begun, ["queued", *others], strict=False):
        await settle(scenario.pool, [lead], status)

    async def now() -> list[str]:
        rows = await scenario.pool.fetch(
            "select status from broadcast_messages where campaign_id = $1 order by campaign_position",
            campaign,
        )
        return [row["status"] for row in rows]

    for action in ["", "pause"]:
        await steer(scenario.pool, action)
        assert await close_page(scenario.pool, campaign) == 0
        assert await now() == ["queued", *others, "pending"]
    await steer(scenario.pool, "cancel")
    assert await close_page(scenario.pool, campaign) == 2
    assert await close_page(scenario.pool, campaign) == 0
    assert await now() == ["cancelled", *others, "cancelled"]
    assert (
        await scenario.pool.fetchval("select count(*) from broadcast_messages where status = 'pending'") == 7
    )


async def test_closing_goes_by_pages_and_waits_for_nobody(
    scenario: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(campaign_feed, "CLOSED_TOGETHER", 2)
    await scenario.add_device()
    await scenario.add_leads(6)
    campaign = await running(scenario)
    await steer(scenario.pool, "cancel")
    async with scenario.pool.acquire() as connection, connection.transaction():
        await connection.execute(
            "select from broadcast_messages where recipient_phone = $1 for update", phone(2)
        )
        async with asyncio.timeout(10):
            assert [await close_page(scenario.pool, campaign) for _ in range(4)] == [2, 2, 1, 0]
    assert {number for number, status in (await statuses(scenario.pool)).items() if status == "pending"} == {
        phone(2)
    }
    assert await close_page(scenario.pool, campaign) == 1
