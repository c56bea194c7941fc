"""Sends one step's message to one contact, like any message, and moves the contact on.

A step differs from other messages (messaging.sending.send) in two ways: its row is created by its claim, which may find
that the sequence was edited since; and the contact's next step is written together with the outcome.
"""

from datetime import datetime

from messaging.common.clock import Clock, database_clock
from messaging.common.database import Pool
from messaging.sending.attempts import After, Attempt, new_attempt
from messaging.sending.claim_answers import Replan, SettledAlready, StepClaim
from messaging.sending.ledger import Ledger
from messaging.sending.message_ids import sequence_message_id
from messaging.sending.message_status import MessageStatus
from messaging.sending.outcomes import Deferred, Held, Settled
from messaging.sending.positions import Next
from messaging.sending.send import Sender
from messaging.sequences.contract import Replanned, SendOutcome, StepRef
from messaging.sequences.enrollments import Enrollments
from messaging.sequences.next_step import after_settling
from messaging.times.calendar import rezone

__all__ = ["StepSender"]


class StepSender:
    """Sends the steps of sequences. One for a worker; safe to share between tasks."""

    def __init__(
        self, pool: Pool, sender: Sender, enrollments: Enrollments, clock: Clock = database_clock
    ) -> None:
        self._ledger = Ledger(pool)
        self._sender = sender
        self._enrollments = enrollments
        self._clock = clock

    async def send_step(self, ref: StepRef) -> SendOutcome:
        """Sends one step's message, or answers when to try again or why not. The answer for a settled step has the next
        step.

        Safe to repeat, whatever happened to the last attempt. Raises errors of the database.
        """
        attempt = new_attempt(sequence_message_id(ref.step_id, ref.phone))
        answer = await self._sender.claim(
            attempt,
            self._ledger.claim_step(
                enrollment_id=ref.enrollment_id,
                step_id=ref.step_id,
                revision=ref.revision,
                message_id=attempt.message_id,
                token=attempt.token,
                now=await self._clock(),
            ),
        )
        match answer:
            case StepClaim():
                after = await self._after(attempt, answer, ref.phone)
                outcome = await self._sender.carry_out(attempt, answer, after, kind="sequence")
                return await self._with_reply(ref, outcome)
            case SettledAlready():
                return await self._settled_before(ref, attempt, answer)
            case Replan():
                due = await self._enrollments.replan(ref.enrollment_id, now=await self._clock())
                return Replanned(next=due)
            case Deferred() | Held():
                return answer

    async def _with_reply(self, ref: StepRef, outcome: Settled | Deferred) -> Settled | Deferred:
        """The outcome; if the next step waits for a reply, one may have come while this message was being sent."""
        if not isinstance(outcome, Settled) or outcome.next is None or not outcome.next.awaits_reply:
            return outcome
        due = await self._enrollments.replan(ref.enrollment_id, now=await self._clock())
        return outcome.model_copy(update={"next": due})

    async def _after(self, attempt: Attempt, claim: StepClaim, phone: str) -> After:
        """Computes what comes after the claimed step, by the sequence and the contact's calendar at the time of the
        claim. ``phone``: the one that the contact's message IDs derive from.
        """
        position = claim.enrollment
        try:
            plan = await self._enrollments.plan_of(position.sequence_id, position.plan_revision)
        except Exception as error:
            if claim.outcome == "claimed":
                self._sender.give_back(attempt, f"its sequence could not be read: {error}")
            raise
        timeline = rezone(position.timeline, position.zone)

        def after(done_at: datetime) -> Next:
            return after_settling(
                plan,
                timeline,
                claim.step,
                position.next_due_at or claim.due_at,
                done_at,
                claim.hours,
                phone=phone,
                device_id=position.device_id,
            )

        return after

    async def _settled_before(self, ref: StepRef, attempt: Attempt, answer: SettledAlready) -> Settled:
        """An earlier attempt settled the message, and its answer was lost: moves the contact on."""
        return Settled(
            message_id=attempt.message_id,
            status=answer.status,
            reason=answer.reason,
            next=await self._enrollments.move_past(
                ref.enrollment_id,
                ref.step_id,
                answer.sent_at,
                unsent=answer.status in (MessageStatus.EXPIRED, MessageStatus.CANCELLED),
                now=await self._clock(),
            ),
        )
