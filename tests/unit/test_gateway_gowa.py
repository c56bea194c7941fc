"""The client of GOWA against a real HTTP server: what it asks for, and what each answer means."""

import hashlib
import hmac
import json
from base64 import b64encode
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from messaging.common.errors import InvalidInput
from messaging.gateways.base import (
    DeviceUnfit,
    GatewayError,
    Images,
    MaybeAccepted,
    NotAccepted,
    Picture,
    Recovery,
    Refused,
    Unauthentic,
    WrongContent,
)
from messaging.gateways.gowa import GowaGateway
from messaging.gateways.webhook_events import Receipt
from tests.support.gateway_server import OURS, GatewayServer, failure_of, message, opened
from tests.support.wire import serving

JID = "12015550123@s.whatsapp.net"
PASSWORD = "pä:ss wörd/not-one"
BASIC = b64encode(f"admin:{PASSWORD}".encode()).decode()
SECRET = "not-a-webhook-secret"
YES = {"code": "SUCCESS", "message": "Success", "results": {"message_id": "3EB0B430B6F8", "status": "sent"}}


class Gowa(GatewayServer):
    """GOWA's server."""

    def refuse(self, status: int, code: str, words: str) -> None:
        self.status, self.answer = status, {"code": code, "message": words, "results": None}


@pytest.fixture
async def gowa() -> AsyncIterator[Gowa]:
    async with serving(Gowa(YES)) as server:
        yield server


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOWA_PASSWORD", PASSWORD)
    monkeypatch.setenv("GOWA_WEBHOOK_SECRET", SECRET)


def options(url: str, **others: str) -> dict[str, str]:
    return {"url": url, "username": "admin", "password_env": "GOWA_PASSWORD", **others}


@pytest.fixture
async def gateway(gowa: Gowa) -> AsyncIterator[GowaGateway]:
    async with opened(GowaGateway(options(gowa.url))) as client:
        yield client


failure = partial(failure_of, secrets=(PASSWORD[:8], BASIC[:12]))


# What it asks for


async def test_a_text(gowa: Gowa, gateway: GowaGateway) -> None:
    answer = await gateway.send(message("Hi 😊\n*b*"), timeout=5)
    assert answer.gateway_message_id == "3EB0B430B6F8"
    (request,) = gowa.requests
    assert (request.method, request.path) == ("POST", "/send/message")
    assert request.json() == {"phone": JID, "message": "Hi 😊\n*b*"}
    assert request.headers["authorization"] == f"Basic {BASIC}"
    assert "x-device-id" not in request.headers


@pytest.mark.parametrize("media_type", ["image/jpeg", "image/png"])
@pytest.mark.parametrize("caption", ["", "Look: 50% 😊\n<b>now</b>"])
async def test_an_image(gowa: Gowa, gateway: GowaGateway, media_type: Any, caption: str) -> None:
    picture = Picture(content=bytes(range(256)) * 8192, media_type=media_type)
    await gateway.send(message(caption, image_url="https://example.com/a", picture=picture), timeout=5)
    (request,) = gowa.requests
    assert (request.method, request.path) == ("POST", "/send/image")
    parts = request.parts()
    # A server keeps the file under its name while it sends: two messages must not share one.
    assert parts.pop("image") == (picture.content, f"{OURS}-{picture.file_name}", media_type)
    fields = {"phone": JID, "compress": "false"} | ({"caption": caption} if caption else {})
    assert {name: part.value.decode() for name, part in parts.items()} == fields
    assert {part.file_name for part in parts.values()} == {None}


@pytest.mark.parametrize(
    ("device", "header"),
    [
        ("branch-1", "branch-1"),
        ("12015550100:3@s.whatsapp.net", "12015550100:3@s.whatsapp.net"),
        ("kl+ü", "kl%2B%C3%BC"),
    ],
)
async def test_the_device(gowa: Gowa, device: str, header: str) -> None:
    async with opened(GowaGateway({"url": f"{gowa.url}/base/", "device": device})) as gateway:
        await gateway.send(message(), timeout=5)
    (request,) = gowa.requests
    assert request.path == "/base/send/message"
    assert request.headers["x-device-id"] == header
    assert "authorization" not in request.headers


async def test_what_it_can_do(gateway: GowaGateway) -> None:
    can = gateway.capabilities
    assert (can.images, can.text_limit, can.caption_limit) == (Images.UPLOAD, 4096, 1024)
    assert not any((can.idempotency, can.look_up, can.receipts, can.templates, can.service_window))
    assert await gateway.recovery("any") is Recovery.NONE


# What answers mean


