"""The clients of Wablas and Whacenter against a real HTTP server: what they ask for, and what each answer means."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from messaging.common.errors import InvalidInput
from messaging.gateways import open_gateway, validate_options
from messaging.gateways.base import (
    DeviceUnfit,
    Gateway,
    GatewayError,
    Images,
    MaybeAccepted,
    NotAccepted,
    OutgoingMessage,
    Recovery,
    Refused,
    Unauthentic,
)
from messaging.gateways.wablas import WablasGateway
from messaging.gateways.whacenter import WhacenterGateway
from tests.support.gateway_server import GatewayServer, failure_of, message, opened
from tests.support.wire import serving

DIGITS = "12015550123"
CREDENTIAL = "8f2eNotACredential/x"
IMAGE = "https://example.com/a%20b.jpg?x=1&y=2"
TEXT = "Hi 😊\n50% & more = *b*"


@dataclass(frozen=True)
class Platform:
    """What differs from one platform to the other."""

    name: str
    option: str
    """The credential's."""
    yes: Any


WABLAS = Platform(
    "wablas",
    "token",
    {"status": True, "message": "Message is pending", "data": {"quota": 33, "messages": [{"id": "a1b-2"}]}},
)
WHACENTER = Platform("whacenter", "device_id", {"status": True, "message": "ok", "data": {"id": "a1b-2"}})


@pytest.fixture
async def server() -> AsyncIterator[GatewayServer]:
    async with serving(GatewayServer(None)) as running:
        yield running


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLATFORM_CREDENTIAL", CREDENTIAL)


@pytest.fixture(params=[WABLAS, WHACENTER], ids=lambda platform: platform.name)
def platform(request: pytest.FixtureRequest) -> Platform:
    chosen: Platform = request.param
    return chosen


def client_of(platform: Platform, url: str, **others: str) -> Gateway:
    given = others or {f"{platform.option}_env": "PLATFORM_CREDENTIAL"}
    return open_gateway(platform.name, {"url": url, **given})


@pytest.fixture
async def gateway(server: GatewayServer, platform: Platform) -> AsyncIterator[Gateway]:
    server.answer = platform.yes
    async with opened(client_of(platform, server.url)) as client:
        yield client


failure = partial(failure_of, secrets=(CREDENTIAL[:8],))


# What they ask for


@pytest.mark.parametrize(
    ("sent", "path", "fields"),
    [
        (message(TEXT), "/api/send-message", {"phone": DIGITS, "message": TEXT}),
        (
            message(TEXT, image_url=IMAGE),
            "/api/send-image",
            {"phone": DIGITS, "image": IMAGE, "caption": TEXT},
        ),
        (message("", image_url=IMAGE), "/api/send-image", {"phone": DIGITS, "image": IMAGE}),
    ],
)
async def test_wablas(
    server: GatewayServer, sent: OutgoingMessage, path: str, fields: dict[str, str]
) -> None:
    server.answer = WABLAS.yes
    async with opened(client_of(WABLAS, server.url)) as gateway:
        assert (await gateway.send(sent, timeout=5)).gateway_message_id == "a1b-2"
    (request,) = server.requests
    assert (request.method, request.path, request.form()) == ("POST", path, fields)
    assert request.headers["authorization"] == CREDENTIAL


@pytest.mark.parametrize(
    ("sent", "fields"),
    [
        (message(TEXT), {"message": TEXT}),
        (message(TEXT, image_url=IMAGE), {"message": TEXT, "file": IMAGE}),
        (message("", image_url=IMAGE), {"message": "", "file": IMAGE}),
    ],
)
async def test_whacenter(server: GatewayServer, sent: OutgoingMessage, fields: dict[str, str]) -> None:
    server.answer = WHACENTER.yes
    async with opened(client_of(WHACENTER, server.url)) as gateway:
        assert (await gateway.send(sent, timeout=5)).gateway_message_id == "a1b-2"
    (request,) = server.requests
    assert (request.method, request.path) == ("POST", "/api/send")
    form = {name: part.value.decode() for name, part in request.parts().items()}
    assert form == {"device_id": CREDENTIAL, "number": DIGITS, **fields}
    assert "authorization" not in request.headers


