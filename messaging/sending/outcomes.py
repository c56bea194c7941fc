"""What may come of an attempt to send a message."""

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
    """Not now: come back at ``until``."""

    kind: Literal["deferred"] = "deferred"
    until: datetime
    reason: str
    wait: timedelta | None = None
    """How long that is by the clock that decided, where it is known."""


class Held(Value):
    """Not until the hold ends; a signal will tell."""

    kind: Literal["held"] = "held"
    reason: str
    until: datetime | None = None
    """When it is over, held or not; None: never."""


class MessageRef(Value):
    """One message that has its row in the ledger, for the workflow that brings it on its way.

    It is a campaign's, or it is sent again, or was abandoned.
    """

    message_id: UUID
    phone: str
    name: str = ""
    """The recipient's, where it is known."""
    device_id: str
    campaign: str = ""
    sequence: str = ""
    step: str = ""
    """The campaign that it is of, or the sequence and the step's key."""

    @property
    def what(self) -> str:
        """See message_name()."""
        return message_name(self.campaign, self.sequence, self.step)


MessageOutcome = Annotated[Settled | Deferred | Held, Field(discriminator="kind")]
