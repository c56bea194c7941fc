"""The one place for output, errors and exit codes.

    0    done, also when it was done already
    1    it failed; one line on standard error says what is wrong and how to mend it
    2    wrong use of the command line
    130  interrupted

With ``--json`` standard output bears exactly one JSON document. Notices, progress and errors go to standard error.
"""

import asyncio
import json
import os
import sys
import traceback
from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, Any, NoReturn, TypeVar

import asyncpg
import typer
from pydantic import BaseModel
from rich.console import Console, RenderableType
from temporalio.service import RPCError

from cli.interrupts import ended_by_signals
from messaging.errors import DrumbeatError
from messaging.yaml_files import FileProblems
from operations.connection import Connection, connect

__all__ = ["DEBUG", "Json", "fail", "leave", "run", "run_plain", "show", "tell"]

Result = TypeVar("Result")
Shown = TypeVar("Shown", bound=BaseModel | Sequence[BaseModel])

DEBUG = "DRUMBEAT_DEBUG"
"""Set, it adds the traceback to an unexpected error."""

Json = Annotated[bool, typer.Option("--json", help="Print the result as one JSON document.")]


def tell(line: str) -> None:
    """A notice for the person at the terminal."""
    sys.stderr.write(f"drumbeat: {line}\n")
    sys.stderr.flush()


def run(
    work: Callable[[Connection], Awaitable[Result]], *, check: Callable[[], None] = lambda: None
) -> Result:
    """Connects, does the work, and returns its result; ends the process where it fails.

    ``check`` comes before the connection and raises what is wrong already.
    """

    async def connected() -> Result:
        check()
        async with connect(tell=tell) as connection:
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
    except RPCError as error:
        fail(f"Temporal refused or cannot be reached: {error.message.strip() or error.status.name}")
    except (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
        fail(f"PostgreSQL: {_one_line(error)}")
    except BrokenPipeError:
        leave(1)
    except Exception as error:  # noqa: BLE001 - the last resort: one line instead of a stack trace
        if os.environ.get(DEBUG):
            traceback.print_exc()
        fail(f"{type(error).__name__}: {_one_line(error)} ({DEBUG}=1 shows where)")


def fail(message: str, code: int = 1) -> NoReturn:
    """Says what is wrong, each line as an error of its own, and ends the process."""
    sys.stdout.flush()
    for line in message.splitlines():
        tell(line)
    leave(code)


def show(value: Shown, as_json: bool, render: Callable[[Shown], RenderableType]) -> None:
    """Prints a result: as JSON, or as ``render`` has it for people."""
    if as_json:
        plain: Any
        if isinstance(value, BaseModel):
            plain = value.model_dump(mode="json")
        else:
            plain = [item.model_dump(mode="json") for item in value]
        sys.stdout.write(json.dumps(plain, ensure_ascii=False, indent=2) + "\n")
    else:
        Console(soft_wrap=True, highlight=False).print(render(value), markup=False, emoji=False)


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
    os._exit(code)


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
