"""What GOWA's webhooks could not deliver is fetched from its lists of messages."""

import logging
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from messaging.common.database import Pool
from messaging.common.keywords import DEFAULT_KEYWORDS
from messaging.devices.device import DeviceSettings
from messaging.devices.store import add_device
from messaging.gateways import Gateways
from messaging.replies import missed
from messaging.replies.consequences import Consequences
from messaging.replies.missed import MissedMessages
from messaging.replies.record import record_inbound
from rig.people import phone
from tests.support.gowa_server import PASSWORD, GowaServer, gowa_server, jid
from tests.support.replies import inbound

AISHA, BEN = jid(phone(1)), jid(phone(2))


@pytest.fixture
async def gowa(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[GowaServer]:
    """A server with one device of ours, which was added yesterday, and two leads."""
    monkeypatch.setenv("GOWA_PASSWORD", PASSWORD)
    monkeypatch.setenv("GOWA_WEBHOOK_SECRET", "a-secret-of-the-tests")
    async with gowa_server() as server:
        await add(pool, "kl-1", server.options())
        await pool.execute("insert into leads (phone) values ($1), ($2)", phone(1), phone(2))
        yield server


async def add(pool: Pool, device: str, options: dict[str, str]) -> None:
    async with pool.acquire() as connection:
        await add_device(connection, DeviceSettings(id=device, gateway="gowa", options=options))
    await pool.execute("update devices set created_at = now() - interval '2 days'")


@pytest.fixture
async def fetching(pool: Pool) -> AsyncIterator[MissedMessages]:
    gateways = Gateways()
    yield MissedMessages(pool, gateways, DEFAULT_KEYWORDS)
    await gateways.close()


def ago(minutes: float) -> datetime:
    return datetime.now(UTC) - timedelta(minutes=minutes)


async def recorded(pool: Pool) -> list[tuple[Any, ...]]:
    rows = await pool.fetch(
        "select gateway_message_id, phone, kind, text, from_me, meaning from inbound_messages order by sent_at, id"
    )
    return [tuple(row) for row in rows]


async def test_what_was_missed_is_recorded_and_takes_effect(
    pool: Pool, gowa: GowaServer, fetching: MissedMessages
) -> None:
    gowa.store("in-1", AISHA, "Hello", ago(300))
    gowa.store("in-2", AISHA, "STOP", ago(200))
    gowa.store(
        "in-3",
        BEN,
        "a photo",
        ago(100),
        media_type="image",
        url="https://mmg.whatsapp.net/1",
        filename="x.jpg",
    )
    gowa.store("in-4", "120363402106@g.us", "STOP", ago(90), sender_jid=BEN)
    gowa.store("in-5", "status@broadcast", "STOP", ago(90), sender_jid=BEN)
    gowa.store("in-6", BEN, "", ago(80), media_type="call")
    gowa.store("out-1", BEN, "I am here", ago(70), is_from_me=True, sender_jid="12015550100@s.whatsapp.net")
    gowa.store("in-0", BEN, "before the device was added", ago(60 * 72))
    async with pool.acquire() as connection:
        known = inbound("in-1", phone(1), "Hello")
        await record_inbound(connection, "gowa", "kl-1", [known], DEFAULT_KEYWORDS)
    assert await fetching.fetch() == 3
    assert [row for row in await recorded(pool) if row[0] != "in-1"] == [
        ("in-2", phone(1), "text", "STOP", False, "stop"),
        ("in-3", phone(2), "image", "a photo", False, "none"),
        ("out-1", phone(2), "text", "I am here", True, "none"),
    ]
    assert await pool.fetchval("select phone from suppressions") == phone(1)
    assert (
        await pool.fetchval("select media_id from inbound_messages where kind = 'image'")
        == "https://mmg.whatsapp.net/1"
    )
    before = await recorded(pool)
    assert await fetching.fetch() == 0
    assert await recorded(pool) == before


async def test_our_own_sends_are_left_out(pool: Pool, gowa: GowaServer, fetching: MissedMessages) -> None:
    gowa.store("ours", AISHA, "Half price", ago(5), is_from_me=True)
    await pool.execute(
        "with c as (insert into campaigns (name, text) values ('sale', 'x') returning id)"
        " insert into broadcast_messages (id, campaign_id, lead_id, recipient_phone, device_id, due_at, campaign_shard,"
        " campaign_position, status, sent_at, gateway_message_id)"
        " select gen_random_uuid(), c.id, l.id, l.phone, 'kl-1', now(), 0, 0, 'sent', now(), 'ours' from c, leads l where phone = $1",
        phone(1),
    )
    assert await fetching.fetch() == 0


async def test_only_what_is_recent_is_asked_for_again(
    pool: Pool, gowa: GowaServer, fetching: MissedMessages
) -> None:
    gowa.store("in-1", AISHA, "Hello", ago(60))
    assert await fetching.fetch() == 1
    gowa.requests.clear()
    gowa.store("in-2", BEN, "Hello", ago(1))
    assert await fetching.fetch() == 1
    assert gowa.requests == ["kl-1 /chats", f"kl-1 /chat/{BEN}/messages"]
    await pool.execute("update devices set fetched_until = now() - interval '1 hour'")
    gowa.store("in-3", AISHA, "It had no connection for hours", ago(180))
    assert await fetching.fetch() == 1, "after an outage it looks further back"


async def test_pages(pool: Pool, gowa: GowaServer, fetching: MissedMessages) -> None:
    for index in range(120):
        gowa.store(f"chat-{index}", jid(phone(100 + index)), "Hello", ago(300 - index))
    for index in range(130):
        gowa.store(f"in-{index}", AISHA, f"Message {index}", ago(200 - index))
    assert await fetching.fetch() == 250
    assert await pool.fetchval("select count(*) from inbound_messages") == 250


async def test_what_the_time_was_too_short_for_comes_next(
    pool: Pool, gowa: GowaServer, fetching: MissedMessages, monkeypatch: pytest.MonkeyPatch
) -> None:
    for index in range(5):
        gowa.store(f"in-{index}", jid(phone(10 + index)), "Hello", ago(100 - index))
    gowa.store("late", jid(phone(14)), "One more in a chat that comes last", ago(150))
    monkeypatch.setattr(missed, "TIME_FOR_DEVICE", 0.0)
    seen = [0]
    for _ in range(3):
        await fetching.fetch()
        seen.append(await pool.fetchval("select count(*) from inbound_messages"))
    monkeypatch.setattr(missed, "TIME_FOR_DEVICE", 60.0)
    await fetching.fetch()
    assert seen == [0, 1, 2, 3], "one chat each time, the earliest first"
    assert await pool.fetchval("select count(*) from inbound_messages") == 6, "with what was sent before"
    assert await pool.fetchval("select fetched_chats_until is null from devices where id = 'kl-1'")


@pytest.mark.parametrize(
    "answer",
    [500, 401, 404, b"", b"<html>", b"[]", b'{"code":"SUCCESS"}', b'{"code":"SUCCESS","results":{"data":7}}'],
)
async def test_a_gateway_that_fails_harms_nothing_and_is_said_once(
    pool: Pool, gowa: GowaServer, fetching: MissedMessages, answer: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async with gowa_server() as other:
        await add(pool, "kl-2", other.options("kl-2"))
        gowa.store("in-1", AISHA, "Hello", ago(10))
        other.store("in-2", BEN, "Hello", ago(10), device="kl-2")
        gowa.answer = answer
        with caplog.at_level(logging.INFO, "messaging.replies.missed"):
            for _ in range(3):
                await fetching.fetch()
        assert [row[0] for row in await recorded(pool)] == ["in-2"]
        said = [line for line in caplog.messages if line.startswith("what device kl-1")]
        assert len(said) == 1
        gowa.answer = None
        await fetching.fetch()
    assert {row[0] for row in await recorded(pool)} == {"in-1", "in-2"}


async def test_rows_that_make_no_sense_do_not_harm_the_others(
    pool: Pool, gowa: GowaServer, fetching: MissedMessages
) -> None:
    gowa.store("in-1", AISHA, "Hello", ago(10))
    gowa.store("in-2", AISHA, "When?", ago(9), created_at=None)
    stored = gowa.devices["kl-1"]
    stored[1]["timestamp"] = "yesterday"
    stored.append({**stored[0], "id": None})
    stored.append({**stored[0], "id": "in-3", "content": 7, "sender_jid": None})
    assert await fetching.fetch() == 2
    assert {row[0] for row in await recorded(pool)} == {"in-1", "in-3"}


async def test_a_device_without_webhooks_is_not_asked(
    pool: Pool, gowa: GowaServer, fetching: MissedMessages
) -> None:
    await pool.execute("update devices set gateway_options = gateway_options - 'webhook_secret_env'")
    gowa.store("in-1", AISHA, "Hello", ago(10))
    assert await fetching.fetch() == 0
    assert gowa.requests == []


async def test_the_effects_are_carried_out(pool: Pool, gowa: GowaServer) -> None:
    done: list[Consequences] = []

    async def carry_out(then: Consequences) -> None:
        done.append(then)

    gateways = Gateways()
    gowa.store("in-1", AISHA, "STOP", ago(10))
    await MissedMessages(pool, gateways, DEFAULT_KEYWORDS, carry_out=carry_out).fetch()
    await gateways.close()
    assert [one.phone for then in done for one in then.stopped] == [phone(1)]
