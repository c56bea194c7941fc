"""The client of Meta's WhatsApp Cloud API against a real HTTP server: what it asks for, and what each answer means."""

import hashlib
import hmac
import json
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
    OutgoingMessage,
    Recovery,
    Refused,
    RenderedTemplate,
    Unauthentic,
    WrongContent,
)
from messaging.gateways.cloud_api import CloudApiGateway
from messaging.gateways.webhook_events import Receipt
from tests.support.gateway_server import OURS, PHONE, GatewayServer, failure_of, message, opened
from tests.support.wire import serving

NUMBER_ID = "106540352242922"
TOKEN = "EAAGm0PX4ZCpsBAKnotatoken|x"
APP_SECRET = "7fb5not-an-app-secret"
VERIFY_TOKEN = "meatyhamhock"
IMAGE = "https://example.com/a.jpg"
YES = {
    "messaging_product": "whatsapp",
    "contacts": [{"input": PHONE, "wa_id": "12015550123"}],
    "messages": [{"id": "wamid.HBgL1"}],
}


class Meta(GatewayServer):
    """The Cloud API's server."""

    def refuse(self, code: Any, status: int = 400, **fields: Any) -> None:
        error = {
            "message": f"(#{code}) Its title",
            "type": "OAuthException",
            "code": code,
            "fbtrace_id": "A1b",
        }
        self.status, self.answer = status, {"error": {**error, **fields}}


@pytest.fixture
async def meta() -> AsyncIterator[Meta]:
    async with serving(Meta(YES)) as server:
        yield server


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLOUD_TOKEN", TOKEN)
    monkeypatch.setenv("CLOUD_APP_SECRET", APP_SECRET)
    monkeypatch.setenv("CLOUD_VERIFY_TOKEN", VERIFY_TOKEN)


def options(url: str, **others: str) -> dict[str, str]:
    return {"phone_number_id": NUMBER_ID, "url": url, "token_env": "CLOUD_TOKEN", **others}


@pytest.fixture
async def gateway(meta: Meta) -> AsyncIterator[CloudApiGateway]:
    async with opened(CloudApiGateway(options(meta.url))) as client:
        yield client


failure = partial(failure_of, secrets=(TOKEN,))


# What it asks for


def template(*parameters: str) -> RenderedTemplate:
    return RenderedTemplate(name="spring_offer", language="en_US", parameters=parameters)


LANGUAGE = {"policy": "deterministic", "code": "en_US"}
BODY = {"type": "body", "parameters": [{"type": "text", "text": "Aisyah"}, {"type": "text", "text": "50%"}]}
HEADER = {"type": "header", "parameters": [{"type": "image", "image": {"link": IMAGE}}]}


@pytest.mark.parametrize(
    ("sent", "content"),
    [
        (message("Hi 😊\n*b*"), {"type": "text", "text": {"body": "Hi 😊\n*b*", "preview_url": False}}),
        (
            message("See HTTPS://example.com/x"),
            {"type": "text", "text": {"body": "See HTTPS://example.com/x", "preview_url": True}},
        ),
        (
            message("example.com, http://"),
            {"type": "text", "text": {"body": "example.com, http://", "preview_url": False}},
        ),
        (message("", image_url=IMAGE), {"type": "image", "image": {"link": IMAGE}}),
        (
            message("Look: https://example.com", image_url=IMAGE),
            {"type": "image", "image": {"link": IMAGE, "caption": "Look: https://example.com"}},
        ),
        (
            message("unused", template=template()),
            {"type": "template", "template": {"name": "spring_offer", "language": LANGUAGE}},
        ),
        (
            message("unused", template=template("Aisyah", "50%")),
            {
                "type": "template",
                "template": {"name": "spring_offer", "language": LANGUAGE, "components": [BODY]},
            },
        ),
        (
            message("unused", template=template("Aisyah", "50%"), image_url=IMAGE),
            {
                "type": "template",
                "template": {"name": "spring_offer", "language": LANGUAGE, "components": [HEADER, BODY]},
            },
        ),
        (
            message("unused", template=template(), image_url=IMAGE),
            {
                "type": "template",
                "template": {"name": "spring_offer", "language": LANGUAGE, "components": [HEADER]},
            },
        ),
    ],
)
async def test_the_request(
    meta: Meta, gateway: CloudApiGateway, sent: OutgoingMessage, content: dict[str, Any]
) -> None:
    answer = await gateway.send(sent, timeout=5)
    assert answer.gateway_message_id == "wamid.HBgL1"
    (request,) = meta.requests
    assert (request.method, request.path) == ("POST", f"/v23.0/{NUMBER_ID}/messages")
    assert request.headers["authorization"] == f"Bearer {TOKEN}"
    assert request.json() == {
        "messaging_product": "whatsapp",
        "recipient_type": "individual",
        "to": PHONE,
        "biz_opaque_callback_data": str(OURS),
        **content,
    }


