"""What an operator asks of a contact in the Web UI. The ledger is changed, and signals the workflow as always."""

from typing import Any

from temporalio import workflow

from workflows.display import OVER, Display
from workflows.updates import carry_out, no_input, refuse, typed

with workflow.unsafe.imports_passed_through():
    from activities.steering import Act, Command
    from messaging.sequences.contract import Enrolled, EnrollmentRequest
    from messaging.times.calendar import Due

__all__ = ["ContactUpdates"]


class ContactUpdates:
    """The updates of a contact's workflow. Each takes an argument that may be left out, as the Web UI may send null."""

    def __init__(self, request: EnrollmentRequest) -> None:
        self._request = request
        self._enrolled: Enrolled | None = None
        self._due: Due | None = None
        self._display = Display(request)

    @workflow.update(
        name="pause",
        description="Pause this contact: nothing is sent until it is resumed. Input: the reason in quotes, or nothing.",
    )
    async def pause_contact(self, reason: Any = None) -> str:
        """Writes the pause into the ledger; answers when nothing can begin to be sent any more."""
        return await self._act("pause", reason=typed(reason, "reason", "on holiday"))

    @pause_contact.validator
    def _may_pause(self, reason: Any = None) -> None:
        self._check_enrolled()
        typed(reason, "reason", "on holiday")

    @workflow.update(
        name="resume",
        description="Resume this contact. Messages that became due meanwhile go out without a burst. No input.",
    )
    async def resume_contact(self, given: Any = None) -> str:  # noqa: ARG002 - the Web UI may send null
        """Ends the pause in the ledger."""
        return await self._act("resume")

    @resume_contact.validator
    def _may_resume(self, given: Any = None) -> None:
        self._check_enrolled()
        no_input(given)

    @workflow.update(
        name="stop",
        description="End this contact's way through the sequence, for good. Input: the reason in quotes, or nothing.",
    )
    async def stop_contact(self, reason: Any = None) -> str:
        """Ends the enrollment in the ledger; answers when nothing can begin to be sent any more."""
        return await self._act("stop", reason=typed(reason, "reason", "asked by phone"))

    @stop_contact.validator
    def _may_stop(self, reason: Any = None) -> None:
        self._check_enrolled()
        typed(reason, "reason", "asked by phone")

    @workflow.update(
        name="skip",
        description="Skip the next step; the one after it comes by its own time. Input: the next step's name in quotes.",
    )
    async def skip_step(self, step: Any = None) -> str:
        """Skips the step in the ledger."""
        return await self._act("skip", step=typed(step, "step", "story"))

    @skip_step.validator
    def _may_skip(self, step: Any = None) -> None:
        self._check_enrolled()
        named = typed(step, "step", self._due.step if self._due else "story")
        if self._due is None:
            raise refuse("No step is left to skip.")
        if not named:
            raise refuse(f'Name the step to skip, in quotes: the next one is "{self._due.step}".')
        if named != self._due.step:
            raise refuse(
                f'The next step is "{self._due.step}", not "{named}": only the next one can be skipped.'
            )

    @workflow.update(
        name="opt_out",
        description=(
            "The person wants no more messages at all: opt the phone out, from everything."
            " Input: the reason in quotes, or nothing."
        ),
    )
    async def opt_out_phone(self, reason: Any = None) -> str:
        """Opts the phone out in the ledger; answers when nothing can begin to be sent any more."""
        return await self._act("opt_out", reason=typed(reason, "reason", "asked by phone"))

    @opt_out_phone.validator
    def _may_opt_out(self, reason: Any = None) -> None:
        typed(reason, "reason", "asked by phone")

    async def _act(self, command: Command, *, reason: str = "", step: str = "") -> str:
        request = self._request
        return await carry_out(
            Act(
                command=command, sequence=request.sequence, phone=request.lead.phone, reason=reason, step=step
            )
        )

    def _check_enrolled(self) -> None:
        """Raises ApplicationError if there is no enrollment to steer, or not any more."""
        request = self._request
        who = f"{request.lead.phone} in {request.sequence}"
        if self._enrolled is None:
            raise refuse(f"{who} is not enrolled yet: try again once the worker has enrolled it.")
        if self._enrolled.duplicate:
            raise refuse(
                f"{who}: an earlier workflow went through the sequence; this one has nothing to steer."
            )
        if self._display.state in OVER:
            raise refuse(f"{who} has left the sequence ({self._display.state.replace('_', ' ')}).")
