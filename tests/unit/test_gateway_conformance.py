"""What Drumbeat relies on with every gateway, tried on each one that is registered and on the one of docs/gateways.md.

A gateway's case in ``tests/gateways`` says how its requests look and what its answers mean. Servers are raw sockets on
this machine, see ``tests/support/wire.py``.
"""

import asyncio
import gzip
import json
import time
import traceback
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from importlib import import_module
from typing import Any
from urllib.parse import unquote_to_bytes
from uuid import uuid4

import pytest

from messaging.common.errors import InvalidInput
from messaging.gateways import KINDS, capabilities_of, http, kind_of, open_gateway, validate_options
from messaging.gateways.base import (
    Accepted,
    DeviceUnfit,
    Gateway,
    GatewayError,
    Images,
    MaybeAccepted,
    NotAccepted,
    Recovery,
    Refused,
    Unauthentic,
)
from messaging.gateways.options import Options
from tests.gateways import guide
from tests.gateways.case import DEVICE, OURS, GatewayCase, image_message, text_message
from tests.support.wire import UNKNOWN_NAME, Act, Fault, Raw, Reply, deaf, refusing, wire

TO_WRITE = (
    "the gateway {name!r} has no case for the conformance suite: write tests/gateways/{module}.py with a CASE, a"
    " GatewayCase (tests/gateways/case.py); docs/gateways.md, 'Adding a gateway', shows one"
)
THE_GUIDES = "the guide's"
"""The example of docs/gateways.md, which conforms as well."""

LOCAL = "http://127.0.0.1:1"
PACKED = Reply(200, gzip.compress(b" " * 50_000_000, mtime=0), {"Content-Encoding": "gzip"})
HTML = b"<html>It works!</html>"


def case_of(name: str) -> GatewayCase:
    """The gateway's case. Fails with words that say what to write where there is none."""
    module = name.replace("-", "_")
    try:
        case = import_module(f"tests.gateways.{module}").CASE
    except (ModuleNotFoundError, AttributeError):
        pytest.fail(TO_WRITE.format(name=name, module=module), pytrace=False)
    assert isinstance(case, GatewayCase)
    assert case.name == name
    return case


