"""The state that processes share about the embedded servers, in ``.drumbeat/``."""

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
"""Held for the supervisor from before its start until it ends, so that there is only one."""
SERVERS = "servers.lock"
"""Held by the supervisor and every process that it started, directly or not: it is free when none of them is left."""
LEAVING = "leaving.lock"
"""Held for an instant by a process that checks whether others are left, so that two checks do not mistake each other
for a user.
"""

FAILED = "failed: "
"""The prefix of the line that says why the servers do not start."""

FILE = "servers.json"
DIRECTORIES = ("logs", "postgres", "temporal", "simulator")


def make_private(home: Path) -> None:
    """Creates the directories of data and logs, and restricts them to their owner. Raises OSError.

    An existing ``home`` itself is not changed, as it may have other uses.
    """
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name in DIRECTORIES:
        (home / name).mkdir(mode=0o700, exist_ok=True)
        (home / name).chmod(0o700)


class Request(BaseModel):
    """The request of a process to the supervisor that it starts."""

    home: Path
    ports: dict[str, int]
    explicit: frozenset[str]
    """Names of ports that were set by hand."""
    supervisor_lock: int
    """The descriptor of the held lock. Only the end of the process closes it."""
    news: int
    """The descriptor of the pipe from which the user reads the progress of the start."""


class Running(BaseModel):
    """The servers, once all of them answer."""

    model_config = ConfigDict(frozen=True)

    database_url: str
    temporal_address: str
    namespace: str = "default"
    ui_url: str
    simulator_url: str
    simulator_control_url: str
    """The simulated gateway's address for its faults and settings, which stays open while it is offline."""
    ports: Mapping[str, int]
    notices: tuple[str, ...] = ()
    """Notices for the process that started them."""


class State(BaseModel):
    """The record that a supervisor keeps while it runs."""

    model_config = ConfigDict(frozen=True)

    supervisor: ProcessId
    children: Mapping[str, ProcessId] = {}
    running: Running | None = None


def read_state(home: Path) -> State | None:
    """The record, even of a supervisor that was killed; None if there is none or it is incomplete."""
    try:
        return State.model_validate_json((home / FILE).read_bytes())
    except (OSError, ValidationError):
        return None


def read_running(home: Path) -> Running | None:
    """The servers, if their supervisor runs and all of them have answered; else None."""
    state = read_state(home)
    return state.running if state is not None and state.supervisor.runs else None


def write_state(home: Path, state: State | None) -> None:
    """Replaces the record atomically; None removes it. Only its owner may read it, as it contains a password."""
    if state is None:
        (home / FILE).unlink(missing_ok=True)
        return
    draft = home / f"{FILE}.new"
    with suppress(FileNotFoundError):
        draft.unlink()
    draft.touch(mode=0o600)
    draft.write_text(state.model_dump_json(indent=1))
    draft.replace(home / FILE)