async def test_what_they_can_do(gateway: Gateway) -> None:
    can = gateway.capabilities
    assert (can.images, can.text_limit, can.caption_limit) == (Images.LINK, 4096, 1024)
    assert not any((can.idempotency, can.look_up, can.receipts, can.templates, can.service_window))
    assert await gateway.recovery("any") is Recovery.NONE
    with pytest.raises(Unauthentic):
        gateway.read_webhook({}, b"{}")


def test_where_they_are() -> None:
    assert WablasGateway.check({"token_env": "X"}).url == "https://my.wablas.com"
    assert WhacenterGateway.check({"device_id_env": "X"}).url == "https://api.whacenter.com"


# What answers mean


@pytest.mark.parametrize(
    ("data", "identifier"),
    [
        ({"messages": [{"id": 7}], "id": 7}, "7"),
        ({"messages": [{}], "message_id": ""}, None),
        ({"messages": ["x"], "id": {}}, None),
        ({"messages": []}, None),
        ([], None),
        (None, None),
    ],
)
async def test_a_yes_is_one_without_an_id(
    server: GatewayServer, gateway: Gateway, data: Any, identifier: str | None
) -> None:
    server.answer = {"status": True, "data": data}
    assert (await gateway.send(message(TEXT), timeout=5)).gateway_message_id == identifier


async def test_another_name_of_the_id(server: GatewayServer) -> None:
    server.answer = {"status": True, "data": {"message_id": "m-1"}}
    async with opened(client_of(WHACENTER, server.url)) as gateway:
        assert (await gateway.send(message(TEXT), timeout=5)).gateway_message_id == "m-1"


@pytest.mark.parametrize(
    ("status", "answer"),
    [
        (200, {}),
        (200, []),
        (200, None),
        (200, b"<html>OK</html>"),
        (200, {"status": "true"}),
        (200, {"status": None, "message": "token invalid"}),
        (200, {"status": 0}),
        (500, b""),
        (500, {"status": True}),
        (500, {"message": "Server Error"}),
        (502, b"<html>Bad gateway</html>"),
        (503, b"<html>Unavailable</html>"),
        (504, b""),
    ],
)
async def test_what_is_neither_yes_nor_no(
    server: GatewayServer, gateway: Gateway, status: int, answer: Any
) -> None:
    server.status, server.answer = status, answer
    assert type(await failure(gateway)) is MaybeAccepted
    assert len(server.requests) == 1


UNFIT = [
    "token invalid",
    "Token expired",
    "Your device is not connected",
    "device not connected or not found",
    "Device disconnected, please scan the QR code",
    "your quota has run out",
    "Your package has expired",
    "Invalid token, please try again",
    "perangkat tidak terhubung",
]
LATER = ["Too many requests for this device", "Server maintenance", "Please try again later"]
NO = ["phone number is not registered", "Number not valid", "message is required", "image url not valid", ""]


@pytest.mark.parametrize("field", ["message", "msg"])
@pytest.mark.parametrize("status", [200, 400, 500])
@pytest.mark.parametrize(
    ("words", "kind"),
    [
        *((words, DeviceUnfit) for words in UNFIT),
        *((words, NotAccepted) for words in LATER),
        *((words, Refused) for words in NO),
    ],
)
async def test_a_no_is_one_whatever_the_status(
    server: GatewayServer, gateway: Gateway, field: str, status: int, words: str, kind: type[GatewayError]
) -> None:
    server.status, server.answer = status, {"status": False, field: words}
    error = await failure(gateway)
    assert type(error) is kind
    assert words in str(error)
    if kind is DeviceUnfit:
        assert f"see at {server.url}" in str(error)


@pytest.mark.parametrize(
    ("status", "kind"),
    [(401, DeviceUnfit), (403, DeviceUnfit), (429, NotAccepted), (503, NotAccepted)],
)
async def test_a_no_without_words(
    server: GatewayServer, gateway: Gateway, status: int, kind: type[GatewayError]
) -> None:
    server.status, server.answer, server.headers = status, {"status": False}, {"Retry-After": "9"}
    error = await failure(gateway)
    assert type(error) is kind
    assert str(status) in str(error)
    if type(error) is NotAccepted:
        assert error.retry_after == 9


