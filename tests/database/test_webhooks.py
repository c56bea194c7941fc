"""Requests to the webhooks' port, from the socket to the ledger."""

import asyncio
import gzip
import hashlib
import hmac
import io
import json
import logging
import os
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import aiohttp
import pytest

from messaging.common.say_once import SayOnce
from messaging.devices.device import DeviceSettings
from messaging.devices.store import add_device
from messaging.gateways import Gateways
from messaging.gateways.cloud_api_webhooks import read_webhook
from messaging.gateways.webhook_events import Receipt
from messaging.replies.consequences import Consequences
from messaging.sending.receipts import record_receipts
from rig.waiting import until
from runtime import listener
from runtime.listener import Listener
from tests.support.contact import NOON, Contact
from tests.support.replies import no_workflows
from webhooks import endpoint

SECRET = "app-secret"
AT = 1772452860


def status(message_id: UUID | None, **others: Any) -> dict[str, Any]:
    """What Meta tells of one message."""
    told = {"id": "wamid.1", "status": "delivered", "timestamp": str(AT), "recipient_id": "12015550101"}
    return {**told, "biz_opaque_callback_data": str(message_id), **others}


def update(*statuses: Any) -> bytes:
    """The body of one request."""
    value = {"messaging_product": "whatsapp", "metadata": {"phone_number_id": "1"}, "statuses": statuses}
    entry = [{"id": "1", "changes": [{"field": "messages", "value": value}]}]
    return json.dumps({"object": "whatsapp_business_account", "entry": entry}).encode()


def signed(content: bytes, secret: str = SECRET) -> dict[str, str]:
    digest = hmac.new(secret.encode(), content, hashlib.sha256).hexdigest()
    return {"X-Hub-Signature-256": f"sha256={digest}"}


async def chunks(content: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(content), 50_000):
        yield content[start : start + 50_000]


@dataclass
class Port:
    """An open port, a device ``meta``, and an unconfirmed message of it."""

    listener: Listener
    http: aiohttp.ClientSession
    contact: Contact
    message_id: UUID

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.listener.port}/webhooks"

    async def post(
        self,
        data: bytes,
        headers: dict[str, str] | None = None,
        device: str = "meta",
        *,
        chunked: bool = False,
    ) -> tuple[int, str]:
        """Signed, unless ``headers`` are given."""
        headers = signed(data) if headers is None else headers
        body = chunks(data) if chunked else io.BytesIO(data)
        async with self.http.post(f"{self.url}/{device}", data=body, headers=headers) as answer:
            return answer.status, await answer.text()

    async def half_open(
        self, words: bytes = b"POST /webhooks/meta HTTP/1.1\r\nHost: x\r\n"
    ) -> asyncio.StreamReader:
        """A connection that has not sent its request yet. It stays open as long as this side is concerned."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.listener.port)
        writer.write(words)
        self._kept.append(writer)
        return reader

    def __post_init__(self) -> None:
        self._kept: list[asyncio.StreamWriter] = []

    def close(self) -> None:
        for writer in self._kept:
            writer.transport.abort()


@pytest.fixture
async def port(contact: Contact, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Port]:
    monkeypatch.setenv("CLOUD_SECRET", SECRET)
    monkeypatch.setenv("CLOUD_VERIFY", "verify-me")
    options = {
        "phone_number_id": "1",
        "token_env": "CLOUD_TOKEN",
        "app_secret_env": "CLOUD_SECRET",
        "verify_token_env": "CLOUD_VERIFY",
    }
    pool = contact.scenario.pool
    async with pool.acquire() as connection:
        await add_device(connection, DeviceSettings(id="meta", gateway="cloud-api", options=options))
    await contact.claim()
    message_id = (await contact.message())["id"]
    await pool.execute("update broadcast_messages set status = 'unconfirmed', device_id = 'meta'")
    gateways = Gateways()
    async with (
        endpoint.webhooks(pool, gateways, host="127.0.0.1", port=0, carry_out=no_workflows) as opened,
        aiohttp.ClientSession() as http,
    ):
        assert isinstance(message_id, UUID)
        one = Port(opened, http, contact, message_id)
        yield one
        one.close()
    await gateways.close()


@pytest.fixture(autouse=True)
def unfiltered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test hears a line as if it were the first time."""
    for name in (
        "webhooks.endpoint",
        "runtime.listener",
        "messaging.gateways.webhook_bodies",
        "messaging.sending.receipts",
    ):
        monkeypatch.setattr(logging.getLogger(name), "filters", [SayOnce()])


