"""Feeding campaigns from a real database: pages, windows, ends, and the claims of their messages."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import count
from uuid import UUID

import pytest

from messaging.campaigns import feed as campaign_feed
from messaging.campaigns.contract import FeedPage, FeedRequest
from messaging.campaigns.feed import (
    HORIZON,
    MAX_WINDOW,
    MIN_WINDOW,
    PAGE,
    close_page,
    feed_page,
    is_settled,
    phones_under_way,
    progress,
)
from messaging.campaigns.lifecycle import (
    cancel_campaign,
    finish_campaign,
    pause_campaign,
    resume_campaign,
    retry_failed,
)
from messaging.common.database import Connection, Pool
from messaging.common.errors import Conflict
from messaging.sending.claim_answers import Claim, StoredAnswer
from messaging.sending.ledger import Ledger
from messaging.sending.message_status import MessageStatus
from messaging.sending.outcomes import Deferred, Held, MessageRef
from rig.people import phone
from tests.support.frozen import CAMPAIGN, NOW, running
from tests.support.scenario import Scenario

OTHER = "other-device"


class Shard:
    """A shard whose parent begins what it is given."""

    def __init__(self, pool: Pool, campaign: int, *, shard: int = 0, shards: int = 1) -> None:
        self.positions: dict[str, int] = {}
        self._pool = pool
        self._campaign = campaign
        self._shard = shard
        self._shards = shards

    async def look(self, *, now: datetime = NOW) -> FeedPage:
        """The page that comes next; it stays the next."""
        request = FeedRequest(
            campaign_id=self._campaign,
            campaign="sale",
            shard=self._shard,
            shards=self._shards,
            positions=self.positions,
        )
        return await feed_page(self._pool, request, now=now)

    async def page(self, *, now: datetime = NOW) -> FeedPage:
        page = await self.look(now=now)
        assert len(page.messages) <= PAGE
        self.positions = page.positions
        return page

    async def everything(self) -> list[MessageRef]:
        """All that may be begun before something is settled."""
        begun: list[MessageRef] = []
        while leads := (await self.page()).messages:
            begun.extend(leads)
        return begun


def devices(leads: Sequence[MessageRef]) -> Counter[str]:
    return Counter(lead.device_id for lead in leads)


def phones(leads: Sequence[MessageRef]) -> list[str]:
    return [lead.phone for lead in leads]


async def settle(
    pool: Pool, leads: Sequence[MessageRef], status: str = "sent", *, at: datetime = NOW
) -> None:
    """Brings these messages to that status, settled or not."""
    await pool.execute(
        "update broadcast_messages set status = $2::text, sent_at = case when $2 = 'sent' then $3::timestamptz end,"
        " processing_worker_id = 'w', claimed_at = $3 where id = any ($1)",
        [lead.message_id for lead in leads],
        status,
        at,
    )


async def statuses(pool: Pool) -> dict[str, str]:
    """By phone."""
    return {
        row["recipient_phone"]: row["status"]
        for row in await pool.fetch("select recipient_phone, status from broadcast_messages")
    }


async def steer(pool: Pool, action: str) -> None:
    async with pool.acquire() as connection:
        match action:
            case "pause":
                await pause_campaign(connection, "sale")
            case "resume":
                await resume_campaign(connection, "sale")
            case "cancel":
                await cancel_campaign(connection, "sale")


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


# How far it is, and its end.


async def test_progress(scenario: Scenario) -> None:
    await scenario.add_device()
    await scenario.add_leads(62)
    await scenario.pool.execute("insert into suppressions (phone) values ($1), ($2)", phone(60), phone(61))
    campaign = await running(scenario)
    begun = await Shard(scenario.pool, campaign).everything()
    fresh = await progress(scenario.pool, campaign, now=NOW)
    assert (fresh.status, fresh.counts, fresh.unsettled, fresh.per_second) == (
        "running",
        {"pending": 60},
        60,
        0,
    )
    assert (fresh.opted_out, fresh.without_device) == (2, 0)
    await settle(scenario.pool, begun[:5], at=NOW + timedelta(seconds=5))
    assert (await progress(scenario.pool, campaign, now=NOW + timedelta(seconds=10))).per_second == 0.5
    await settle(scenario.pool, begun[5:20], at=NOW + timedelta(seconds=80))
    for leads, status in [(begun[20:22], "failed"), (begun[22:25], "queued"), (begun[25:26], "processing")]:
        await settle(scenario.pool, leads, status)
    later = await progress(scenario.pool, campaign, now=NOW + timedelta(seconds=120))
    assert later.per_second == 15 / 60, "of the last minute"
    assert later.counts == {"pending": 34, "queued": 3, "processing": 1, "sent": 20, "failed": 2}
    assert later.unsettled == 38


async def test_progress_of_what_has_not_started(scenario: Scenario) -> None:
    await scenario.add_device()
    await scenario.apply_campaign(CAMPAIGN.format(name="sale"))
    campaign = await scenario.pool.fetchval("select id from campaigns")
    fresh = await progress(scenario.pool, campaign, now=NOW)
    assert (fresh.status, fresh.counts, fresh.unsettled, fresh.per_second) == ("draft", {}, 0, 0)


FINAL = ["sent", "unconfirmed", "suppressed", "cancelled"]


async def test_what_has_failed_is_sent_again_and_nothing_else(scenario: Scenario) -> None:
    await scenario.add_device()
    await scenario.add_leads(7)
    campaign = await running(scenario)
    begun = await Shard(scenario.pool, campaign).everything()
    for lead, status in zip(begun, ["failed", *FINAL, "queued", "failed"], strict=True):
        await settle(scenario.pool, [lead], status)
    await scenario.pool.execute(
        "update broadcast_messages set attempts = 3, reason = 'no', slot_at = now() where status = 'failed'"
    )
    untouched = "select * from broadcast_messages where not recipient_phone = any ($1) order by id"
    failed = [phone(0), phone(6)]
    before = await scenario.pool.fetch(untouched, failed)
    async with scenario.pool.acquire() as connection:
        assert await retry_failed(connection, "sale") == 2
        assert await retry_failed(connection, "sale") == 0
    assert await scenario.pool.fetch(untouched, failed) == before
    for row in await scenario.pool.fetch(
        "select * from broadcast_messages where recipient_phone = any ($1)", failed
    ):
        assert (row["status"], row["attempts"], row["retried"]) == ("pending", 0, 1)
        assert (row["reason"], row["slot_at"]) == (None, None)


async def test_sending_again_reopens_a_finished_campaign(scenario: Scenario) -> None:
    await scenario.add_device()
    await scenario.add_leads(2)
    campaign = await running(scenario)
    begun = await Shard(scenario.pool, campaign).everything()
    await settle(scenario.pool, begun)
    async with scenario.pool.acquire() as connection:
        assert await finish_campaign(connection, campaign)
        assert await retry_failed(connection, "sale") == 0
        assert (await progress(scenario.pool, campaign, now=NOW)).status == "finished"
        await settle(scenario.pool, begun[:1], "failed")
        assert await retry_failed(connection, "sale") == 1
        assert (await progress(scenario.pool, campaign, now=NOW)).status == "running"
        assert await connection.fetchval("select ended_at from campaigns") is None
        assert not await finish_campaign(connection, campaign)


async def test_nothing_is_sent_again_of_what_never_began_or_was_cancelled(scenario: Scenario) -> None:
    await scenario.add_device()
    await scenario.add_leads(1)
    await scenario.apply_campaign(CAMPAIGN.format(name="sale"))
    async with scenario.pool.acquire() as connection:
        with pytest.raises(Conflict, match="a draft"):
            await retry_failed(connection, "sale")
        campaign = await running(scenario)
        await settle(scenario.pool, await Shard(scenario.pool, campaign).everything(), "failed")
        await cancel_campaign(connection, "sale")
        with pytest.raises(Conflict, match="cancelled"):
            await retry_failed(connection, "sale")
    assert await statuses(scenario.pool) == {phone(0): "failed"}


@pytest.mark.parametrize("unsettled", ["pending", "queued", "processing"])
@pytest.mark.parametrize("cancelled", [False, True])
async def test_a_campaign_does_not_end_before_its_last_message(
    scenario: Scenario, unsettled: str, cancelled: bool
) -> None:
    await scenario.add_device()
    await scenario.add_leads(6)
    campaign = await running(scenario)
    begun = await Shard(scenario.pool, campaign).everything()
    for lead, status in zip(begun, [unsettled, "failed", *FINAL], strict=True):
        await settle(scenario.pool, [lead], status)
    if cancelled:
        await steer(scenario.pool, "cancel")
    async with scenario.pool.acquire() as connection:
        assert not await is_settled(scenario.pool, campaign)
        assert not await finish_campaign(connection, campaign)
        row = await connection.fetchrow("select status, ended_at from campaigns")
        assert row is not None
        assert tuple(row) == ("cancelled" if cancelled else "running", None)
        await settle(scenario.pool, begun[:1])
        assert await is_settled(scenario.pool, campaign)
        assert await finish_campaign(connection, campaign)
        row = await connection.fetchrow("select status, ended_at is not null from campaigns")
        assert row is not None
        assert tuple(row) == ("cancelled" if cancelled else "finished", True)


# Claims.

_tokens = count()


async def claim(pool: Pool, message: UUID, now: datetime | None = NOW) -> StoredAnswer:
    return await Ledger(pool).claim_stored(message, f"attempt-{next(_tokens)}", now=now)


async def send(pool: Pool, message: UUID, at: datetime) -> StoredAnswer:
    """Claims a message, and settles it as sent if it may be."""
    token = f"attempt-{next(_tokens)}"
    answer = await Ledger(pool).claim_stored(message, token, now=at)
    if isinstance(answer, Claim):
        assert await Ledger(pool).settle(message, token, MessageStatus.SENT, at)
    return answer


async def waits_for_a_lock(pool: Pool, query: str) -> bool:
    """Whether a session comes to wait for a lock in such a query."""
    for _ in range(500):
        if await pool.fetchval(
            "select exists (select from pg_stat_activity where datname = current_database()"
            " and wait_event_type = 'Lock' and strpos(query, $1) > 0)",
            query,
        ):
            return True
        await asyncio.sleep(0.01)
    return False


async def test_messages_of_a_paused_campaign_are_held(scenario: Scenario) -> None:
    await scenario.add_device()
    await scenario.add_leads(3)
    campaign = await running(scenario)
    begun = await Shard(scenario.pool, campaign).everything()
    await steer(scenario.pool, "pause")
    assert await claim(scenario.pool, begun[1].message_id) == Held(reason="campaign sale is paused")
    await settle(scenario.pool, begun[2:], "queued")
    assert await phones_under_way(scenario.pool, campaign) == [phone(1), phone(2)], "0 was never begun"
    assert (await statuses(scenario.pool))[phone(1)] == "pending"
    await steer(scenario.pool, "resume")
    assert await phones_under_way(scenario.pool, campaign) == [phone(1), phone(2)], "those are to be woken"
    answer = await claim(scenario.pool, begun[1].message_id)
    assert isinstance(answer, Claim)
    assert (answer.text, answer.lead.phone, answer.must_not_send) == ("Hello", phone(1), False)


async def test_messages_of_a_cancelled_campaign_are_closed(scenario: Scenario) -> None:
    await scenario.add_device()
    await scenario.add_leads(1)
    (lead,) = await Shard(scenario.pool, await running(scenario)).everything()
    await steer(scenario.pool, "cancel")
    assert (await claim(scenario.pool, lead.message_id)).model_dump()["status"] == MessageStatus.CANCELLED
    assert await statuses(scenario.pool) == {phone(0): "cancelled"}


@pytest.mark.parametrize(
    ("device", "own", "gap"),
    [((0, 0), (10, 10), 10), ((5, 5), (10, 10), 10), ((10, 10), (5, 5), 10), ((10, 10), (0, 0), 10)],
)
async def test_the_slower_pace_holds(
    scenario: Scenario, device: tuple[float, float], own: tuple[float, float], gap: float
) -> None:
    await scenario.add_device(min_delay=device[0], max_delay=device[1])
    await scenario.add_leads(3)
    campaign = await running(scenario, f"min_delay: {own[0]}", f"max_delay: {own[1]}")
    first, second, third = await Shard(scenario.pool, campaign).everything()
    assert isinstance(await send(scenario.pool, first.message_id, NOW), Claim)
    early = await send(scenario.pool, second.message_id, NOW + timedelta(seconds=gap - 1))
    assert isinstance(early, Deferred)
    assert timedelta(seconds=gap) <= early.until - NOW <= timedelta(seconds=gap + 1)
    assert isinstance(await send(scenario.pool, second.message_id, early.until), Claim)
    assert isinstance(await send(scenario.pool, third.message_id, early.until), Deferred)


async def test_a_campaign_without_a_pace_goes_at_its_devices_own(scenario: Scenario) -> None:
    await scenario.add_device()
    await scenario.add_leads(2)
    for lead in await Shard(scenario.pool, await running(scenario)).everything():
        assert isinstance(await send(scenario.pool, lead.message_id, NOW), Claim)


@pytest.mark.parametrize("delay", [0, 5])
async def test_a_claim_waits_for_a_resume_on_its_way(scenario: Scenario, delay: float) -> None:
    """Else it would be held after everybody was woken, and wait for ever."""
    await scenario.add_device(min_delay=delay, max_delay=delay)
    await scenario.add_leads(1)
    (lead,) = await Shard(scenario.pool, await running(scenario)).everything()
    await steer(scenario.pool, "pause")
    async with scenario.pool.acquire() as connection:
        async with connection.transaction():
            assert await resume_campaign(connection, "sale") == (True, "running")
            racing = asyncio.create_task(claim(scenario.pool, lead.message_id, None))
            assert await waits_for_a_lock(scenario.pool, "claim_stored_message")
            assert not racing.done()
        answer = await racing
    assert isinstance(answer, Deferred)
    assert (answer.reason, answer.wait) == ("was resumed", timedelta(0))
    assert isinstance(await claim(scenario.pool, lead.message_id, None), Claim)


async def test_a_resume_sees_every_message_that_was_held(scenario: Scenario) -> None:
    """It waits for a claim that has answered and is not stored yet."""
    await scenario.add_device()
    await scenario.add_leads(1)
    campaign = await running(scenario)
    (lead,) = await Shard(scenario.pool, campaign).everything()
    await steer(scenario.pool, "pause")

    async def resume() -> list[str]:
        await steer(scenario.pool, "resume")
        return await phones_under_way(scenario.pool, campaign)

    async with scenario.pool.acquire() as connection:
        async with connection.transaction():
            assert (await held(connection, lead.message_id))["outcome"] == "held"
            racing = asyncio.create_task(resume())
            assert await waits_for_a_lock(scenario.pool, "from campaigns where name = $1 for update")
            assert not racing.done()
        assert await racing == [phone(0)]


async def held(connection: Connection, message: UUID) -> dict[str, str]:
    """The claim's answer, in a transaction that stays open."""
    answer: dict[str, str] = await connection.fetchval(
        "select claim_stored_message($1, 'racing', interval '15s', '{}', interval '3s', null)", message
    )
    return answer
