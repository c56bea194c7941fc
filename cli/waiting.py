"""Says on a terminal that a command is still at work, once that takes over a second, unless it shows a bar of its own."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress

from runtime import process

__all__ = ["bar_of_its_own", "still_at_work"]

AFTER = 1.0
"""Seconds without a word."""

EVERY = 0.25
CLEAR = "\r\x1b[K"

_bars = 0


@contextmanager
def bar_of_its_own() -> Iterator[None]:
    """During the block, the command shows how far it is by itself."""
    global _bars
    _bars += 1
    process.clear_line()
    try:
        yield
    finally:
        _bars -= 1


@asynccontextmanager
async def still_at_work() -> AsyncIterator[None]:
    """During the block, a line on standard error says for how long it has taken; nothing if that is no terminal."""
    if not sys.stderr.isatty():
        yield
        return
    task = asyncio.create_task(_say())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _say() -> None:
    since = time.monotonic()
    try:
        await asyncio.sleep(AFTER)
        while True:
            if not _bars:
                process.unfinished_line = CLEAR
                sys.stderr.write(f"{CLEAR}working, {time.monotonic() - since:.0f} s …")
                sys.stderr.flush()
            await asyncio.sleep(EVERY)
    finally:
        process.clear_line()
