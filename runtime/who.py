"""Who uses this process, by the names that the system has."""

import os
import sys
from pathlib import Path

from messaging.events.acting import Actor, named

__all__ = ["operator", "service"]


def operator(name: str = "") -> Actor:
    """Who uses the command line: ``name``, or else the user who is logged in. Raises InvalidInput for an unusable name."""
    return named(name or _user(), "command line")


def service(name: str = "") -> Actor:
    """A program that uses Drumbeat's functions: ``name``, or else the program's own. Raises InvalidInput for an unusable
    name.
    """
    return named(name or _program(), "service")


def _user() -> str:
    """The user; who has become another one by sudo is still the one who did so."""
    import pwd

    uid = os.getuid()
    try:
        user = pwd.getpwuid(uid).pw_name
    except KeyError:  # in a container
        user = f"uid {uid}"
    user = os.environ.get("SUDO_USER") or user
    return f"user {user}" if user == "drumbeat" else user


def _program() -> str:
    path = Path(sys.argv[0] if sys.argv else "")
    name = path.parent.name if path.name == "__main__.py" else path.stem
    return f"service {name}" if name == "drumbeat" else name if name and name != "-c" else "a service"