@pytest.mark.parametrize(
    ("contacts", "names"),
    [
        ([{"input": PHONE, "wa_id": "12015550123"}], ("wa_id:12015550123",)),
        (
            [{"input": PHONE, "wa_id": "5215555550100", "user_id": "MX.1"}],
            ("wa_id:5215555550100", "user_id:MX.1"),
        ),
        ([{"input": "MX.1", "user_id": "MX.1"}], ("user_id:MX.1",)),
        ([{"wa_id": "12015550123"}, {"wa_id": "12015550124"}], ()),
        ([{"wa_id": 12015550123}], ()),
        ([7], ()),
        (None, ()),
        ("12015550123", ()),
    ],
)
async def test_what_the_answer_calls_the_recipient(
    meta: Meta, gateway: CloudApiGateway, contacts: Any, names: tuple[str, ...]
) -> None:
    """ "ID and phone number may not always match"."""
    meta.answer = {**YES, "contacts": contacts}
    assert (await gateway.send(message(), timeout=5)).recipient == names


async def test_another_version(meta: Meta) -> None:
    async with opened(CloudApiGateway(options(meta.url, version="v25.0"))) as gateway:
        await gateway.send(message(), timeout=5)
    assert meta.requests[0].path == f"/v25.0/{NUMBER_ID}/messages"


async def test_what_it_can_do(gateway: CloudApiGateway) -> None:
    can = gateway.capabilities
    assert (can.receipts, can.templates, can.service_window, can.link_preview) == (True, True, True, True)
    assert (can.images, can.text_limit, can.caption_limit) == (Images.LINK, 4096, 1024)
    assert (can.idempotency, can.look_up) == (False, False)
    assert await gateway.recovery("any") is Recovery.NONE


# What answers mean


@pytest.mark.parametrize("status", ["accepted", "held_for_quality_assessment", "paused"])
async def test_what_meta_holds_back_is_accepted(meta: Meta, gateway: CloudApiGateway, status: str) -> None:
    meta.answer = {**YES, "messages": [{"id": "wamid.HBgL2", "message_status": status}]}
    assert (await gateway.send(message(), timeout=5)).gateway_message_id == "wamid.HBgL2"


@pytest.mark.parametrize(
    ("status", "answer"),
    [
        (200, {}),
        (200, []),
        (200, None),
        (200, b"<html>OK</html>"),
        (200, {"messages": []}),
        (200, {"messages": {}}),
        (200, {"messages": ["wamid.HBgL1"]}),
        (200, {"messages": [{"id": ""}]}),
        (200, {"messages": [{"id": 7}]}),
        (200, {"error": "no"}),
        (202, YES),
        (500, b""),
        (502, b"<html>Bad gateway</html>"),
        (503, b""),
        (504, {"error": {"message": "Busy"}}),
        (500, {"error": {"message": "Something new", "code": 999_999}}),
        (500, YES),
    ],
)
async def test_what_is_neither_yes_nor_no(
    meta: Meta, gateway: CloudApiGateway, status: int, answer: Any
) -> None:
    meta.status, meta.answer = status, answer
    error = await failure(gateway)
    assert type(error) is MaybeAccepted
    assert len(meta.requests) == 1


