"""The activities of one enrolled contact: enroll, send a step, plan anew, finish."""

from datetime import datetime

from temporalio import activity

from activities.attempts import new_attempt
from activities.clock import Clock, database_clock
from activities.limiter import DeviceLimiter
from activities.refusals import refused_for_good
from messaging.common.database import Pool
from messaging.gateways import Gateways
from messaging.sending.dispatch import Attempt, Dispatcher
from messaging.sending.ledger import Claim, Ledger, NextPosition, Replan, SettledAlready
from messaging.sending.message_ids import sequence_message_id
from messaging.sending.message_status import MessageStatus
from messaging.sending.outcomes import Deferred, Held, Settled
from messaging.sending.settling import Outcomes
from messaging.sequences.contract import (
    Enrolling,
    EnrollmentEnd,
    EnrollOutcome,
    Finished,
    Replanned,
    SendOutcome,
    StepRef,
)
from messaging.sequences.enrollments import Enrollments, after_settling
from messaging.times.calendar import Due, rezone
from temporal.bulk import signal_each

__all__ = ["SequenceActivities"]


class SequenceActivities:
    """One instance for a worker; its tasks share the pool and the gateways' connections."""

    def __init__(
        self,
        pool: Pool,
        gateways: Gateways,
        sending: DeviceLimiter,
        clock: Clock = database_clock,
        outcomes: Outcomes | None = None,
    ) -> None:
        self._enrollments = Enrollments(pool)
        self._ledger = Ledger(pool)
        self._dispatcher = Dispatcher(self._ledger, gateways, outcomes)
        self._sending = sending
        self._clock = clock

    @activity.defn
    async def enroll(self, enrolling: Enrolling) -> EnrollOutcome:
        """Stores the lead and the enrollment; a repeated attempt gets the same answer, another run a duplicate's.

        Of a phone that has opted out nothing is stored.
        """
        workflow_id = activity.info().workflow_id
        assert workflow_id is not None, "only workflows enroll"
        with refused_for_good("this enrollment"):
            enrolled = await self._enrollments.enroll(
                enrolling.request,
                workflow_id=workflow_id,
                run_id=enrolling.run_id,
                now=await self._clock(),
            )
        lead = enrolling.request.lead
        if lead.time_zone is not None:
            # Where that corrects the lead's zone, the other sequences that it is in go by it too.
            outdated = await self._enrollments.of_another_zone(lead.phone)
            await signal_each(activity.client(), outdated, "plan_changed")
        return enrolled

    @activity.defn
    async def send_step(self, ref: StepRef) -> SendOutcome:
        """Sends one step's message, or says when or why not. Safe to repeat, whatever happened to the last attempt."""
        return await self._sending.send(ref.device_id, lambda: self._send_once(ref))

    @activity.defn
    async def replan(self, enrollment_id: int) -> Due | None:
        """What comes next for a contact, by the sequence as it is now."""
        return await self._enrollments.replan(enrollment_id, now=await self._clock())

    @activity.defn
    async def finish(self, end: EnrollmentEnd) -> Finished:
        """Ends the enrollment; answers what the contact is to be enrolled into next."""
        return await self._enrollments.finish(end, now=await self._clock())

    async def _send_once(self, ref: StepRef) -> SendOutcome:
        message_id = sequence_message_id(ref.step_id, ref.phone)
        attempt = new_attempt(message_id)
        claim = self._ledger.claim_step(
            enrollment_id=ref.enrollment_id,
            step_id=ref.step_id,
            revision=ref.revision,
            message_id=message_id,
            token=attempt.token,
            now=await self._clock(),
        )
        answer = await self._dispatcher.ask(attempt, claim)
        match answer:
            case Deferred() | Held():
                return answer
            case Replan():
                return Replanned(
                    next=await self._enrollments.replan(ref.enrollment_id, now=await self._clock())
                )
            case SettledAlready():
                return await self._settled_before(ref, attempt, answer)
            case Claim():
                return await self._send_claimed(attempt, answer)

    async def _send_claimed(self, attempt: Attempt, claim: Claim) -> SendOutcome:
        position = claim.enrollment
        assert position is not None
        try:
            plan = await self._enrollments.plan_of(position.sequence_id, position.plan_revision)
        except Exception as error:
            if claim.outcome == "claimed":
                self._dispatcher.give_back(attempt, f"its sequence could not be read: {error}")
            raise
        timeline = rezone(position.timeline, position.zone)
        planned_at = position.next_due_at or claim.due_at
        next_due: Due | None = None

        def after(done_at: datetime) -> NextPosition | None:
            nonlocal next_due
            contact, next_due = after_settling(
                plan,
                timeline,
                claim.step,
                planned_at,
                done_at,
                claim.hours,
                phone=claim.lead.phone,
                device=position.device_id,
            )
            return contact

        outcome = await self._dispatcher.carry_out(attempt, claim, after)
        return outcome.model_copy(update={"next": next_due}) if isinstance(outcome, Settled) else outcome

    async def _settled_before(self, ref: StepRef, attempt: Attempt, answer: SettledAlready) -> Settled:
        """An earlier attempt settled the message, and its word was lost on the way here."""
        return Settled(
            message_id=attempt.message_id,
            status=answer.status,
            reason=answer.reason,
            next=await self._enrollments.move_past(
                ref.enrollment_id,
                ref.step_id,
                answer.sent_at,
                expired=answer.status is MessageStatus.EXPIRED,
                now=await self._clock(),
            ),
        )
