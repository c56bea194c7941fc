"""What the WhatsApp Cloud API reports by webhook: its question for the address, what became of messages, and
what people write."""

from collections.abc import Mapping
from typing import Any, Literal
from uuid import UUID

from messaging.gateways.base import Unauthentic
from messaging.gateways.cloud_api_errors import Meaning, read_error
from messaging.gateways.cloud_api_inbound import META, inbound_of_change, moment, recipient_of
from messaging.gateways.signatures import check_signature, same
from messaging.gateways.webhook_bodies import items, objects, pass_over, read_json, receipt
from messaging.gateways.webhook_events import InboundMessage, Receipt, WebhookEvents

__all__ = ["answer_to_challenge", "read_webhook"]

_STATUSES: Mapping[str, Literal["sent", "delivered", "read", "failed"]] = {
    "sent": "sent",
    "delivered": "delivered",
    "read": "read",
    "failed": "failed",
}
"""Other statuses ("played", and those of calls) say nothing about a message's delivery."""

_OURS = "biz_opaque_callback_data"


def answer_to_challenge(query: Mapping[str, str], verify_token: str) -> str:
    """The challenge to send back. Raises Unauthentic if the request does not contain the verify token."""
    if query.get("hub.mode") != "subscribe" or not same(query.get("hub.verify_token", ""), verify_token):
        raise Unauthentic("the question for the webhook's address does not bear the device's verify_token")
    challenge = query.get("hub.challenge")
    if not challenge:
        raise Unauthentic("the question for the webhook's address has no hub.challenge")
    return challenge


def read_webhook(headers: Mapping[str, str], body: bytes, app_secret: str) -> WebhookEvents:
    """The events of a webhook's request. Other kinds are left out, and so are malformed ones, with a line in the log.

    The sending number of a receipt is not compared: an app has one webhook for all its numbers, and a receipt is known by
    its message. Raises Unauthentic where the signature is missing or wrong.
    """
    check_signature(headers, body, app_secret, "app_secret")
    receipts: list[Receipt] = []
    inbound: list[InboundMessage] = []
    for entry in objects(read_json(body), "entry"):
        for change in objects(entry, "changes"):
            value = change.get("value")
            found = (_receipt(status) for status in items(value, "statuses"))
            receipts += (receipt for receipt in found if receipt is not None)
            inbound += inbound_of_change(value)
    return WebhookEvents(receipts=tuple(receipts), inbound=tuple(inbound))


def _receipt(status: Any) -> Receipt | None:
    name = status.get("status") if isinstance(status, Mapping) else None
    if not isinstance(name, str):
        pass_over(META, "it has no status", status)
        return None
    known = _STATUSES.get(name)
    if known is None:
        return None
    at, identifier, ours = moment(status.get("timestamp")), status.get("id"), status.get(_OURS)
    message_id, theirs = _uuid(ours), identifier if isinstance(identifier, str) and identifier else None
    if at is None:
        pass_over(META, "its timestamp is none", status)
        return None
    if theirs is None and message_id is None:
        pass_over(META, "it names no message", status)
        return None
    return receipt(
        META,
        status=known,
        at=at,
        message_id=message_id,
        gateway_message_id=theirs,
        recipient=recipient_of(status),
        **(_failure(status) if known == "failed" else {}),
    )


def _failure(status: Mapping[str, Any]) -> dict[str, Any]:
    """Why it failed, and whether others would fail in the same way."""
    errors = [one for error in objects(status, "errors") if (one := read_error(error)) is not None]
    meanings = {one.rule.meaning if one.rule is not None else None for one in errors}
    about_the_recipient = not errors or Meaning.REFUSED in meanings
    return {
        "reason": " / ".join(map(str, errors)) or None,
        "sign": None if about_the_recipient else " ".join(f"code {one.code}" for one in errors),
        "wrong_content": not about_the_recipient and meanings == {Meaning.WRONG},
    }


def _uuid(text: Any) -> UUID | None:
    try:
        return UUID(text) if isinstance(text, str) else None
    except ValueError:
        return None