UNFIT = [0, 3, 10, 33, 102, 190, 200, 250, 299, 368, 803]
UNFIT += [131005, 131031, 131037, 131042, 131045, 131048, 133006, 133010]
REFUSED = [130472, 130497, 131021, 131026, 131030, 131047, 131049, 131050]
WRONG = [100, 131008, 131009, 131051, 131052, 131053, 131058, 135000]
WRONG += [132000, 132001, 132005, 132007, 132008, 132012, 132015, 132016, 132018, 132068]


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        *((code, NotAccepted) for code in (2, 131016, 131043, 131057, 133004)),
        *((code, MaybeAccepted) for code in (1, 131000)),
        *((code, DeviceUnfit) for code in UNFIT),
        *((code, Refused) for code in REFUSED),
        *((code, WrongContent) for code in WRONG),
    ],
)
@pytest.mark.parametrize("status", [400, 500, 503])
async def test_the_code_decides(
    meta: Meta, gateway: CloudApiGateway, code: int, kind: type[GatewayError], status: int
) -> None:
    meta.refuse(code, status, error_data={"messaging_product": "whatsapp", "details": "Its\n details."})
    error = await failure(gateway)
    assert type(error) is kind
    assert f"Its details ({code}); " in str(error)
    assert "title" not in str(error)
    if isinstance(error, NotAccepted):
        assert error.retry_after is None


@pytest.mark.parametrize(
    ("code", "concerns", "at_least"),
    [
        (4, "device", 30),
        (17, "device", 30),
        (32, "device", 30),
        (341, "device", 30),
        (613, "device", 30),
        (80000, "device", 30),
        (80007, "device", 30),
        (130429, "device", 1),
        (131056, "message", 6),
        (132069, "message", 60),
    ],
)
@pytest.mark.parametrize("status", [400, 429])
async def test_too_fast(
    meta: Meta, gateway: CloudApiGateway, code: int, concerns: str, at_least: float, status: int
) -> None:
    meta.refuse(code, status)
    error = await failure(gateway)
    assert type(error) is NotAccepted
    assert error.concerns == concerns
    assert error.retry_after is not None
    assert at_least <= error.retry_after < 3600
    meta.headers = {"Retry-After": "77"}
    error = await failure(gateway)
    assert isinstance(error, NotAccepted)
    assert error.retry_after == 77


async def test_a_recipient_waits_six_seconds_at_least(meta: Meta, gateway: CloudApiGateway) -> None:
    meta.refuse(131056)
    meta.headers = {"Retry-After": "1"}
    error = await failure(gateway)
    assert isinstance(error, NotAccepted)
    assert error.retry_after == 6


@pytest.mark.parametrize("code", [100, 131009])
@pytest.mark.parametrize(
    ("details", "kind"),
    [
        ("The parameter to is required.", Refused),
        ("Invalid value for parameter 'to'", Refused),
        ("Recipient phone number is not valid", Refused),
        ("Parameter recipient_type must be individual", WrongContent),
        ("The parameter text['body'] is required.", WrongContent),
        ("Please check the template parameter to see what is wrong", WrongContent),
        ("Parameter Invalid", WrongContent),
    ],
)
async def test_parameters_of_the_recipient_and_of_the_step(
    meta: Meta, gateway: CloudApiGateway, code: int, details: str, kind: type[GatewayError]
) -> None:
    meta.refuse(code, error_data={"details": details})
    assert type(await failure(gateway)) is kind
    meta.refuse(code, message=f"(#{code}) {details}")
    assert type(await failure(gateway)) is kind


async def test_a_phone_number_id_that_is_none(meta: Meta, gateway: CloudApiGateway) -> None:
    meta.refuse(
        100, error_subcode=33, message="Unsupported post request. Object with ID '1' does not exist", type="G"
    )
    error = await failure(gateway)
    assert type(error) is DeviceUnfit
    assert "phone_number_id" in str(error)