@pytest.fixture(params=[*KINDS, THE_GUIDES])
def named(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> GatewayCase:
    if request.param == THE_GUIDES:
        guide.write(monkeypatch)
        return case_of(guide.NAME)
    return case_of(request.param)


@pytest.fixture
def case(named: GatewayCase, monkeypatch: pytest.MonkeyPatch) -> GatewayCase:
    """Each gateway's case, with its credentials in the environment."""
    for variable, value in named.environment.items():
        monkeypatch.setenv(variable, value)
    return named


@asynccontextmanager
async def opened(case: GatewayCase, url: str) -> AsyncIterator[Gateway]:
    gateway = open_gateway(case.name, case.options(url))
    try:
        yield gateway
    finally:
        await gateway.close()


def readable(error: Exception, case: GatewayCase) -> None:
    """One line, and no credential even in the traceback that a log may show."""
    text = str(error)
    assert text.strip() == text
    assert text
    assert len(text.splitlines()) == 1
    shown = f"{error!r}" + "".join(traceback.format_exception(error))
    for secret in case.secrets:
        assert secret not in shown


async def failure(case: GatewayCase, url: str, timeout: float = 5) -> GatewayError:
    """How a send to that address fails."""
    async with opened(case, url) as gateway:
        with pytest.raises(GatewayError) as caught:
            await gateway.send(text_message(), timeout=timeout)
    readable(caught.value, case)
    assert url.split("//")[1] in str(caught.value), "the error says which gateway it was"
    return caught.value


async def answered(case: GatewayCase, *acts: Act) -> GatewayError:
    """How a send fails when the server does this; the request went out exactly once."""
    async with wire(*acts, case.accepted) as server:
        error = await failure(case, server.url)
        await server.idle()
        assert len(server.requests) == 1, "a request must go out once"
    return error


# What it sends


async def test_a_text(case: GatewayCase) -> None:
    async with wire(case.accepted) as server, opened(case, server.url) as gateway:
        answer = await gateway.send(text_message(), timeout=5)
        assert answer == Accepted(gateway_message_id=case.gateway_message_id)
        [request] = server.requests
        case.check_text(request)


async def test_an_image(case: GatewayCase) -> None:
    images = capabilities_of(case.name).images
    if images is Images.NONE:
        assert case.check_image is None
        return
    assert case.check_image is not None
    async with wire(case.accepted) as server, opened(case, server.url) as gateway:
        answer = await gateway.send(image_message(images), timeout=5)
        assert answer == Accepted(gateway_message_id=case.gateway_message_id)
        case.check_image(server.requests[-1])


async def test_many_at_once(case: GatewayCase) -> None:
    async with wire(case.accepted) as server, opened(case, server.url) as gateway:
        messages = [text_message().model_copy(update={"message_id": uuid4()}) for _ in range(30)]
        await asyncio.gather(*(gateway.send(message, timeout=20) for message in messages))
        assert len(server.requests) == 30


# No connection: nothing was accepted


async def test_its_name_is_not_known(case: GatewayCase) -> None:
    error = await failure(case, UNKNOWN_NAME)
    assert type(error) is NotAccepted
    assert "name is not known" in str(error)


async def test_nothing_listens_there(case: GatewayCase) -> None:
    with refusing() as url:
        error = await failure(case, url)
    assert type(error) is NotAccepted
    assert "refuses connections" in str(error)


async def test_it_speaks_no_tls(case: GatewayCase) -> None:
    async with wire(Raw(b"220 mail.example.com ESMTP\r\n", waits="byte")) as server:
        error = await failure(case, server.url.replace("http://", "https://"))
    assert type(error) is NotAccepted
    assert "TLS" in str(error)


@pytest.mark.parametrize(("timeout", "connect"), [(0.2, 5.0), (30.0, 0.2)])
async def test_the_connection_takes_too_long(
    case: GatewayCase, monkeypatch: pytest.MonkeyPatch, timeout: float, connect: float
) -> None:
    monkeypatch.setattr(http, "CONNECT_TIMEOUT", connect)
    with deaf() as url:
        began = time.monotonic()
        error = await failure(case, url, timeout)
        assert time.monotonic() - began < 5
    assert type(error) is NotAccepted
    assert "in time" in str(error)


async def test_a_reset_before_the_request_is_no_refusal(case: GatewayCase) -> None:
    async with wire(Fault.RESET_AT_ONCE, case.accepted) as server:
        error = await failure(case, server.url)
        await server.idle()
        assert server.requests == [], "it must not be tried again"
    assert type(error) in (NotAccepted, MaybeAccepted)


# The request went out, and no usable answer came


@pytest.mark.parametrize(
    "act",
    [
        Fault.RESET,
        Fault.CLOSE,
        Raw(b"HTTP/1.1 200 OK\r\nContent-Le"),
        Raw(b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{"'),
        Raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n"),
        Raw(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nabcd"),
        Raw(b"220 mail.example.com ESMTP\r\n"),
        Raw(b"HTTP/1.1 204 No Content\r\n\r\n"),
        Reply(200, HTML),
        Reply(200, b""),
        Reply(200, b"\xff\xfe\xfd"),
        Reply(200, b"[" * 100_000),
        Reply(200, b'{"a": "' + b" " * 300_000),
        PACKED,
        Reply(200, {}),
        Reply(200, []),
        Reply(200, None),
        Reply(200, "yes"),
        Reply(200, 1),
    ],
    ids=lambda act: str(act)[:70],
)
async def test_what_is_neither_yes_nor_no(case: GatewayCase, act: Act) -> None:
    error = await answered(case, act)
    assert type(error) is MaybeAccepted
    assert ": " in str(error), "the error says the cause"


async def test_the_rest_of_the_request_is_not_read(case: GatewayCase) -> None:
    async with wire(Raw(b"", waits="byte"), case.accepted) as server:
        error = await failure(case, server.url)
        assert server.requests == []
    assert type(error) is MaybeAccepted


async def test_no_answer_in_time_is_told_in_time(case: GatewayCase) -> None:
    async with wire(Fault.HANG) as server:
        began = time.monotonic()
        error = await failure(case, server.url, timeout=0.3)
        assert 0.3 <= time.monotonic() - began < 5
        assert len(server.requests) == 1
    assert type(error) is MaybeAccepted
    assert "in time" in str(error)


async def test_who_sent_it_may_give_up(case: GatewayCase) -> None:
    async with wire(Fault.HANG, case.accepted) as server, opened(case, server.url) as gateway:
        sending = asyncio.create_task(gateway.send(text_message(), timeout=20))
        while not server.requests:
            await asyncio.sleep(0)
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        await server.idle()
        await gateway.send(text_message(), timeout=5)


# Connections that are kept


@pytest.mark.parametrize("then", ["close", "reset"])
async def test_a_kept_connection_that_broke_meanwhile_is_not_used(case: GatewayCase, then: Any) -> None:
    kept = case.accepted
    last = Reply(kept.status, kept.body, kept.headers, then=then)
    async with wire(last, kept) as server, opened(case, server.url) as gateway:
        await gateway.send(text_message(), timeout=5)
        await server.idle()
        await gateway.send(text_message(), timeout=5)
        assert len(server.requests) == 2


async def test_a_send_is_never_repeated_when_a_kept_connection_breaks(case: GatewayCase) -> None:
    async with (
        wire(case.accepted, Fault.CLOSE, case.accepted) as server,
        opened(case, server.url) as gateway,
    ):
        await gateway.send(text_message(), timeout=5)
        with pytest.raises(MaybeAccepted):
            await gateway.send(text_message(), timeout=5)
        await server.idle()
        assert len(server.requests) == 2


# Answers other than a yes


@pytest.mark.parametrize(
    ("status", "usual"),
    [
        (400, Refused),
        (401, DeviceUnfit),
        (403, DeviceUnfit),
        (404, DeviceUnfit),
        (409, NotAccepted),
        (413, Refused),
        (429, NotAccepted),
        (500, MaybeAccepted),
        (502, MaybeAccepted),
        (503, NotAccepted),
        (504, MaybeAccepted),
    ],
)
@pytest.mark.parametrize("body", [HTML, b"", {}], ids=["html", "nothing", "object"])
async def test_a_status_that_speaks_alone(
    case: GatewayCase, status: int, usual: type[GatewayError], body: Any
) -> None:
    error = await answered(case, Reply(status, body))
    assert type(error) is case.statuses.get(status, usual)
    assert str(status) in str(error)


@pytest.mark.parametrize("status", [400, 401, 500])
async def test_a_status_speaks_though_the_body_never_ends(case: GatewayCase, status: int) -> None:
    bare = await answered(case, Reply(status, b""))
    endless = await answered(case, Reply(status, b" " * 300_000))
    assert (type(endless), str(status) in str(endless)) == (type(bare), True)


async def test_a_packed_yes_is_understood(case: GatewayCase) -> None:
    yes = case.accepted
    body = yes.body if isinstance(yes.body, bytes) else json.dumps(yes.body).encode()
    packed = Reply(yes.status, gzip.compress(body, mtime=0), {**yes.headers, "Content-Encoding": "gzip"})
    async with wire(packed) as server, opened(case, server.url) as gateway:
        answer = await gateway.send(text_message(), timeout=5)
        assert answer == Accepted(gateway_message_id=case.gateway_message_id)
        assert server.requests[0].headers["accept-encoding"] == "identity"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed(case: GatewayCase, status: int) -> None:
    async with wire(case.accepted) as elsewhere:
        error = await answered(case, Reply(status, b"", {"Location": f"{elsewhere.url}/elsewhere"}))
        assert elsewhere.requests == []
    assert type(error) is case.statuses.get(status, DeviceUnfit)


@pytest.mark.parametrize(
    ("told", "seconds"),
    [
        ("120", 120),
        ("7.5", 7.5),
        ("0", 0),
        ("-5", 0),
        ("inf", 900),
        ("1e12", 900),
        ("86400", 900),
        ("9" * 400, 900),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 900),
        ("Mon, 01 Jan 99999999999999999999 00:00:00 GMT", None),
        ("Sun, 06 Nov 1994 08:49:37 GMT", 0),
        ("Sun, 06 Nov 1994 08:49:37 -0000", 0),
        (None, None),
        ("nan", None),
        ("soon", None),
        ("", None),
        ("Sun, 99 Nov 1994 08:49:37 GMT", None),
    ],
)
async def test_too_many_requests(case: GatewayCase, told: str | None, seconds: float | None) -> None:
    error = await answered(case, Reply(429, HTML, {} if told is None else {"Retry-After": told}))
    assert type(error) is NotAccepted
    if seconds is None:
        # The gateway's own module knows for how long, or nobody does.
        assert error.retry_after is None or 0 < error.retry_after < 3600
    else:
        assert error.retry_after == seconds


async def test_a_date_counts_by_the_servers_own_clock(case: GatewayCase) -> None:
    theirs = datetime.now(UTC) - timedelta(hours=3)
    headers = {
        "Date": format_datetime(theirs, usegmt=True),
        "Retry-After": format_datetime(theirs + timedelta(seconds=40), usegmt=True),
    }
    error = await answered(case, Reply(429, HTML, headers))
    assert isinstance(error, NotAccepted)
    assert error.retry_after == 40


async def test_its_own_ways_to_say_no(case: GatewayCase) -> None:
    assert case.refusals
    for label, reply, kind in case.refusals:
        error = await answered(case, reply)
        assert type(error) is kind, f"{label}: {error!r}"


def _echo(words: str) -> dict[str, Any]:
    fields: dict[str, Any] = dict.fromkeys(("message", "msg", "code", "reason", "details", "title"), words)
    return {**fields, "status": False, "error": {**fields, "error_data": {"details": words}}}


@pytest.mark.parametrize("status", [200, 400, 401, 500])
async def test_no_words_of_the_gateway_bring_a_credential_into_an_error(
    case: GatewayCase, status: int
) -> None:
    async with wire(case.accepted) as server, opened(case, server.url) as gateway:
        await gateway.send(text_message(), timeout=5)
        known = unquote_to_bytes(server.requests[0].raw).decode()
    for secret in case.secrets:
        if secret not in known:
            continue  # the gateway cannot repeat what it was not told
        # Long words are cut, and a half of a credential is one, too.
        for words in (f"bad: {secret}\r\n\n{secret}", "x" * 490 + secret):
            error = await answered(case, Reply(status, _echo(words)))
            assert secret[:8] not in f"{error} {error!r}"


# What became of a message


async def test_how_to_find_out(case: GatewayCase) -> None:
    can, question = capabilities_of(case.name), case.question
    assert (question is not None) == (can.idempotency or can.look_up), "what can be asked is in the case"
    if question is None:
        async with wire() as server, opened(case, server.url) as gateway:
            assert await gateway.recovery(DEVICE) is Recovery.NONE
            with pytest.raises(NotAccepted) as caught:
                await gateway.look_up(DEVICE, OURS)
            readable(caught.value, case)
            assert server.requests == []
        return
    ways = {Recovery.NONE}
    for reply, recovery in question.recovery:
        async with wire(reply) as server, opened(case, server.url) as gateway:
            assert await gateway.recovery(DEVICE) is recovery
        ways.add(recovery)
    assert (Recovery.RESEND in ways, Recovery.LOOK_UP in ways) == (can.idempotency, can.look_up)
    assert (question.found is not None and question.unknown is not None) == can.look_up


async def test_a_look_up(case: GatewayCase) -> None:
    question = case.question
    if question is None or question.found is None or question.unknown is None:
        return
    async with wire(question.found, question.unknown) as server, opened(case, server.url) as gateway:
        known = await gateway.look_up(DEVICE, OURS)
        assert known == Accepted(gateway_message_id=case.gateway_message_id)
        assert await gateway.look_up(DEVICE, OURS) is None
        assert {request.method for request in server.requests} == {"GET"}


@pytest.mark.parametrize(
    "act",
    [
        Fault.RESET,
        Fault.CLOSE,
        Reply(200, HTML),
        Reply(200, {}),
        Reply(302, b"", {"Location": "/elsewhere"}),
        Reply(401, HTML),
        Reply(404, HTML),
        Reply(404, {}),
        Reply(429, HTML),
        Reply(500, HTML),
        Reply(503, HTML),
    ],
    ids=lambda act: str(act)[:70],
)
async def test_a_question_without_an_answer_is_never_a_no(case: GatewayCase, act: Act) -> None:
    if case.question is None or case.question.found is None:
        return
    async with wire(act) as server, opened(case, server.url) as gateway:
        with pytest.raises(NotAccepted) as caught:
            await gateway.look_up(DEVICE, OURS)
        readable(caught.value, case)
        if isinstance(act, Reply) and act.body == {} and act.status == 200:
            return  # a gateway that says nothing of what it can do can do nothing
        with pytest.raises(NotAccepted) as caught:
            await gateway.recovery(DEVICE)
        readable(caught.value, case)


# Webhooks


async def test_who_does_not_sign_is_not_believed(case: GatewayCase) -> None:
    async with opened(case, LOCAL) as gateway:
        for body in (b"", b"{}", b"[]", HTML, b"\xff\xfe"):
            for headers in ({}, {"content-type": "application/json"}):
                with pytest.raises(Unauthentic) as caught:
                    gateway.read_webhook(headers, body)
                readable(caught.value, case)
        for query in ({}, {"hub.mode": "subscribe", "hub.verify_token": "", "hub.challenge": "1"}):
            with pytest.raises(Unauthentic) as caught:
                gateway.challenge(query)
            readable(caught.value, case)


# Options and credentials


def refused_options(case: GatewayCase, options: Mapping[str, Any], *words: str) -> None:
    for attempt in (validate_options, open_gateway):
        with pytest.raises(InvalidInput) as caught:
            attempt(case.name, options)
        readable(caught.value, case)
        for word in words:
            assert word in str(caught.value)


def _credentials(case: GatewayCase) -> list[str]:
    given = case.options(LOCAL)
    return [option.removesuffix("_env") for option in given if option.endswith("_env")]


def test_the_options_of_the_case_can_be_used(case: GatewayCase) -> None:
    validate_options(case.name, case.options(LOCAL))
    understood = _understood(case)
    fields = {field.removesuffix("_env") for field in type(understood).model_fields if field.endswith("_env")}
    assert set(_credentials(case)) == fields, "the case gives every credential, as …_env"
    assert {case.options(LOCAL)[f"{name}_env"] for name in fields} == set(case.environment)
    shown = f"{understood!r} {understood}"
    assert not any(secret in shown for secret in case.secrets)


@pytest.mark.parametrize(
    "url",
    [
        "ftp://127.0.0.1",
        "127.0.0.1:8055",
        "http://127.0.0.1:port",
        "http://127.0.0.1:0",
        "http://",
        "http://127.0.0.1/?a=1",
        "http://127.0.0.1/ x",
        8055,
        None,
    ],
)
def test_an_address_that_is_none(case: GatewayCase, url: Any) -> None:
    if url is None and type(_understood(case)).model_fields["url"].default is None:
        return  # the worker may have one for it
    refused_options(case, {**case.options(LOCAL), "url": url}, "url")


def test_an_address_with_a_credential_in_it(case: GatewayCase) -> None:
    given = {**case.options(LOCAL), "url": "http://somebody:hunter2@127.0.0.1:8055"}
    with pytest.raises(InvalidInput, match="credentials") as caught:
        validate_options(case.name, given)
    assert "hunter2" not in str(caught.value)


def test_an_option_that_is_not_known(case: GatewayCase) -> None:
    refused_options(case, {**case.options(LOCAL), "colour": "red"}, "colour", "url")


def test_a_credential_is_no_option(case: GatewayCase) -> None:
    for name in _credentials(case):
        given = {**case.options(LOCAL), name: case.environment[case.options(LOCAL)[f"{name}_env"]]}
        refused_options(case, given, name, "not stored", f"{name}_env=VARIABLE")


def test_a_credential_is_in_one_place(case: GatewayCase) -> None:
    for name in _credentials(case):
        given = {**case.options(LOCAL), f"{name}_file": "token.txt"}
        refused_options(case, given, f"{name}_env", f"{name}_file", "one of the two")


def test_a_credential_that_is_needed(case: GatewayCase) -> None:
    for name in type(_understood(case)).needs:
        given = {key: value for key, value in case.options(LOCAL).items() if key != f"{name}_env"}
        refused_options(case, given, f"{name}_env=VARIABLE")


async def test_without_its_credentials_nothing_is_sent(
    case: GatewayCase, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with wire(case.accepted) as server, opened(case, server.url) as gateway:
        await gateway.send(text_message(), timeout=5)
        for name in _credentials(case):
            variable = case.options(LOCAL)[f"{name}_env"]
            for missing in (None, "", "  "):
                if missing is None:
                    monkeypatch.delenv(variable)
                else:
                    monkeypatch.setenv(variable, missing)
                before = len(server.requests)
                error = await _unfit(gateway)
                if error is not None:
                    readable(error, case)
                    assert variable in str(error)
                    assert len(server.requests) == before
                else:
                    assert name not in type(_understood(case)).needs
                    assert server.requests[-1].raw == server.requests[0].raw, "it is not for sending at all"
            monkeypatch.setenv(variable, case.environment[variable])


@pytest.mark.parametrize("credential", ["two\nlines", "two\r\nX-Other: lines", "tökén", "\x00nul", "😊"])
async def test_a_credential_that_no_request_can_carry(
    case: GatewayCase, monkeypatch: pytest.MonkeyPatch, credential: str
) -> None:
    async with wire(case.accepted) as server, opened(case, server.url) as gateway:
        for name in _credentials(case):
            variable = case.options(LOCAL)[f"{name}_env"]
            # The environment holds no NUL; a file may.
            monkeypatch.setattr("os.environ", {**case.environment, variable: credential})
            error = await _unfit(gateway)
            if error is not None:
                readable(error, case)
                assert credential not in str(error)
        for request in server.requests:
            assert "x-other" not in request.headers


async def _unfit(gateway: Gateway) -> DeviceUnfit | None:
    """How a send fails that perhaps lacks a credential; None where it does not."""
    try:
        await gateway.send(text_message(), timeout=5)
    except DeviceUnfit as error:
        return error
    return None


def _understood(case: GatewayCase) -> Options:
    understood = kind_of(case.name).check(case.options(LOCAL))
    assert isinstance(understood, Options)
    return understood


def test_a_gateway_without_a_case_is_told_what_to_write() -> None:
    with pytest.raises(pytest.fail.Exception, match=r"write tests/gateways/carrier_pigeon\.py with a CASE"):
        case_of("carrier-pigeon")
