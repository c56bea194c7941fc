"""Heartbeats of an activity that takes long."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from temporalio import activity

__all__ = []


BEAT = 2.0
"""Seconds between two heartbeats."""


@asynccontextmanager
async def heartbeats() -> AsyncIterator[None]:
    """Tells Temporal that the worker lives while an activity takes as long as it takes; nothing of a short one.

    The task of its workflow does that for a local activity.
    """
    if not activity.in_activity() or activity.info().is_local:
        yield
        return

    async def beat() -> None:
        while True:
            await asyncio.sleep(BEAT)
            activity.heartbeat()

    beating = asyncio.create_task(beat())
    try:
        yield
    finally:
        beating.cancel()
