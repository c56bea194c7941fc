"""The requests that signals bring to a workflow, and the wait that they can interrupt."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from messaging.events.acting import Actor

__all__ = ["HELD_RECHECK", "Control", "wait"]

HELD_RECHECK = timedelta(hours=6)
"""A signal wakes a held or paused workflow when the hold or pause ends. If the signal is lost, it looks again after
this time.
"""

SHORTEST_TIMER = timedelta(milliseconds=1)


@dataclass
class Control:
    """Requests that the workflow has not acted on yet. It checks them between its steps and in every wait."""

    stop: str | None = None
    """The reason, once the contact is to be stopped."""
    opted_out: bool = False
    """True if it is stopped because its phone has opted out."""
    asked_by: Actor | None = None
    """Who has asked for the stop; None: Drumbeat itself."""
    replan: bool = False
    """The contact's next step may have changed: the workflow must ask for it again."""
    woken: bool = False
    """A hold may have ended: try the message again now, before its timer fires."""

    @property
    def urgent(self) -> bool:
        """True if a wait must end before its timer fires."""
        return self.stop is not None or self.replan or self.woken


async def wait(until: datetime | None, condition: Callable[[], bool], summary: str) -> bool:
    """Sleeps durably until ``until`` (None: no limit) or until ``condition`` is true. Returns True if ``until`` has
    come.

    ``summary`` names the timer in the Web UI. A timer is started even if ``until`` has passed. When a query or a
    heartbeat has split the task of a local activity, ``workflow.now()`` after it differs by milliseconds in a replay,
    and no command may depend on that.
    """
    timeout = None if until is None else max(until - workflow.now(), SHORTEST_TIMER)
    try:
        await workflow.wait_condition(condition, timeout=timeout, timeout_summary=summary)
    except TimeoutError:
        return True
    return False
