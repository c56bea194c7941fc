"""How long contents are kept."""

from datetime import timedelta
from typing import NamedTuple

__all__ = ["Keep"]


class Keep(NamedTuple):
    """How long; None: for ever."""

    texts: timedelta | None = None
    """Of messages to people, after they were settled."""
    inbound: timedelta | None = None
    """Of what people wrote."""
    events: timedelta | None = None
    """Who did what."""