async def test_it_settles_an_unconfirmed_message_and_believes_nobody_else(port: Port) -> None:
    content = update(status(port.message_id))
    assert (await port.post(content, {}))[0] == 401
    assert (await port.post(content, signed(content, "another")))[0] == 401
    assert (await port.post(update(status(uuid4())), signed(content)))[0] == 401
    assert (await port.post(content, device=port.contact.scenario.device))[0] == 401
    assert (await port.post(content, device="nobody"))[0] == 404
    assert (await port.contact.message())["status"] == "unconfirmed"
    code, said = await port.post(content)
    assert (code, json.loads(said)) == (200, {"receipts": 1, "inbound": 0, "news": 1})
    row = await port.contact.message()
    assert (row["status"], row["delivered_at"]) == ("sent", datetime.fromtimestamp(AT, UTC))


async def test_its_address_is_asked_for(port: Port) -> None:
    query = {"hub.mode": "subscribe", "hub.verify_token": "verify-me", "hub.challenge": "12345"}
    async with port.http.get(f"{port.url}/meta", params=query) as answer:
        assert (answer.status, await answer.text()) == (200, "12345")
    async with port.http.get(f"{port.url}/meta", params={**query, "hub.verify_token": "no"}) as answer:
        assert answer.status == 401


def answer(sender: str, text: str, identifier: str = "wamid.in.1", **others: Any) -> dict[str, Any]:
    """What Meta tells of a text."""
    told = {"from": sender, "id": identifier, "timestamp": str(AT), "type": "text", "text": {"body": text}}
    return {**told, **others}


def answers(*messages: Any, statuses: tuple[Any, ...] = ()) -> bytes:
    """The body of one request."""
    value = {"metadata": {"phone_number_id": "1"}, "messages": messages, "statuses": statuses}
    return json.dumps({"entry": [{"id": "1", "changes": [{"field": "messages", "value": value}]}]}).encode()


async def test_an_opt_out_is_carried_out_before_it_is_acknowledged(port: Port) -> None:
    pool, phone = port.contact.scenario.pool, port.contact.phone
    heard: list[tuple[str, list[str]]] = []
    go_on = asyncio.Event()

    async def opted_out(then: Consequences) -> None:
        heard.extend((one.phone, one.workflows) for one in then.stopped)
        await go_on.wait()

    gateways = Gateways()
    async with endpoint.webhooks(pool, gateways, host="127.0.0.1", port=0, carry_out=opted_out) as opened:
        port.listener = opened
        bad = [None, 5, {"type": "text"}, answer(phone, "x", identifier="")]
        stop = answer(phone.removeprefix("+"), "Stop!!")
        body = answers(*bad, stop, stop, statuses=(status(port.message_id),))
        waiting = asyncio.create_task(port.post(body))
        await until(lambda: bool(heard))
        assert heard == [(phone, [f"sequence:welcome:{phone}"])]
        assert await pool.fetchval("select source from suppressions where phone = $1", phone) == "reply"
        assert not waiting.done()
        go_on.set()
        code, said = await waiting
        assert (code, json.loads(said)) == (200, {"receipts": 1, "inbound": 2, "news": 2})
        code, said = await port.post(body)
        assert (code, json.loads(said)["news"]) == (200, 0)
        assert len(heard) == 2, "whoever told it first may have been killed before it was carried out"
    await gateways.close()


async def test_an_unsigned_answer_changes_nothing(port: Port) -> None:
    body = answers(answer(port.contact.phone, "STOP"))
    assert (await port.post(body, {}))[0] == 401
    assert (await port.post(body, signed(body, "another")))[0] == 401
    assert await port.contact.scenario.pool.fetchval("select count(*) from inbound_messages") == 0


# Bodies


