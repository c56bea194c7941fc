"""File locks that end with their process, however it ends."""

import asyncio
import fcntl
import os
import time
from pathlib import Path
from types import TracebackType
from typing import Self

__all__ = ["FileLock", "is_held"]


class FileLock:
    """A lock on a file, shared or exclusive. It belongs to the descriptor, and so to a child that inherits that, too."""

    def __init__(self, path: Path) -> None:
        """Opens the file, creating it if needed; does not lock it yet."""
        self.descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def try_lock(self, *, shared: bool = False) -> bool:
        """Locks it, unless another process holds a lock that forbids it."""
        try:
            fcntl.flock(self.descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def lock(self) -> None:
        """Locks it exclusively; waits for others. Use it only for locks that are held for an instant."""
        fcntl.flock(self.descriptor, fcntl.LOCK_EX)

    async def lock_within(self, seconds: float) -> bool:
        """Locks it exclusively; False if others did not release theirs in time."""
        deadline = time.monotonic() + seconds
        while not self.try_lock():
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(0.05)
        return True

    def close(self) -> None:
        """Releases the lock of this process."""
        os.close(self.descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def is_held(path: Path) -> bool:
    """True if a process holds the exclusive lock. The check takes a shared lock, so two checks do not disturb each
    other.
    """
    with FileLock(path) as probe:
        return not probe.try_lock(shared=True)
