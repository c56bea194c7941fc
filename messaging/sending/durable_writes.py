"""Writes outcomes so that a gateway's answer is not lost: each write is retried for as long as the process lives."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from messaging.common.database import Verdict, verdict_of

__all__ = ["DurableWrites"]

logger = logging.getLogger(__name__)

FIRST_WAIT = 0.1
"""Seconds before the second try; each wait is twice as long as the one before."""

LONGEST_WAIT = 5.0
"""Seconds."""

Written = TypeVar("Written")


class DurableWrites:
    """Writes outcomes despite database outages of any length. One for a worker; safe to share between tasks."""

    def __init__(self) -> None:
        self._writing: set[asyncio.Task[Any]] = set()
        self._failing = 0

    @property
    def waiting(self) -> int:
        """Writes that have failed, and are tried again."""
        return self._failing

    async def write(self, write: Callable[[], Awaitable[Written]]) -> Written:
        """Retries ``write`` until it succeeds, even if the caller is cancelled.

        Raises what no later try would be spared (``Verdict.WRONG``), or where the process ends (``Verdict.OVER``).
        """
        return await asyncio.shield(self.begin(write))

    def begin(self, write: Callable[[], Awaitable[Written]]) -> asyncio.Task[Written]:
        """Like :meth:`write`, but does not wait."""
        task = asyncio.create_task(self._insist(write))
        self._writing.add(task)
        task.add_done_callback(self._done)
        return task

    async def finish(self, within: float) -> None:
        """Waits at most ``within`` seconds for writes under way. Call it before the pool is closed."""
        if self._writing:
            await asyncio.wait(self._writing, timeout=within)

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._writing.discard(task)
        if not task.cancelled():
            task.exception()  # retrieved here, so that asyncio does not log it; a caller that still waits gets it too

    async def _insist(self, write: Callable[[], Awaitable[Written]]) -> Written:
        wait, failing = FIRST_WAIT, False
        try:
            while True:
                try:
                    return await write()
                except Exception as error:
                    verdict = verdict_of(error)
                    if verdict not in (Verdict.AGAIN, Verdict.MEND):
                        raise
                    if not failing:
                        failing = True
                        self._tell(error, verdict)
                await asyncio.sleep(wait * random.uniform(0.8, 1.2))  # noqa: S311 - spread, not secrecy
                wait = min(wait * 2, LONGEST_WAIT)
        finally:
            if failing:
                self._failing -= 1
                if self._failing == 0:
                    logger.info("no outcome of a message waits to be written any more")

    def _tell(self, error: Exception, verdict: Verdict) -> None:
        """Logs once, however many writes are waiting."""
        if self._failing == 0:
            level = logging.ERROR if verdict is Verdict.MEND else logging.WARNING
            logger.log(
                level,
                "what became of messages cannot be written (%s: %s); it is tried until it can",
                type(error).__name__,
                error,
            )
        self._failing += 1