@pytest.mark.parametrize(
    ("status", "kind", "retry_after"),
    [(400, Refused, None), (401, DeviceUnfit, None), (404, DeviceUnfit, None), (429, NotAccepted, 9)],
)
async def test_an_unknown_code_leaves_it_to_the_status(
    meta: Meta, gateway: CloudApiGateway, status: int, kind: type[GatewayError], retry_after: float | None
) -> None:
    meta.headers = {"Retry-After": "9"} if retry_after else {}
    meta.refuse(999_999, status)
    error = await failure(gateway)
    assert type(error) is kind
    assert "Its title (999999)" in str(error)
    assert getattr(error, "retry_after", None) == retry_after
    for body in (b"", {"error": {"code": True}}, {"error": {"code": [], "error_data": "x", "message": 5}}):
        meta.answer = body
        assert type(await failure(gateway)) is kind


@pytest.mark.parametrize("status", [400, 500])
async def test_what_meta_calls_transient_is_tried_again(
    meta: Meta, gateway: CloudApiGateway, status: int
) -> None:
    for transient, kind in ((True, NotAccepted), (False, None), ("true", None), (None, None)):
        meta.refuse(999_999, status, is_transient=transient)
        assert type(await failure(gateway)) is (kind or (Refused if status == 400 else MaybeAccepted))
    meta.refuse(131026, status, is_transient=True)
    assert type(await failure(gateway)) is Refused, "of a code that is known it says nothing new"


async def test_unknown_codes_are_alike_by_their_code(meta: Meta, gateway: CloudApiGateway) -> None:
    meta.refuse(999_999, message="One thing for 12015550123")
    first = await failure(gateway)
    meta.refuse(999_999, message="Another thing")
    second = await failure(gateway)
    meta.refuse(999_998, message="Another thing")
    third = await failure(gateway)
    assert isinstance(first, Refused)
    assert isinstance(second, Refused)
    assert isinstance(third, Refused)
    assert first.sign == second.sign != third.sign
    assert first.sign is not None
    meta.refuse(131026)
    known = await failure(gateway)
    assert isinstance(known, Refused)
    assert known.sign is None


async def test_the_words_say_the_way_out(meta: Meta, gateway: CloudApiGateway) -> None:
    details = "Message failed to send because more than 24 hours have passed since the customer last replied."
    meta.refuse(131047, error_data={"details": details})
    assert str(await failure(gateway)) == (
        f"the WhatsApp Cloud API at {meta.url.removeprefix('http://')} refuses: {details[:-1]} (131047);"
        " outside the 24-hour window of their last message it needs a template"
    )
    meta.refuse("131047", message="(#131047) Re-engagement message")
    error = await failure(gateway)
    assert isinstance(error, Refused)
    assert "refuses: Re-engagement message (131047); " in str(error)


# Credentials


@pytest.mark.parametrize(
    "words",
    [
        f"Malformed access token {TOKEN}",
        f"in the URL: {TOKEN.replace('|', '%7C')}.",
        "x" * 490 + TOKEN,
        f"{TOKEN}\n{TOKEN}",
    ],
)
@pytest.mark.parametrize("code", [190, 1, 999_999])
async def test_the_token_is_in_no_error(meta: Meta, gateway: CloudApiGateway, words: str, code: int) -> None:
    for status in (400, 401, 500):
        meta.refuse(code, status, message=words)
        error = await failure(gateway)
        assert TOKEN[:8] not in f"{error} {error!r} {error.__cause__!r} {error.__context__!r}"
        meta.refuse(code, status, error_data={"details": words})
        assert TOKEN[:8] not in repr(await failure(gateway))


async def test_no_credential_is_kept(gateway: CloudApiGateway) -> None:
    await gateway.send(message(), timeout=5)
    given = options("http://127.0.0.1:1", app_secret_env="CLOUD_APP_SECRET")
    shown = f"{CloudApiGateway.check(given)!r} {gateway!r} {vars(gateway)!r}"
    assert "CLOUD_TOKEN" in shown
    for credential in (TOKEN, APP_SECRET, VERIFY_TOKEN):
        assert credential not in shown


