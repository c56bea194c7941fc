"""The activities of one enrolled contact: enroll, send a step, plan anew, finish."""

from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities.limiter import DeviceLimiter
from activities.refusals import refused_for_good
from messaging.common.clock import Clock, database_clock
from messaging.common.database import Pool
from messaging.leads.forgotten import ASKED, erase_workflow
from messaging.sending.send import Sender
from messaging.sequences.contract import (
    Enrolling,
    EnrollmentEnd,
    EnrollOutcome,
    Finished,
    NotEnrolled,
    SendOutcome,
    StepRef,
)
from messaging.sequences.enrollments import Enrollments
from messaging.sequences.refused import note_refused
from messaging.sequences.send_step import StepSender
from messaging.times.calendar import Due
from temporal.bulk import signal_each

__all__ = ["SequenceActivities"]


class SequenceActivities:
    """One instance for a worker."""

    def __init__(
        self, pool: Pool, sender: Sender, limiter: DeviceLimiter, clock: Clock = database_clock
    ) -> None:
        self._pool = pool
        self._enrollments = Enrollments(pool)
        self._sender = StepSender(pool, sender, self._enrollments, clock)
        self._limiter = limiter
        self._clock = clock

    @activity.defn
    async def enroll(self, enrolling: Enrolling) -> EnrollOutcome:
        """Stores the lead and the enrollment. A repeated attempt gets the same answer; another run is answered
        ``duplicate``.

        Nothing is stored for a phone that has opted out. A refusal is kept where 'contact' and 'status' find it.
        """
        workflow_id = activity.info().workflow_id
        assert workflow_id is not None, "only workflows enroll"
        lead = enrolling.request.lead
        try:
            with refused_for_good("this enrollment"):
                enrolled = await self._enrollments.enroll(
                    enrolling.request,
                    workflow_id=workflow_id,
                    run_id=enrolling.run_id,
                    now=await self._clock(),
                )
        except ApplicationError as error:
            # The caller may not have waited for the answer.
            await note_refused(self._pool, enrolling.request.sequence, lead.phone, error.message)
            raise
        if isinstance(enrolled, NotEnrolled) and enrolled.reason == ASKED:
            await erase_workflow(self._pool, lead.phone, workflow_id)
            return enrolled
        if lead.time_zone is not None:
            # If that has corrected the lead's time zone, the lead's other sequences must use it too.
            outdated = await self._enrollments.of_another_zone(lead.phone)
            await signal_each(activity.client(), outdated, "plan_changed")
        return enrolled

    @activity.defn
    async def send_step(self, ref: StepRef) -> SendOutcome:
        """Sends one step's message, or answers when to try again or why not. Safe to repeat, whatever happened to the
        last attempt.
        """
        return await self._limiter.run(ref.device_id, lambda: self._sender.send_step(ref))

    @activity.defn
    async def replan(self, enrollment_id: int) -> Due | None:
        """Plans what comes next for a contact, by the sequence as it is now."""
        return await self._enrollments.replan(enrollment_id, now=await self._clock())

    @activity.defn
    async def finish(self, end: EnrollmentEnd) -> Finished:
        """Ends the enrollment; answers how it ended and which sequence the contact is to enter next."""
        return await self._enrollments.finish(end, now=await self._clock(), by_workflow=True)
