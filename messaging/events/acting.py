"""Who acts: the name that the events of a process, or of a part of its work, bear.

A process has one actor, which its connections to PostgreSQL know from their start (runtime.database). What is done for
somebody else, such as an update that comes from the Temporal Web UI, runs within :func:`acting`; so do all statements in it,
whatever connection they take.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple

from messaging.common.errors import InvalidInput
from messaging.common.phones import quoted

__all__ = ["ITSELF", "LONGEST_NAME", "WEB_UI", "Actor", "acting", "named", "present_actor"]

LONGEST_NAME = 80


class Actor(NamedTuple):
    """Who acts, and how: ``command line``, ``service``, ``web ui``, ``reply`` or ``itself``."""

    name: str
    via: str


ITSELF = Actor("drumbeat", "itself")
"""Drumbeat, when nobody asked for what it does."""

WEB_UI = Actor("somebody", "web ui")
"""An operator in the Temporal Web UI, or with Temporal's own tools, neither of which says who it is."""

_present: ContextVar[Actor | None] = ContextVar("drumbeat_actor", default=None)


def present_actor() -> Actor | None:
    """For whom something is done just now; None: the process acts for itself."""
    return _present.get()


@contextmanager
def acting(actor: Actor | None) -> Iterator[None]:
    """What is done within is the act of ``actor``; None changes nothing."""
    if actor is None:
        yield
        return
    token = _present.set(actor)
    try:
        yield
    finally:
        _present.reset(token)


def named(name: str, via: str) -> Actor:
    """An actor with a name that somebody gave. Raises InvalidInput for one that cannot be shown, and for Drumbeat's own."""
    name = " ".join(name.split())
    if not name or not name.isprintable() or len(name) > LONGEST_NAME:
        raise InvalidInput(f"{quoted(name)} is no name: give one of at most {LONGEST_NAME} characters")
    if name.lower() in (ITSELF.name, "unknown", WEB_UI.name):
        raise InvalidInput(f"{quoted(name)} cannot be anybody's name: events use it themselves")
    return Actor(name, via)