async def test_a_new_token_is_used_at_once(meta: Meta, tmp_path: Path) -> None:
    file = tmp_path / "token"
    given = {"phone_number_id": NUMBER_ID, "url": meta.url, "token_file": str(file)}
    async with opened(CloudApiGateway(given)) as gateway:
        error = await failure(gateway)
        assert type(error) is DeviceUnfit
        for token in ("first", "second"):
            file.write_text(f"{token}\n")
            file.chmod(0o600)
            await gateway.send(message(), timeout=5)
    assert [request.headers["authorization"] for request in meta.requests] == [
        "Bearer first",
        "Bearer second",
    ]


@pytest.mark.parametrize("token", ["", "  ", "two\nlines", "two words", "tökén"])
async def test_without_a_usable_token_nothing_is_sent(
    meta: Meta, gateway: CloudApiGateway, monkeypatch: pytest.MonkeyPatch, token: str
) -> None:
    monkeypatch.setenv("CLOUD_TOKEN", token)
    error = await failure(gateway)
    assert type(error) is DeviceUnfit
    assert not token.strip() or token not in str(error)
    monkeypatch.delenv("CLOUD_TOKEN")
    error = await failure(gateway)
    assert type(error) is DeviceUnfit
    assert "CLOUD_TOKEN" in str(error)
    assert meta.requests == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"phone_number_id": "+12015550123"}, "phone_number_id.*digits"),
        ({"phone_number_id": "12/34"}, "phone_number_id.*digits"),
        ({"phone_number_id": "\uff11\uff12"}, "phone_number_id.*digits"),
        ({"phone_number_id": None}, "phone_number_id"),
        ({"version": "23"}, r"version.*v23\.0"),
        ({"version": "v23.0/../x"}, r"version.*v23\.0"),
        ({"url": "graph.facebook.com"}, "url.*http"),
        ({"token_env": None}, "token_env=VARIABLE"),
        ({"token_file": "/run/token"}, "one of the two"),
        ({"token": TOKEN}, "credentials are not stored"),
        ({"app_secret": APP_SECRET}, "credentials are not stored"),
        ({"colour": "red"}, "colour.*phone_number_id"),
    ],
)
def test_options_that_cannot_be_used(change: dict[str, Any], said: str) -> None:
    given = {name: value for name, value in {**options("http://127.0.0.1:1"), **change}.items() if value}
    with pytest.raises(InvalidInput, match=said) as caught:
        CloudApiGateway.check(given)
    assert "\n" not in str(caught.value)
    assert TOKEN not in str(caught.value)
    assert APP_SECRET not in str(caught.value)


def test_options_by_default() -> None:
    understood = CloudApiGateway.check({"phone_number_id": NUMBER_ID, "token_env": "CLOUD_TOKEN"})
    assert (understood.url, understood.version) == ("https://graph.facebook.com", "v23.0")


# Webhooks


@pytest.fixture
async def listener() -> AsyncIterator[CloudApiGateway]:
    webhooks = {"app_secret_env": "CLOUD_APP_SECRET", "verify_token_env": "CLOUD_VERIFY_TOKEN"}
    async with opened(CloudApiGateway(options("http://127.0.0.1:1", **webhooks))) as gateway:
        yield gateway


def signed(body: bytes, key: str = APP_SECRET) -> dict[str, str]:
    return {"x-hub-signature-256": f"sha256={hmac.new(key.encode(), body, hashlib.sha256).hexdigest()}"}


def told(listener: CloudApiGateway, content: Any) -> tuple[Receipt, ...]:
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    return listener.read_webhook(signed(body), body).receipts


def update(*statuses: Any) -> dict[str, Any]:
    metadata = {"display_phone_number": "12015550100", "phone_number_id": NUMBER_ID}
    value = {"messaging_product": "whatsapp", "metadata": metadata, "statuses": list(statuses)}
    change = {"field": "messages", "value": value}
    return {"object": "whatsapp_business_account", "entry": [{"id": "102290129340398", "changes": [change]}]}


