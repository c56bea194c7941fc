"""The events of gateways' webhooks: receipts and inbound messages."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, BeforeValidator, Field

from messaging.common.storable import LONGEST_REASON, storable, storable_id
from messaging.common.values import Value

__all__ = ["GatewayId", "InboundMessage", "Receipt", "WebhookEvents", "moment_of_our_time"]

LONGEST_TEXT = 65_536
"""Characters of an inbound text; WhatsApp allows no more."""
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
    """The moment; None if no message can have been sent then."""
    # WhatsApp began in 2009. Dates in the wrong unit, or moved out of the calendar by a zone, are outside this range too.
    return at if at is not None and at.tzinfo is not None and 2009 <= at.year < 2100 else None


def _moment(at: datetime) -> datetime:
    if moment_of_our_time(at) is None:
        raise ValueError("no moment at which a message can have been sent")
    return at


GatewayId = Annotated[str, BeforeValidator(_identifier)]
"""A gateway's own ID of a message in its stored form, the same from an answer and from a webhook."""
Moment = Annotated[datetime, AfterValidator(_moment)]
Text = Annotated[str | None, BeforeValidator(_text)]
Word = Annotated[str | None, BeforeValidator(_word)]


class Receipt(Value):
    """A receipt: what a gateway reports later about one message, named by our ID or its own.

    Raises ValidationError for what the ledger could not take.
    """

    status: Literal["sent", "delivered", "read", "failed"]
    at: Moment
    message_id: UUID | None = None
    gateway_message_id: GatewayId | None = None
    reason: Annotated[str | None, BeforeValidator(_storable_reason)] = None
    """Why it failed."""
    sign: str | None = None
    """What failures of this kind have in common, see Refused; None if it is known to be about this recipient."""
    wrong_content: bool = False
    """True if it would fail for every recipient, see WrongContent."""
    recipient: tuple[GatewayId, ...] = ()
    """What the gateway calls the recipient, as ``InboundMessage.identities`` has it."""


class InboundMessage(Value):
    """What a person sent to one of our numbers, or chose there. Raises ValidationError for what could not be stored."""

    gateway_message_id: Annotated[GatewayId, Field(min_length=1)]
    """Identifies the message, together with the device: a repeated report has the same ID."""
    at: Moment
    """When it was sent, by the gateway."""
    timeless: bool = False
    """True for a choice of which the gateway does not say when it was made: its ID is the same whenever it is made."""
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
    receivers: tuple[GatewayId, ...] = ()
    """The gateway's own names of our number: one webhook may report several numbers."""
    phone: str | None = None
    """The sender's phone, in the form that :func:`messaging.common.whatsapp_numbers.canonical_phone` gives; None where
    the gateway does not say.
    """
    identities: tuple[GatewayId, ...] = ()
    """Other names that the gateway has for this person: ``wa_id:…``, ``user_id:…`` (Meta's business-scoped one),
    ``lid:…``.
    """
    name: Word = None
    """The name in their profile."""
    from_me: bool = False
    """True if it was sent *to* this person from our own number, but not by Drumbeat: somebody typed it on the phone."""
    text: Text = None
    """What they wrote; a caption; the label of a button or a row; the emoji of a reaction, None for one taken back."""
    payload: Word = None
    """What the button or row was given to come back as; the file name of a document."""
    media_id: Word = None
    """The gateway's ID or address of the media, which are not fetched."""
    answers: GatewayId | None = None
    """The gateway's ID of the message that this answers."""
    referral: dict[str, str] | None = None
    """For the first message after a click on an advertisement: the gateway's data about it."""


class WebhookEvents(Value):
    """All events of one request, in order."""

    receipts: tuple[Receipt, ...] = ()
    inbound: tuple[InboundMessage, ...] = ()
