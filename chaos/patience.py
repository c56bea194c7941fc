"""Waiting, with an end: for servers that come back, and for what happens by itself."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import aiohttp
from temporalio.service import RPCError

from messaging.common.database import CONNECTION_LOST
from messaging.common.errors import Unavailable

__all__ = ["TRANSIENT", "NeverHappened", "insist", "until"]

TRANSIENT: tuple[type[Exception], ...] = (
    *CONNECTION_LOST,
    Unavailable,
    TimeoutError,
    aiohttp.ClientError,
    RPCError,
)
"""What is raised while a server is down or has just gone."""

COMES_BACK_WITHIN = 90.0
"""Seconds: a server that is not back by then does not come back."""

LOOK_EVERY = 0.1

Answer = TypeVar("Answer")


class NeverHappened(Exception):
    """Something that has to happen did not, within its time; the text says what."""


async def insist(
    what: str, work: Callable[[], Awaitable[Answer]], within: float = COMES_BACK_WITHIN
) -> Answer:
    """Does it again until no server is in the way. Raises NeverHappened."""
    deadline = asyncio.get_running_loop().time() + within
    while True:
        try:
            async with asyncio.timeout_at(deadline):
                return await work()
        except TRANSIENT as error:
            if asyncio.get_running_loop().time() > deadline:
                reason = " ".join(str(error).split()) or type(error).__name__
                raise NeverHappened(f"{what}: not within {within:.0f} seconds: {reason}") from error
        await asyncio.sleep(LOOK_EVERY)


async def until(what: str, happened: Callable[[], bool], within: float = COMES_BACK_WITHIN) -> None:
    """Until it has happened. Raises NeverHappened."""
    deadline = asyncio.get_running_loop().time() + within
    while not happened():
        if asyncio.get_running_loop().time() > deadline:
            raise NeverHappened(f"{what}: not within {within:.0f} seconds")
        await asyncio.sleep(LOOK_EVERY)
