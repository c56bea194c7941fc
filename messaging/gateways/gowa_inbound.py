"""Parses inbound messages of GOWA: see its docs/webhook-payload.md, and
src/infrastructure/whatsapp/event_message.go.
"""

import re
from collections.abc import Mapping
from typing import Any

from messaging.gateways.webhook_bodies import inbound_message, iso_moment, part, phone_of, texts_of, words
from messaging.gateways.webhook_events import InboundMessage

__all__ = ["NAME", "inbound_of", "is_person", "recipient_of", "who"]

NAME = "GOWA"

_EVENTS = ("message", "message.reaction", "message.edited")
"""An edited message counts as a new one: "STPO" may have become "STOP"."""

_KINDS = {
    "image": "image",
    "video": "video",
    "video_note": "video",
    "audio": "audio",
    "document": "document",
    "sticker": "sticker",
    "location": "location",
    "live_location": "location",
    "contact": "contacts",
    "contacts_array": "contacts",
}
"""The kind of a message by its first present field."""

_PERSON = re.compile(r"([^@:]+)(?::[0-9]+)?@(s\.whatsapp\.net|c\.us|lid)")
"""WhatsApp's name (JID) of one person, with the number of their device. Groups, newsletters and broadcasts end otherwise."""


def inbound_of(event: Mapping[str, Any]) -> tuple[InboundMessage, ...]:
    """The inbound message of a webhook's request; none where it is of another kind, of a group, a newsletter or a
    broadcast, nor, with a line in the log, where it is malformed."""
    kind, payload = words(event, "event"), part(event, "payload")
    if kind not in _EVENTS:
        return ()
    chat, sender = words(payload, "chat_id"), words(payload, "from")
    if any(name is not None and _PERSON.fullmatch(name) is None for name in (chat, sender)):
        return ()
    from_me = payload.get("is_from_me") is True
    found = inbound_message(
        NAME,
        gateway_message_id=words(payload, "id") or "",
        at=iso_moment(payload.get("timestamp")),
        receivers=tuple(filter(None, (words(event, "session_id"), words(event, "device_id")))),
        name=None if from_me else words(payload, "from_name", "sender_display_name"),
        from_me=from_me,
        referral=texts_of(part(payload, "referral")),
        # For an outgoing message, the person is its recipient.
        **who(chat if from_me else sender, words(payload, "chat_lid" if from_me else "from_lid")),
        **_content(kind, payload),
    )
    return () if found is None else (found,)


def recipient_of(payload: Mapping[str, Any]) -> tuple[str, ...]:
    """The names of a message's recipient in a receipt; none if another member reports it, as in a group."""
    chat, sender = (
        _PERSON.fullmatch(name) for name in (words(payload, "chat_id") or "", words(payload, "from") or "")
    )
    if chat is None or sender is None or chat.group(1, 2) != sender.group(1, 2):
        return ()
    identities: tuple[str, ...] = who(sender[0], words(payload, "from_lid"))["identities"]
    return identities


def is_person(name: str) -> bool:
    """True if WhatsApp's name (JID) is that of one person, not of a group, a newsletter or a broadcast."""
    return _PERSON.fullmatch(name) is not None


def who(*names: str | None) -> dict[str, Any]:
    """Phone and other names. A person may be known only by a ``…@lid``, which contains no phone."""
    found = [match for name in names if name is not None and (match := _PERSON.fullmatch(name))]
    return {
        "phone": phone_of(*(match[1] for match in found if match[2] != "lid")),
        "identities": tuple(
            dict.fromkeys(f"{'lid' if match[2] == 'lid' else 'wa_id'}:{match[1]}" for match in found)
        ),
    }


def _content(event: str, payload: Mapping[str, Any]) -> dict[str, Any]:
    if event == "message.reaction":
        return {
            "kind": "reaction",
            "text": words(payload, "reaction"),
            "answers": words(payload, "reacted_message_id"),
        }
    body, answers = words(payload, "body"), words(payload, "replied_to_id")
    for field, kind in _KINDS.items():
        if payload.get(field):
            own = part(payload, field)
            return {
                "kind": kind,
                "text": body or words(own, "caption", "name", "address", "displayName"),
                "payload": words(own, "filename"),
                "media_id": words(payload, field) or words(own, "path", "url"),
                "answers": answers,
            }
    # Buttons and lists come back with their label as the body, so they look like typed text.
    return {"kind": "text" if body else "other", "text": body, "answers": answers}
