"""The one place for the output of commands."""

from __future__ import annotations

import json
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextvars import ContextVar
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

if TYPE_CHECKING:
    from pydantic import BaseModel

    from operations.connection import Drumbeat
from cli.waiting import still_at_work
from runtime.process import clear_line, run_plain, tell

__all__ = ["Json", "as_name", "run", "say", "show"]


Result = TypeVar("Result")


Shown = TypeVar("Shown", bound="BaseModel | Sequence[BaseModel]")


Json = Annotated[bool, typer.Option("--json", help="Print the result as one JSON document.")]


as_name: ContextVar[str] = ContextVar("as_name", default="")
"""Who acts, as the option --as says."""


def say(text: str) -> None:
    """One part of the output for people."""
    clear_line()
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def run(
    work: Callable[[Drumbeat], Awaitable[Result]],
    *,
    check: Callable[[], None] = lambda: None,
    temporal: bool = True,
    works: Callable[[Result], bool] = lambda _: False,
) -> Result:
    """Connects, does the work, and returns its result; ends the process if it fails.

    ``check`` runs before the connection is made and raises errors that need none. ``temporal``: whether the work needs
    Temporal. ``works``: whether a worker has something to do afterwards; if none runs, a notice says so.
    """

    async def connected() -> Result:
        check()
        from operations.connection import connect
        from runtime.settings import load_settings
        from runtime.who import operator

        settings = load_settings()
        actor = operator(as_name.get() or settings.act_as)
        async with still_at_work(), connect(settings, tell, temporal=temporal, actor=actor) as drumbeat:
            done = await work(drumbeat)
            if works(done) and drumbeat.addresses.database_url is not None:
                from operations.workers import idle

                if sentence := await idle(drumbeat):
                    tell(sentence)
            return done

    return run_plain(connected)


def show(value: Shown, as_json: bool, render: Callable[[Shown], str]) -> None:
    """Prints a result: as JSON, or as the text of ``render``."""
    if as_json:
        plain: Any
        if isinstance(value, Sequence):
            plain = [item.model_dump(mode="json") for item in value]
        else:
            plain = value.model_dump(mode="json")
        say(json.dumps(plain, ensure_ascii=False, indent=2))
    else:
        say(render(value))
