"""Waits that end, whatever hangs: for checks of servers that may not answer."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

__all__ = ["Patient"]

Answer = TypeVar("Answer")


HANGS = 10.0
"""Seconds after which a call is given up, as it may hang on a connection that is dead while the server is well again."""


class Patient(Generic[Answer]):
    """Calls ``work``, one call at a time, and never waits for it longer than it is told to.

    A call that hangs goes on in the background: even to cancel a statement, a connection may have to be opened. While it
    does, no other begins, so that hanging calls do not pile up and take every connection.
    """

    def __init__(self, work: Callable[[], Awaitable[Answer]]) -> None:
        self._work = work
        self._calling: asyncio.Task[Answer] | None = None
        self._since = 0.0

    async def answer(self, within: float) -> Answer:
        """The answer of the call that is under way, or of a new one. Raises TimeoutError after so many seconds, and what
        ``work`` raises.
        """
        now = asyncio.get_running_loop().time()
        if self._calling is not None and not self._calling.done() and now - self._since > HANGS:
            self.close()
        if self._calling is None or self._calling.done():
            self._since, self._calling = now, asyncio.ensure_future(self._work())
            self._calling.add_done_callback(_retrieve)
        calling = self._calling
        done, _ = await asyncio.wait({calling}, timeout=within)
        if not done:
            raise TimeoutError(f"no answer within {within:g} s")
        return calling.result()

    def close(self) -> None:
        """Gives up the call that is under way, if there is one."""
        if self._calling is not None:
            self._calling.cancel()
            self._calling = None


def _retrieve(calling: "asyncio.Task[Answer]") -> None:
    """So that asyncio does not log the error of a call that nobody waits for any more."""
    if not calling.cancelled():
        calling.exception()
