"""The clock that decides: the database's, or a test's."""

from collections.abc import Awaitable, Callable
from datetime import datetime

__all__ = ["Clock", "database_clock"]


Clock = Callable[[], Awaitable[datetime | None]]
"""Tells the present; None means: let the database say."""


async def database_clock() -> datetime | None:
    """The clock of production: the one clock that all workers share."""
    return None
