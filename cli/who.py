"""The option ``--as``, which every command has: who acts, in the list of events."""

from __future__ import annotations

from copy import copy
from typing import Annotated, Any

import typer

from cli.console import as_name

__all__ = ["As", "offer_as"]

NAME = "as_"


def _chosen(name: str | None) -> str | None:
    if name is not None:
        as_name.set(name)
    return name


As = Annotated[
    str | None,
    typer.Option(
        "--as",
        metavar="NAME",
        callback=_chosen,
        help="Who does this, in the list of events; else DRUMBEAT_AS, or the user.",
    ),
]
"""A parameter of the whole command line, which is called ``as_``."""


def offer_as(group: Any) -> None:
    """Lets the option stand behind each command, too."""
    (option,) = (copy(one) for one in group.params if one.name == NAME)
    option.expose_value = False
    _offer(group, option)


def _offer(group: Any, option: Any) -> None:
    for command in group.commands.values():
        if hasattr(command, "commands"):
            _offer(command, option)
        else:
            command.params.append(option)