async def test_a_body_may_have_four_megabytes_and_a_longer_one_is_told_of(
    port: Port, caplog: pytest.LogCaptureFixture
) -> None:
    content = update(status(port.message_id))
    whole = content + b" " * (4 * 1024 * 1024 - len(content))
    assert (await port.post(whole))[0] == 200
    assert (await port.contact.message())["status"] == "sent"
    assert caplog.records == []
    assert (await port.post(whole + b" "))[0] == 413
    assert (await port.post(whole + b" ", chunked=True))[0] == 413
    assert caplog.messages == [
        "a request for /webhooks/meta has more than 4194304 bytes, and is not taken; no gateway sends that much"
    ]


async def test_a_compressed_body_is_not_taken(port: Port, caplog: pytest.LogCaptureFixture) -> None:
    content = gzip.compress(update(status(port.message_id)))
    assert (await port.post(content, {**signed(content), "Content-Encoding": "gzip"}))[0] == 415
    assert caplog.messages == ["a compressed request for /webhooks/meta is not taken"]


async def test_an_address_puts_no_lines_into_the_log(port: Port, caplog: pytest.LogCaptureFixture) -> None:
    packed = {"Content-Encoding": "gzip"}
    assert (await port.post(b"x", packed, device="\x1b[2Ja\nERROR b"))[0] == 415
    assert (await port.post(b"x" * 4_194_305, {}, device="a\nERROR b"))[0] == 413
    assert len(caplog.messages) == 2
    assert all(line.isprintable() and line.isascii() for line in caplog.messages)


BAD: dict[str, Any] = {
    "year 5138": {"timestamp": "99999999999"},
    "year 1970": {"timestamp": 0},
    "negative": {"timestamp": -1},
    "huge number": {"timestamp": 10**3999},
    "a float": {"timestamp": 1.5e300},
    "milliseconds": {"timestamp": "1772452860000"},
    "no time": {"timestamp": None},
    "no status": {"status": None},
    "status a list": {"status": ["read"]},
    "no message": {"id": None, "biz_opaque_callback_data": None},
    "ID a number": {"id": 7, "biz_opaque_callback_data": 7},
}

ODD_IDS = {"NUL": "wamid.\0", "lone surrogate": "wamid.\ud800", "long": "x" * 9_000}


@pytest.mark.parametrize("identifier", ODD_IDS.values(), ids=ODD_IDS)
async def test_a_receipt_is_known_by_its_id_whatever_that_holds(port: Port, identifier: str) -> None:
    for name in ("sent", "read"):
        content = update(status(port.message_id, id=identifier, status=name))
        code, said = await port.post(content)
        assert (code, json.loads(said)["news"]) == (200, 1), said
    by_theirs = update(status(uuid4(), id=identifier, biz_opaque_callback_data=None, timestamp="1772452800"))
    code, said = await port.post(by_theirs)
    assert (code, json.loads(said)["news"]) == (200, 1), said
    row = await port.contact.message()
    assert isinstance(row["gateway_message_id"], str)
    assert len(row["gateway_message_id"]) <= 255


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
async def test_a_bad_receipt_is_passed_over_and_the_good_beside_it_are_recorded(
    port: Port, caplog: pytest.LogCaptureFixture, bad: dict[str, Any]
) -> None:
    content = update(status(uuid4(), **bad), status(port.message_id), status(uuid4(), **bad))
    code, said = await port.post(content)
    assert (code, json.loads(said)["news"]) == (200, 1), said
    assert (await port.contact.message())["status"] == "sent"
    assert (await port.post(content))[0] == 200
    assert len(caplog.messages) <= 2, "the two differ in our ID only"
    assert all("is passed over" in line and "\0" not in line and len(line) < 600 for line in caplog.messages)
    assert caplog.messages


