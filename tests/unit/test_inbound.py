"""What people write, as the gateways tell it: bodies as Meta and GOWA publish them, with numbers that nobody has."""

import hashlib
import hmac
import json
import logging
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from messaging.common.say_once import SayOnce
from messaging.gateways import cloud_api_webhooks, gowa_answers
from messaging.gateways.webhook_events import InboundMessage, WebhookEvents

KEY = "a-secret-of-the-tests"
WAMID = "wamid.HBgLMTIwMTU1NTAxMjMVAgASGBQzQTRBNjU5OUFFRTAzODEwMTQ0RgA="
OURS = "wamid.HBgLMTIwMTU1NTAxMjMVAgARGBI1RjQyNUE3NEYxMzAzMzQ5MkEA"
AT = datetime(2025, 6, 8, 20, 59, 43, tzinfo=UTC)


@pytest.fixture(autouse=True)
def unfiltered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging.getLogger("messaging.gateways.webhook_bodies"), "filters", [SayOnce()])


def signed(body: bytes) -> dict[str, str]:
    return {"x-hub-signature-256": f"sha256={hmac.new(KEY.encode(), body, hashlib.sha256).hexdigest()}"}


def meta(*changes: Any) -> WebhookEvents:
    """What the Cloud API's gateway reads in a request with these changes."""
    entry = [{"id": "102290129340398", "changes": list(changes)}]
    body = json.dumps({"object": "whatsapp_business_account", "entry": entry}).encode()
    return cloud_api_webhooks.read_webhook(signed(body), body, KEY)


def change(field: str = "messages", *, contacts: Any = None, **others: Any) -> dict[str, Any]:
    contacts = (
        [{"profile": {"name": "Sheena Nelson"}, "wa_id": "12015550123"}] if contacts is None else contacts
    )
    metadata = {"display_phone_number": "12015550100", "phone_number_id": "106540352242922"}
    value = {"messaging_product": "whatsapp", "metadata": metadata, "contacts": contacts, **others}
    return {"field": field, "value": value}


def message(kind: str, **others: Any) -> dict[str, Any]:
    return {"from": "12015550123", "id": WAMID, "timestamp": "1749416383", "type": kind, **others}


def one(events: WebhookEvents) -> InboundMessage:
    [found] = events.inbound
    return found


