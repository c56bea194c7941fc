"""What gateways tell by webhook: receipts of our messages, and what people write to us."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, BeforeValidator, Field

from messaging.common.storable import LONGEST_REASON, storable, storable_id
from messaging.common.values import Value

__all__ = ["GatewayId", "InboundMessage", "Receipt", "WebhookEvents", "moment_of_our_time"]

LONGEST_TEXT = 65_536
"""Characters of a text that somebody writes; WhatsApp lets nobody write more."""
LONGEST_WORD = 2_000
"""Characters of a name, a payload, an address of media."""


def _identifier(value: Any) -> Any:
    return storable_id(value) if isinstance(value, str) else value


def _storable_reason(value: Any) -> Any:
    return storable(value, LONGEST_REASON) if isinstance(value, str) else value


def _text(value: Any) -> Any:
    return (storable(value, LONGEST_TEXT) or None) if isinstance(value, str) else value


def _word(value: Any) -> Any:
    return (storable(value, LONGEST_WORD) or None) if isinstance(value, str) else value


def moment_of_our_time(at: datetime | None) -> datetime | None:
    """The moment; None where no message can have been sent then."""
    # WhatsApp is of 2009. Also what a zone moves out of the calendar, or a mistaken unit into another age, is outside.
    return at if at is not None and at.tzinfo is not None and 2009 <= at.year < 2100 else None


def _moment(at: datetime) -> datetime:
    if moment_of_our_time(at) is None:
        raise ValueError("no moment at which a message can have been sent")
    return at


GatewayId = Annotated[str, BeforeValidator(_identifier)]
"""A gateway's own ID of a message, as it is stored: the same from an answer and from a webhook."""
Moment = Annotated[datetime, AfterValidator(_moment)]
Text = Annotated[str | None, BeforeValidator(_text)]
Word = Annotated[str | None, BeforeValidator(_word)]


class Receipt(Value):
    """What a gateway tells afterwards of one message, known by our ID or by the gateway's own.

    Raises ValidationError for what the ledger could not take.
    """

    status: Literal["sent", "delivered", "read", "failed"]
    at: Moment
    message_id: UUID | None = None
    gateway_message_id: GatewayId | None = None
    reason: Annotated[str | None, BeforeValidator(_storable_reason)] = None
    """Why it failed."""
    sign: str | None = None
    """What is alike in failures of this kind, as of Refused; None where it is known to be about this recipient."""
    wrong_content: bool = False
    """Whether it would fail for every recipient, as of WrongContent."""
    recipient: tuple[GatewayId, ...] = ()
    """What the gateway calls the recipient, as ``InboundMessage.identities`` has it."""


class InboundMessage(Value):
    """What a person sent to one of our numbers, or chose there. Raises ValidationError for what could not be stored."""

    gateway_message_id: Annotated[GatewayId, Field(min_length=1)]
    """With the device, what it is known by: told again, it is the same one."""
    at: Moment
    """When it was sent, by the gateway."""
    kind: Literal[
        "text",
        "button",
        "list",
        "image",
        "video",
        "audio",
        "document",
        "sticker",
        "location",
        "contacts",
        "reaction",
        "preference",
        "number_changed",
        "user_id_changed",
        "other",
    ]
    """``preference``: their choice in WhatsApp's own settings; ``payload`` is ``stop`` or ``resume``.
    ``number_changed``: ``payload`` is the new number."""
    receivers: tuple[str, ...] = ()
    """The gateway's own names of the number that was written to: one webhook may tell of several numbers."""
    phone: str | None = None
    """Who wrote, in the form that :func:`messaging.common.whatsapp_numbers.canonical_phone` gives; None where the gateway
    does not say."""
    identities: tuple[GatewayId, ...] = ()
    """What else the gateway calls this person: ``wa_id:…``, ``user_id:…`` (Meta's business-scoped one), ``lid:…``."""
    name: Word = None
    """As they call themselves in their profile."""
    from_me: bool = False
    """Sent *to* this person, from our own number but not by us: somebody typed it on the phone."""
    text: Text = None
    """What they wrote; a caption; the label of a button or a row; the emoji of a reaction, None for one taken back."""
    payload: Word = None
    """What the button or row was given to come back as; the file name of a document."""
    media_id: Word = None
    """The gateway's ID or address of the media, which are not fetched."""
    answers: GatewayId | None = None
    """The gateway's ID of the message that this answers."""
    referral: dict[str, str] | None = None
    """Of the first message after a click on an advertisement: what the gateway tells of that."""


class WebhookEvents(Value):
    """All that one request tells, in its order."""

    receipts: tuple[Receipt, ...] = ()
    inbound: tuple[InboundMessage, ...] = ()
