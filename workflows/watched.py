"""The workflows of devices and sequences. They do nothing but wait: on their pages operators watch and steer.

Such a workflow has no timer, and what its page shows is read from the ledger when somebody looks (workflows.details). So it
costs nothing while it waits. The recovery starts it, and tells it the state of its row, by which the list can be searched.
"""

import asyncio
from contextlib import suppress
from typing import Any

from temporalio import workflow

from workflows.updates import carry_out, no_input, typed

with workflow.unsafe.imports_passed_through():
    from activities.steering import Act
    from messaging.common.values import Value
    from temporal import search_attributes as attributes

__all__ = ["DeviceWorkflow", "SequenceWorkflow", "Watched"]


class Watched(Value):
    """The input of DeviceWorkflow and SequenceWorkflow."""

    name: str
    """Of the device or sequence."""
    state: str
    """``active``, ``paused``, or ``replaced``."""


class _Watching:
    def __init__(self, watched: Watched) -> None:
        self._name = watched.name
        self._state = self._listed = watched.state

    async def _watch(self) -> None:
        """Keeps the search attribute true, until the history has grown long."""
        while True:
            workflow.set_current_details(f"**{self._name}** · State: **{self._state}**")
            if self._state != self._listed:
                self._listed = self._state
                workflow.upsert_search_attributes([attributes.STATE.value_set(self._state)])
            # It cannot be cancelled: a device or sequence is there for ever.
            with suppress(asyncio.CancelledError):
                await workflow.wait_condition(lambda: self._state != self._listed or self._is_long())
            if self._is_long():
                await workflow.wait_condition(workflow.all_handlers_finished)
                workflow.continue_as_new(Watched(name=self._name, state=self._listed))

    def _is_long(self) -> bool:
        return workflow.info().is_continue_as_new_suggested()

    @workflow.signal(description="Sent by Drumbeat: the state in the ledger.")
    def changed(self, state: str) -> None:
        """The row's state."""
        self._state = state


@workflow.defn
class DeviceWorkflow(_Watching):
    """A device: its page shows what it does, and takes pause and resume."""

    @workflow.init
    def __init__(self, watched: Watched) -> None:
        super().__init__(watched)

    @workflow.run
    async def run(self, watched: Watched) -> None:  # noqa: ARG002 - taken by __init__
        """Waits for ever."""
        await self._watch()

    @workflow.update(
        description="Pause this device: nothing is sent by it until it is resumed. Input: the reason in quotes, or nothing."
    )
    async def pause(self, reason: Any = None) -> str:
        """Pauses the device in the ledger; answers when nothing can begin to be sent any more."""
        return await carry_out(
            Act(command="pause", device=self._name, reason=typed(reason, "reason", "under review"))
        )

    @pause.validator
    def _may_pause(self, reason: Any = None) -> None:
        typed(reason, "reason", "under review")

    @workflow.update(
        description="Resume this device, or end its wait: what was due goes out at its pace. No input."
    )
    async def resume(self, given: Any = None) -> str:  # noqa: ARG002 - the Web UI may send null
        """Resumes the device in the ledger."""
        return await carry_out(Act(command="resume", device=self._name))

    @resume.validator
    def _may_resume(self, given: Any = None) -> None:
        no_input(given)


@workflow.defn
class SequenceWorkflow(_Watching):
    """A sequence: its page shows where its contacts are, and takes pause and resume."""

    @workflow.init
    def __init__(self, watched: Watched) -> None:
        super().__init__(watched)

    @workflow.run
    async def run(self, watched: Watched) -> None:  # noqa: ARG002 - taken by __init__
        """Waits for ever."""
        await self._watch()

    @workflow.update(
        description="Pause this sequence: nothing of it is sent until it is resumed, and nothing is lost. No input."
    )
    async def pause(self, given: Any = None) -> str:  # noqa: ARG002 - the Web UI may send null
        """Pauses the sequence in the ledger; answers when nothing can begin to be sent any more."""
        return await carry_out(Act(command="pause", sequence=self._name))

    @pause.validator
    def _may_pause(self, given: Any = None) -> None:
        no_input(given)

    @workflow.update(
        description="Resume this sequence: what was due goes out at the devices' pace. No input."
    )
    async def resume(self, given: Any = None) -> str:  # noqa: ARG002
        """Resumes the sequence in the ledger."""
        return await carry_out(Act(command="resume", sequence=self._name))

    @resume.validator
    def _may_resume(self, given: Any = None) -> None:
        no_input(given)