CONTEXT = {"from": "12015550100", "id": OURS}
PUBLISHED: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "text": (
        message("text", text={"body": "Does it come in another color?"}),
        {"kind": "text", "text": "Does it come in another color?"},
    ),
    "an answer to a message": (
        message("text", text={"body": "Yes"}, context=CONTEXT),
        {"kind": "text", "text": "Yes", "answers": OURS},
    ),
    "a template's quick reply": (
        message("button", button={"payload": "Unsubscribe", "text": "Stop promotions"}, context=CONTEXT),
        {"kind": "button", "text": "Stop promotions", "payload": "Unsubscribe", "answers": OURS},
    ),
    "a reply button": (
        message(
            "interactive",
            interactive={"type": "button_reply", "button_reply": {"id": "cancel-button", "title": "Cancel"}},
            context=CONTEXT,
        ),
        {"kind": "button", "text": "Cancel", "payload": "cancel-button", "answers": OURS},
    ),
    "a row of a list": (
        message(
            "interactive",
            interactive={
                "type": "list_reply",
                "list_reply": {"id": "priority_express", "title": "Express", "description": "Next day"},
            },
            context=CONTEXT,
        ),
        {"kind": "list", "text": "Express", "payload": "priority_express", "answers": OURS},
    ),
    "an edited text": (
        message(
            "edit",
            edit={
                "original_message_id": "wamid.STPO",
                "message": {"context": {"id": OURS}, "type": "text", "text": {"body": "STOP"}},
            },
        ),
        {"kind": "text", "text": "STOP", "answers": OURS},
    ),
    "an edited caption": (
        message(
            "edit",
            edit={
                "original_message_id": "wamid.STPO",
                "message": {"type": "image", "image": {"caption": "STOP", "id": "1003383421387256"}},
            },
        ),
        {"kind": "image", "text": "STOP", "media_id": "1003383421387256"},
    ),
    "an edit of nothing": (message("edit", edit={"message": []}), {"kind": "other"}),
    "a flow": (
        message(
            "interactive", interactive={"type": "nfm_reply", "nfm_reply": {"name": "flow", "body": "Sent"}}
        ),
        {"kind": "other", "text": "Sent", "payload": "nfm_reply"},
    ),
    "an image": (
        message(
            "image",
            image={
                "caption": "Taj Mahal",
                "mime_type": "image/jpeg",
                "sha256": "SfInY0gGKTsJl0DE",
                "id": "1003383421387256",
            },
        ),
        {"kind": "image", "text": "Taj Mahal", "media_id": "1003383421387256"},
    ),
    "a document": (
        message(
            "document",
            document={"filename": "stop.pdf", "mime_type": "application/pdf", "id": "1376223850470843"},
        ),
        {"kind": "document", "payload": "stop.pdf", "media_id": "1376223850470843"},
    ),
    "audio": (
        message(
            "audio", audio={"mime_type": "audio/ogg; codecs=opus", "id": "1908647269898587", "voice": True}
        ),
        {"kind": "audio", "media_id": "1908647269898587"},
    ),
    "a sticker": (
        message("sticker", sticker={"mime_type": "image/webp", "id": "717942987862893", "animated": False}),
        {"kind": "sticker", "media_id": "717942987862893"},
    ),
    "a location": (
        message(
            "location",
            location={"address": "101 Forest Ave", "latitude": 37.4, "longitude": -122.1, "name": "Philz"},
        ),
        {"kind": "location", "text": "Philz"},
    ),
    "contacts": (
        message("contacts", contacts=[{"name": {"formatted_name": "Barbara J. Johnson"}}, {"name": {}}, 7]),
        {"kind": "contacts", "text": "Barbara J. Johnson"},
    ),
    "a reaction": (
        message("reaction", reaction={"message_id": OURS, "emoji": "\U0001f44d"}),
        {"kind": "reaction", "text": "\U0001f44d", "answers": OURS},
    ),
    "a reaction that is taken back": (
        message("reaction", reaction={"message_id": OURS}),
        {"kind": "reaction", "answers": OURS},
    ),
    "an order": (
        message("order", order={"catalog_id": "1", "text": ""}),
        {"kind": "other", "payload": "order"},
    ),
    "unsupported": (
        message("unsupported", errors=[{"code": 131051, "title": "Message type unknown"}]),
        {"kind": "other", "payload": "unsupported"},
    ),
    "of next year": (message("hologram", hologram={"id": 1}), {"kind": "other", "payload": "hologram"}),
    "a click on an advertisement": (
        message(
            "text",
            text={"body": "Hi"},
            referral={"source_id": "120226305854810726", "ctwa_clid": "Aff", "n": 1},
        ),
        {"kind": "text", "text": "Hi", "referral": {"source_id": "120226305854810726", "ctwa_clid": "Aff"}},
    ),
}


@pytest.mark.parametrize(
    ("kind", "own"),
    [
        ("revoke", {"original_message_id": "wamid.STPO"}),
        ("request_welcome", {}),
        ("system", {"type": "customer_identity_changed", "body": "Its security code changed"}),
        ("system", {"type": "of_next_year"}),
        ("edit", {"message": {"type": "revoke", "revoke": {"original_message_id": "wamid.STPO"}}}),
    ],
)
def test_what_says_nothing_is_no_message_of_the_cloud_api(kind: str, own: dict[str, Any]) -> None:
    assert meta(change(messages=[message(kind, **{kind: own})])) == WebhookEvents()


@pytest.mark.parametrize(("told", "expected"), PUBLISHED.values(), ids=PUBLISHED)
def test_a_message_of_the_cloud_api(told: dict[str, Any], expected: dict[str, Any]) -> None:
    assert one(meta(change(messages=[told]))) == InboundMessage(
        gateway_message_id=WAMID,
        at=AT,
        receivers=("106540352242922",),
        phone="+12015550123",
        identities=("wa_id:12015550123",),
        name="Sheena Nelson",
        **expected,
    )


def test_a_person_without_a_phone_is_known_by_their_user_id() -> None:
    contact = {"profile": {"name": "Aisha"}, "user_id": "MY.13491208655302741918"}
    told = message("text", text={"body": "STOP"}, from_user_id="MY.13491208655302741918")
    del told["from"]
    found = one(meta(change(messages=[told], contacts=[contact])))
    assert (found.phone, found.name) == (None, "Aisha")
    assert found.identities == ("user_id:MY.13491208655302741918",)


