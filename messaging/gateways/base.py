"""The interface of a WhatsApp gateway.

Errors are classified by one question: *could the gateway have accepted the message?*

    GatewayError
    ├── NotAccepted      no, and a later attempt may succeed (connection refused, name not found, 429)
    │   ├── DeviceUnfit  no, and it is the device's fault: logged out, token expired, blocked
    │   └── WrongContent no, and it is the campaign's or step's fault: every recipient would be refused
    ├── Refused          no, and the same message will never be accepted
    └── MaybeAccepted    nobody knows: the request went out, no usable answer came back
"""

from collections.abc import Mapping
from datetime import datetime
from enum import Enum
from typing import ClassVar, Literal, Protocol
from uuid import UUID

from messaging.common.values import Value
from messaging.gateways.webhook_events import GatewayId, InboundMessage, WebhookEvents

__all__ = [
    "Accepted",
    "Capabilities",
    "Chat",
    "ChatPage",
    "DeviceUnfit",
    "Gateway",
    "GatewayError",
    "Images",
    "InboundPage",
    "MaybeAccepted",
    "NotAccepted",
    "OutgoingMessage",
    "Picture",
    "Recovery",
    "Refused",
    "RefusedBecause",
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
    """By its URL, which Drumbeat has not fetched."""


class Capabilities(Value):
    """What a gateway can do. It is the same for all its devices."""

    idempotency: bool = False
    """It may honour an idempotency key; ``Gateway.recovery`` says it for one device."""
    look_up: bool = False
    """It can be asked what became of a message."""
    receipts: bool = False
    """It sends receipts by webhook that contain our ID of the message."""
    templates: bool = False
    """It can send approved templates."""
    service_window: bool = False
    """It takes free text only within 24 hours of the recipient's last message (Meta's customer service window)."""
    images: Images = Images.NONE
    link_preview: bool = False
    """It shows a preview of the first link of a text."""
    answers_within: float = 10.0
    """Seconds that its answer may take; after that, the attempt stops waiting."""
    keeps_messages: bool = False
    """It keeps what people have sent, and can be asked for what its webhooks could not deliver."""
    text_limit: int = 4096
    """Characters of a text."""
    caption_limit: int = 1024
    """Characters below an image; 0: none. A longer text follows the image as a second part of the same message."""


class RenderedTemplate(Value):
    """A template that the gateway knows by name, and the parameters for its body in order."""

    name: str
    language: str
    parameters: tuple[str, ...] = ()

    @property
    def wording(self) -> str:
        """What is known of the recipient's text: the gateway alone has all of it."""
        return f"[{self.name} {self.language}] " + " · ".join(self.parameters)


class Picture(Value):
    """An image that was fetched and checked."""

    content: bytes
    media_type: Literal["image/jpeg", "image/png"]

    @property
    def file_name(self) -> str:
        """A file name, for gateways that need one."""
        return "image.png" if self.media_type == "image/png" else "image.jpg"


class OutgoingMessage(Value):
    """One message as the gateway is to send it. ``message_id`` is the same in every attempt.

    If there is a ``template``, gateways that can send templates send it; others send ``text``.
    """

    message_id: UUID
    device_id: str
    phone: str
    """E.164."""
    text: str
    image_url: str | None = None
    picture: Picture | None = None
    """The image itself, if the gateway uploads it."""
    template: RenderedTemplate | None = None


class Accepted(Value):
    """The gateway took the message and will deliver it. ``gateway_message_id``: None if it gives none."""

    gateway_message_id: GatewayId | None
    recipient: tuple[GatewayId, ...] = ()
    """What the gateway calls the recipient, if it says so, as ``InboundMessage.identities`` has it."""


class Chat(Value):
    """The conversation with one person, as the gateway names it."""

    name: str
    last_message_at: datetime


class ChatPage(Value):
    """Some chats. ``more``: another page may have some that are as recent."""

    chats: tuple[Chat, ...]
    more: bool


class InboundPage(Value):
    """Some messages of a chat, the earliest first. ``more``: another page has earlier ones."""

    messages: tuple[InboundMessage, ...]
    more: bool


class Recovery(Enum):
    """How an attempt finds out what a dead attempt did."""

    RESEND = "resend"
    """The gateway honours an idempotency key: send again under the same one."""
    LOOK_UP = "look up"
    """The gateway can be asked whether it has a message of that ID."""
    NONE = "none"
    """Not at all: the message is unconfirmed until a receipt or an operator says more."""


class Unauthentic(Exception):
    """A webhook's signature or token is missing or wrong: its sender is not known."""


class GatewayError(Exception):
    """Base of a gateway's errors; ``str(error)`` is one line for the operator, without credentials."""


class NotAccepted(GatewayError):
    """The gateway did not accept the message; a later attempt may succeed.

    ``retry_after``: seconds that the gateway asked to wait, if any. ``concerns``: what must wait, the whole device or
    this message alone.
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
    """The gateway takes nothing from this device until an operator mends it. Several in a row park the device."""


class WrongContent(NotAccepted):
    """The gateway would refuse this from any device and for any recipient: the campaign or sequence is paused until it
    is mended.
    """


RefusedBecause = Literal["stopped marketing", "outside window"]
"""The recipient has stopped this business's marketing messages; or has not written within the service window."""


class Refused(GatewayError):
    """The gateway will never accept this message.

    ``sign``: what answers of this kind have in common, if their meaning is not known: a device that gets several in a
    row is parked, as the next recipients would get the same. None if the answer is known to be about this recipient.
    ``because``: what it says of the recipient, if more follows from that.
    """

    def __init__(
        self, message: str, *, sign: str | None = None, because: RefusedBecause | None = None
    ) -> None:
        super().__init__(message)
        self.sign = sign
        self.because = because


class MaybeAccepted(GatewayError):
    """The gateway may have accepted the message, but did not say so."""


class Gateway(Protocol):
    """A WhatsApp gateway. Implementations are safe to use from many tasks at once.

    :class:`messaging.gateways.http.HttpGateway` is the base class of most of them.
    """

    capabilities: ClassVar[Capabilities]

    async def send(self, message: OutgoingMessage, *, timeout: float) -> Accepted:
        """Sends ``message``; gives up after ``timeout`` seconds. Raises a GatewayError if it was not accepted."""
        ...

    async def recovery(self, device_id: str) -> Recovery:
        """How to find out about a message that may have been accepted. Raises NotAccepted if unreachable."""
        ...

    async def look_up(self, device_id: str, message_id: UUID) -> Accepted | None:
        """The gateway's own record of a message, or None. Called only if ``recovery`` is LOOK_UP, or ``capabilities``
        say so.

        Raises NotAccepted if the gateway cannot be asked now, and MaybeAccepted if it answers no look-ups.
        """
        ...

    def challenge(self, query: Mapping[str, str]) -> str:
        """The answer to a request by which the gateway verifies that the webhook's address is ours.

        Raises Unauthentic.
        """
        ...

    def read_webhook(self, headers: Mapping[str, str], body: bytes) -> WebhookEvents:
        """The events of a webhook's request; events that do not concern us are left out.

        ``headers``: by their lower-case names. Raises Unauthentic.
        """
        ...

    async def list_chats(self, since: datetime, page: int) -> ChatPage:
        """Chats with a message since then, also one from our number: the latest first, pages from 0.

        Called only if the capability ``keeps_messages`` says so. Raises a GatewayError.
        """
        ...

    async def list_messages(self, chat: str, since: datetime, page: int) -> InboundPage:
        """The messages of a chat since then, also those from our number. As :meth:`list_chats`."""
        ...

    async def close(self) -> None:
        """Closes connections."""
        ...
