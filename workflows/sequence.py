"""The workflow of one contact in one sequence."""

from datetime import datetime, timedelta
from typing import Literal

from temporalio import workflow
from temporalio.common import WorkflowIDReusePolicy
from temporalio.exceptions import (
    ApplicationError,
    FailureError,
    WorkflowAlreadyStartedError,
    is_cancelled_exception,
)
from temporalio.workflow import ParentClosePolicy

from workflows.contact_updates import ContactUpdates
from workflows.control import HELD_RECHECK, Control, wait
from workflows.delivery import deliver
from workflows.local_first import cause_of, local_first
from workflows.options import DEAD_AFTER, QUICK, RETRY, SEND_TIMEOUT
from workflows.private_ids import private_ids

with workflow.unsafe.imports_passed_through():
    from activities.sequences import SequenceActivities
    from messaging.common.storable import LONGEST_REASON, storable
    from messaging.common.values import Value
    from messaging.events.acting import WEB_UI, acting, present_actor
    from messaging.sending.message_status import MessageStatus
    from messaging.sending.outcomes import Deferred, Held, Settled
    from messaging.sequences.contract import (
        Enrolled,
        Enrolling,
        EnrollmentEnd,
        EnrollmentRequest,
        EnrollOutcome,
        NotEnrolled,
        Replanned,
        StepRef,
    )
    from messaging.times.calendar import Due
    from temporal import search_attributes as attributes
    from temporal.actors import starter_of_this_run
    from temporal.contacts import NOT_ENROLLED, contact_identity
    from temporal.priorities import of_device

__all__ = ["ContactProgress", "ContactResult", "SequenceContactWorkflow"]

Ending = Literal["completed", "stopped", "opted_out"]

CANCELLING_STOPS = "cancelling-stops-the-contact"
"""The patch by which the enrollment of a cancelled workflow is stopped."""

REFUSED_COMPLETES = "a-refused-enrollment-completes"
"""The patch by which a run whose enrollment is refused (no such sequence, no device) completes, as that is an answer."""


class ContactResult(Value):
    """How a contact left the sequence.

    ``duplicate``: another run owns the enrollment, and this run sent nothing. ``not_enrolled``: nothing was stored, as the
    phone had opted out, or the worker refused; another run may follow.
    """

    outcome: Literal["completed", "stopped", "opted_out", "duplicate", "not_enrolled"]
    settled: int
    """Messages that this run settled, sent or not."""
    reason: str | None = None


class ContactProgress(Value):
    """Where a contact stands, for the query ``progress``."""

    sequence: str
    phone: str
    name: str
    device: str
    """The device that writes to the contact; empty where there is no enrollment."""
    state: str
    """``enrolling`` until the ledger has the enrollment; ``not enrolled`` or ``refused`` if it never will. Then what
    the contact does or waits for, and in the end how it left: ``completed``, ``stopped`` or ``opted_out``.
    """
    why: str
    duplicate: bool
    """True if another run owns the enrollment; ``state`` is then the state of that enrollment."""
    step: str | None
    due_at: datetime | None
    when: str | None
    settled: int


