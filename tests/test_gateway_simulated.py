"""The client of the simulated gateway, and HTTP at its worst: every failure must say what it says for sure."""

import asyncio
import itertools
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import aiohttp
import pytest

from messaging.errors import InvalidInput
from messaging.gateways import NAMES, Gateways, open_gateway, validate_options
from messaging.gateways.base import (
    GatewayError,
    MaybeAccepted,
    NotAccepted,
    OutgoingMessage,
    Recovery,
    Refused,
)
from messaging.gateways.simulated import SimulatedGateway
from tests.simulator_process import SimulatorProcess, accepted, requests_log, running_simulator, set_faults

PHONE = "+12015550123"
OK = b'HTTP/1.1 200 OK\r\nContent-Length: 14\r\n\r\n{"id":"sim-1"}'
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimulatorProcess]:
    running = SimulatorProcess(tmp_path_factory.mktemp("simulator"))
    running.start()
    try:
        yield running
    finally:
        running.close()


@pytest.fixture
async def simulator(process: SimulatorProcess) -> AsyncIterator[SimulatorProcess]:
    yield process
    await set_faults(process.control_url)


@pytest.fixture
async def gateway(simulator: SimulatorProcess) -> AsyncIterator[SimulatedGateway]:
    async with opened(simulator.url) as client:
        yield client


@pytest.fixture
def device() -> str:
    return f"device-{next(_numbers)}"


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[SimulatedGateway]:
    client = SimulatedGateway({"url": url})
    try:
        yield client
    finally:
        await client.close()