@pytest.mark.parametrize(
    ("status", "answer"),
    [
        (200, {}),
        (200, []),
        (200, b"<html>OK</html>"),
        (200, {**YES, "code": "OK"}),
        (200, {**YES, "results": None}),
        (200, {**YES, "results": {"message_id": ""}}),
        (200, {**YES, "results": {"message_id": 7}}),
        (500, YES),
        (500, b""),
        (500, {"code": "INTERNAL_SERVER_ERROR", "message": "timed out waiting for message send response"}),
        (502, b"<html>Bad gateway</html>"),
        (
            504,
            {"code": "GATEWAY_TIMEOUT", "message": "Request timed out waiting for WhatsApp server response"},
        ),
        (408, {"code": "CONTEXT_ERROR", "message": "context canceled"}),
    ],
)
async def test_what_is_neither_yes_nor_no(gowa: Gowa, gateway: GowaGateway, status: int, answer: Any) -> None:
    gowa.status, gowa.answer = status, answer
    assert type(await failure(gateway)) is MaybeAccepted
    assert len(gowa.requests) == 1


@pytest.mark.parametrize(
    ("status", "code", "words", "kind", "way_out"),
    [
        (401, "AUTHENTICATION_ERROR", "you are not login", DeviceUnfit, "log the device in at"),
        (500, "INTERNAL_SERVER_ERROR", "you are not logged in", DeviceUnfit, "log the device in at"),
        (
            500,
            "INTERNAL_SERVER_ERROR",
            "Whatsapp client is not initialized",
            DeviceUnfit,
            "log the device in",
        ),
        (500, "INVALID_WA_CLI", "your WhatsApp CLI is invalid or empty", DeviceUnfit, "log the device in"),
        (404, "DEVICE_NOT_FOUND", "device not found; create a device first", DeviceUnfit, "option device"),
        (400, "DEVICE_ID_REQUIRED", "device_id is required via X-Device-Id", DeviceUnfit, "option device"),
        (429, "WA_REACHOUT_TIMELOCK", "WhatsApp rejected this send", DeviceUnfit, "send slower"),
        (503, "DEVICE_MANAGER_UNAVAILABLE", "Device manager is not initialized", NotAccepted, ""),
        (500, "UPLOAD_MEDIA_ERROR", "cannot upload", NotAccepted, "did not reach"),
        (500, "INTERNAL_SERVER_ERROR", "failed to open image: unknown format", WrongContent, "save it again"),
        (400, "VALIDATION_ERROR", "message: cannot be blank.", WrongContent, "the step's text"),
        (400, "VALIDATION_ERROR", "message: cannot be blank; phone: cannot be blank.", Refused, ""),
        (400, "VALIDATION_ERROR", "phone number must be in international format", Refused, ""),
        (400, "INVALID_JID", f"Phone {JID} is not on whatsapp", Refused, "the recipient's number"),
        (500, "INTERNAL_SERVER_ERROR", f"Phone {JID} is not on whatsapp", Refused, "the recipient's number"),
        (400, "BAD_REQUEST", "field cannot be blank", Refused, ""),
    ],
)
async def test_its_ways_to_say_no(
    gowa: Gowa,
    gateway: GowaGateway,
    status: int,
    code: str,
    words: str,
    kind: type[GatewayError],
    way_out: str,
) -> None:
    gowa.refuse(status, code, words)
    error = await failure(gateway)
    assert type(error) is kind
    assert f"{words.rstrip('.')} ({code})" in str(error)
    assert way_out in str(error)


@pytest.mark.parametrize(("status", "kind"), [(400, Refused), (401, DeviceUnfit), (404, DeviceUnfit)])
async def test_a_status_that_speaks_alone(
    gowa: Gowa, gateway: GowaGateway, status: int, kind: type[GatewayError]
) -> None:
    gowa.status, gowa.answer = status, b"Unauthorized"
    assert type(await failure(gateway)) is kind


# Credentials


@pytest.mark.parametrize("status", [200, 400, 401, 500])
@pytest.mark.parametrize("words", [f"no {PASSWORD}\n{BASIC}", "x" * 490 + PASSWORD, "x" * 490 + BASIC])
async def test_the_password_is_in_no_error(gowa: Gowa, gateway: GowaGateway, status: int, words: str) -> None:
    gowa.refuse(status, "ANY", words)
    await failure(gateway)
    gowa.refuse(status, words, "any")
    await failure(gateway)


async def test_the_webhook_secret_is_in_no_error(gowa: Gowa) -> None:
    gowa.refuse(500, "ANY", "x" * 490 + SECRET)
    async with opened(GowaGateway(options(gowa.url, webhook_secret_env="GOWA_WEBHOOK_SECRET"))) as gateway:
        assert SECRET[:8] not in repr(await failure(gateway))


async def test_no_credential_is_kept(gateway: GowaGateway) -> None:
    await gateway.send(message(), timeout=5)
    shown = f"{GowaGateway.check(options('http://127.0.0.1:1'))!r} {gateway!r} {vars(gateway)!r}"
    assert "GOWA_PASSWORD" in shown
    assert PASSWORD not in shown
    assert BASIC not in shown


