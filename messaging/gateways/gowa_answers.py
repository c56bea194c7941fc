"""Parses GOWA's answers and webhooks: see src/pkg/error of its sources, and its docs/webhook-payload.md."""

import re
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from messaging.gateways.base import (
    DeviceUnfit,
    GatewayError,
    NotAccepted,
    Refused,
    WrongContent,
)
from messaging.gateways.gowa_inbound import NAME, inbound_of, recipient_of
from messaging.gateways.http import Answer, format_words
from messaging.gateways.signatures import check_signature
from messaging.gateways.webhook_bodies import iso_moment, pass_over, read_json, receipt
from messaging.gateways.webhook_events import Receipt, WebhookEvents

__all__ = ["message_id_of", "read_webhook", "refusal_of"]

_REFUSALS: tuple[tuple[re.Pattern[str], type[GatewayError], str], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), kind, way_out)
    for pattern, kind, way_out in (
        # Its code, a colon, its words. Only errors that are found before a message is sent; a 500 may come after that.
        (
            r"^AUTHENTICATION_ERROR:|^INVALID_WA_CLI:|client is not initialized|you are not (log|connect)",
            DeviceUnfit,
            "log the device in at {url}; if it is, check username and password",
        ),
        (
            r"is logged out|session (was |is |has been )?(not found|deleted|expired|invalid)",
            DeviceUnfit,
            "log the device in at {url}; if it is, check username and password",
        ),
        (
            r"^DEVICE_(NOT_FOUND|ID_REQUIRED):|device (is )?not found",
            DeviceUnfit,
            "give the device's option device as {url} lists it",
        ),
        (
            r"^WA_REACHOUT_TIMELOCK:",
            DeviceUnfit,
            "WhatsApp keeps the number from new chats: wait, then send slower",
        ),
        (r"^UPLOAD_MEDIA_ERROR:", NotAccepted, "the image did not reach WhatsApp"),
        (r"failed to open image", WrongContent, "the server cannot read the image: save it again"),
        (
            r"^INVALID_JID:|not on whatsapp|is not registered|invalid (jid|phone)",
            Refused,
            "check the recipient's number",
        ),
        (
            # The step is at fault, not the recipient: every recipient would get the same answer.
            r"^VALIDATION_ERROR:(?!.*phone).*\b(message|caption|image|file)\b",
            WrongContent,
            "check the step's text and image",
        ),
    )
)
_STATUSES: Mapping[str, Literal["delivered", "read"]] = {"delivered": "delivered", "read": "read"}


def message_id_of(answer: Answer) -> str | None:
    """The message ID in a success; None for any other answer."""
    content = answer.content if isinstance(answer.content, Mapping) else {}
    results = content.get("results")
    identifier = results.get("message_id") if isinstance(results, Mapping) else None
    said_yes = 200 <= answer.status < 300 and content.get("code") == "SUCCESS"
    return identifier if said_yes and isinstance(identifier, str) and identifier else None


def refusal_of(
    answer: Answer, name: str, url: str, *, hide: Iterable[str]
) -> tuple[GatewayError | None, str]:
    """The error for this code and these words, if known, and the words. ``hide``: credentials, which must not
    appear.
    """
    content = answer.content if isinstance(answer.content, Mapping) else {}
    code, words = (format_words(content.get(name), *hide) for name in ("code", "message"))
    said = f"{words} ({code})" if code else words
    for pattern, kind, way_out in _REFUSALS:
        if pattern.search(f"{code}: {words}"):
            return kind(f"{name} refuses: {said}; {way_out.format(url=url)}"), said
    return None, said


def read_webhook(headers: Mapping[str, str], body: bytes, key: str) -> WebhookEvents:
    """The events of a webhook's request: none if it is of another kind, or, with a line in the log, if it is malformed.
    Raises Unauthentic.
    """
    check_signature(headers, body, key, "webhook_secret")
    event = read_json(body)
    if not isinstance(event, Mapping):
        return WebhookEvents()
    return WebhookEvents(receipts=_receipts_of(event), inbound=inbound_of(event))


def _receipts_of(event: Mapping[str, Any]) -> tuple[Receipt, ...]:
    if event.get("event") != "message.ack":
        return ()
    payload = event.get("payload")
    kind = payload.get("receipt_type") if isinstance(payload, Mapping) else None
    identifiers = payload.get("ids") if isinstance(payload, Mapping) else None
    at = iso_moment(event.get("timestamp"))
    if not isinstance(kind, str) or not isinstance(identifiers, list) or at is None:
        pass_over(NAME, "receipt_type, ids or timestamp is missing, or none", event)
        return ()
    status = _STATUSES.get(kind)
    if status is None:
        return ()
    recipient = recipient_of(payload) if isinstance(payload, Mapping) else ()
    found = []
    for identifier in identifiers:
        if not isinstance(identifier, str) or not identifier:
            pass_over(NAME, "one of its ids is none", event)
            continue
        one = receipt(NAME, status=status, at=at, gateway_message_id=identifier, recipient=recipient)
        if one is not None:
            found.append(one)
    return tuple(found)
