"""Paces the start or the signalling of many workflows: a few at a time, and the next when the workers have run those.

All at once would make more workflow tasks than a worker can finish within the ten seconds that Temporal gives each.
Tasks would time out and be given out again and again, and messages that become due would wait behind all of them.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import TypeVar

from temporalio import activity

__all__ = ["batches", "kept_up"]

Item = TypeVar("Item")

TOGETHER = 20
"""Workflows that are started or signalled at a time: a fifth of a second's work for one worker on two cores."""

LOOK_EVERY = 0.05
"""Seconds between two checks whether those have run."""

PATIENCE = 5.0
"""Seconds after which it goes on although some have not run: one may wait for a slow gateway, another may have
failed.
"""


def batches(items: Sequence[Item], together: int = TOGETHER) -> Iterator[Sequence[Item]]:
    """The items in batches of ``together``."""
    for first in range(0, len(items), together):
        yield items[first : first + together]


async def kept_up(waiting: Callable[[], Awaitable[bool]]) -> None:
    """Returns when ``waiting`` answers False, when PATIENCE is over, or when the worker shuts down."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + PATIENCE
    while await waiting():
        if loop.time() >= deadline or activity.is_worker_shutdown():
            return
        await asyncio.sleep(LOOK_EVERY)
