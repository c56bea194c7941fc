"""Storing what files say: all of it or nothing, also where others do so at the same moment."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

import asyncpg

from messaging.common.database import Connection

__all__ = ["all_or_nothing"]

_TRIES = 3

Applied = TypeVar("Applied")


async def all_or_nothing(connection: Connection, apply: Callable[[], Awaitable[Applied]]) -> Applied:
    """What ``apply`` answers, which is called in a transaction of its own, and again if another came in its way."""
    for tries_left in reversed(range(_TRIES)):
        try:
            async with connection.transaction():
                return await apply()
        except (asyncpg.UniqueViolationError, asyncpg.DeadlockDetectedError):
            # Another apply took a name or trigger, or locked what we wait for: now its result can be seen.
            if not tries_left:
                raise
    raise AssertionError("unreachable")