def test_phone_and_user_id_together() -> None:
    contact = {"wa_id": "5215512345678", "user_id": "MX.1", "parent_user_id": "MX.ENT.2"}
    told = message("text", text={"body": "Hola"}, from_user_id="MX.1", **{"from": "+525512345678"})
    found = one(meta(change(messages=[told], contacts=[{"wa_id": "12015550199"}, contact])))
    assert found.phone == "+5215512345678", "both spellings are one person"
    assert found.identities == (
        *("wa_id:525512345678", "wa_id:5215512345678"),
        *("user_id:MX.1", "user_id:MX.ENT.2"),
    )


def test_the_only_contact_of_several_senders_is_of_the_one_that_it_names() -> None:
    hers = message("text", text={"body": "Yes"})
    his = {**message("text", text={"body": "STOP"}), "from": "12015550124", "id": "wamid.his"}
    first, second = meta(change(messages=[hers, his])).inbound
    assert (first.name, first.identities) == ("Sheena Nelson", ("wa_id:12015550123",))
    assert (second.phone, second.name, second.identities) == ("+12015550124", None, ("wa_id:12015550124",))
    choice = {
        "wa_id": "12015550124",
        "category": "marketing_messages",
        "value": "stop",
        "timestamp": 1749416383,
    }
    changed = change("user_preferences", user_preferences=[choice, {**choice, "wa_id": "12015550123"}])
    assert [found.identities for found in meta(changed).inbound] == [
        ("wa_id:12015550124",),
        ("wa_id:12015550123",),
    ]


def test_a_changed_number() -> None:
    body = "User Sheena Nelson changed from 12015550123 to 12015550188"
    told = message("system", system={"body": body, "wa_id": "12015550188", "type": "user_changed_number"})
    found = one(meta(change(messages=[told], contacts=[])))
    assert (found.kind, found.phone, found.payload) == ("number_changed", "+12015550123", "+12015550188")
    system = {"type": "user_changed_user_id", "user_id": "US.2", "previous_user_id": "US.1"}
    told = message("system", system=system, from_user_id="US.1")
    found = one(meta(change(messages=[told], contacts=[])))
    assert (found.kind, found.payload) == ("user_id_changed", "US.2")
    assert {"user_id:US.1", "user_id:US.2"} <= {*found.identities}, "the same person by both"
    system = {"type": "user_changed_number", "wa_id": "12015550188", **system, "body": body}
    told = message("system", system={**system, "type": "user_changed_number"})
    found = one(meta(change(messages=[told], contacts=[])))
    assert found.identities == ("wa_id:12015550123", "user_id:US.1", "user_id:US.2")


@pytest.mark.parametrize("value", ["stop", "resume"])
def test_a_choice_in_whatsapps_settings(value: str) -> None:
    told = {
        "wa_id": "12015550123",
        "detail": f"User requested to {value} marketing messages",
        "category": "marketing_messages",
        "value": value,
        "timestamp": 1749416383,
    }
    events = meta(
        change("user_preferences", user_preferences=[told]),
        change("user_preferences", user_preferences=[told]),
    )
    first, again = events.inbound
    assert (first.kind, first.payload, first.phone, first.at) == ("preference", value, "+12015550123", AT)
    assert first.gateway_message_id == again.gateway_message_id
    others = [{**told, "wa_id": "12015550124"}, {**told, "timestamp": 1749416384}, {**told, "value": "other"}]
    keys = {
        one(meta(change("user_preferences", user_preferences=[other]))).gateway_message_id for other in others
    }
    assert len(keys | {first.gateway_message_id}) == 4
    system = {"body": told["detail"], "marketing": value, "type": "user_preference_changed"}
    found = one(meta(change(messages=[message("system", system=system)])))
    assert (found.kind, found.payload) == ("preference", value)


def test_a_marketing_message_that_they_have_stopped() -> None:
    status = {"id": OURS, "status": "failed", "timestamp": "1749416383", "recipient_id": "12015550123"}
    status["errors"] = [{"code": 131050, "title": "User has stopped marketing messages"}]  # type: ignore[assignment]
    events = meta(change(statuses=[status, {**status, "errors": [{"code": 131026}, 5]}], contacts=[]))
    assert len(events.receipts) == 2
    found = one(events)
    assert (found.kind, found.payload, found.phone, found.answers) == (
        "preference",
        "stop",
        "+12015550123",
        OURS,
    )


def test_a_group_of_the_cloud_api_is_left_out() -> None:
    assert (
        meta(change(messages=[message("text", text={"body": "STOP"}, group_id="Y2FwaV9ncm91cA")])).inbound
        == ()
    )


