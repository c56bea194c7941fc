"""What people write, for tests without a gateway."""

from datetime import UTC, datetime, timedelta
from typing import Any

from messaging.gateways.webhook_events import InboundMessage
from messaging.replies.consequences import Consequences

__all__ = ["NOON", "inbound", "no_workflows"]

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


async def no_workflows(then: Consequences) -> None:
    """In place of what carries out the consequences of messages, where no workflows run."""
    del then


def inbound(
    identifier: str, phone: str | None, text: str | None, *, after: float = 0, **others: Any
) -> InboundMessage:
    """A text, ``after`` seconds after noon."""
    fields = {"kind": "text", "text": text, "phone": phone, "at": NOON + timedelta(seconds=after), **others}
    return InboundMessage(gateway_message_id=identifier, **fields)