def status(name: str, **others: Any) -> dict[str, Any]:
    told = {"id": "wamid.HBgL1", "status": name, "timestamp": "1749416383", "recipient_id": "12015550123"}
    return {**told, "biz_opaque_callback_data": str(OURS), **others}


NO_TIMESTAMPS: list[Any] = [None, "", "soon", "1e9", "-1", "9" * 12, "1749416383.5", 1749416383.5, []]
NO_TIMESTAMPS += ["\uff11\uff12"]
AT = datetime(2025, 6, 8, 20, 59, 43, tzinfo=UTC)


@pytest.mark.parametrize("name", ["sent", "delivered", "read"])
async def test_each_status(listener: CloudApiGateway, name: str) -> None:
    others = {"pricing": {"billable": True, "pricing_model": "PMP"}, "errors": [{"code": 1, "title": "No"}]}
    [receipt] = told(listener, update(status(name, recipient_user_id="US.1", **others)))
    assert receipt == Receipt.model_validate(
        {
            "status": name,
            "at": AT,
            "message_id": OURS,
            "gateway_message_id": "wamid.HBgL1",
            "recipient": ("wa_id:12015550123", "user_id:US.1"),
        }
    )


async def test_a_failure_gives_its_reason_and_the_way_out(listener: CloudApiGateway) -> None:
    error = {
        "code": 131026,
        "title": "Message undeliverable",
        "message": "Message undeliverable",
        "href": "/",
    }
    [plain, detailed, several, unknown, silent] = told(
        listener,
        update(
            status("failed", errors=[error]),
            status("failed", errors=[{**error, "error_data": {"details": "Not\non WhatsApp."}}]),
            status("failed", errors=[error, {"code": 132015, "title": "Template is paused"}, 5]),
            status("failed", errors=[{"code": 999_999, "title": "New"}]),
            status("failed", errors="none"),
        ),
    )
    assert plain.status == "failed"
    assert plain.reason is not None
    assert plain.reason.startswith("Message undeliverable (131026); they are not on WhatsApp")
    assert detailed.reason is not None
    assert detailed.reason.startswith("Not on WhatsApp (131026); ")
    assert several.reason is not None
    assert " / Template is paused (132015); " in several.reason
    assert unknown.reason == "New (999999)"
    assert silent.reason is None
    alike = [(one.sign, one.wrong_content) for one in (plain, detailed, several, unknown, silent)]
    assert alike == [(None, False), (None, False), (None, False), ("code 999999", False), (None, False)]


async def test_a_failure_that_would_meet_everybody(listener: CloudApiGateway) -> None:
    [payment, template, image] = told(
        listener,
        update(
            status("failed", errors=[{"code": 131042, "title": "Payment"}]),
            status("failed", errors=[{"code": 132015, "title": "Template is paused"}]),
            status("failed", errors=[{"code": 131053, "title": "Media upload error"}]),
        ),
    )
    assert (payment.sign, payment.wrong_content) == ("code 131042", False)
    assert template.wrong_content
    assert image.wrong_content


async def test_all_that_one_request_tells(listener: CloudApiGateway) -> None:
    first, second = update(status("sent"), status("delivered")), update(status("read"))
    first["entry"] += second["entry"]
    first["entry"][0]["changes"] += update(status("sent", id="wamid.other"))["entry"][0]["changes"]
    receipts = told(listener, first)
    assert [receipt.status for receipt in receipts] == ["sent", "delivered", "sent", "read"]


