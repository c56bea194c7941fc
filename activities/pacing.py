"""Many workflows are begun or told a few at a time, and the next when the workers have worked on those.

All at once they would be so many tasks that a worker could not be through with one of them within the ten seconds that
Temporal gives it: it would be given out again, and again, and what is due meanwhile would wait behind all of them.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import TypeVar

from temporalio import activity

__all__ = ["batches", "kept_up"]

Item = TypeVar("Item")

TOGETHER = 20
"""Workflows that are begun or told at a time: a fifth of a second's work for one worker on two cores."""

LOOK_EVERY = 0.05
"""Seconds between two looks whether they were worked on."""

PATIENCE = 5.0
"""Seconds after which it goes on although some were not: one may be at a slow gateway just now, another may have failed."""


def batches(items: Sequence[Item], together: int = TOGETHER) -> Iterator[Sequence[Item]]:
    """The items, ``together`` at a time."""
    for first in range(0, len(items), together):
        yield items[first : first + together]


async def kept_up(waiting: Callable[[], Awaitable[bool]]) -> None:
    """Returns when nothing is waiting any more, when PATIENCE is over, or when the worker is told to end."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + PATIENCE
    while await waiting():
        if loop.time() >= deadline or activity.is_worker_shutdown():
            return
        await asyncio.sleep(LOOK_EVERY)
