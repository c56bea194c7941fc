"""Limits how many messages of one device a worker sends at a time, and how long it waits for a slot."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from activities.heartbeat import heartbeats
from messaging.sending.outcomes import Deferred

__all__ = ["SHORT_WAIT", "DeviceLimiter"]


SHORT_WAIT = timedelta(seconds=1)
"""The activity itself waits for a slot that is this near: a durable timer would cost more than it saves."""


AT_THE_GATEWAY = 50
"""Messages of one device that a process sends at a time: a gateway that hangs must not take up the whole worker."""


ROOM_WAIT = 1.0
"""Seconds that an activity waits for its turn at the gateway."""


Outcome = TypeVar("Outcome")


class DeviceLimiter:
    """Limits how long sending activities wait, and how many of them are at each device's gateway. One for a worker."""

    def __init__(self, short_wait: timedelta = SHORT_WAIT, places: int = AT_THE_GATEWAY) -> None:
        """``short_wait`` is real time: pass zero where the clock is not the real one."""
        self._short_wait = short_wait
        self._places = places
        self._taken: dict[str, asyncio.Semaphore] = {}

    async def run(self, device_id: str, once: Callable[[], Awaitable[Outcome]]) -> Outcome | Deferred:
        """Calls ``once`` to send. If the slot is near, waits for it and calls ``once`` a second time."""
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
            # Spread over some seconds, so that the waiting messages do not all come back at once.
            back = datetime.now(UTC) + timedelta(seconds=random.uniform(2, 6))  # noqa: S311 - no secret
            return Deferred(until=back, reason=f"device {device_id} is slow, and has its hands full")
        try:
            return await once()
        finally:
            places.release()
