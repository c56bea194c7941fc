"""Who uses this process, by the names that the system has."""

import os
import sys
from pathlib import Path

from messaging.common.errors import InvalidInput
from messaging.events.acting import LONGEST_NAME, Actor, named

__all__ = ["operator", "service"]


COMMAND_LINE = "command line"
SERVICE = "service"


def operator(name: str = "") -> Actor:
    """Who uses the command line: ``name``, or else the user who is logged in. Raises InvalidInput for an unusable name."""
    return named(name, COMMAND_LINE) if name else _found(_user(), "user", COMMAND_LINE)


def service(name: str = "") -> Actor:
    """A program that uses Drumbeat's functions: ``name``, or else the program's own. Raises InvalidInput for an unusable
    name.
    """
    return named(name, SERVICE) if name else _found(_program(), "service", SERVICE)


def _found(name: str, kind: str, via: str) -> Actor:
    """The name that was found, whatever it is: it must not keep anybody from working."""
    try:
        return named(name, via)
    except InvalidInput:  # it is a word that events use themselves, is too long, or cannot be shown
        shown = "".join(one for one in name if one.isprintable())
        return Actor(f"{kind} {shown}"[:LONGEST_NAME].strip(), via)


def _user() -> str:
    """The user; who has become another one by sudo is still the one who did so."""
    import pwd

    uid = os.getuid()
    try:
        user = pwd.getpwuid(uid).pw_name
    except KeyError:  # in a container
        user = f"uid {uid}"
    return os.environ.get("SUDO_USER") or user


def _program() -> str:
    path = Path(sys.argv[0] if sys.argv else "")
    name = path.parent.name if path.name == "__main__.py" else path.stem
    return name if name and name != "-c" else "a service"
