"""Waiting with a deadline: for something to happen, and for servers to come back."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import TypeVar

import aiohttp
from temporalio.service import RPCError

from messaging.common.database import CONNECTION_LOST
from messaging.common.errors import Unavailable

__all__ = ["COMES_BACK_WITHIN", "TRANSIENT", "NeverHappened", "insist", "until"]

TRANSIENT: tuple[type[Exception], ...] = (
    *CONNECTION_LOST,
    Unavailable,
    TimeoutError,
    aiohttp.ClientError,
    RPCError,
)
"""Errors while a server is down or has just gone away."""

COMES_BACK_WITHIN = 90.0
"""Seconds. A server that is not back by then is not coming back."""

WITHIN = 30.0
"""Seconds for something quick, with room for a busy machine."""

SOON, EVERY = 0.01, 0.1
"""Seconds between two checks: short at first, then growing, since each check takes time from what is waited for."""

Answer = TypeVar("Answer")


class NeverHappened(Exception):
    """Something did not happen in time; the text says what."""


async def until(
    happened: Callable[[], bool | Awaitable[bool]],
    within: float = WITHIN,
    *,
    what: str = "",
    every: float = EVERY,
) -> None:
    """Waits until ``happened`` answers true; checks at growing intervals of at most ``every`` seconds.

    Raises NeverHappened after ``within`` seconds, with ``what`` (the name of ``happened``, if not given), and whatever
    ``happened`` raises.
    """
    clock = asyncio.get_running_loop().time
    deadline, pause = clock() + within, SOON
    while True:
        answer = happened()
        if await answer if inspect.isawaitable(answer) else answer:
            return
        if clock() > deadline:
            named = what or getattr(happened, "__qualname__", "it")
            raise NeverHappened(f"{named}: not within {within:.0f} s")
        pause = min(1.3 * pause, every)
        await asyncio.sleep(pause)


async def insist(
    what: str, work: Callable[[], Awaitable[Answer]], within: float = COMES_BACK_WITHIN
) -> Answer:
    """Repeats ``work`` while a server is down (TRANSIENT). Raises NeverHappened after ``within`` seconds."""
    clock = asyncio.get_running_loop().time
    deadline = clock() + within
    while True:
        try:
            async with asyncio.timeout_at(deadline):
                return await work()
        except TRANSIENT as error:
            if clock() > deadline:
                reason = " ".join(str(error).split()) or type(error).__name__
                raise NeverHappened(f"{what}: not within {within:.0f} s: {reason}") from error
        await asyncio.sleep(EVERY)
