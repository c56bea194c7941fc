"""What the processes that share the embedded servers know of each other, below ``.drumbeat/``."""

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from runtime.embedded.processes import ProcessId

__all__ = [
    "FAILED",
    "LEASE",
    "LEAVING",
    "SERVERS",
    "SUPERVISOR",
    "Request",
    "Running",
    "State",
    "make_private",
    "read_running",
    "read_state",
    "write_state",
]

LEASE = "lease.lock"
"""A process that uses the servers holds a shared lock on it; the supervisor stops them once it gets an exclusive one."""
SUPERVISOR = "supervisor.lock"
"""Held by the supervisor, from before it is started until it ends: so there is one."""
SERVERS = "servers.lock"
"""Held by the supervisor and by every process that it started, directly or not: free when not one of them is left."""
LEAVING = "leaving.lock"
"""Held for an instant, by a user who looks whether others are left, so that no two take each other for one."""

FAILED = "failed: "
"""Begins the line that says why the servers do not start."""

FILE = "servers.json"
DIRECTORIES = ("logs", "postgres", "temporal", "simulator")


def make_private(home: Path) -> None:
    """Makes the directories of data and logs, or those that are there, their owner's alone. Raises OSError.

    ``home`` itself is left as it is where it was there before: it may be anything.
    """
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name in DIRECTORIES:
        (home / name).mkdir(mode=0o700, exist_ok=True)
        (home / name).chmod(0o700)


class Request(BaseModel):
    """What a user asks of the supervisor that it starts."""

    home: Path
    ports: dict[str, int]
    explicit: frozenset[str]
    """Names of ports that were set by hand."""
    supervisor_lock: int
    """The descriptor of the held lock. It is closed by the end of the process, and by nothing else."""
    news: int
    """The descriptor of the pipe on which the user reads how the start goes on."""


class Running(BaseModel):
    """The servers, when all of them answer."""

    model_config = ConfigDict(frozen=True)

    database_url: str
    temporal_address: str
    ui_url: str
    simulator_url: str
    ports: Mapping[str, int]
    notices: tuple[str, ...] = ()
    """What the process that started them should know."""


class State(BaseModel):
    """The record that a supervisor keeps as long as it lives."""

    model_config = ConfigDict(frozen=True)

    supervisor: ProcessId
    children: Mapping[str, ProcessId] = {}
    running: Running | None = None


def read_state(home: Path) -> State | None:
    """The record, be it of a supervisor that was killed; None where there is none, or only half of one."""
    try:
        return State.model_validate_json((home / FILE).read_bytes())
    except (OSError, ValidationError):
        return None


def read_running(home: Path) -> Running | None:
    """The servers, if their supervisor lives and all of them answered; else None."""
    state = read_state(home)
    return state.running if state is not None and state.supervisor.runs else None


def write_state(home: Path, state: State | None) -> None:
    """Replaces the record in one go; None removes it. It names a password, and is for its owner's eyes only."""
    if state is None:
        (home / FILE).unlink(missing_ok=True)
        return
    draft = home / f"{FILE}.new"
    with suppress(FileNotFoundError):
        draft.unlink()
    draft.touch(mode=0o600)
    draft.write_text(state.model_dump_json(indent=1))
    draft.replace(home / FILE)
