"""What people write, for tests without a gateway."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from messaging.gateways.webhook_events import InboundMessage

__all__ = ["NOON", "inbound", "no_workflows"]

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


async def no_workflows(phone: str, workflows: Sequence[str]) -> None:
    """In place of what tells workflows of an opt-out, where none run."""
    del phone, workflows


def inbound(
    identifier: str, phone: str | None, text: str | None, *, after: float = 0, **others: Any
) -> InboundMessage:
    """A text, ``after`` seconds after noon."""
    fields = {"kind": "text", "text": text, "phone": phone, "at": NOON + timedelta(seconds=after), **others}
    return InboundMessage(gateway_message_id=identifier, **fields)
