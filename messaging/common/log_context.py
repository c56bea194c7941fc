"""Which message the lines of a log are about."""

from contextvars import ContextVar
from uuid import UUID

__all__ = ["MESSAGE"]

MESSAGE: ContextVar[UUID | None] = ContextVar("message", default=None)
"""The message that this task sends: lines of the log name it."""
