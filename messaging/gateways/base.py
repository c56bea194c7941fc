"""What Drumbeat asks of a WhatsApp gateway.

Errors are told apart by one question: *could the gateway have accepted the message?*

    GatewayError
    ├── NotAccepted      no, and a later attempt may succeed (connection refused, name not found, 429)
    │   ├── DeviceUnfit  no, and it is the device's fault: logged out, token expired, blocked
    │   └── WrongContent no, and it is the campaign's or step's fault: every recipient would be refused
    ├── Refused          no, and the same message will never be accepted
    └── MaybeAccepted    nobody knows: the request went out, no usable answer came back
"""

from collections.abc import Mapping
from enum import Enum
from typing import ClassVar, Literal, Protocol
from uuid import UUID

from messaging.common.values import Value
from messaging.gateways.webhook_events import GatewayId, WebhookEvents

__all__ = [
    "Accepted",
    "Capabilities",
    "DeviceUnfit",
    "Gateway",
    "GatewayError",
    "Images",
    "MaybeAccepted",
    "NotAccepted",
    "OutgoingMessage",
    "Picture",
    "Recovery",
    "Refused",
    "RenderedTemplate",
    "Unauthentic",
    "WrongContent",
]


class Images(Enum):
    """How a gateway takes an image."""

    NONE = "none"
    LINK = "link"
    """By its URL, which the gateway fetches; Drumbeat has fetched and checked it before."""
    UPLOAD = "upload"
    """By its bytes, which Drumbeat has fetched and checked."""
    UNSEEN = "unseen"
    """By its URL, which is not fetched before."""


class Capabilities(Value):
    """What a gateway can do; the same for all its devices."""

    idempotency: bool = False
    """It may honour an idempotency key: a device's own word is ``Gateway.recovery``."""
    look_up: bool = False
    """It may be asked what became of a message."""
    receipts: bool = False
    """It tells by webhook what became of a message, and with it bears our ID of it."""
    templates: bool = False
    """It sends templates that were approved before."""
    service_window: bool = False
    """It takes free text only within 24 hours of the recipient's last message (Meta's customer service window)."""
    images: Images = Images.NONE
    link_preview: bool = False
    """It shows a preview of the first link of a text."""
    answers_within: float = 10.0
    """Seconds that its answer may take; after them, it is not waited for any more."""
    text_limit: int = 4096
    """Characters of a text."""
    caption_limit: int = 1024
    """Characters below an image; 0: none. A longer text follows the image as a second part of the same message."""


class RenderedTemplate(Value):
    """A template that the gateway knows by name, and what is put into its body's places, in order."""

    name: str
    language: str
    parameters: tuple[str, ...] = ()


class Picture(Value):
    """An image that was fetched and checked."""

    content: bytes
    media_type: Literal["image/jpeg", "image/png"]

    @property
    def file_name(self) -> str:
        """A name for it where one is needed."""
        return "image.png" if self.media_type == "image/png" else "image.jpg"


class OutgoingMessage(Value):
    """One message as the gateway is to send it. ``message_id`` is the same in every attempt.

    With ``template``, that is what is sent by a gateway that can; ``text`` is what others send.
    """

    message_id: UUID
    device_id: str
    phone: str
    """E.164."""
    text: str
    image_url: str | None = None
    picture: Picture | None = None
    """The image itself, where the gateway uploads it."""
    template: RenderedTemplate | None = None


class Accepted(Value):
    """The gateway took the message and will deliver it. ``gateway_message_id``: None where it does not say."""

    gateway_message_id: GatewayId | None


class Recovery(Enum):
    """How an attempt finds out about a dead attempt's message."""

    RESEND = "resend"
    """The gateway honours an idempotency key: send again under the same one."""
    LOOK_UP = "look up"
    """The gateway can be asked whether it has a message of that ID."""
    NONE = "none"
    """There is no way: the message is unconfirmed, until a receipt or an operator says more."""


class Unauthentic(Exception):
    """A webhook's signature or token is missing or wrong: it is not known who sent it."""


class GatewayError(Exception):
    """Base of a gateway's errors; ``str(error)`` is one line for the operator, without credentials."""


class NotAccepted(GatewayError):
    """The gateway did not accept the message; a later attempt may succeed.

    ``retry_after``: seconds the gateway asked to wait, if it did. ``concerns``: what is to wait, all that the
    device sends or this message alone.
    """

    def __init__(
        self,
        message: str,
        *,
        retry_after: float | None = None,
        concerns: Literal["device", "message"] = "device",
    ) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        self.concerns = concerns


class DeviceUnfit(NotAccepted):
    """The gateway takes nothing from this device until an operator mends it. Repeated, it parks the device."""


class WrongContent(NotAccepted):
    """The gateway would take this from no device and for no recipient: the campaign or the step has to be mended, and waits."""


class Refused(GatewayError):
    """The gateway will never accept this message.

    ``sign``: what is alike in answers of this kind, where it is not known what they mean: a device that gets several in a
    row is held, as the next recipients would get the same. None where it is known to be about this recipient.
    """

    def __init__(self, message: str, *, sign: str | None = None) -> None:
        super().__init__(message)
        self.sign = sign


class MaybeAccepted(GatewayError):
    """The gateway may have accepted the message, and did not say."""


class Gateway(Protocol):
    """A WhatsApp gateway. Implementations are safe to use from many tasks at once.

    :class:`messaging.gateways.http.HttpGateway` is what most of them begin with.
    """

    capabilities: ClassVar[Capabilities]

    async def send(self, message: OutgoingMessage, *, timeout: float) -> Accepted:
        """Hands ``message`` over; gives up after ``timeout`` seconds. Raises a GatewayError otherwise."""
        ...

    async def recovery(self, device_id: str) -> Recovery:
        """How to find out about a message that may have been accepted. Raises NotAccepted if unreachable."""
        ...

    async def look_up(self, device_id: str, message_id: UUID) -> Accepted | None:
        """The gateway's own record of a message, or None. Where ``recovery`` is LOOK_UP, or ``capabilities`` say so.

        Raises NotAccepted when the gateway cannot be asked now, and MaybeAccepted where it answers no look-ups.
        """
        ...

    def challenge(self, query: Mapping[str, str]) -> str:
        """The answer to a question by which the gateway makes sure that a webhook's address is ours.

        Raises Unauthentic.
        """
        ...

    def read_webhook(self, headers: Mapping[str, str], body: bytes) -> WebhookEvents:
        """What a webhook's request tells; nothing of what is none of our business.

        ``headers``: by their lower-case names. Raises Unauthentic.
        """
        ...

    async def close(self) -> None:
        """Closes connections."""
        ...