@pytest.mark.parametrize(
    "garbage",
    [
        b"7",
        b'"text"',
        b"null",
        b"[" * 900 + b"]" * 900,
        b"[" * 100_000 + b"]" * 100_000,
        b'{"id":' * 100_000 + b"1" + b"}" * 100_000,
        b'{"id": ' + b"9" * 100_000 + b', "status": "read", "timestamp": ' + b"9" * 5_000 + b"}",
        b'{"id": "\xff\xfe", "status": "\xc3"}',
        b'{"id": "raw \x01 control", "status": 1}',
        b'{"id": NaN, "status": 1e999}',
    ],
    ids=lambda garbage: repr(garbage[:30]),
)
async def test_garbage_beside_a_good_one(port: Port, garbage: bytes) -> None:
    content = update("GARBAGE", status(port.message_id)).replace(b'"GARBAGE"', garbage)
    assert (await port.post(content))[0] == 200
    assert (await port.contact.message())["status"] == "sent"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not json",
        b"[" * 4_000_000,
        b'{"entry":' * 400_000,
        b'"' + b'\\"' * 2_000_000,
        b"\x00\xff",
        b"\x1f\x8b\x08",
    ],
    ids=lambda content: repr(content[:10]),
)
async def test_what_is_no_json_is_told_of_once(
    port: Port, caplog: pytest.LogCaptureFixture, content: bytes
) -> None:
    assert (await port.post(content))[0] == 200
    assert (await port.post(content))[0] == 200
    assert len(caplog.messages) == 1
    assert "not JSON" in caplog.text


def test_a_reason_of_any_letters_is_kept() -> None:
    words = "no \0 such \ud800 number"
    told = update(status(None, status="failed", errors=[{"code": 131026, "title": words}]))
    [receipt] = read_webhook({k.lower(): v for k, v in signed(told).items()}, told, SECRET).receipts
    assert receipt.reason is not None
    assert "no \ufffd such \ufffd number" in receipt.reason


async def test_what_the_database_refuses_is_passed_over(
    contact: Contact, caplog: pytest.LogCaptureFixture
) -> None:
    await contact.claim()
    message_id = (await contact.message())["id"]
    assert isinstance(message_id, UUID)
    bad = Receipt.model_construct(
        status="sent", at=NOON, message_id=message_id, gateway_message_id=os.urandom(9_000).hex(), reason=None
    )
    good = Receipt(status="sent", at=NOON, message_id=message_id, gateway_message_id="wamid.1")
    async with contact.scenario.pool.acquire() as connection:
        assert await record_receipts(connection, "simulated", [bad, good]) == 1
    assert (await contact.message())["status"] == "sent"
    assert "the database refuses it" in caplog.text


async def test_while_the_database_is_away_the_gateway_is_asked_to_come_again(port: Port) -> None:
    content = update(status(port.message_id))
    pool = port.contact.scenario.pool
    await pool.execute("alter function record_receipt rename to away")
    await pool.execute(
        "create function record_receipt(text, uuid, text, text, timestamptz, text) returns boolean language plpgsql"
        " as $$ begin raise exception using errcode = '57P03', message = 'starting up'; end $$"
    )
    assert (await port.post(content))[0] == 503
    await pool.execute("drop function record_receipt(text, uuid, text, text, timestamptz, text)")
    await pool.execute("alter function away rename to record_receipt")
    assert (await port.post(content))[0] == 200


async def test_a_large_body_does_not_hold_up_what_else_is_done(port: Port) -> None:
    filler = b'{"a": ["b", 1]}, ' * 200_000
    content = update("FILLER", status(port.message_id)).replace(b'"FILLER"', filler + b"{}")
    assert 3_000_000 < len(content) < 4 * 1024 * 1024
    worst = 0.0

    async def look() -> None:
        nonlocal worst
        while True:
            # Processor time: a busy machine does not stretch it.
            began = time.process_time()
            await asyncio.sleep(0.005)
            worst = max(worst, time.process_time() - began)

    looking = asyncio.create_task(look())
    assert (await port.post(content))[0] == 200
    looking.cancel()
    assert (await port.contact.message())["status"] == "sent"
    assert worst < 1.0, "some tenths of a second"


# Connections


async def test_who_says_nothing_is_closed(port: Port, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "REQUEST_WITHIN", 0.3)
    slow = [
        await port.half_open(b""),
        await port.half_open(),
        await port.half_open(b"POST /webhooks/meta HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{"),
        await port.half_open(
            b"POST /webhooks/meta HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{"
        ),
    ]
    async with asyncio.timeout(10):
        assert [await reader.read() for reader in slow] == [b""] * 4


async def test_a_connection_serves_one_request(port: Port) -> None:
    reader = await port.half_open(b"GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n")
    async with asyncio.timeout(10):
        answer = await reader.read()
    assert answer.startswith(b"HTTP/1.1 404")
    assert b"connection: close" in answer.lower()