@workflow.defn
class SequenceContactWorkflow(ContactUpdates):
    """One enrolled contact: waits until each step is due, delivers it, and learns the next step from the result."""

    @workflow.init
    def __init__(self, request: EnrollmentRequest) -> None:
        super().__init__(request)
        self._control = Control()
        self._reached: Due | None = None
        self._settled = 0

    @workflow.run
    async def run(self, request: EnrollmentRequest) -> ContactResult:
        """Enrolls the contact, delivers step after step, ends the enrollment, and starts the sequence that follows.

        Cancelling the workflow stops the contact.
        """
        try:
            return await self._go_through(request)
        except BaseException as error:
            enrolled = self._enrolled
            if not is_cancelled_exception(error) or enrolled is None or enrolled.duplicate:
                raise
            if workflow.patched(CANCELLING_STOPS):  # before, the enrollment was left without a workflow
                await self._stop_cancelled(enrolled)
            raise

    async def _stop_cancelled(self, enrolled: Enrolled) -> None:
        reason = "its workflow was cancelled"
        with acting(WEB_UI):
            finished = await workflow.execute_activity_method(
                SequenceActivities.finish,
                EnrollmentEnd(enrollment_id=enrolled.enrollment_id, status="stopped", reason=reason),
                start_to_close_timeout=QUICK,
                retry_policy=RETRY,
                summary=reason,
            )
        self._due = None
        self._show(finished.status, finished.reason or "")

    async def _go_through(self, request: EnrollmentRequest) -> ContactResult:
        outcome = await self._enroll(request)
        if isinstance(outcome, NotEnrolled):
            if outcome.because != "refused":
                self._show("not enrolled", outcome.reason)
            return ContactResult(outcome=NOT_ENROLLED, settled=0, reason=outcome.reason)
        self._enrolled = outcome
        if outcome.duplicate:
            self._show(outcome.status, outcome.reason or "")
            return ContactResult(
                outcome="duplicate", settled=0, reason="this phone went through the sequence before"
            )
        if outcome.status == "opted_out":
            self.opted_out()
        self._due = self._enrolled.next
        result: ContactResult | None = None
        while result is None:
            if self._due is None or self._control.stop is not None:
                result = await self._finish(self._enrolled)
                continue
            await self._advance(self._enrolled, self._due)
            if workflow.info().is_continue_as_new_suggested():
                await workflow.wait_condition(workflow.all_handlers_finished)
                workflow.continue_as_new(request)
        return result

    async def _enroll(self, request: EnrollmentRequest) -> EnrollOutcome:
        try:
            with acting(starter_of_this_run()):
                return await local_first(
                    SequenceActivities.enroll,
                    Enrolling(request=request, run_id=workflow.info().first_execution_run_id),
                    summary=request.lead.name or request.lead.phone,
                )
        except FailureError as error:
            cause = cause_of(error)
            why = cause.message if isinstance(cause, FailureError) else str(error)
            self._show("refused", why)
            refused = isinstance(cause, ApplicationError) and cause.non_retryable
            # A run of release 0.1.0 failed, and replays so.
            if not refused or not workflow.patched(REFUSED_COMPLETES):
                raise
            workflow.upsert_search_attributes([attributes.STATE.value_set("refused")])
            return NotEnrolled(because="refused", reason=why)

    async def _advance(self, enrolled: Enrolled, due: Due) -> None:
        """Does one thing for the contact: acts on a request, waits for the step, or delivers it."""
        control = self._control
        if control.replan:
            control.replan = False
            self._due = await local_first(
                SequenceActivities.replan,
                enrolled.enrollment_id,
                summary="what comes next",
            )
        elif due.paused is not None:
            control.woken = False
            self._show("paused", due.paused)
            await wait(workflow.now() + HELD_RECHECK, lambda: control.urgent, due.paused)
            control.replan = True
        elif due.wait > timedelta(0) and self._reached is not due:
            control.woken = False
            self._show("scheduled", due.when)
            if await wait(due.due_at, lambda: control.urgent, f"{due.step}: {due.when}"):
                self._reached = due
        else:
            await self._deliver(enrolled, due)

    async def _deliver(self, enrolled: Enrolled, due: Due) -> None:
        """Sends the step that is due; the answer contains the step after it."""

        async def send() -> Settled | Replanned | Deferred | Held:
            return await workflow.execute_activity_method(
                SequenceActivities.send_step,
                self._ref(enrolled, due),
                start_to_close_timeout=SEND_TIMEOUT,
                heartbeat_timeout=DEAD_AFTER,
                retry_policy=RETRY,
                summary=due.step,
                priority=of_device(due.device_id),
            )

        outcome: Settled | Replanned | None = await deliver(send, self._control, self._show)
        if outcome is None:
            return
        self._due = outcome.next
        if isinstance(outcome, Settled):
            self._settled += 1
            if outcome.status is MessageStatus.SUPPRESSED:
                self._control.opted_out = True
                self._control.stop = outcome.reason or "opted out"

    async def _finish(self, enrolled: Enrolled) -> ContactResult | None:
        """Ends the enrollment; None if an edit has added a step that the contact is still to get."""
        reason = self._control.stop
        ending: Ending = "completed"
        if reason is not None:
            ending = "opted_out" if self._control.opted_out else "stopped"
        # A normal activity, because every attempt must get the same argument: a repeated workflow task may see a stop
        # signal that came later, and would then end as stopped an enrollment that the ledger has as completed.
        with acting(self._control.asked_by):
            finished = await workflow.execute_activity_method(
                SequenceActivities.finish,
                EnrollmentEnd(enrollment_id=enrolled.enrollment_id, status=ending, reason=reason),
                start_to_close_timeout=QUICK,
                retry_policy=RETRY,
                summary=ending,
            )
        self._due = finished.next
        if finished.next is not None:
            return None
        if finished.follow_up is not None:
            await self._enter(finished.follow_up)
        self._show(finished.status, finished.reason or "")
        await workflow.wait_condition(workflow.all_handlers_finished)
        return ContactResult(outcome=finished.status, settled=self._settled, reason=finished.reason)

    async def _enter(self, request: EnrollmentRequest) -> None:
        """Starts the contact in the sequence that follows this one. It is no error if the contact was there before."""
        identity = contact_identity(request, private=private_ids())
        try:
            await workflow.start_child_workflow(
                SequenceContactWorkflow.run,
                request,
                id=identity.workflow_id,
                id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE_FAILED_ONLY,
                parent_close_policy=ParentClosePolicy.ABANDON,
                search_attributes=identity.search_attributes,
                static_summary=identity.summary,
                priority=identity.priority,
            )
        except WorkflowAlreadyStartedError:
            workflow.logger.info("the contact is in %s already", request.sequence)

    # Signals only repeat what the ledger already has: nothing depends on them except how soon the workflow knows.

    @workflow.signal(name="stop", description="Sent by Drumbeat: the enrollment has ended in the ledger.")
    def ended(self, reason: str) -> None:
        """The enrollment has ended, or is to end before it has begun."""
        if self._control.stop is None:
            self._control.stop = storable(reason, LONGEST_REASON) or "stopped by an operator"
            self._control.asked_by = present_actor()

    @workflow.signal(description="Sent by Drumbeat: something else comes next, so ask the ledger again.")
    def plan_changed(self) -> None:
        """The sequence was edited, or the contact skips a step, is paused or resumed: ask again what comes next. Sent
        in bulk.
        """
        self._control.replan = True

    @workflow.signal(description="Sent by Drumbeat: a pause or wait has ended, so try again now.")
    def wake(self) -> None:
        """A hold has ended: try again. Sent in bulk."""
        self._control.woken = True

    @workflow.signal(name="opt_out", description="Sent by Drumbeat: the recipient has opted out.")
    def opted_out(self) -> None:
        """The recipient wants nothing more."""
        if self._control.stop is None:
            self._control.opted_out = True
            self._control.stop = "the recipient opted out"
            self._control.asked_by = present_actor()

    @workflow.query(description="Where the contact stands: its state and why, the next step and its time.")
    def progress(self) -> ContactProgress:
        """Where the contact stands."""
        return ContactProgress(
            sequence=self._request.sequence,
            phone=self._request.lead.phone,
            name=self._request.lead.name,
            device=self._device(),
            duplicate=self._enrolled is not None and self._enrolled.duplicate,
            state=self._display.state,
            why=self._display.why,
            step=self._due.step if self._due else None,
            due_at=self._due.due_at if self._due else None,
            when=self._due.when if self._due else None,
            settled=self._settled,
        )

    def _ref(self, enrolled: Enrolled, due: Due) -> StepRef:
        return StepRef(
            enrollment_id=enrolled.enrollment_id,
            step_id=due.step_id,
            revision=due.revision,
            phone=self._request.lead.phone,
            device_id=due.device_id,
        )

    def _show(self, state: str, why: str) -> None:
        self._display.show(state, why, self._due, device=self._device())

    def _device(self) -> str:
        if self._due is not None:
            return self._due.device_id
        return self._enrolled.device_id if self._enrolled else ""
