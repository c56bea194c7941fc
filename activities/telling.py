"""The activity that signals workflows about changes, a few at a time, and waits until the workers have kept up."""

import asyncio
from collections.abc import Sequence

from temporalio import activity

from activities.heartbeat import heartbeats
from activities.pacing import batches, kept_up
from messaging.common.database import Pool
from messaging.sending.telling import Tell, ToSignal, note_signalled, page, unmoved
from temporal.bulk import signal_each

__all__ = ["TellingActivities"]

TELL_FOR = 3.0
"""Seconds after which the workflow turns to the next entry."""

LONGEST_REST = 1.0


class TellingActivities:
    """One instance for a worker."""

    def __init__(self, pool: Pool, *, real_time: bool = True) -> None:
        """``real_time``: whether the activity may rest between pages."""
        self._pool = pool
        self._rests = real_time

    @activity.defn
    async def tell(self, tell: Tell) -> Tell | None:
        """Sends signals for some seconds; answers where to go on, or None when all were sent. Safe to repeat."""
        loop = asyncio.get_running_loop()
        until = loop.time() + TELL_FOR
        async with heartbeats():
            while True:
                found = await page(self._pool, tell)
                for signalled in batches(found.next):
                    began = loop.time()
                    await self._signal(tell, found.signal, signalled)
                    tell = tell.model_copy(
                        update={"after": signalled[-1].due_at, "after_key": signalled[-1].key}
                    )
                    if loop.time() >= until or activity.is_worker_shutdown():
                        return tell
                    # Rest for as long as the signals took: the machine has other work too.
                    if self._rests:
                        await asyncio.sleep(min(loop.time() - began, LONGEST_REST))
                if not found.more:
                    return None

    async def _signal(self, tell: Tell, signal: str, signalled: Sequence[ToSignal]) -> None:
        running = await signal_each(activity.client(), (one.workflow_id for one in signalled), signal)
        if tell.kind == "plans":
            await note_signalled(self._pool, signalled, running)
        waiting = [one for one, runs in zip(signalled, running, strict=True) if runs]

        async def unworked() -> bool:
            return bool(await unmoved(self._pool, tell, waiting))

        await kept_up(unworked)
