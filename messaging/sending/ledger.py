"""The ledger: which attempt may send a message now, and what came of it.

The rules stand in the database (migrations, ``claim_message`` and its companions), where each is one transaction and
one round trip. This module gives their answers types. Times are aware UTC.
"""

from datetime import datetime, timedelta
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from messaging.common.database import Pool
from messaging.leads.lead import Lead
from messaging.sending.claims import ANEW, CALL_GRACE, CLAIM_LIFETIME, claim_lifetime, longer_lifetimes
from messaging.sending.message_status import MessageStatus
from messaging.sending.outcomes import Deferred, Held
from messaging.texts.approved import ApprovedTemplate
from messaging.times.calendar import Timeline
from messaging.times.sending_hours import SendingHours

__all__ = [
    "ANEW",
    "CALL_GRACE",
    "CLAIM_LIFETIME",
    "Claim",
    "EnrollmentPosition",
    "Ledger",
    "LeftOut",
    "NextPosition",
    "Outcome",
    "Replan",
    "SettledAlready",
    "StepAnswer",
    "StoredPosition",
    "claim_lifetime",
    "longer_lifetimes",
]

FAULTS_IN_A_ROW = 3
"""Failures of a device's own, one after the other, that park it."""

FAULT_WAIT = timedelta(seconds=5)
"""How long a device waits after the first of them; three times as long after the second."""


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class LeftOut(BaseModel):
    """A step that a contact does not get, and the ID that its message would have had."""

    model_config = ConfigDict(frozen=True)

    step_id: int
    message_id: UUID


class EnrollmentPosition(_Answer):
    """Where an enrollment stands: the days that it counts by, and the step that comes next (None: nothing more)."""

    timeline: Timeline
    next_step_id: int | None
    next_due_at: datetime | None
    plan_revision: int


class NextPosition(EnrollmentPosition):
    """Where an enrollment is to stand from now on, and which steps it is never to get."""

    left_out: tuple[LeftOut, ...] = ()


class StoredPosition(EnrollmentPosition):
    """Where an enrollment stood when its message was claimed."""

    sequence_id: int
    device_id: str
    zone: str
    """The contact's zone, as it is known now; the timeline's may be an earlier one."""


class Claim(_Answer):
    """The attempt holds the message and may go to the gateway."""

    outcome: Literal["claimed", "taken_over"]
    device: str
    gateway: str
    options: dict[str, Any]
    """The device's, as messaging.gateways.options reads them."""
    attempts: int
    """How many there have been with this one."""
    now: datetime
    """The moment of the claim, by the clock that decided."""
    due_at: datetime
    must_not_send: bool
    """It is only to be found out what became of the message: it is not wanted any more, or another device sends it."""
    device_replaced: bool = False
    """Another device sends now what has not gone out by this one."""
    hours: SendingHours
    step: str = ""
    """The step's key; none for a campaign."""
    text: str
    """The text, in Liquid."""
    image_url: str | None
    approved_template: ApprovedTemplate | None = None
    """The gateway's own template that stands beside the text."""
    parts_sent: int = 0
    """Of a message that goes out in parts: how many have gone out."""
    lead: Lead
    enrollment: StoredPosition | None = None
    """Of a step: where its contact stands."""


class SettledAlready(_Answer):
    """The message has reached its end before."""

    outcome: Literal["settled"]
    status: MessageStatus
    reason: str | None = None
    sent_at: datetime | None = None
    enrollment: StoredPosition | None = None


class Replan(_Answer):
    """The sequence was edited, or the contact's zone corrected, since the step was planned."""

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


StepAnswer = Claim | SettledAlready | Replan | Deferred | Held

_answers: TypeAdapter[Claim | SettledAlready | Replan | _DeferredAnswer | _HeldAnswer] = TypeAdapter(
    Annotated[
        Claim | SettledAlready | Replan | _DeferredAnswer | _HeldAnswer,
        Field(discriminator="outcome"),
    ]
)


class Outcome(_Answer):
    """Where a message stands after its attempt was settled."""

    status: MessageStatus
    reason: str | None = None


