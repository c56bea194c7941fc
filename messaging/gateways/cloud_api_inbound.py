"""What people send to a number of the WhatsApp Cloud API: Meta's "messages webhook reference" and its pages for each type,
and "user_preferences webhook reference" (of August 2026)."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from messaging.gateways.webhook_bodies import inbound_message, items, objects, part, phone_of, texts_of, words
from messaging.gateways.webhook_events import InboundMessage

__all__ = ["META", "inbound_of_change", "moment", "recipient_of", "recipient_of_answer"]

META = "the WhatsApp Cloud API"

MARKETING_STOPPED = 131050
"""Meta's error code for a marketing message to a person who has stopped those of this business."""

_MEDIA = ("image", "video", "audio", "document", "sticker")

_NOT_SAID = ("revoke", "request_welcome")
"""Types of messages in which a person says nothing: they have deleted a message, or opened the chat for the first time."""


def moment(timestamp: Any) -> datetime | None:
    """Unix seconds, which Meta writes as a string, and now and then as a number."""
    seconds = str(timestamp) if isinstance(timestamp, str | int) else ""
    if not seconds.isascii() or not seconds.isdigit() or len(seconds) > 11:
        return None
    return datetime.fromtimestamp(int(seconds), UTC)


def inbound_of_change(value: Any) -> Iterator[InboundMessage]:
    """The inbound events of one change: messages, choices in WhatsApp's settings, stopped marketing messages."""
    receivers = tuple(filter(None, (words(part(value, "metadata"), "phone_number_id"),)))
    contacts = list(objects(value, "contacts"))
    senders = {_sender(one) for field in ("messages", "user_preferences") for one in objects(value, field)}
    if len(contacts) == 1 and len(senders) > 1:
        contacts = [*contacts, {}]  # it is of one of them, the one that it names
    for message in items(value, "messages"):
        # In a group, "STOP" is not meant for us alone (Meta, "Group messages webhook reference").
        if isinstance(message, Mapping) and not message.get("group_id"):
            found = _message(message, contacts, receivers)
            if found is not None:
                yield found
    for preference in objects(value, "user_preferences"):
        found = _preference(preference, contacts, receivers)
        if found is not None:
            yield found
    for status in objects(value, "statuses"):
        found = _stopped_marketing(status, receivers)
        if found is not None:
            yield found


def _message(
    message: Mapping[str, Any], contacts: list[Mapping[str, Any]], receivers: tuple[str, ...]
) -> InboundMessage | None:
    context, content = part(message, "context"), _content(message)
    if content is None:
        return None
    who = _who(message, contacts)
    who["identities"] = tuple(dict.fromkeys((*who["identities"], *content.pop("identities", ()))))
    return inbound_message(
        META,
        gateway_message_id=words(message, "id") or "",
        at=moment(message.get("timestamp")),
        receivers=receivers,
        referral=texts_of(part(message, "referral")),
        **who,
        **{"answers": words(context, "id"), **content},
    )


def _who(message: Mapping[str, Any], contacts: list[Mapping[str, Any]]) -> dict[str, Any]:
    """Phone, other names, and the profile's name. From June 2026 on the phone may be missing (business-scoped user IDs)."""
    sender, user = _sender(message)
    contact = _contact(contacts, sender, user)
    wa_id = words(contact, "wa_id")
    users = {user, words(message, "from_parent_user_id", "parent_user_id"), words(contact, "user_id")}
    users |= {words(contact, "parent_user_id")}
    return {
        "phone": phone_of(sender, wa_id),
        "identities": (
            *(f"wa_id:{name.removeprefix('+')}" for name in dict.fromkeys((sender, wa_id)) if name),
            *(f"user_id:{name}" for name in sorted(filter(None, users))),
        ),
        "name": words(part(contact, "profile"), "name"),
    }


