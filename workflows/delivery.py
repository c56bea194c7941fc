"""Delivers one message: calls the send activity, and waits for the device's slot and for holds to end."""

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import TypeVar

from temporalio import workflow

from workflows.control import HELD_RECHECK, Control, wait

with workflow.unsafe.imports_passed_through():
    from messaging.sending.outcomes import Deferred, Held

__all__ = ["deliver"]


Done = TypeVar("Done")


BREATH = timedelta(seconds=5)
"""The shortest time between two attempts for a held message that is about to expire."""


async def deliver(
    send: Callable[[], Awaitable[Done | Deferred | Held]],
    control: Control,
    show: Callable[[str, str], None],
) -> Done | None:
    """Sends one message: waits for its slot, for holds to end, and for the gateway to come back.

    ``send`` is the send activity of one message; ``show(state, why)`` shows in the Web UI what it waits for. Returns
    the answer of ``send`` once the message is settled. Returns None if ``control`` has a request that comes first, or
    if the history is so long that the workflow should continue as new.
    """
    while True:
        show("sending", "")
        control.woken = False
        outcome = await send()
        if isinstance(outcome, Deferred):
            show("waiting", outcome.reason)
            await wait(outcome.until, lambda: control.urgent, outcome.reason)
        elif isinstance(outcome, Held):
            show("held", outcome.reason)
            await wait(_look_again(outcome), lambda: control.urgent, outcome.reason)
        else:
            return outcome
        asked = control.stop is not None or control.replan
        if asked or workflow.info().is_continue_as_new_suggested():
            return None


def _look_again(held: Held) -> datetime:
    """When to try a held message again if no signal says that the hold has ended."""
    recheck = workflow.now() + HELD_RECHECK
    if held.until is None:
        return recheck
    # The database's clock decides whether the message has expired, and workflow time may be ahead of it.
    return min(recheck, max(held.until, workflow.now() + BREATH))
