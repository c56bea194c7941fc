"""How far a campaign is, its end, and the failed messages that open it again."""

from datetime import timedelta

import pytest

from messaging.campaigns.feed import is_settled, progress
from messaging.campaigns.lifecycle import cancel_campaign, finish_campaign, retry_failed
from messaging.common.errors import Conflict
from rig.people import phone
from tests.support.frozen import CAMPAIGN, NOW, Shard, running, settle, statuses, steer
from tests.support.scenario import Scenario


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