async def test_a_new_password_is_used_at_once(gowa: Gowa, tmp_path: Path) -> None:
    file = tmp_path / "password"
    async with opened(
        GowaGateway({"url": gowa.url, "username": "admin", "password_file": str(file)})
    ) as gateway:
        assert type(await failure(gateway)) is DeviceUnfit
        assert gowa.requests == []
        for password in ("first", "second"):
            file.write_text(f"{password}\n")
            file.chmod(0o600)
            await gateway.send(message(), timeout=5)
    given = [b64encode(f"admin:{password}".encode()).decode() for password in ("first", "second")]
    assert [request.headers["authorization"] for request in gowa.requests] == [
        f"Basic {one}" for one in given
    ]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"url": ""}, "url.*missing"),
        ({"url": "gowa:3000"}, "url.*http"),
        ({"username": ""}, "username.*both or none"),
        ({"password_env": ""}, "username.*both or none"),
        ({"username": "a:b"}, "username"),
        ({"device": "two words"}, "device"),
        ({"password_file": "/run/password"}, "one of the two"),
        ({"password": PASSWORD}, "credentials are not stored"),
        ({"webhook_secret": SECRET}, "credentials are not stored"),
        ({"colour": "red"}, "colour.*url"),
    ],
)
def test_options_that_cannot_be_used(change: dict[str, str], said: str) -> None:
    given = {name: value for name, value in {**options("http://127.0.0.1:1"), **change}.items() if value}
    with pytest.raises(InvalidInput, match=said) as caught:
        GowaGateway.check(given)
    assert "\n" not in str(caught.value)
    assert PASSWORD not in str(caught.value)
    assert SECRET not in str(caught.value)


# Webhooks


@pytest.fixture
async def listener() -> AsyncIterator[GowaGateway]:
    async with opened(
        GowaGateway(options("http://127.0.0.1:1", webhook_secret_env="GOWA_WEBHOOK_SECRET"))
    ) as gateway:
        yield gateway


def signed(body: bytes, key: str = SECRET) -> dict[str, str]:
    return {"x-hub-signature-256": f"sha256={hmac.new(key.encode(), body, hashlib.sha256).hexdigest()}"}


def told(listener: GowaGateway, content: Any) -> tuple[Receipt, ...]:
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    return listener.read_webhook(signed(body), body).receipts


def ack(kind: Any = "delivered", ids: Any = ("3EB0A", "3EB0B"), **others: Any) -> dict[str, Any]:
    payload = {"ids": ids, "chat_id": JID, "from": JID, "receipt_type": kind}
    event = {
        "event": "message.ack",
        "device_id": JID,
        "timestamp": "2025-07-18T22:44:20Z",
        "payload": payload,
    }
    return {**event, **others}


NO_KINDS: list[Any] = ["read-self", "sender", "played", "retry", "", None, [], {}]
NO_IDS: list[Any] = [None, 7, [], [None, 7, "", {}]]


@pytest.mark.parametrize("kind", ["delivered", "read"])
@pytest.mark.parametrize("timestamp", ["2025-07-18T22:44:20Z", "2025-07-19T05:44:20+07:00"])
async def test_one_receipt_for_each_message(listener: GowaGateway, kind: Any, timestamp: str) -> None:
    at = datetime(2025, 7, 18, 22, 44, 20, tzinfo=UTC)
    recipient = (f"wa_id:{JID.split('@')[0]}",)
    assert told(listener, ack(kind, timestamp=timestamp)) == (
        Receipt(status=kind, at=at, gateway_message_id="3EB0A", recipient=recipient),
        Receipt(status=kind, at=at, gateway_message_id="3EB0B", recipient=recipient),
    )


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe",
        b"[" * 100_000,
        [],
        None,
        "message.ack",
        {},
        ack(event="message"),
        ack(payload=None),
        ack(payload=[]),
        ack(timestamp=None),
        ack(timestamp=1752878660),
        ack(timestamp="soon"),
        ack(timestamp="2025-07-18T22:44:20"),
        *(ack(kind) for kind in NO_KINDS),
        *(ack(ids=ids) for ids in NO_IDS),
    ],
)
async def test_what_is_malformed_or_none_of_our_business(listener: GowaGateway, content: Any) -> None:
    assert told(listener, content) == ()


BODY = json.dumps(ack()).encode()


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"x-hub-signature-256": ""},
        {"x-hub-signature-256": "sha256=é\udcff"},
        {"x-hub-signature-256": signed(BODY)["x-hub-signature-256"].removeprefix("sha256=")},
        signed(BODY, "secret"),
        signed(BODY + b" "),
    ],
)
async def test_an_unsigned_webhook_tells_nothing(listener: GowaGateway, headers: dict[str, str]) -> None:
    with pytest.raises(Unauthentic, match="webhook_secret") as caught:
        listener.read_webhook(headers, BODY)
    assert SECRET not in str(caught.value)


async def test_without_its_secret_no_webhook_is_believed(
    listener: GowaGateway, gateway: GowaGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Unauthentic, match="webhook_secret_env"):
        gateway.read_webhook(signed(BODY), BODY)
    monkeypatch.setenv("GOWA_WEBHOOK_SECRET", "")
    with pytest.raises(Unauthentic, match="GOWA_WEBHOOK_SECRET"):
        listener.read_webhook(signed(BODY, ""), BODY)
    monkeypatch.setenv("GOWA_WEBHOOK_SECRET", "new")
    assert len(listener.read_webhook(signed(BODY, "new"), BODY).receipts) == 2
