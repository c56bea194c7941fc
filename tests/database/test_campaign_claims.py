"""Claims of a campaign's messages: holds, and the slower of two paces."""

import asyncio
from datetime import datetime, timedelta
from itertools import count
from uuid import UUID

import pytest

from messaging.campaigns.feed import phones_under_way
from messaging.campaigns.lifecycle import resume_campaign
from messaging.common.database import Connection, Pool
from messaging.sending.claim_answers import Claim, StoredAnswer
from messaging.sending.ledger import Ledger
from messaging.sending.message_status import MessageStatus
from messaging.sending.outcomes import Deferred, Held
from rig.people import phone
from tests.support.frozen import NOW, Shard, running, settle, statuses, steer
from tests.support.scenario import Scenario

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