async def test_known_by_one_of_the_two_identifiers(listener: CloudApiGateway) -> None:
    [theirs, others, ours] = told(
        listener,
        update(
            status("sent", biz_opaque_callback_data=None),
            status("sent", biz_opaque_callback_data="of another program"),
            status("sent", id=None),
        ),
    )
    for receipt in (theirs, others):
        assert (receipt.message_id, receipt.gateway_message_id) == (None, "wamid.HBgL1")
    assert (ours.message_id, ours.gateway_message_id) == (OURS, None)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"[" * 100_000,
        [],
        None,
        {"entry": None},
        {
            "entry": [
                None,
                {"changes": 5},
                {"changes": [None, {}, {"value": []}, {"value": {"statuses": {}}}]},
            ]
        },
        update(None, 5, [], "sent", {}),
        update(status("played"), status("deleted"), status("warning"), status("SENT"), status("")),
        update(status("sent", status=None), status("sent", status=["sent"]), status("sent", status={})),
        *(update(status("sent", timestamp=timestamp)) for timestamp in NO_TIMESTAMPS),
        update(status("sent", id="", biz_opaque_callback_data="")),
        update(status("sent", id=7, biz_opaque_callback_data=7)),
        {"entry": [{"changes": [{"field": "messages", "value": {"messages": [{"id": "wamid.in"}]}}]}]},
    ],
)
async def test_what_is_malformed_or_none_of_our_business(listener: CloudApiGateway, content: Any) -> None:
    assert told(listener, content) == ()
    if isinstance(content, dict) and content.get("entry"):
        content = {"entry": [*content["entry"], *update(status("read"))["entry"]]}
        assert [receipt.status for receipt in told(listener, content)] == ["read"]


BODY_OF_A_WEBHOOK = json.dumps(update(status("sent"))).encode()


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"x-hub-signature-256": ""},
        {"x-hub-signature-256": "sha256="},
        {"x-hub-signature-256": "sha256=é\udcff"},
        {"x-hub-signature": signed(BODY_OF_A_WEBHOOK)["x-hub-signature-256"]},
        {"x-hub-signature-256": signed(BODY_OF_A_WEBHOOK)["x-hub-signature-256"].removeprefix("sha256=")},
        signed(BODY_OF_A_WEBHOOK, "another secret"),
        signed(BODY_OF_A_WEBHOOK, ""),
        signed(BODY_OF_A_WEBHOOK + b" "),
    ],
)
async def test_an_unsigned_webhook_tells_nothing(listener: CloudApiGateway, headers: dict[str, str]) -> None:
    with pytest.raises(Unauthentic) as caught:
        listener.read_webhook(headers, BODY_OF_A_WEBHOOK)
    assert APP_SECRET not in str(caught.value)


async def test_without_its_secrets_no_webhook_is_believed(
    listener: CloudApiGateway, gateway: CloudApiGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Unauthentic, match="app_secret_env"):
        gateway.read_webhook(signed(BODY_OF_A_WEBHOOK), BODY_OF_A_WEBHOOK)
    with pytest.raises(Unauthentic, match="verify_token_env"):
        gateway.challenge({"hub.mode": "subscribe", "hub.verify_token": "", "hub.challenge": "1"})
    monkeypatch.setenv("CLOUD_APP_SECRET", "")
    with pytest.raises(Unauthentic, match="CLOUD_APP_SECRET"):
        listener.read_webhook(signed(BODY_OF_A_WEBHOOK, ""), BODY_OF_A_WEBHOOK)
    monkeypatch.setenv("CLOUD_APP_SECRET", "new")
    assert len(listener.read_webhook(signed(BODY_OF_A_WEBHOOK, "new"), BODY_OF_A_WEBHOOK).receipts) == 1


QUESTION = {"hub.mode": "subscribe", "hub.verify_token": VERIFY_TOKEN, "hub.challenge": "1158201444"}


async def test_the_challenge(listener: CloudApiGateway) -> None:
    assert listener.challenge(QUESTION) == "1158201444"
    for change in (
        {"hub.mode": "unsubscribe"},
        {"hub.verify_token": f"{VERIFY_TOKEN}x"},
        {"hub.verify_token": "é\udcff"},
        {"hub.challenge": ""},
    ):
        with pytest.raises(Unauthentic) as caught:
            listener.challenge({**QUESTION, **change})
        assert VERIFY_TOKEN not in str(caught.value)
    for name in QUESTION:
        with pytest.raises(Unauthentic):
            listener.challenge({key: value for key, value in QUESTION.items() if key != name})
