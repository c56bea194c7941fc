"""What operators may ask of a running contact, and how a workflow waits while listening for it."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from temporalio import workflow

__all__ = ["HELD_RECHECK", "Control", "wait"]

HELD_RECHECK = timedelta(hours=6)
"""A workflow that is held or paused is woken by a signal when that ends. Should the signal be lost, it looks again after this."""

SHORTEST_TIMER = timedelta(milliseconds=1)


@dataclass
class Control:
    """Requests that have not been answered yet. A workflow looks at them between its steps and in every wait."""

    stop: str | None = None
    """The reason, once the contact is to be stopped."""
    opted_out: bool = False
    """Whether it is stopped because its phone has opted out."""
    replan: bool = False
    """Something else may come next than the workflow knows: it asks anew."""
    woken: bool = False
    """A hold may have ended: the message is tried again before its time."""

    @property
    def urgent(self) -> bool:
        """Whether a wait must end before its time."""
        return self.stop is not None or self.replan or self.woken


async def wait(until: datetime | None, condition: Callable[[], bool], summary: str) -> bool:
    """Sleeps durably until ``until`` (None: without end) or until ``condition`` holds; whether that moment has come.

    ``summary`` names the timer in the Web UI. There is always a timer, also for a moment that has passed: where a query
    or a heartbeat has split the task of a local activity, ``workflow.now()`` after it is another in a replay than it was, by
    milliseconds, and no command may hang on that.
    """
    timeout = None if until is None else max(until - workflow.now(), SHORTEST_TIMER)
    try:
        await workflow.wait_condition(condition, timeout=timeout, timeout_summary=summary)
    except TimeoutError:
        return True
    return False
