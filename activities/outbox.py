"""The activities that deliver events and alerts to their receivers."""

from collections.abc import Callable

from temporalio import activity

from activities.heartbeat import heartbeats
from messaging.common.errors import DrumbeatError
from messaging.outbox.courier import Courier

__all__ = ["FOR", "OutboxActivities"]

FOR = 60.0
"""Seconds that one activity works. Then another worker may have its turn."""


class OutboxActivities:
    """One instance for a worker."""

    def __init__(
        self, courier: Courier, *, real_time: bool = True, ends: Callable[[], bool] = lambda: False
    ) -> None:
        """``real_time``: whether the activity may wait for what comes. ``ends``: whether the process is to end."""
        self._courier = courier
        self._seconds = FOR if real_time else 0.0
        self._ends = ends

    @activity.defn
    async def deliver_outbox(self) -> str:
        """Delivers for a while; answers how it goes with each receiver, for the Web UI. What an attempt leaves, the next
        one finds.
        """
        async with heartbeats():
            await self._courier.work(self._seconds, self._leaving)
            return await self._courier.page()

    def _leaving(self) -> bool:
        # An activity that begins while its worker already ends is not told so by the SDK, if it is the worker's first.
        return self._ends() or activity.is_worker_shutdown()

    @activity.defn
    async def test_receiver(self, receiver: str) -> tuple[bool, str]:
        """Delivers a test now; answers whether it was taken, and what came back."""
        try:
            outcome = await self._courier.test(receiver)
        except DrumbeatError as error:
            return False, str(error)
        return outcome.taken, outcome.text