@pytest.mark.parametrize(
    ("status", "kind"), [(400, Refused), (401, DeviceUnfit), (404, DeviceUnfit), (429, NotAccepted)]
)
async def test_a_status_that_speaks_alone(
    server: GatewayServer, gateway: Gateway, status: int, kind: type[GatewayError]
) -> None:
    server.status, server.answer = status, b"<html></html>"
    assert type(await failure(gateway)) is kind


# Credentials


@pytest.mark.parametrize("status", [200, 401, 500])
@pytest.mark.parametrize(
    "words",
    [f"bad {CREDENTIAL}\n{CREDENTIAL}", "x" * 490 + CREDENTIAL, f"?token={CREDENTIAL.replace('/', '%2F')}"],
)
async def test_the_credential_is_in_no_error(
    server: GatewayServer, gateway: Gateway, status: int, words: str
) -> None:
    for verdict in (False, True, None):
        for field in ("message", "msg", "reason"):
            server.status, server.answer = status, {"status": verdict, field: words}
            if (status, verdict) != (200, True):
                await failure(gateway)


async def test_no_credential_is_kept(gateway: Gateway) -> None:
    await gateway.send(message(TEXT), timeout=5)
    assert CREDENTIAL not in f"{gateway!r} {vars(gateway)!r}"


async def test_a_new_credential_is_used_at_once(
    server: GatewayServer, platform: Platform, tmp_path: Path
) -> None:
    server.answer = platform.yes
    file = tmp_path / "credential"
    async with opened(client_of(platform, server.url, **{f"{platform.option}_file": str(file)})) as gateway:
        assert type(await failure(gateway)) is DeviceUnfit
        for credential in ("first", "second"):
            file.write_text(f"{credential}\n")
            file.chmod(0o600)
            await gateway.send(message(TEXT), timeout=5)
    given = [
        request.headers.get("authorization") or request.parts()["device_id"].value.decode()
        for request in server.requests
    ]
    assert given == ["first", "second"]


@pytest.mark.parametrize("credential", ["", "  ", "two\nlines", "two words", "tökén"])
async def test_without_a_usable_credential_nothing_is_sent(
    server: GatewayServer, gateway: Gateway, monkeypatch: pytest.MonkeyPatch, credential: str
) -> None:
    monkeypatch.setenv("PLATFORM_CREDENTIAL", credential)
    error = await failure(gateway)
    assert type(error) is DeviceUnfit
    assert not credential.strip() or credential not in str(error)
    assert server.requests == []


def test_options_that_cannot_be_used(platform: Platform) -> None:
    needed = {f"{platform.option}_env": "PLATFORM_CREDENTIAL"}
    for given, said in (
        ({}, f"{platform.option}_env=VARIABLE"),
        ({**needed, "url": "wablas.com"}, "url.*http"),
        ({**needed, f"{platform.option}_file": "/run/x"}, "one of the two"),
        ({platform.option: CREDENTIAL}, "credentials are not stored"),
        ({**needed, "colour": "red"}, "colour.*url"),
    ):
        with pytest.raises(InvalidInput, match=said) as caught:
            validate_options(platform.name, given)
        assert CREDENTIAL not in str(caught.value)


@pytest.mark.parametrize(
    ("words", "known"),
    [
        ("phone number is not registered on WhatsApp", True),
        ("nomor tujuan tidak terdaftar", True),
        ("invalid phone number", True),
        ("Nomor salah", True),
        ("error code 4711 of account 12", False),
        ("message template rejected", False),
    ],
)
async def test_what_nobody_knows_is_alike_but_for_its_numbers(
    server: GatewayServer, gateway: Gateway, words: str, known: bool
) -> None:
    signs = []
    for number in ("", " 12015550123", " 12015550124"):
        server.answer = {"status": False, "message": words + number}
        error = await failure(gateway)
        assert isinstance(error, Refused)
        signs.append(error.sign)
    assert len(set(signs)) == 1
    assert (signs[0] is None) == known
