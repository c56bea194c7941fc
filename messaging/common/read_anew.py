"""What is stored follows from what was read: where the row was written to meanwhile, it is read anew."""

from collections.abc import Callable, Coroutine
from contextlib import suppress
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from messaging.common.errors import Conflict

__all__ = ["Changed", "read_anew"]

Arguments = ParamSpec("Arguments")
Answer = TypeVar("Answer")

TRIES = 20
"""Two writers meet once. So often in a row they do not."""


class Changed(Exception):
    """Another transaction has written to the row since it was read."""


def read_anew(
    work: Callable[Arguments, Coroutine[Any, Any, Answer]],
) -> Callable[Arguments, Coroutine[Any, Any, Answer]]:
    """Does ``work`` again as long as it raises Changed; it must have undone what it began."""

    @wraps(work)
    async def again(*arguments: Arguments.args, **named: Arguments.kwargs) -> Answer:
        for _ in range(TRIES):
            with suppress(Changed):
                return await work(*arguments, **named)
        raise Conflict("others change it again and again: give the command once more")

    return again
