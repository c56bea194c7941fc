"""What an activity will never be able to do, however often it is repeated, because of what it was asked."""

from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg
from temporalio.exceptions import ApplicationError

from messaging.common.errors import DrumbeatError

__all__ = ["refused_for_good"]


@contextmanager
def refused_for_good(what: str) -> Iterator[None]:
    """Raises a failure that is not repeated, with the reason in one line, where ``what`` cannot be.

    That is an error that people are to read, a value that PostgreSQL cannot hold, or a row that is not there.
    """
    try:
        yield
    except DrumbeatError as error:
        raise ApplicationError(str(error), type=type(error).__name__, non_retryable=True) from error
    except asyncpg.NoDataFoundError as error:  # what our functions raise by 'select … into strict'
        raise ApplicationError(f"there is no {what}", type="NotFound", non_retryable=True) from error
    except asyncpg.DataError as error:
        reason = f"{what} cannot be: {error}"
        raise ApplicationError(reason, type="InvalidInput", non_retryable=True) from error
