"""What may come of an attempt to send a message."""

from datetime import datetime, timedelta
from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from messaging.common.values import Value
from messaging.sending.message_status import MessageStatus
from messaging.times.calendar import Due

__all__ = ["CampaignMessageRef", "Deferred", "Held", "MessageOutcome", "ResendRef", "Settled"]


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


class CampaignMessageRef(Value):
    """One message of a campaign, for the workflow that brings it on its way."""

    campaign: str
    message_id: UUID
    phone: str
    name: str
    device_id: str
    local: bool = False
    """Whether its send is a local activity: workflows that were started before there were any replay without."""


class ResendRef(Value):
    """One message that has a workflow of its own: it is sent again, or was abandoned."""

    message_id: UUID
    phone: str
    what: str
    """Sequence and step, or campaign: see message_name()."""
    sequence: str = ""
    campaign: str = ""
    device_id: str


MessageOutcome = Annotated[Settled | Deferred | Held, Field(discriminator="kind")]
