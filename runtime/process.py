"""How a process of Drumbeat reports errors and ends: one line and an exit code."""

from __future__ import annotations

import asyncio
import os
import sys
import traceback
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import NoReturn, TypeVar

from messaging.common.errors import DrumbeatError
from messaging.common.file_problems import FileProblems
from runtime.interrupts import ended_by_signals

__all__ = ["DEBUG", "cannot_be_written", "clear_line", "fail", "leave", "run_plain", "tell"]


Result = TypeVar("Result")


DEBUG = "DRUMBEAT_DEBUG"
"""If set, an unexpected error shows its traceback."""


unfinished_line = ""
"""What clears the line that stands unfinished on the terminal, if one does."""


def clear_line() -> None:
    """Takes an unfinished line away, before another one is written."""
    global unfinished_line
    if unfinished_line:
        sys.stderr.write(unfinished_line)
        sys.stderr.flush()
        unfinished_line = ""


def tell(line: str) -> None:
    """A notice for the person at the terminal."""
    clear_line()
    sys.stderr.write(f"drumbeat: {line}\n")
    sys.stderr.flush()


def run_plain(
    work: Callable[[], Awaitable[Result]],
    loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None,
    complain: Callable[[str], None] = tell,
) -> Result:
    """Runs ``work``; turns its errors into one line and an exit code.

    ``loop_factory``: makes the event loop; asyncio's own if None. ``complain``: writes the line.
    """

    async def interruptible() -> Result:
        with ended_by_signals():  # so that servers that were started are stopped again
            return await work()

    try:
        with asyncio.Runner(loop_factory=loop_factory) as runner:
            return runner.run(interruptible())
    except (KeyboardInterrupt, asyncio.CancelledError) as error:
        fail(f"interrupted: {error}" if str(error) else "interrupted", 130, complain)
    except FileProblems as error:
        # Bare lines, FILE:LINE: …, which editors can jump to.
        sys.stderr.write(f"{error}\n")
        leave(1)
    except DrumbeatError as error:
        fail(str(error), 1, complain)
    except BrokenPipeError:
        leave(1)
    except Exception as error:  # noqa: BLE001 - the last resort: one line instead of a stack trace
        fail(_of_a_server(error) or _unexpected(error), 1, complain)


def _of_a_server(error: Exception) -> str | None:
    """The line for an error of Temporal's or PostgreSQL's client; None for any other."""
    if type(error).__module__.startswith("temporalio."):
        from temporalio.service import RPCError

        if isinstance(error, RPCError):
            return f"Temporal refused or cannot be reached: {error.message.strip() or error.status.name}"
    if type(error).__module__.startswith("asyncpg."):
        return f"PostgreSQL: {_one_line(error)}{_mend(error)}"
    return None


def _mend(error: Exception) -> str:
    """What to do about an error of PostgreSQL's client, by its class in PostgreSQL's manual, appendix A."""
    match getattr(error, "sqlstate", None):
        case "25006" | "42501":  # read_only_sql_transaction, insufficient_privilege
            return (
                ". This needs a role that may write, also for a dry run: name one in DATABASE_URL, such as drumbeat_worker"
                " (the one there may only read, or the server is a standby)"
            )
        case "57014":  # query_canceled: by its role's or the session's statement_timeout
            return ". Nothing was changed by it: try again, or with less at once"
        case "55P03":  # lock_not_available: lock_timeout
            return ". Something else changes the same rows: try again when it is done"
        case "25P03":  # idle_in_transaction_session_timeout
            return ". It waited too long for its next step, and nothing was changed: try again"
        case _:
            return ""


def _unexpected(error: Exception) -> str:
    if os.environ.get(DEBUG):
        traceback.print_exc()
    return f"{type(error).__name__}: {_one_line(error)} ({DEBUG}=1 shows where)"


def fail(message: str, code: int = 1, complain: Callable[[str], None] = tell) -> NoReturn:
    """Says the error, each line as an error of its own, and ends the process."""
    with suppress(OSError):
        sys.stdout.flush()
    for line in message.splitlines():
        complain(line)
    leave(code)


def leave(code: int) -> NoReturn:
    """Ends the process at once, after flushing its output.

    A process with a Temporal client can, rarely, abort while the interpreter shuts down, as the client's threads still
    run. By now everything is closed, and a successful command must not report a failure because of that.
    """
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (BrokenPipeError, ValueError):
            code = code or 1
        except OSError as error:
            code = code or 1
            tell(cannot_be_written(error))
    os._exit(code)


def cannot_be_written(error: OSError) -> str:
    """The error line if the output could not be written."""
    return f"the output cannot be written: {error.strerror or error}"


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
