"""What the WhatsApp Cloud API tells by webhook: its question for the address, and what became of messages."""

import json
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Literal
from uuid import UUID

from messaging.gateways.base import Receipt, Unauthentic
from messaging.gateways.cloud_api_errors import told_by
from messaging.gateways.signatures import check_signature, same

__all__ = ["answer_to_challenge", "receipts_of"]

_STATUSES: Mapping[str, Literal["sent", "delivered", "read", "failed"]] = {
    "sent": "sent",
    "delivered": "delivered",
    "read": "read",
    "failed": "failed",
}
"""Others ("played", and those of calls) say nothing about a message's delivery."""


def answer_to_challenge(query: Mapping[str, str], verify_token: str) -> str:
    """The challenge to send back. Raises Unauthentic where the question does not bear the verify token."""
    if query.get("hub.mode") != "subscribe" or not same(query.get("hub.verify_token", ""), verify_token):
        raise Unauthentic("the question for the webhook's address does not bear the device's verify_token")
    challenge = query.get("hub.challenge")
    if not challenge:
        raise Unauthentic("the question for the webhook's address has no hub.challenge")
    return challenge


def receipts_of(headers: Mapping[str, str], body: bytes, app_secret: str) -> tuple[Receipt, ...]:
    """The receipts of a webhook's request; what is malformed or of another kind is left out.

    The sending number is not compared: an app has one webhook for all its numbers, and a receipt is known by its
    message. Raises Unauthentic where the signature is missing or wrong.
    """
    check_signature(headers, body, app_secret, "app_secret")
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        return ()
    return tuple(receipt for status in _statuses(content) if (receipt := _receipt(status)) is not None)


def _statuses(content: Any) -> Iterator[Mapping[str, Any]]:
    for entry in _objects(content, "entry"):
        for change in _objects(entry, "changes"):
            yield from _objects(change.get("value"), "statuses")


def _objects(parent: Any, name: str) -> Iterator[Mapping[str, Any]]:
    children = parent.get(name) if isinstance(parent, Mapping) else None
    if isinstance(children, list):
        yield from (child for child in children if isinstance(child, Mapping))


def _receipt(status: Mapping[str, Any]) -> Receipt | None:
    name, at = status.get("status"), _moment(status.get("timestamp"))
    known = _STATUSES.get(name) if isinstance(name, str) else None
    identifier, ours = status.get("id"), _uuid(status.get("biz_opaque_callback_data"))
    theirs = identifier if isinstance(identifier, str) and identifier else None
    if known is None or at is None or (theirs is None and ours is None):
        return None
    reason = _reason(status) if known == "failed" else None
    return Receipt(status=known, at=at, message_id=ours, gateway_message_id=theirs, reason=reason)


def _reason(status: Mapping[str, Any]) -> str | None:
    told = (told_by(error) for error in _objects(status, "errors"))
    return " / ".join(str(one) for one in told if one is not None) or None


def _moment(timestamp: Any) -> datetime | None:
    """Unix seconds, which Meta writes as a string."""
    seconds = str(timestamp) if isinstance(timestamp, str | int) else ""
    if not re.fullmatch(r"[0-9]{1,11}", seconds):
        return None
    return datetime.fromtimestamp(int(seconds), UTC)


def _uuid(text: Any) -> UUID | None:
    try:
        return UUID(text) if isinstance(text, str) else None
    except ValueError:
        return None