@pytest.mark.parametrize("timestamp", [None, "", "soon", "1e9", "9" * 12, "1", [], {}, 1.5])
def test_no_stop_is_lost_for_its_time(timestamp: Any) -> None:
    found = one(meta(change(messages=[message("text", text={"body": "STOP"}, timestamp=timestamp)])))
    assert (datetime.now(UTC) - found.at).total_seconds() < 60


def test_what_makes_no_sense_takes_nothing_else_with_it(caplog: pytest.LogCaptureFixture) -> None:
    bad: list[Any] = [None, 5, [], "STOP", {}, message("text", id=None), message("text", id=["x"])]
    bad += [{**message("text", text={"body": "a secret"}), "id": ""}]
    events = meta(
        None,
        {"value": None},
        {"value": {"messages": {}, "contacts": 5, "user_preferences": [7, {}], "statuses": "x"}},
        change(
            messages=[*bad, message("text", text={"body": "STOP"}), *bad], contacts=[None, 5, {"profile": 5}]
        ),
    )
    assert [found.text for found in events.inbound if found.kind == "text"] == ["STOP"]
    assert "is passed over" in caplog.text
    assert "a secret" not in caplog.text, "what people write stands in no log"


# GOWA

JID = "12015550123@s.whatsapp.net"


def gowa(event: Any) -> WebhookEvents:
    body = json.dumps(event).encode()
    return gowa_answers.read_webhook(signed(body), body, KEY)


def typed(event: str = "message", **others: Any) -> dict[str, Any]:
    payload = {
        "id": "3EB0C127D7BACC83D6A1",
        "chat_id": JID,
        "from": JID,
        "from_name": "John Doe",
        "timestamp": "2023-10-15T10:30:00Z",
        "is_from_me": False,
        **others,
    }
    return {
        "event": event,
        "device_id": "12015550100@s.whatsapp.net",
        "session_id": "kl-1",
        "payload": payload,
    }


PATH = "statics/media/1752404751-ad9e37ac.jpeg"
OF_GOWA: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "text": (typed(body="Hello, how are you?"), {"kind": "text", "text": "Hello, how are you?"}),
    "an answer": (
        typed(body="I'm doing great, thanks!", replied_to_id="3EB0", quoted_body="Hello"),
        {"kind": "text", "text": "I'm doing great, thanks!", "answers": "3EB0"},
    ),
    "edited": (
        typed("message.edited", body="STOP", original_message_id="94D1"),
        {"kind": "text", "text": "STOP"},
    ),
    "a reaction": (
        typed("message.reaction", reaction="\U0001f44d", reacted_message_id="3EB0"),
        {"kind": "reaction", "text": "\U0001f44d", "answers": "3EB0"},
    ),
    "an image that was fetched": (typed(image=PATH), {"kind": "image", "media_id": PATH}),
    "an image with a caption": (
        typed(body="Check this out!", image={"path": PATH, "caption": "Check this out!"}),
        {"kind": "image", "text": "Check this out!", "media_id": PATH},
    ),
    "a document": (
        typed(
            body="Monthly report", document={"url": "https://mmg.whatsapp.net/x", "filename": "report.pdf"}
        ),
        {
            "kind": "document",
            "text": "Monthly report",
            "payload": "report.pdf",
            "media_id": "https://mmg.whatsapp.net/x",
        },
    ),
    "a video note": (typed(video_note=PATH), {"kind": "video", "media_id": PATH}),
    "a contact": (
        typed(contact={"displayName": "3Care", "vcard": "BEGIN"}),
        {"kind": "contacts", "text": "3Care"},
    ),
    "a location": (
        typed(location={"degreesLatitude": -6.2, "name": "Jakarta"}),
        {"kind": "location", "text": "Jakarta"},
    ),
    "of another kind": (typed(), {"kind": "other"}),
    "an advertisement": (
        typed(body="Hi", referral={"ctwa_clid": "FAKE", "source_id": "1", "n": 5}),
        {"kind": "text", "text": "Hi", "referral": {"ctwa_clid": "FAKE", "source_id": "1"}},
    ),
}


@pytest.mark.parametrize(("told", "expected"), OF_GOWA.values(), ids=OF_GOWA)
def test_a_message_of_gowa(told: dict[str, Any], expected: dict[str, Any]) -> None:
    assert one(gowa(told)) == InboundMessage(
        gateway_message_id="3EB0C127D7BACC83D6A1",
        at=datetime(2023, 10, 15, 10, 30, tzinfo=UTC),
        receivers=("kl-1", "12015550100@s.whatsapp.net"),
        phone="+12015550123",
        identities=("wa_id:12015550123",),
        name="John Doe",
        **expected,
    )


