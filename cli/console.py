"""The one place for output, errors and exit codes.

    0    done, also when it was done already
    1    it failed; one line on standard error says what is wrong and how to mend it
    2    wrong use of the command line
    130  interrupted

With ``--json`` standard output bears exactly one JSON document. Notices, progress and errors go to standard error.

Like all of ``cli`` this reads nothing at its start that only some commands need: help, and an answer to wrong use, come at once.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import traceback
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, TypeVar

import typer

from cli.interrupts import ended_by_signals
from messaging.errors import DrumbeatError
from messaging.file_problems import FileProblems

if TYPE_CHECKING:
    from pydantic import BaseModel

    from operations.connection import Connection

__all__ = ["DEBUG", "Json", "cannot_be_written", "fail", "leave", "run", "run_plain", "say", "show", "tell"]

Result = TypeVar("Result")
Shown = TypeVar("Shown", bound="BaseModel | Sequence[BaseModel]")

DEBUG = "DRUMBEAT_DEBUG"
"""Set, it adds the traceback to an unexpected error."""

Json = Annotated[bool, typer.Option("--json", help="Print the result as one JSON document.")]


def tell(line: str) -> None:
    """A notice for the person at the terminal."""
    sys.stderr.write(f"drumbeat: {line}\n")
    sys.stderr.flush()


def say(text: str) -> None:
    """A part of the answer, as people read it."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def run(
    work: Callable[[Connection], Awaitable[Result]],
    *,
    check: Callable[[], None] = lambda: None,
    temporal: bool = True,
) -> Result:
    """Connects, does the work, and returns its result; ends the process where it fails.

    ``check`` comes before the connection and raises what is wrong already. ``temporal``: whether the work needs it.
    """

    async def connected() -> Result:
        check()
        from operations.connection import connect

        async with connect(tell=tell, temporal=temporal) as connection:
            return await work(connection)

    return run_plain(connected)


def run_plain(work: Callable[[], Awaitable[Result]]) -> Result:
    """Runs ``work``; turns its errors into one line and an exit code."""

    async def interruptible() -> Result:
        with ended_by_signals():  # servers that were started are stopped again; the work may have its own way
            return await work()

    try:
        return asyncio.run(interruptible())
    except (KeyboardInterrupt, asyncio.CancelledError):
        fail("interrupted", 130)
    except FileProblems as error:
        # Bare lines, FILE:LINE: …, which editors can jump to.
        sys.stderr.write(f"{error}\n")
        leave(1)
    except DrumbeatError as error:
        fail(str(error))
    except BrokenPipeError:
        leave(1)
    except Exception as error:  # noqa: BLE001 - the last resort: one line instead of a stack trace
        fail(_of_a_server(error) or _unexpected(error))


def _of_a_server(error: Exception) -> str | None:
    """The line for an error of Temporal's or PostgreSQL's client; None for any other."""
    if type(error).__module__.startswith("temporalio."):
        from temporalio.service import RPCError

        if isinstance(error, RPCError):
            return f"Temporal refused or cannot be reached: {error.message.strip() or error.status.name}"
    if type(error).__module__.startswith("asyncpg."):
        return f"PostgreSQL: {_one_line(error)}"
    return None


def _unexpected(error: Exception) -> str:
    if os.environ.get(DEBUG):
        traceback.print_exc()
    return f"{type(error).__name__}: {_one_line(error)} ({DEBUG}=1 shows where)"


def fail(message: str, code: int = 1) -> NoReturn:
    """Says what is wrong, each line as an error of its own, and ends the process."""
    with suppress(OSError):
        sys.stdout.flush()
    for line in message.splitlines():
        tell(line)
    leave(code)


def show(value: Shown, as_json: bool, render: Callable[[Shown], str]) -> None:
    """Prints a result: as JSON, or as ``render`` has it for people."""
    if as_json:
        plain: Any
        if isinstance(value, Sequence):
            plain = [item.model_dump(mode="json") for item in value]
        else:
            plain = value.model_dump(mode="json")
        say(json.dumps(plain, ensure_ascii=False, indent=2))
    else:
        say(render(value))


def leave(code: int) -> NoReturn:
    """Ends the process at once, with everything written.

    A process that held a Temporal client can, rarely, abort while the interpreter shuts down: the client's threads
    outlive it. By now everything is closed, and a command that succeeded must not report failure for that.
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
    """The line for output that its file or device did not take."""
    return f"the output cannot be written: {error.strerror or error}"


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
