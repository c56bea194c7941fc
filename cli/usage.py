"""How usage lines and help texts name the program, its arguments and the values of its options: in one way for all commands."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

__all__ = ["describe_values", "program_name", "reflowed"]

# Where the option itself is no name for its value.
VALUES = {
    "campaign": "NAME",
    "consent": "TEXT",
    "device": "ID",
    "reason": "TEXT",
    "sequence": "NAME",
    "time_zone": "ZONE",
    "user": "NAME",
    "via": "WHAT",
}


def program_name(typed: Sequence[str] = sys.orig_argv) -> str:
    """The words by which the program was called, such as ``python starter.py``; ``drumbeat`` for whole paths.

    ``typed``: all words. By whole paths, the function 'drumbeat' calls it that ``completion`` defines.
    """
    words = [Path(word) for word in typed]
    script = next((word for word in words if word.name == "starter.py"), None)
    if script is None or script.is_absolute():
        return "drumbeat"
    # Between interpreter and script there may be options, which matter to nobody.
    return f"{'python' if words[0].is_absolute() or words[0] == script else words[0]} {script}"


WRAPPED = 90
"""A line of a docstring that is longer than this goes on in the next one."""


def reflowed(text: str) -> str:
    """A help text in whose paragraphs only those line breaks are left that are meant."""
    lines: list[str] = []
    last = ""
    for line in inspect.cleandoc(text).split("\n"):
        if lines and line and len(last) > WRAPPED:
            lines[-1] += f" {line}"
        else:
            lines.append(line)
        last = line
    return "\n".join(lines)


def describe_values(command: Any) -> None:
    """Names arguments in capitals, ``[OPTIONAL]`` and ``REPEATED...``, and what an option takes; a flag takes nothing."""
    command.help = reflowed(command.help or "")
    for parameter in command.params:
        if parameter.param_type_name == "argument":
            _describe_argument(parameter)
        elif parameter.metavar is None:
            takes = "" if parameter.is_flag else VALUES.get(parameter.name, parameter.name.strip("_").upper())
            parameter.metavar = takes
    for one in getattr(command, "commands", {}).values():
        describe_values(one)
        _describe_help(one)
    _describe_help(command)


def _describe_argument(argument: Any) -> None:
    name = argument.metavar or argument.name.upper()
    argument.metavar = name
    piece = (name if argument.required else f"[{name}]") + ("..." if argument.nargs != 1 else "")
    argument.get_usage_pieces = lambda _: [piece]
    argument.display_type_rich = lambda ctx: None  # noqa: ARG005 - the caller names it


def _describe_help(command: Any) -> None:
    """``--help`` is made when it is shown."""
    make = command.get_help_option

    def get_help_option(context: Any) -> Any:
        option = make(context)
        if option is not None and option.metavar is None:
            option.metavar = ""
        return option

    command.get_help_option = get_help_option
