"""How many messages of one device a worker brings to its gateway at a time, and how long it waits for a slot."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from activities.heartbeat import heartbeats
from messaging.sending.outcomes import Deferred

__all__ = ["SHORT_WAIT", "DeviceLimiter"]


SHORT_WAIT = timedelta(seconds=1)
"""A slot so near is waited for in the activity: a durable timer would cost more than it keeps safe."""


AT_THE_GATEWAY = 50
"""Messages of one device that one process brings to its gateway at a time: one that hangs must not take up the worker."""


ROOM_WAIT = 1.0
"""Seconds for which an activity waits for its turn there."""


Outcome = TypeVar("Outcome")


class DeviceLimiter:
    """How long a worker's sending activities wait, and how many of them are at each device's gateway. One for a worker."""

    def __init__(self, short_wait: timedelta = SHORT_WAIT, places: int = AT_THE_GATEWAY) -> None:
        """``short_wait`` is real time: zero where the clock is not."""
        self._short_wait = short_wait
        self._places = places
        self._taken: dict[str, asyncio.Semaphore] = {}

    async def run(self, device_id: str, once: Callable[[], Awaitable[Outcome]]) -> Outcome | Deferred:
        """Sends by ``once``; a slot that is near is waited for, and then it is sent once more."""
        async with heartbeats():
            outcome = await self._in_turn(device_id, once)
            if (
                isinstance(outcome, Deferred)
                and outcome.wait is not None
                and outcome.wait <= self._short_wait
            ):
                await asyncio.sleep(max(outcome.wait.total_seconds(), 0))
                outcome = await self._in_turn(device_id, once)
            return outcome

    async def _in_turn(self, device_id: str, once: Callable[[], Awaitable[Outcome]]) -> Outcome | Deferred:
        places = self._taken.setdefault(device_id, asyncio.Semaphore(self._places))
        try:
            async with asyncio.timeout(ROOM_WAIT):
                await places.acquire()
        except TimeoutError:
            # Not all at once: those that wait come back spread over some seconds.
            back = datetime.now(UTC) + timedelta(seconds=random.uniform(2, 6))  # noqa: S311 - no secret
            return Deferred(until=back, reason=f"device {device_id} is slow, and has its hands full")
        try:
            return await once()
        finally:
            places.release()
