"""Stores what files say, all or nothing, even if another apply runs at the same moment."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

import asyncpg

from messaging.common.database import Connection

__all__ = ["all_or_nothing", "rehearsed"]

_TRIES = 3

Applied = TypeVar("Applied")


async def all_or_nothing(connection: Connection, apply: Callable[[], Awaitable[Applied]]) -> Applied:
    """Calls ``apply`` in a transaction of its own, and again if another transaction interfered; answers its result."""
    for tries_left in reversed(range(_TRIES)):
        try:
            async with connection.transaction():
                return await apply()
        except (asyncpg.UniqueViolationError, asyncpg.DeadlockDetectedError):
            # Another apply took a name or trigger, or a deadlock occurred: its result is visible now.
            if not tries_left:
                raise
    raise AssertionError("unreachable")


async def rehearsed(connection: Connection, work: Callable[[], Awaitable[Applied]]) -> Applied:
    """What ``work`` answers, without what it writes: its transaction is rolled back. The locks that it takes are held meanwhile.

    So a dry run is the real thing, with all its checks and errors.
    """
    transaction = connection.transaction()
    await transaction.start()
    try:
        return await work()
    finally:
        await transaction.rollback()