def message(device: str, text: str = "Hello", **fields: Any) -> OutgoingMessage:
    return OutgoingMessage(message_id=uuid4(), device_id=device, phone=PHONE, text=text, **fields)


Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def listening(handler: Handler) -> AsyncIterator[str]:
    """The URL of a server that does with each connection what ``handler`` does, and then closes it."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await handler(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client went away
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


async def read_request(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(
        int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")
    )
    return head + await reader.readexactly(length)


def answering(answer: bytes) -> Handler:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(answer)
        await writer.drain()

    return handler


async def failure(url: str, timeout: float = 5) -> GatewayError:
    """How a send to that address fails."""
    async with opened(url) as client:
        with pytest.raises(GatewayError) as caught:
            await client.send(message("any"), timeout=timeout)
        assert "\n" not in str(caught.value)
        return caught.value


async def test_a_message_arrives_as_it_was_written(
    simulator: SimulatorProcess, gateway: SimulatedGateway, device: str
) -> None:
    sent = message(
        device,
        "Hi  Aisyah 😊\r\n\nhttps://example.com/?a=1&b=%20 \u2018Ni\u2019 \u200d",
        image_url="https://example.com/a b.jpg?x=<1>",
    )
    answer = await gateway.send(sent, timeout=5)
    [arrived] = await accepted(simulator.url, device=device)
    assert arrived["message_id"] == answer.gateway_message_id
    assert (arrived["text"], arrived["image_url"]) == (sent.text, sent.image_url)
    assert (arrived["phone"], arrived["idempotency_key"]) == (PHONE, str(sent.message_id))


async def test_sent_again_it_is_the_same_message(
    simulator: SimulatorProcess, gateway: SimulatedGateway, device: str
) -> None:
    sent = message(device)
    answers = await asyncio.gather(*(gateway.send(sent, timeout=5) for _ in range(20)))
    assert len(set(answers)) == 1
    assert len(await accepted(simulator.url, device=device)) == 1


@pytest.mark.parametrize(
    ("fault", "error", "deliveries"),
    [
        ({"kind": "refuse"}, Refused, 0),
        ({"kind": "refuse", "status": 400}, Refused, 0),
        ({"kind": "refuse", "status": 404}, Refused, 0),
        ({"kind": "rate_limit"}, NotAccepted, 0),
        ({"kind": "offline"}, NotAccepted, 0),
        ({"kind": "fail"}, MaybeAccepted, 0),
        ({"kind": "fail", "status": 502}, MaybeAccepted, 0),
        ({"kind": "fail", "after_accepting": True}, MaybeAccepted, 1),
        ({"kind": "drop"}, MaybeAccepted, 0),
        ({"kind": "drop", "after_accepting": True}, MaybeAccepted, 1),
        ({"kind": "hang"}, MaybeAccepted, 0),
        ({"kind": "hang", "after_accepting": True}, MaybeAccepted, 1),
        ({"kind": "latency", "seconds": 60, "after_accepting": True}, MaybeAccepted, 1),
        ({"kind": "garble"}, MaybeAccepted, 1),
    ],
)
async def test_every_fault_and_what_it_means(
    simulator: SimulatorProcess,
    gateway: SimulatedGateway,
    device: str,
    fault: dict[str, Any],
    error: type[GatewayError],
    deliveries: int,
) -> None:
    await gateway.send(message(f"{device}-before"), timeout=5)  # the fault meets a connection that is in use
    await set_faults(simulator.url, {**fault, "device": device})
    with pytest.raises(error) as caught:
        await gateway.send(message(device), timeout=0.5)
    assert "\n" not in str(caught.value)
    assert len(await accepted(simulator.url, device=device)) == deliveries
    assert len(await requests_log(simulator.url, device=device)) == 1, "a POST must go out once"


async def test_a_refusal_gives_the_gateways_reason(
    simulator: SimulatorProcess, gateway: SimulatedGateway, device: str
) -> None:
    await set_faults(
        simulator.url, {"kind": "refuse", "device": device, "code": "blocked", "reason": "They\nblocked you."}
    )
    with pytest.raises(Refused, match=r"They blocked you\. \(blocked\)"):
        await gateway.send(message(device), timeout=5)
    with pytest.raises(Refused, match="4096"):
        await gateway.send(message(f"{device}-other", "x" * 4097), timeout=5)


async def test_rate_limits_say_when(
    simulator: SimulatorProcess, gateway: SimulatedGateway, device: str
) -> None:
    for fault, least, most in (
        ({"retry_after": 7.5}, 7.5, 7.5),
        ({"retry_after": 30, "as_date": True}, 28, 31),
        ({"retry_after": 0}, 0, 0),
    ):
        await set_faults(simulator.url, {"kind": "rate_limit", "device": device, **fault})
        with pytest.raises(NotAccepted) as caught:
            await gateway.send(message(device), timeout=5)
        assert caught.value.retry_after is not None
        assert least <= caught.value.retry_after <= most
    await set_faults(simulator.url, {"kind": "rate_limit", "device": device, "retry_after": None})
    with pytest.raises(NotAccepted) as caught:
        await gateway.send(message(device), timeout=5)
    assert caught.value.retry_after is None


@pytest.mark.parametrize(
    ("told", "seconds"),
    [
        ("120", 120),
        ("-5", 0),
        ("nan", None),
        ("soon", None),
        ("", None),
        ("inf", 86_400),
        ("1e12", 86_400),
        ("Sun, 06 Nov 1994 08:49:37 GMT", 0),
        ("Sun, 99 Nov 1994 08:49:37 GMT", None),
    ],
)
async def test_retry_after_in_all_its_forms(told: str, seconds: float | None) -> None:
    answer = f"HTTP/1.1 503 Busy\r\nRetry-After: {told}\r\nContent-Length: 0\r\n\r\n".encode()
    async with listening(answering(answer)) as url:
        error = await failure(url)
    assert isinstance(error, NotAccepted)
    assert error.retry_after == seconds


async def test_a_date_counts_by_the_servers_own_clock() -> None:
    theirs = datetime.now(UTC) - timedelta(hours=3)
    answer = (
        "HTTP/1.1 429 Slow down\r\nContent-Length: 0\r\n"
        f"Date: {format_datetime(theirs, usegmt=True)}\r\n"
        f"Retry-After: {format_datetime(theirs + timedelta(seconds=40), usegmt=True)}\r\n\r\n"
    )
    async with listening(answering(answer.encode())) as url:
        error = await failure(url)
    assert isinstance(error, NotAccepted)
    assert error.retry_after == 40


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"", MaybeAccepted),
        (b"HTTP/1.1 200 OK\r\nContent-Le", MaybeAccepted),
        (b'HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n{"id":"sim-', MaybeAccepted),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", MaybeAccepted),
        (b'HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n{"id":7}', MaybeAccepted),
        (b'HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{"id":""}', MaybeAccepted),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnull", MaybeAccepted),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n\xff\xfe\xfd", MaybeAccepted),
        (b"HTTP/1.1 204 No Content\r\n\r\n", MaybeAccepted),
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nabcd", MaybeAccepted),
        (b"220 mail.example.com ESMTP\r\n", MaybeAccepted),
        (b"HTTP/1.1 504 Gateway Timeout\r\nContent-Length: 0\r\n\r\n", MaybeAccepted),
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 9\r\n\r\nNot Found", NotAccepted),
        (b"HTTP/1.1 307 Moved\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n", NotAccepted),
    ],
)
async def test_answers_that_are_none(answer: bytes, error: type[GatewayError]) -> None:
    async with listening(answering(answer)) as url:
        assert type(await failure(url)) is error


async def test_wrong_path_at_the_right_server_is_no_refusal(simulator: SimulatorProcess) -> None:
    error = await failure(f"{simulator.url}/api")
    assert type(error) is NotAccepted
    assert "address" in str(error)


async def test_nothing_listens_there() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        error = await failure(f"http://127.0.0.1:{bound.getsockname()[1]}")
    assert type(error) is NotAccepted
    assert "refuses connections" in str(error)


async def test_offline_everywhere_is_not_accepted(
    simulator: SimulatorProcess, gateway: SimulatedGateway, device: str
) -> None:
    await gateway.send(message(device), timeout=5)  # leaves a connection open, which is cut
    await set_faults(simulator.url, {"kind": "offline"})
    for _ in range(2):
        with pytest.raises(NotAccepted):
            await gateway.send(message(device), timeout=5)
    with pytest.raises(NotAccepted):
        await gateway.recovery(device)
    await set_faults(simulator.control_url)
    await gateway.send(message(device), timeout=5)
    assert len(await accepted(simulator.url, device=device)) == 2


async def test_a_kept_connection_that_broke_meanwhile_is_not_used(tmp_path: Path, device: str) -> None:
    async with running_simulator(tmp_path) as simulator, opened(simulator.url) as client:
        await client.send(message(device), timeout=5)
        simulator.kill()  # on the event loop, which has no time to notice
        with pytest.raises(NotAccepted):
            await client.send(message(device), timeout=5)


async def test_its_name_is_not_known() -> None:
    error = await failure("http://no-such-gateway.invalid:8055")
    assert type(error) is NotAccepted
    assert "name" in str(error)


async def test_the_connection_takes_too_long() -> None:
    with socket.socket() as deaf, socket.socket() as first, socket.socket() as second:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        for filler in (first, second):  # the queue is full: the next connection gets no answer
            filler.setblocking(False)
            filler.connect_ex(deaf.getsockname())
        began = time.monotonic()
        error = await failure(f"http://127.0.0.1:{deaf.getsockname()[1]}", timeout=0.3)
        assert time.monotonic() - began < 5
    assert type(error) is NotAccepted


async def test_a_reset_after_the_request_may_be_an_acceptance() -> None:
    async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.transport.abort()  # the rest is unread: a reset

    async with listening(reset) as url:
        assert type(await failure(url)) is MaybeAccepted


async def test_a_send_is_never_repeated_when_a_kept_connection_breaks() -> None:
    requests = 0

    async def once_and_no_more(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal requests
        await read_request(reader)
        requests += 1
        if requests > 1:
            writer.write(OK)  # a client that repeats finds a server that works
            return
        writer.write(OK)
        await writer.drain()
        await read_request(reader)
        requests += 1

    async with listening(once_and_no_more) as url, opened(url) as client:
        await client.send(message("any"), timeout=5)
        with pytest.raises(MaybeAccepted):
            await client.send(message("any"), timeout=5)
        assert requests == 2


async def test_no_answer_in_time_is_told_in_time(
    simulator: SimulatorProcess, gateway: SimulatedGateway, device: str
) -> None:
    await set_faults(simulator.url, {"kind": "hang", "device": device})
    began = time.monotonic()
    with pytest.raises(MaybeAccepted, match="in time"):
        await gateway.send(message(device), timeout=0.3)
    assert 0.3 <= time.monotonic() - began < 5


async def test_hundreds_at_once(simulator: SimulatorProcess, gateway: SimulatedGateway, device: str) -> None:
    answers = await asyncio.gather(*(gateway.send(message(device), timeout=20) for _ in range(600)))
    assert len({answer.gateway_message_id for answer in answers}) == 600
    assert len(await accepted(simulator.url, device=device)) == 600


async def test_recovery_is_what_the_gateway_says_now(
    simulator: SimulatorProcess, gateway: SimulatedGateway, device: str
) -> None:
    async with aiohttp.ClientSession() as http:
        for setting, recovery in (
            ({}, Recovery.RESEND),
            ({"idempotency": False}, Recovery.LOOK_UP),
            ({"lookup": False}, Recovery.NONE),
            ({"idempotency": True}, Recovery.RESEND),
        ):
            async with http.put(f"{simulator.url}/v1/settings", json={"device": device, **setting}) as answer:
                assert answer.status == 200
            assert await gateway.recovery(device) is recovery


async def test_look_up(simulator: SimulatorProcess, gateway: SimulatedGateway, device: str) -> None:
    sent = message(device)
    assert await gateway.look_up(device, sent.message_id) is None
    answer = await gateway.send(sent, timeout=5)
    assert await gateway.look_up(device, sent.message_id) == answer
    assert await gateway.look_up(f"{device}-other", sent.message_id) is None


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "fail"},
        {"kind": "drop"},
        {"kind": "garble"},
        {"kind": "refuse", "status": 404},
        {"kind": "rate_limit"},
        {"kind": "offline"},
    ],
)
async def test_a_question_without_an_answer_is_never_a_no(
    simulator: SimulatorProcess, gateway: SimulatedGateway, device: str, fault: dict[str, Any]
) -> None:
    await set_faults(simulator.url, {"device": device, "on": "all", **fault})
    with pytest.raises(NotAccepted):
        await gateway.look_up(device, UUID(int=1))
    with pytest.raises(NotAccepted):
        await gateway.recovery(device)


async def test_a_look_up_at_a_wrong_address_is_never_a_no(simulator: SimulatorProcess) -> None:
    async with opened(f"{simulator.url}/api") as client:
        with pytest.raises(NotAccepted):
            await client.look_up("any", UUID(int=1))


async def test_where_messages_cannot_be_looked_up(
    simulator: SimulatorProcess, gateway: SimulatedGateway, device: str
) -> None:
    async with (
        aiohttp.ClientSession() as http,
        http.put(f"{simulator.url}/v1/settings", json={"device": device, "lookup": False}) as answer,
    ):
        assert answer.status == 200
    with pytest.raises(NotAccepted, match="cannot be looked up"):
        await gateway.look_up(device, UUID(int=1))


async def test_errors_are_without_credentials() -> None:
    error = await failure("http://user:secret@127.0.0.1:1")
    assert "secret" not in str(error)


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("pigeon", {}, "pigeon.*simulated"),
        ("simulated", {"url": "ftp://127.0.0.1"}, "url.*http"),
        ("simulated", {"url": "127.0.0.1:8055"}, "url.*http"),
        ("simulated", {"url": "http://127.0.0.1:port"}, "url.*http"),
        ("simulated", {"url": "http://"}, "url.*http"),
        ("simulated", {"url": 8055}, "url"),
        ("simulated", {"colour": "red"}, "colour.*'url'"),
    ],
)
async def test_options_that_cannot_be_used(name: str, options: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidInput, match=said) as caught:
        validate_options(name, options)
    assert "\n" not in str(caught.value)
    with pytest.raises(InvalidInput, match=said):
        open_gateway(name, options)


async def test_gateways_are_opened_once_for_each_set_of_options(
    simulator: SimulatorProcess, device: str
) -> None:
    assert NAMES == ("simulated",)
    validate_options("simulated", {})
    gateways = Gateways(simulator.url)
    try:
        by_default = await gateways.of("simulated", {})
        assert await gateways.of("simulated", {"url": simulator.url}) is by_default
        other = await gateways.of("simulated", {"url": "http://127.0.0.1:1"})
        assert other is not by_default
        await by_default.send(message(device), timeout=5)
        with pytest.raises(NotAccepted):
            await other.send(message(device), timeout=5)
    finally:
        await gateways.close()
    homeless = Gateways()
    with pytest.raises(InvalidInput, match="'url'"):
        await homeless.of("simulated", {})
    await homeless.close()