@pytest.mark.parametrize(
    "others",
    [
        {"chat_id": "120363402106000000@g.us"},
        {"chat_id": "120363123456789@newsletter", "from": "120363123456789@newsletter"},
        {"chat_id": "status@broadcast"},
        {"chat_id": "1700000000@broadcast"},
        {"from": "120363402106000000@g.us"},
        {"from": "0@call"},
    ],
)
def test_groups_newsletters_and_broadcasts_are_left_out(others: dict[str, str]) -> None:
    assert gowa(typed(body="STOP", **others)) == WebhookEvents()


@pytest.mark.parametrize(
    "event", ["message.revoked", "message.deleted", "chat_presence", "call.offer", None, []]
)
def test_other_events_of_gowa_are_left_out(event: Any) -> None:
    assert gowa(typed(event, body="STOP")) == WebhookEvents()


def test_a_linked_id_tells_no_phone() -> None:
    found = one(gowa(typed(body="STOP", **{"from": "251556368777322@lid", "chat_id": "251556368777322@lid"})))
    assert (found.phone, found.identities) == (None, ("lid:251556368777322",))
    found = one(
        gowa(
            typed(body="STOP", from_lid="251556368777322:12@lid", **{"from": "12015550123:7@s.whatsapp.net"})
        )
    )
    assert (found.phone, found.identities) == ("+12015550123", ("wa_id:12015550123", "lid:251556368777322"))


def test_what_was_typed_on_the_phone_is_to_the_person() -> None:
    own = {"from": "12015550100@s.whatsapp.net", "from_lid": "1@lid", "chat_lid": "251556368777322@lid"}
    found = one(gowa(typed(body="STOP", is_from_me=True, **own)))
    assert (found.from_me, found.phone, found.name) == (True, "+12015550123", None)
    assert found.identities == ("wa_id:12015550123", "lid:251556368777322")


def test_a_receipt_names_its_recipient_and_no_member_of_a_group() -> None:
    payload = {
        "ids": ["3EB0"],
        "chat_id": JID,
        "from": f"{JID[:12]}7:3@s.whatsapp.net",
        "receipt_type": "read",
    }
    event = {"event": "message.ack", "timestamp": "2025-07-18T22:44:20Z", "payload": payload}
    [receipt] = gowa(event).receipts
    assert receipt.recipient == (), "somebody else"
    payload["from"], payload["from_lid"] = JID.replace("@", ":3@"), "251556368777322@lid"
    [receipt] = gowa(event).receipts
    assert receipt.recipient == ("wa_id:12015550123", "lid:251556368777322")
    payload["chat_id"] = "120363402106000000@g.us"
    [receipt] = gowa(event).receipts
    assert receipt.recipient == ()


# Anything

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.sampled_from(["STOP", "131050", "\ud800\0", "x" * 300]),
    lambda children: (
        st.lists(children, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "entry",
                    "changes",
                    "value",
                    "messages",
                    "contacts",
                    "statuses",
                    "user_preferences",
                    "id",
                    "from",
                    "type",
                    "text",
                    "body",
                    "interactive",
                    "system",
                    "timestamp",
                    "errors",
                    "code",
                    "status",
                    "payload",
                    "event",
                    "chat_id",
                    "is_from_me",
                    "image",
                    "wa_id",
                    "profile",
                    "name",
                    "referral",
                ]
            ),
            children,
            max_size=6,
        )
    ),
    max_leaves=30,
)


def mangled(value: Any, other: Any) -> Iterator[Any]:
    """The value with ``other`` in each of its places."""
    if isinstance(value, dict):
        for key, child in value.items():
            for changed in mangled(child, other):
                yield {**value, key: changed}
    elif isinstance(value, list):
        for place, child in enumerate(value):
            for changed in mangled(child, other):
                yield [*value[:place], changed, *value[place + 1 :]]
    yield other


@settings(max_examples=15, deadline=None)
@given(JSON)
def test_whatever_stands_in_one_place_the_rest_is_read(other: Any) -> None:
    good = change(messages=[message("text", id="good", text={"body": "STOP"})])
    for told, _ in PUBLISHED.values():
        for changed in mangled(told, other):
            found = meta(change(messages=[changed]), good).inbound
            assert found[-1].gateway_message_id == "good"
    for told, _ in OF_GOWA.values():
        for changed in mangled(told, other):
            gowa(changed)
