"""A log that says a thing once: for what strangers, or many messages at once, can bring about any number of times."""

import logging
import time
from dataclasses import dataclass, field

__all__ = ["SayOnce"]

EVERY = 60.0
"""Seconds for which a line is not repeated."""
DIFFERENT = 10
"""Lines of the same wording, with other particulars, within that time."""
WORDINGS = 200
"""Wordings that are remembered at most."""


@dataclass
class _Said:
    """What was said in one wording lately."""

    since: float
    lines: set[str] = field(default_factory=set)
    left_out: int = 0


class SayOnce(logging.Filter):
    """Passes a line once a minute, and of one wording (``record.msg``) ten lines a minute; the next says how many were left out."""

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
                record.msg, record.args = f"{line} (and {left_out} more like it before)", None
        if line in said.lines or len(said.lines) >= DIFFERENT:
            said.left_out += 1
            return False
        said.lines.add(line)
        return True
