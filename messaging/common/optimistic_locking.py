"""Optimistic locking: if a row was changed after it was read, the work is done again with the new row."""

from collections.abc import Callable, Coroutine
from contextlib import suppress
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from messaging.common.errors import Conflict

__all__ = ["Changed", "retry_on_change"]

Arguments = ParamSpec("Arguments")
Answer = TypeVar("Answer")

TRIES = 20
"""Attempts. Two writers may meet once, but not this often in a row."""


class Changed(Exception):
    """Another transaction has changed the row since it was read."""


def retry_on_change(
    work: Callable[Arguments, Coroutine[Any, Any, Answer]],
) -> Callable[Arguments, Coroutine[Any, Any, Answer]]:
    """Repeats ``work`` as long as it raises Changed. It must undo what it began before it raises."""

    @wraps(work)
    async def again(*arguments: Arguments.args, **named: Arguments.kwargs) -> Answer:
        for _ in range(TRIES):
            with suppress(Changed):
                return await work(*arguments, **named)
        raise Conflict("others change it again and again: give the command once more")

    return again
