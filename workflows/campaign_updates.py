"""What an operator asks of a campaign in the Web UI. The ledger is changed, and signals the workflow as always."""

from typing import Any

from temporalio import workflow

from workflows.updates import carry_out, no_input, refuse, typed

with workflow.unsafe.imports_passed_through():
    from activities.steering import Act, Command
    from messaging.campaigns.contract import CampaignState
    from messaging.campaigns.moving import EXAMPLE, parse_time_and_zone
    from messaging.common.errors import InvalidInput

__all__ = ["CampaignUpdates"]


class CampaignUpdates:
    """The updates of a campaign's workflow. Each takes an argument that may be left out, as the Web UI may send null."""

    def __init__(self, campaign: str) -> None:
        self._campaign = campaign
        self._state: CampaignState | None = None
        """Where it stood at the last look."""

    @workflow.update(
        description="Start it: at its time, or at once if it has none. A campaign starts once. No input.",
    )
    async def start(self, given: Any = None) -> str:  # noqa: ARG002 - the Web UI may send null
        """Starts the campaign in the ledger, as 'campaign start' does."""
        return await self._act("start")

    @start.validator
    def _may_start(self, given: Any = None) -> None:
        no_input(given)
        self._check_not_begun("it cannot be started again")

    @workflow.update(description="Start it at once, whatever its time says. No input.")
    async def start_now(self, given: Any = None) -> str:  # noqa: ARG002
        """Starts the campaign in the ledger, as 'campaign start --now' does."""
        return await self._act("start_now")

    @start_now.validator
    def _may_start_now(self, given: Any = None) -> None:
        no_input(given)
        self._check_not_begun("it cannot be started again")

    @workflow.update(
        description=(
            "Let it start at another time; only before it has started. Input: the local time in quotes, such as"
            ' "2035-11-23 10:00", or with another zone, "2035-11-23 10:00 Asia/Kuala_Lumpur".'
        )
    )
    async def move_time(self, time: Any = None) -> str:
        """Gives the campaign another time in the ledger, as 'campaign move' does."""
        return await self._act("move_time", time=typed(time, "time", EXAMPLE))

    @move_time.validator
    def _may_move_time(self, time: Any = None) -> None:
        self._check_not_begun("its time cannot change any more: for another time make another campaign")
        try:
            parse_time_and_zone(typed(time, "time", EXAMPLE))
        except InvalidInput as error:
            raise refuse(f"No time was understood: {error}.") from error

    @workflow.update(
        description="Pause it: nothing more is sent until it is resumed, and nothing is lost. No input."
    )
    async def pause(self, given: Any = None) -> str:  # noqa: ARG002
        """Pauses the campaign in the ledger; answers when nothing can begin to be sent any more."""
        return await self._act("pause")

    @pause.validator
    def _may_pause(self, given: Any = None) -> None:
        no_input(given)
        self._check_under_way("there is nothing to pause")

    @workflow.update(description="Resume it: what waits goes out at the devices' pace. No input.")
    async def resume(self, given: Any = None) -> str:  # noqa: ARG002
        """Resumes the campaign in the ledger."""
        return await self._act("resume")

    @resume.validator
    def _may_resume(self, given: Any = None) -> None:
        no_input(given)
        self._check_under_way("there is nothing to resume")

    @workflow.update(
        description="End it for good: unsent messages are never sent, and sent ones cannot be taken back. No input."
    )
    async def cancel(self, given: Any = None) -> str:  # noqa: ARG002
        """Cancels the campaign in the ledger; answers when nothing can begin to be sent any more."""
        return await self._act("cancel")

    @cancel.validator
    def _may_cancel(self, given: Any = None) -> None:
        no_input(given)
        self._check_under_way("there is nothing to cancel", also="draft")

    @workflow.update(description="Send its failed messages again, and no others. No input.")
    async def retry_failed(self, given: Any = None) -> str:  # noqa: ARG002
        """Makes the failed messages due again in the ledger."""
        return await self._act("retry_failed")

    @retry_failed.validator
    def _may_retry_failed(self, given: Any = None) -> None:
        no_input(given)
        state = self._known()
        if state.status == "cancelled":
            raise refuse(f"Campaign {self._campaign} was cancelled: nothing of it is sent again.")
        if not state.frozen:
            raise refuse(f"Campaign {self._campaign} has not started yet: no message of it can have failed.")

    async def _act(self, command: Command, *, time: str = "") -> str:
        return await carry_out(Act(command=command, campaign=self._campaign, time=time))

    def _known(self) -> CampaignState:
        """Where the campaign stood at the last look. Raises ApplicationError before the first."""
        if self._state is None:
            raise refuse(f"Campaign {self._campaign} is just being looked up: try again in a moment.")
        return self._state

    def _check_not_begun(self, so: str) -> None:
        """Raises ApplicationError if the campaign has started or was cancelled."""
        state = self._known()
        if state.status == "cancelled":
            raise refuse(f"Campaign {self._campaign} was cancelled: apply it under another name to send it.")
        if state.frozen:
            raise refuse(f"Campaign {self._campaign} has started, and {so}.")

    def _check_under_way(self, so: str, *, also: str = "") -> None:
        """Raises ApplicationError if the campaign was not started, or is over."""
        state = self._known()
        if state.status in ("draft", "finished", "cancelled") and state.status != also:
            status = {"draft": "is a draft", "finished": "is finished", "cancelled": "was cancelled"}[
                state.status
            ]
            raise refuse(f"Campaign {self._campaign} {status}: {so}.")
