"""A log filter against floods: for lines that outside requests, or many messages at once, can cause without limit."""

import logging
import time
from dataclasses import dataclass, field

__all__ = ["SayOnce"]

EVERY = 60.0
"""Seconds for which a line is not repeated."""
DIFFERENT = 10
"""Lines of the same wording with other details, within that time."""
WORDINGS = 200
"""The most wordings that are remembered."""


@dataclass
class _Said:
    """The recent lines of one wording."""

    since: float
    lines: set[str] = field(default_factory=set)
    left_out: int = 0


class SayOnce(logging.Filter):
    """Lets each line through once a minute, and each wording (``record.msg``) ten times a minute; the next line says
    how many were left out.
    """

    def __init__(self, every: float = EVERY) -> None:
        super().__init__()
        self._every = every
        self._said: dict[str, _Said] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """See :class:`logging.Filter`."""
        wording, line, now = str(record.msg), record.getMessage(), time.monotonic()
        said = self._said.get(wording)
        if said is None or now - said.since > self._every:
            left_out = said.left_out if said is not None else 0
            if len(self._said) >= WORDINGS:
                self._said.clear()
            said = self._said[wording] = _Said(now)
            if left_out:
                more = f"(and {left_out} more like it before)"
                if isinstance(record.args, tuple) and record.args:
                    # The arguments stay: whoever writes the line may have to put them in other words.
                    record.msg, record.args = f"{record.msg} %s", (*record.args, more)
                else:
                    record.msg, record.args = f"{line} {more}", None
        if line in said.lines or len(said.lines) >= DIFFERENT:
            said.left_out += 1
            return False
        said.lines.add(line)
        return True
