"""What the Temporal Web UI shows about one contact."""

from datetime import datetime, timedelta
from typing import Any

from temporalio import workflow
from temporalio.common import SearchAttributeUpdate

with workflow.unsafe.imports_passed_through():
    from messaging.common.markdown import escape_markdown
    from messaging.sequences.contract import EnrollmentRequest
    from messaging.times.calendar import Due
    from temporal import search_attributes as attributes

__all__ = ["OVER", "Display"]

WAITING = {"held", "paused"}
OVER = {"completed", "stopped", "opted_out"}
WORTH_LISTING = timedelta(minutes=1)
"""Each change of a search attribute costs an event, so the attribute holds only states that last. The details cost
none, and show every state.
"""


class Display:
    """Keeps a workflow's details, which cost nothing, and its search attributes, which cost events, up to date."""

    def __init__(self, request: EnrollmentRequest) -> None:
        self._request = request
        # Continue-as-new carries search attributes over.
        before = workflow.info().typed_search_attributes
        state = before.get(attributes.STATE)
        self._listed: tuple[str, str, datetime | None] | None = None if state is None else (state, "", None)
        self._has_step = before.get(attributes.STEP) is not None
        self._device = ""
        self._answer: str | None = None
        self.state = "enrolling"
        self.why = ""

    def show(self, state: str, why: str, due: Due | None, *, device: str) -> None:
        """Shows the contact, its next step with the time, and why it waits."""
        self.state, self.why = state, why
        if due is not None and due.answer is not None:
            self._answer = due.answer  # that of a step just sent says nothing of answers
        lead = self._request.lead
        lines = [
            f"**{escape_markdown(lead.name) or 'No name'}** · {lead.phone} · sequence **{self._request.sequence}**",
            *([f"Device: {device}"] if device else []),
            f"State: **{state}**" + (f" ({escape_markdown(why)})" if why else ""),
            *([f"Next step: **{due.step}**, {due.when}"] if due else ["No step is left."] if device else []),
            *([f"Last answer: {escape_markdown(self._answer)}"] if self._answer else []),
        ]
        workflow.set_current_details("\n\n".join(lines))
        lasts = state == "scheduled" and due is not None and due.wait >= WORTH_LISTING
        ends = state in OVER and self._listed is not None
        # The hold or pause has ended: the contact waits for its slot, which may be far off.
        goes_on = state == "waiting" and self._listed is not None and self._listed[0] in WAITING
        listed = (state, due.step if due else "", due.due_at if due else None)
        if (lasts or ends or goes_on or state in WAITING) and (self._listed, self._device) != (
            listed,
            device,
        ):
            self._list(state, due, device)
            self._listed = listed

    def _list(self, state: str, due: Due | None, device: str) -> None:
        updates: list[SearchAttributeUpdate[Any]] = [attributes.STATE.value_set(state)]
        if device != self._device:  # it may have been replaced
            updates.append(attributes.DEVICE.value_set(device))
            self._device = device
        if due is not None:
            updates += [attributes.STEP.value_set(due.step), attributes.DUE_AT.value_set(due.due_at)]
            self._has_step = True
        elif self._has_step:
            self._has_step = False
            updates += [attributes.STEP.value_unset(), attributes.DUE_AT.value_unset()]
        workflow.upsert_search_attributes(updates)
