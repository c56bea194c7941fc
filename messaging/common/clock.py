"""The clock that decides: the database's, or a test's own."""

from collections.abc import Awaitable, Callable
from datetime import datetime

__all__ = ["Clock", "database_clock"]


Clock = Callable[[], Awaitable[datetime | None]]
"""Answers the present moment; None stands for the database's clock."""


async def database_clock() -> datetime | None:
    """The clock of production: the database's, which all workers share."""
    return None
