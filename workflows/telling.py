"""The one workflow that tells others what they cannot know: that their plan has changed, or that a hold is over.

However many they are, they are told a few at a time, and the next when those have been worked on: thousands of tasks at
once would take a worker longer than Temporal waits for a task, and what is due meanwhile would wait behind them.
"""

from datetime import timedelta

from temporalio import workflow

from workflows.options import DEAD_AFTER, RETRY

with workflow.unsafe.imports_passed_through():
    from activities.telling import TellingActivities
    from messaging.sending.telling import Tell, Telling

__all__ = ["TellingWorkflow"]

TELL = timedelta(minutes=2)
"""Start to close of some seconds of telling, however slow the servers are just then."""


@workflow.defn
class TellingWorkflow:
    """Tells what is handed over, each thing for some seconds in turn, and ends when nothing is left."""

    @workflow.init
    def __init__(self, telling: Telling) -> None:
        self._left = {(tell.kind, tell.name): tell for tell in telling.of}

    @workflow.run
    async def run(self, telling: Telling) -> None:  # noqa: ARG002 - taken by __init__
        """Again and again: what has waited longest."""
        while self._left:
            key, tell = next(iter(self._left.items()))
            rest = await workflow.execute_activity_method(
                TellingActivities.tell,
                tell,
                start_to_close_timeout=TELL,
                heartbeat_timeout=DEAD_AFTER,
                retry_policy=RETRY,
                summary=f"{tell.kind} {tell.name}".rstrip(),
            )
            now = self._left.pop(key)
            if now is not tell:  # handed over once more meanwhile: from the beginning
                self._left[key] = now
            elif rest is not None:
                self._left[key] = rest
            if self._left and workflow.info().is_continue_as_new_suggested():
                workflow.continue_as_new(Telling(of=tuple(self._left.values())))

    @workflow.signal
    def add(self, tell: Tell) -> None:
        """Adds something to tell. Where it is being told already, that begins anew, as others may have to be told."""
        self._left[tell.kind, tell.name] = tell
