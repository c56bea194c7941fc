"""Errors of an activity that no retry can mend, because its input is at fault."""

from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg
from temporalio.exceptions import ApplicationError

from messaging.common.errors import DrumbeatError

__all__ = ["refused_for_good"]


@contextmanager
def refused_for_good(what: str) -> Iterator[None]:
    """Turns an error that no retry can mend into a non-retryable failure about ``what``, with the reason in one line.

    Such are Drumbeat's own errors, a value that PostgreSQL cannot hold, and a row that does not exist.
    """
    try:
        yield
    except DrumbeatError as error:
        raise ApplicationError(str(error), type=type(error).__name__, non_retryable=True) from error
    except asyncpg.NoDataFoundError as error:  # raised by 'select … into strict' in our SQL functions
        raise ApplicationError(f"there is no {what}", type="NotFound", non_retryable=True) from error
    except asyncpg.DataError as error:
        reason = f"{what} cannot be: {error}"
        raise ApplicationError(reason, type="InvalidInput", non_retryable=True) from error
