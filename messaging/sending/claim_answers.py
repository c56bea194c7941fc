"""The ledger's answers to a claim and to the outcome of an attempt."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from messaging.leads.lead import Lead
from messaging.sending.message_status import MessageStatus
from messaging.sending.outcomes import Deferred, Held
from messaging.sending.positions import StoredPosition
from messaging.texts.approved import ApprovedTemplate
from messaging.times.sending_hours import SendingHours

__all__ = [
    "Claim",
    "Outcome",
    "Replan",
    "SettledAlready",
    "StepAnswer",
    "StepClaim",
    "StoredAnswer",
    "read_step_answer",
    "read_stored_answer",
]


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Claim(_Answer):
    """The attempt holds the message and may go to the gateway. ``taken_over``: an earlier attempt may have sent it."""

    outcome: Literal["claimed", "taken_over"]
    device_id: str
    gateway: str
    options: dict[str, Any]
    """The device's options, as messaging.gateways.options reads them."""
    attempts: int
    """The number of attempts, including this one."""
    now: datetime
    """The moment of the claim, by the clock that decided."""
    due_at: datetime
    must_not_send: bool
    """True if the attempt must only find out what became of the message: it is not wanted any more, or its device was
    replaced.
    """
    device_replaced: bool = False
    """True if another device has replaced this one, and sends what has not gone out."""
    hours: SendingHours
    text: str
    """The text, in Liquid."""
    image_url: str | None
    approved_template: ApprovedTemplate | None = None
    """The gateway's own template that stands beside the text."""
    parts_sent: int = 0
    """For a message in several parts: how many have gone out."""
    lead: Lead

    @property
    def unwanted(self) -> str:
        """Why the message must not be sent, if ``must_not_send`` is set."""
        return (
            f"device {self.device_id} was replaced" if self.device_replaced else "it was not wanted any more"
        )


class StepClaim(Claim):
    """A claim of a step's message, with where its contact stands."""

    step: str
    """The step's key."""
    enrollment: StoredPosition
    """Where its contact stands."""


class SettledAlready(_Answer):
    """The message was settled before."""

    outcome: Literal["settled"]
    status: MessageStatus
    reason: str | None = None
    sent_at: datetime | None = None


class Replan(_Answer):
    """The sequence was edited, the contact's time zone corrected, or its next step changed, since the step was
    planned.
    """

    outcome: Literal["replanned"]


class _DeferredAnswer(_Answer):
    outcome: Literal["deferred"]
    until: datetime
    now: datetime
    reason: str


class _HeldAnswer(_Answer):
    outcome: Literal["held"]
    reason: str
    until: datetime | None = None


StoredAnswer = Claim | SettledAlready | Deferred | Held
"""Answers to the claim of a message whose row is in the ledger."""

StepAnswer = StepClaim | SettledAlready | Replan | Deferred | Held
"""Answers to the claim of a step's message; the contact may have to be replanned first."""

_stored: TypeAdapter[Claim | SettledAlready | _DeferredAnswer | _HeldAnswer] = TypeAdapter(
    Annotated[Claim | SettledAlready | _DeferredAnswer | _HeldAnswer, Field(discriminator="outcome")]
)
_step: TypeAdapter[StepClaim | SettledAlready | Replan | _DeferredAnswer | _HeldAnswer] = TypeAdapter(
    Annotated[
        StepClaim | SettledAlready | Replan | _DeferredAnswer | _HeldAnswer, Field(discriminator="outcome")
    ]
)


def read_stored_answer(raw: object) -> StoredAnswer:
    """Reads the answer of ``claim_stored_message``."""
    answer = _stored.validate_python(raw)
    return _not_now(answer) if isinstance(answer, _DeferredAnswer | _HeldAnswer) else answer


def read_step_answer(raw: object) -> StepAnswer:
    """Reads the answer of ``claim_step_message``."""
    answer = _step.validate_python(raw)
    return _not_now(answer) if isinstance(answer, _DeferredAnswer | _HeldAnswer) else answer


def _not_now(answer: _DeferredAnswer | _HeldAnswer) -> Deferred | Held:
    if isinstance(answer, _HeldAnswer):
        return Held(reason=answer.reason, until=answer.until)
    return Deferred(until=answer.until, reason=answer.reason, wait=answer.until - answer.now)


class Outcome(_Answer):
    """Where a message stands after its attempt was settled."""

    status: MessageStatus
    reason: str | None = None
