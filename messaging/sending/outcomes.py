"""The possible outcomes of an attempt to send a message."""

from datetime import datetime, timedelta
from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from messaging.common.values import Value
from messaging.sending.message_ids import message_name
from messaging.sending.message_status import MessageStatus
from messaging.times.calendar import Due

__all__ = ["Deferred", "Held", "MessageOutcome", "MessageRef", "Settled"]


class Settled(Value):
    """The message reached a final status (or ``unconfirmed``); ``next`` is the contact's next step."""

    kind: Literal["settled"] = "settled"
    message_id: UUID
    status: MessageStatus
    reason: str | None = None
    next: Due | None = None


class Deferred(Value):
    """Not now: try again at ``until``."""

    kind: Literal["deferred"] = "deferred"
    until: datetime
    reason: str
    wait: timedelta | None = None
    """How long that is by the clock that decided; None if not known."""
    elsewhere: bool = False
    """Nothing was tried: the worker does not send, and one that does is to be asked, on its task queue."""


class Held(Value):
    """Not before a hold ends: wait for a signal."""

    kind: Literal["held"] = "held"
    reason: str
    until: datetime | None = None
    """When the message expires, held or not; None: never."""


class MessageRef(Value):
    """One message whose row is in the ledger: the input of the workflow that delivers it.

    It is a campaign's message, one that is sent again or was abandoned, or one to a single phone.
    """

    message_id: UUID
    phone: str
    name: str = ""
    """The recipient's name, if it is known."""
    device_id: str
    campaign: str = ""
    sequence: str = ""
    step: str = ""
    """Its campaign, or its sequence and the step's key, in words."""
    purpose: str = ""
    """Of a message that is of neither: what it is for, in words."""

    @property
    def what(self) -> str:
        """See message_name()."""
        return message_name(self.campaign, self.sequence, self.step, self.purpose)


MessageOutcome = Annotated[Settled | Deferred | Held, Field(discriminator="kind")]