class Ledger:
    """Claims, settles and gives back messages. Safe to share between tasks."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._lifetimes = longer_lifetimes()

    async def claim_step(
        self,
        *,
        enrollment_id: int,
        step_id: int,
        revision: int,
        message_id: UUID,
        token: str,
        now: datetime | None = None,
    ) -> StepAnswer:
        """Claims one step's message for the attempt ``token``; creates the row if there is none.

        ``now``: the moment to go by; None for the database's clock.
        """
        answer = await self._pool.fetchval(
            "select claim_step_message($1, $2, $3, $4, $5, $6, $7, $8, $9)",
            enrollment_id,
            step_id,
            revision,
            message_id,
            token,
            CLAIM_LIFETIME,
            self._lifetimes,
            CALL_GRACE,
            now,
        )
        return _typed(answer)

    async def claim_stored(self, message_id: UUID, token: str, *, now: datetime | None = None) -> StepAnswer:
        """Claims a message that has its row: a campaign's, or one that is sent again."""
        answer = await self._pool.fetchval(
            "select claim_stored_message($1, $2, $3, $4, $5, $6)",
            message_id,
            token,
            CLAIM_LIFETIME,
            self._lifetimes,
            CALL_GRACE,
            now,
        )
        return _typed(answer)

    async def settle(
        self,
        message_id: UUID,
        token: str,
        status: MessageStatus,
        at: datetime,
        *,
        gateway_message_id: str | None = None,
        reason: str | None = None,
        content: str | None = None,
        image_url: str | None = None,
        contact: NextPosition | None = None,
    ) -> Outcome | None:
        """Records what came of the attempt. None: another one holds the message, or it waits to be sent anew.

        The outcome may be another than ``status``: a receipt that came before this answer knows more.
        """
        settled: dict[str, Any] | None = await self._pool.fetchval(
            "select settle_attempt($1, $2, $3, $4, $5, $6, $7, $8, $9)",
            message_id,
            token,
            status.value,
            at,
            gateway_message_id,
            reason,
            content,
            image_url,
            contact.model_dump(mode="json") if contact else None,
        )
        return Outcome.model_validate(settled) if settled is not None else None

    async def refuse(
        self,
        message_id: UUID,
        token: str,
        at: datetime,
        reason: str,
        *,
        sign: str | None,
        content: str | None = None,
        image_url: str | None = None,
        contact: NextPosition | None = None,
    ) -> Outcome | None:
        """Settles as ``failed`` what the gateway will never take; or ``queued``, given back, as the device is held.

        That is where its last answers were all refusals of the same ``sign``. None: as of :meth:`settle`.
        """
        refused: dict[str, Any] | None = await self._pool.fetchval(
            "select refuse_attempt($1, $2, $3, $4, $5, $6, $7, $8)",
            message_id,
            token,
            at,
            reason,
            content,
            image_url,
            contact.model_dump(mode="json") if contact else None,
            sign,
        )
        return Outcome.model_validate(refused) if refused is not None else None

    async def release(
        self, message_id: UUID, token: str, reason: str, *, device_waits_until: datetime | None = None
    ) -> bool:
        """Gives back a claim whose message was surely not sent; False if it is not held any more."""
        released: bool = await self._pool.fetchval(
            "select release_attempt($1, $2, $3, $4)", message_id, token, reason, device_waits_until
        )
        return released

    async def may_go_out(self, message_id: UUID, token: str) -> bool:
        """Whether the attempt holds the message still, and it was not stopped, paused or opted out of since the claim."""
        may: bool = await self._pool.fetchval(
            "select exists (select from broadcast_messages m where id = $1 and status = 'processing'"
            " and processing_worker_id = $2 and (unwanted(m)).status is null and hold_of(m) is null)",
            message_id,
            token,
        )
        return may

    async def note_parts(self, message_id: UUID, token: str, parts: int, *, now: datetime) -> bool:
        """Notes how many parts have gone out; False if the message is not held any more."""
        noted: bool = await self._pool.fetchval(
            "select note_parts($1, $2, $3, $4, $5)", message_id, token, parts, CALL_GRACE, now
        )
        return noted

    async def device_fault(
        self, device_id: str, claimed_at: datetime, reason: str, *, now: datetime
    ) -> datetime | None:
        """Counts a failure that was the device's own. Until when it waits; None: it is parked, for an operator."""
        until: datetime | None = await self._pool.fetchval(
            "select device_fault($1, $2, $3, $4, $5, $6)",
            device_id,
            claimed_at,
            reason,
            FAULTS_IN_A_ROW,
            FAULT_WAIT,
            now,
        )
        return until

    async def hold_contents(self, message_id: UUID, claimed_at: datetime, reason: str) -> None:
        """Pauses the campaign or sequence of a message whose contents the gateway takes for no recipient.

        Not if it was edited or resumed since the claim.
        """
        await self._pool.execute("select hold_contents($1, $2, $3)", message_id, claimed_at, reason)

    async def doubt(
        self,
        message_id: UUID,
        token: str,
        reason: str,
        *,
        content: str | None = None,
        image_url: str | None = None,
        retry_now: bool = True,
    ) -> bool:
        """Leaves a message that may have been sent to the next attempt; False if it is not held any more.

        ``retry_now``: the next one need not wait until this claim has run out, as it resends under the same key.
        """
        doubted: bool = await self._pool.fetchval(
            "select doubt_message($1, $2, $3, $4, $5, $6)",
            message_id,
            token,
            reason,
            content,
            image_url,
            retry_now,
        )
        return doubted


def _typed(raw: object) -> StepAnswer:
    answer = _answers.validate_python(raw)
    match answer:
        case _DeferredAnswer():
            return Deferred(until=answer.until, reason=answer.reason, wait=answer.until - answer.now)
        case _HeldAnswer():
            return Held(reason=answer.reason, until=answer.until)
        case _:
            return answer
