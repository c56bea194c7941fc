"""The activity that carries out what an operator asks a workflow to do, by an update in the Web UI."""

from collections.abc import Awaitable, Callable
from typing import Literal

from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities.refusals import refused_for_good
from messaging.common.values import Value

__all__ = ["Act", "CarryOut", "SteeringActivities", "nothing_carries_out"]

Command = Literal[
    "pause", "resume", "stop", "skip", "opt_out", "start", "start_now", "move_time", "cancel", "retry_failed"
]


class Act(Value):
    """What is to be done with a contact (``sequence`` and ``phone``), a campaign, a device or a sequence."""

    command: Command
    sequence: str = ""
    phone: str = ""
    """E.164; one that the contact had before will do."""
    campaign: str = ""
    device: str = ""
    reason: str = ""
    step: str = ""
    """The step to skip."""
    time: str = ""
    """The new time of a campaign: see messaging.campaigns.moving.parse_time_and_zone()."""


CarryOut = Callable[[Act], Awaitable[str]]
"""Does it, and answers in a sentence what was done. Raises DrumbeatError."""


async def nothing_carries_out(act: Act) -> str:
    """For a worker without operations."""
    raise ApplicationError(f"this worker does not carry out {act.command}", non_retryable=True)


class SteeringActivities:
    """One instance for a worker. It does what the commands of the command line do, by the same code."""

    def __init__(self, carry_out: CarryOut) -> None:
        self._carry_out = carry_out

    @activity.defn
    async def carry_out(self, act: Act) -> str:
        """Writes the change into the ledger, and answers when it holds. Repeating it changes nothing more."""
        with refused_for_good(f"such {act.command}"):
            return await self._carry_out(act)