def _sender(message: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """Number and user ID of the sender, as far as the message gives them."""
    return words(message, "from", "wa_id"), words(message, "from_user_id", "user_id")


def _contact(contacts: list[Mapping[str, Any]], sender: str | None, user: str | None) -> Mapping[str, Any]:
    for contact in contacts:
        if sender is not None and phone_of(words(contact, "wa_id")) == phone_of(sender) is not None:
            return contact
        if user is not None and words(contact, "user_id") == user:
            return contact
    # "A WhatsApp user's ID and phone number may not always match": a single one is of the single sender.
    return contacts[0] if len(contacts) == 1 else {}


def _content(message: Mapping[str, Any]) -> dict[str, Any] | None:
    """What the person says; None if that is nothing."""
    kind = words(message, "type") or ""
    if kind in _NOT_SAID:
        return None
    own = part(message, kind)
    match kind:
        case "text":
            return {"kind": "text", "text": words(own, "body")}
        case "button":  # a template's quick reply; the payload is the label unless the send gave one
            return {"kind": "button", "text": words(own, "text"), "payload": words(own, "payload")}
        case "interactive":
            return _interactive(own)
        case "reaction":
            return {"kind": "reaction", "text": words(own, "emoji"), "answers": words(own, "message_id")}
        case "location":
            return {"kind": "location", "text": words(own, "name", "address")}
        case "contacts":
            names = (words(part(one, "name"), "formatted_name") for one in objects(message, "contacts"))
            return {"kind": "contacts", "text": ", ".join(filter(None, names)) or None}
        case "system":
            return _system(own)
        case "edit":
            # Counts as a new one: "STPO" may have become "STOP" (Meta, "Edit messages webhook reference").
            edited = part(own, "message")
            content = _content(edited)
            return content and {"answers": words(part(edited, "context"), "id"), **content}
    if kind in _MEDIA:
        return {
            "kind": kind,
            "text": words(own, "caption"),
            "payload": words(own, "filename"),
            "media_id": words(own, "id"),
        }
    return {"kind": "other", "payload": kind or None}


def _interactive(own: Mapping[str, Any]) -> dict[str, Any]:
    kind = words(own, "type") or ""
    chosen = part(own, kind)
    if kind in ("button_reply", "list_reply"):
        return {
            "kind": kind.removesuffix("_reply"),
            "text": words(chosen, "title"),
            "payload": words(chosen, "id"),
        }
    return {"kind": "other", "text": words(chosen, "body", "name"), "payload": kind or None}


def _system(own: Mapping[str, Any]) -> dict[str, Any] | None:
    """A change that WhatsApp itself reports; None for one that says nothing to us, such as a new security code."""
    change, body = words(own, "type") or "", words(own, "body")
    if change in ("user_changed_number", "customer_changed_number"):
        changed = words(own, "wa_id", "new_wa_id")
        payload = phone_of(changed) or changed
        return {"kind": "number_changed", "text": body, "payload": payload, "identities": _user_ids(own)}
    if change == "user_changed_user_id":
        payload = words(own, "user_id")
        return {"kind": "user_id_changed", "text": body, "payload": payload, "identities": _user_ids(own)}
    if change == "user_preference_changed":
        return {"kind": "preference", "text": body, "payload": words(own, "marketing")}
    return None


def _user_ids(own: Mapping[str, Any]) -> tuple[str, ...]:
    """The old and new user IDs of a system message. A changed number changes them too (Meta's changelog of 11 August 2026)."""
    fields = ("previous_user_id", "user_id", "previous_parent_user_id", "parent_user_id")
    return tuple(f"user_id:{name}" for field in fields if (name := words(own, field)) is not None)


def recipient_of(status: Mapping[str, Any]) -> tuple[str, ...]:
    """What a status calls the recipient of a message; nothing of a group."""
    if words(status, "recipient_type") == "group":
        return ()
    names = {
        "from": words(status, "recipient_id"),
        "from_user_id": words(status, "recipient_user_id"),
        "from_parent_user_id": words(status, "recipient_parent_user_id", "parent_recipient_user_id"),
    }
    identities: tuple[str, ...] = _who(names, [])["identities"]
    return identities


def recipient_of_answer(answer: Any) -> tuple[str, ...]:
    """What the answer to a send calls its one recipient: ``contacts[0]`` with ``wa_id`` ("may not match the input phone
    number", Meta) and, for people with a business-scoped user ID, ``user_id``.
    """
    contacts = list(objects(answer, "contacts"))
    if len(contacts) != 1:
        return ()
    identities: tuple[str, ...] = _who(contacts[0], [])["identities"]
    return identities


def _preference(
    preference: Mapping[str, Any], contacts: list[Mapping[str, Any]], receivers: tuple[str, ...]
) -> InboundMessage | None:
    """A choice in WhatsApp's own settings ("Offers and announcements"). It bears no ID, and is known by what it says, and
    when. If it does not say when, it is a repetition unless the person has chosen the opposite since.
    """
    who, value = _who(preference, contacts), words(preference, "value") or ""
    at = moment(preference.get("timestamp"))
    whom = " ".join(who["identities"])
    return inbound_message(
        META,
        gateway_message_id=f"preference {value} {whom} {int(at.timestamp()) if at else 'at any time'}",
        at=at,
        timeless=at is None,
        kind="preference",
        receivers=receivers,
        text=words(preference, "detail"),
        payload=value,
        **who,
    )


def _stopped_marketing(status: Mapping[str, Any], receivers: tuple[str, ...]) -> InboundMessage | None:
    """The same choice, as Meta reports it when it blocks a message."""
    stopped = any(str(error.get("code")) == str(MARKETING_STOPPED) for error in objects(status, "errors"))
    identifier = words(status, "id")
    if not stopped or words(status, "status") != "failed" or identifier is None:
        return None
    return inbound_message(
        META,
        gateway_message_id=f"preference stop {identifier}",
        at=moment(status.get("timestamp")),
        kind="preference",
        receivers=receivers,
        text=f"Meta did not deliver: they have stopped marketing messages ({MARKETING_STOPPED})",
        payload="stop",
        answers=identifier,
        phone=phone_of(words(status, "recipient_id")),
        identities=recipient_of(status),
    )