async def test_half_open_connections_leave_room(port: Port, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(3 * listener.MOST):
        await port.half_open()
        assert len(port.listener._open) <= listener.MOST
    content = update(status(port.message_id))
    for _ in range(5):
        assert (await port.post(content))[0] == 200
    assert (await port.contact.message())["status"] == "sent"
    assert len([line for line in caplog.messages if "those that have not sent" in line]) == 1


async def test_half_sent_bodies_leave_memory(port: Port, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "MEMORY", 3_000_000)
    head = b"POST /webhooks/meta HTTP/1.1\r\nHost: x\r\nContent-Length: 2000000\r\n\r\n"
    readers = [await port.half_open(head + b"x" * 1_000_000) for _ in range(8)]

    async def all_but_three_are_closed() -> bool:
        return sum(reader.at_eof() or reader.exception() is not None for reader in readers) >= 5

    await until(all_but_three_are_closed, 10)
    assert sum(port.listener._held.values()) <= 3_000_000
    assert (await port.post(update(status(port.message_id))))[0] == 200


async def test_complete_bodies_count_until_they_are_answered(
    port: Port, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listener, "MEMORY", 3_000_000)
    body = update(status(port.message_id)) + b" " * 1_000_000
    async with port.contact.scenario.pool.acquire() as connection, connection.transaction():
        await connection.execute("lock table devices in access exclusive mode")
        waiting = [asyncio.create_task(port.post(body)) for _ in range(10)]
        await asyncio.wait(waiting, timeout=10, return_when=asyncio.FIRST_EXCEPTION)
        assert sum(port.listener._held.values()) <= 3_000_000
    answers = await asyncio.gather(*waiting, return_exceptions=True)
    # Whose connection gave way may have been the one that brought the news.
    assert any(isinstance(answer, tuple) and answer[0] == 200 for answer in answers)
    assert any(isinstance(answer, aiohttp.ClientError) for answer in answers)


async def test_a_worker_that_stops_waits_for_nobody(
    contact: Contact, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpoint, "LEAVING_WITHIN", 0.1)
    gateways = Gateways()
    async with asyncio.timeout(10):
        async with endpoint.webhooks(
            contact.scenario.pool, gateways, host="127.0.0.1", port=0, carry_out=no_workflows
        ) as opened:
            _, writer = await asyncio.open_connection("127.0.0.1", opened.port)
            writer.write(b"POST /webhooks/meta HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
            await until(lambda: asyncio.sleep(0, bool(opened._held)))
    writer.transport.abort()
    await gateways.close()


async def test_the_second_waits_for_the_port_and_takes_over(
    contact: Contact, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listener, "LOOK_EVERY", 0.05)
    pool, gateways = contact.scenario.pool, Gateways()
    async with aiohttp.ClientSession() as http:
        async with endpoint.webhooks(
            pool, gateways, host="127.0.0.1", port=0, carry_out=no_workflows
        ) as first:
            assert first.port is not None
            second = endpoint.webhooks(
                pool, gateways, host="127.0.0.1", port=first.port, carry_out=no_workflows
            )
            waiting = await second.__aenter__()
            assert waiting.port is None
            assert f"port {first.port} of 127.0.0.1 is in use, by another worker or program" in caplog.text
            port = first.port

        async def has_it() -> bool:
            return waiting.port == port

        await until(has_it, 10)
        async with http.post(f"http://127.0.0.1:{port}/webhooks/nobody", data=b"") as answer:
            assert answer.status == 404
        await second.__aexit__(None, None, None)
    await gateways.close()


def test_a_line_is_said_once_and_how_often_it_was_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("messaging.common.say_once.time.monotonic", lambda: now)
    once, said = SayOnce(every=60), []

    def say(wording: str, *particulars: Any) -> None:
        record = logging.LogRecord("x", logging.WARNING, "x", 1, wording, particulars, None)
        if once.filter(record):
            said.append(record.getMessage())

    for _ in range(3):
        say("%s is not believed", "a")
    say("%s is not believed", "b")
    for number in range(100):
        say("%s is not believed", f"c{number}")
    assert said == [
        "a is not believed",
        "b is not believed",
        *(f"c{number} is not believed" for number in range(8)),
    ]
    now = 61.0
    say("100%% %s", "other")
    say("%s is not believed", "a%")
    assert said[10:] == ["100% other", "a% is not believed (and 94 more like it before)"]
