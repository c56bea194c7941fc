"""Parses the simulated gateway's webhooks: inbound messages and receipts (docs/simulator.md)."""

from collections.abc import Mapping
from uuid import UUID

from messaging.gateways.signatures import check_signature
from messaging.gateways.webhook_bodies import (
    inbound_message,
    iso_moment,
    objects,
    part,
    phone_of,
    read_json,
    receipt,
    texts_of,
    words,
)
from messaging.gateways.webhook_events import WebhookEvents

__all__ = ["read_webhook"]

_NAME = "the simulated gateway"


def read_webhook(headers: Mapping[str, str], body: bytes, key: str) -> WebhookEvents:
    """The events of a webhook's request. Raises Unauthentic."""
    check_signature(headers, body, key, "webhook_secret")
    content = read_json(body)
    receiver = words(content, "device")
    found = (
        inbound_message(
            _NAME,
            gateway_message_id=words(message, "id") or "",
            at=iso_moment(message.get("at")),
            receivers=(receiver,) if receiver else (),
            phone=phone_of(words(message, "from")),
            identities=(f"user_id:{user}",) if (user := words(message, "user_id")) else (),
            referral=texts_of(part(message, "referral")),
            **{name: words(message, name) for name in ("kind", "name", "text", "payload", "answers")},
        )
        for message in objects(content, "messages")
    )
    receipts = (
        receipt(
            _NAME,
            status=words(one, "status"),
            at=iso_moment(one.get("at")),
            message_id=_our_id(words(one, "key")),
            gateway_message_id=words(one, "id"),
            reason=words(one, "reason"),
        )
        for one in objects(content, "receipts")
    )
    return WebhookEvents(
        inbound=tuple(one for one in found if one is not None),
        receipts=tuple(one for one in receipts if one is not None),
    )


def _our_id(key: str | None) -> UUID | None:
    """Our ID of the message: the idempotency key that it was sent with."""
    try:
        return UUID(key) if key else None
    except ValueError:
        return None
