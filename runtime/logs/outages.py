"""Says once when a server does not answer, and once when it answers again; what repeats that meanwhile is left out of the log."""

import logging
from urllib.parse import urlsplit

from messaging.common.database import CONNECTION_LOST
from messaging.common.say_once import SayOnce

__all__ = ["OUTAGES", "LeaveOutNoise", "Outages", "place_of"]

logger = logging.getLogger("drumbeat")


class Outages:
    """The servers that do not answer this process just now."""

    def __init__(self) -> None:
        self._away: set[str] = set()

    def __bool__(self) -> bool:
        return bool(self._away)

    def note(self, server: str, error: Exception | None) -> None:
        """Notes whether ``server`` answered: ``error`` is None, or what came instead."""
        if error is not None and server not in self._away:
            self._away.add(server)
            logger.warning("%s does not answer; retrying: %s", server, error)
        elif error is None and server in self._away:
            self._away.remove(server)
            logger.warning("%s answers again", server)

    def forget(self, *servers: str) -> None:
        """Nobody looks at these any more."""
        self._away.difference_update(servers)


OUTAGES = Outages()
"""Of this process."""


class LeaveOutNoise(logging.Filter):
    """Of what Temporal's SDK logs: each line of its core once a minute. While a server is away, neither the warnings of its
    core nor those of activities that failed for that reason, which are retried.
    """

    def __init__(self, outages: Outages = OUTAGES) -> None:
        super().__init__()
        self._outages = outages
        self._once = SayOnce()

    def filter(self, record: logging.LogRecord) -> bool:
        """See :class:`logging.Filter`."""
        if record.name.partition(".")[0] != "temporalio":
            return True
        of_core = hasattr(record, "temporal_log")
        if self._outages and record.levelno <= logging.WARNING:
            error = record.exc_info[1] if record.exc_info else None
            if of_core or isinstance(error, (OSError, TimeoutError, *CONNECTION_LOST)):
                return False
        return self._once.filter(record) if of_core else True


def place_of(database_url: str | None) -> str:
    """``host:port/database`` of the URL, without user and password."""
    parts = urlsplit(database_url or "")
    return f"{parts.netloc.rpartition('@')[2]}{parts.path}" or "its address"
