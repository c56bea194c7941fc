"""What the processes that share the embedded servers know of each other, below ``.drumbeat/``."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

__all__ = ["LEASE", "STARTING", "SUPERVISOR", "Running", "is_free", "locked", "read_running", "write_running"]

LEASE = "lease"
"""Whoever uses the servers holds a shared lock on it; the supervisor stops once it gets an exclusive one."""
STARTING = "starting"
"""Held while a user looks whether the servers run, and starts them."""
SUPERVISOR = "supervisor"
"""Held by the supervisor as long as it lives."""


class Running(BaseModel):
    """The servers as they run. Written when all of them answer."""

    model_config = ConfigDict(frozen=True)

    database_url: str
    temporal_address: str
    ui_url: str
    simulator_url: str
    supervisor_pid: int
    pids: dict[str, int]
    notices: tuple[str, ...] = ()


def read_running(home: Path) -> Running | None:
    """The servers' record, or None where there is none, or half of one."""
    try:
        return Running.model_validate_json((home / "servers.json").read_text())
    except (OSError, ValidationError):
        return None


def write_running(home: Path, running: Running | None) -> None:
    """Replaces the record in one go; None removes it."""
    path = home / "servers.json"
    if running is None:
        path.unlink(missing_ok=True)
        return
    draft = home / "servers.json.new"
    draft.touch(mode=0o600)
    draft.write_text(running.model_dump_json(indent=1))
    draft.replace(path)


def take(home: Path, name: str, *, exclusive: bool, wait: bool) -> int | None:
    """Locks a file; answers its descriptor, or None if somebody else has it. Locks go with their process."""
    descriptor = os.open(home / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(
            descriptor,
            (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | (0 if wait else fcntl.LOCK_NB),
        )
    except BlockingIOError:
        os.close(descriptor)
        return None
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


@contextmanager
def locked(home: Path, name: str) -> Iterator[None]:
    """Holds the exclusive lock of a file; waits for it."""
    descriptor = take(home, name, exclusive=True, wait=True)
    assert descriptor is not None
    try:
        yield
    finally:
        os.close(descriptor)


def is_free(home: Path, name: str) -> bool:
    """Whether nobody holds a lock on the file."""
    descriptor = take(home, name, exclusive=True, wait=False)
    if descriptor is None:
        return False
    with suppress(OSError):
        os.close(descriptor)
    return True
