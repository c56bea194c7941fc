"""What Drumbeat asks of a WhatsApp gateway.

Errors are told apart by one question: *could the gateway have accepted the message?*

    GatewayError
    ├── NotAccepted      no, and a later attempt may succeed (connection refused, name not found, 429)
    ├── Refused          no, and the same message will never be accepted
    └── MaybeAccepted    nobody knows: the request went out, no usable answer came back
"""

from enum import Enum
from typing import Protocol
from uuid import UUID

from messaging.models import Value

__all__ = [
    "Accepted",
    "Gateway",
    "GatewayError",
    "MaybeAccepted",
    "NotAccepted",
    "OutgoingMessage",
    "Recovery",
    "Refused",
]


class OutgoingMessage(Value):
    """One message as the gateway is to send it. ``message_id`` is the same in every attempt."""

    message_id: UUID
    device_id: str
    phone: str
    text: str
    image_url: str | None = None


class Accepted(Value):
    """The gateway took the message and will deliver it."""

    gateway_message_id: str


class Recovery(Enum):
    """How an attempt finds out about a dead attempt's message."""

    RESEND = "resend"
    """The gateway honours an idempotency key: send again under the same one."""
    LOOK_UP = "look up"
    """The gateway can be asked whether it has a message of that ID."""
    NONE = "none"
    """There is no way: the message is unconfirmed."""


class GatewayError(Exception):
    """Base of a gateway's errors; ``str(error)`` is one line for the operator, without credentials."""


class NotAccepted(GatewayError):
    """The gateway did not accept the message; a later attempt may succeed.

    ``retry_after``: seconds the gateway asked to wait, if it did.
    """

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Refused(GatewayError):
    """The gateway will never accept this message."""


class MaybeAccepted(GatewayError):
    """The gateway may have accepted the message, and did not say."""


class Gateway(Protocol):
    """A WhatsApp gateway. Implementations are safe to use from many tasks at once."""

    async def send(self, message: OutgoingMessage, *, timeout: float) -> Accepted:
        """Hands ``message`` over; gives up after ``timeout`` seconds. Raises a GatewayError otherwise."""
        ...

    async def recovery(self, device_id: str) -> Recovery:
        """How to find out about a message that may have been accepted. Raises NotAccepted if unreachable."""
        ...

    async def look_up(self, device_id: str, message_id: UUID) -> Accepted | None:
        """The gateway's own record of a message, or None. Only where ``recovery`` is LOOK_UP.

        Raises NotAccepted when the gateway cannot be asked.
        """
        ...

    async def close(self) -> None:
        """Closes connections."""
        ...
