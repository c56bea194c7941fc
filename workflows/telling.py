"""The one workflow that signals others when their plan has changed or a hold has ended.

It signals a few workflows at a time, and the next ones when those have run. Thousands of workflow tasks at once would
take a worker longer than Temporal waits for a task, and messages that become due would wait behind them.
"""

from datetime import timedelta

from temporalio import workflow

from workflows.options import DEAD_AFTER, RETRY

with workflow.unsafe.imports_passed_through():
    from activities.telling import TellingActivities
    from messaging.sending.telling import Tell, Telling

__all__ = ["TellingWorkflow"]

TELL = timedelta(minutes=2)
"""Start to close. The activity signals for some seconds only; the rest is for slow servers."""


@workflow.defn
class TellingWorkflow:
    """Works through what is handed over, some seconds for each entry in turn, and ends when nothing is left."""

    @workflow.init
    def __init__(self, telling: Telling) -> None:
        self._left = {(tell.kind, tell.name): tell for tell in telling.of}

    @workflow.run
    async def run(self, telling: Telling) -> None:  # noqa: ARG002 - taken by __init__
        """Takes the entry that has waited longest, again and again, until none is left."""
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
            if now is not tell:  # handed over again while it was worked on: start it from the beginning
                self._left[key] = now
            elif rest is not None:
                self._left[key] = rest
            if self._left and workflow.info().is_continue_as_new_suggested():
                workflow.continue_as_new(Telling(of=tuple(self._left.values())))

    @workflow.signal(description="Sent by Drumbeat: more workflows to signal.")
    def add(self, tell: Tell) -> None:
        """Adds an entry. One that is being worked on starts from the beginning, as other workflows may have to be
        signalled.
        """
        self._left[tell.kind, tell.name] = tell
