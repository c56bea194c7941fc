"""Identifies processes so that a later one with the same number is not mistaken for them."""

import os
import shutil
import signal
from contextlib import suppress
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict

from messaging.common.errors import Unavailable

__all__ = ["ProcessId", "dying_with_parent", "plain_environment", "util_linux"]

PROC = Path("/proc")

PLAIN = (
    *("PATH", "HOME", "USER", "LOGNAME", "TMPDIR", "TZ", "LD_LIBRARY_PATH", "SSL_CERT_FILE", "SSL_CERT_DIR"),
    *(
        "LANG",
        "LANGUAGE",
        "LC_ALL",
        "LC_CTYPE",
        "LC_COLLATE",
        "LC_MESSAGES",
        "LC_MONETARY",
        "LC_NUMERIC",
        "LC_TIME",
    ),
    *(
        "PYTHONPATH",
        "PYTHONHOME",
        "PYTHONUNBUFFERED",
        "PYTHONDONTWRITEBYTECODE",
        "PYTHONWARNINGS",
        "PYTHONUTF8",
    ),
)
"""Variables that a program needs to run, and that contain no credentials."""


class ProcessId(BaseModel):
    """One process, identified by its number and its start."""

    model_config = ConfigDict(frozen=True)

    pid: int
    started: str
    """The machine's boot, and the clock ticks from there to the start of the process."""

    @classmethod
    def of(cls, pid: int) -> Self | None:
        """The process that has this number now; None if none runs. An ended process does not run."""
        try:
            boot = (PROC / "sys/kernel/random/boot_id").read_text().strip()
            # The command's name, in parentheses, may contain anything; see proc_pid_stat(5) for what follows.
            fields = (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            return None
        state, ticks = fields[0], fields[19]
        return None if state in {"Z", "X"} else cls(pid=pid, started=f"{boot} {ticks}")

    @property
    def runs(self) -> bool:
        """True if this very process still runs."""
        return self == type(self).of(self.pid)

    def kill(self) -> None:
        """Kills it, if it is still the same process."""
        if self.runs:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)


def plain_environment() -> dict[str, str]:
    """The environment with known harmless variables only: any other may contain a gateway's token."""
    return {name: os.environ[name] for name in PLAIN if name in os.environ}


def util_linux(program: str) -> str:
    """The path of one of util-linux's programs, which every Debian has. Raises Unavailable."""
    path = shutil.which(program)
    if path is None:
        raise Unavailable(f"{program} (of util-linux) is missing: install it, or use servers of your own")
    return path


def dying_with_parent(number: signal.Signals) -> list[str]:
    """The prefix of a command that is sent this signal when its parent ends, however that happens.

    The parent is the very thread that starts the command: prctl(2), PR_SET_PDEATHSIG.
    """
    return [util_linux("setpriv"), "--pdeathsig", number.name.removeprefix("SIG")]
