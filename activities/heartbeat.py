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
    """Sends heartbeats while the block runs, so that Temporal knows that the worker is alive. A short block sends none.

    A local activity needs none: its workflow task has heartbeats of its own.
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
