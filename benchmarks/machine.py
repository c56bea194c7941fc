"""Measures the speed of the machine, so that figures of two machines, or of a shared one at two times, can be
compared.
"""

import os
import signal
import statistics
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context

__all__ = ["Machine", "look_at_machine"]

ADDITIONS = 1_000_000
ROUNDS = 9
WRITES = 50
A_PAGE = b"\0" * 8192
"""Bytes. The least that PostgreSQL writes for a commit."""


@dataclass(frozen=True)
class Machine:
    """One measurement."""

    additions_per_second: float
    """Additions per second of a Python loop on one core."""
    each_of_all: float
    """The same on each core while all are busy: two cores may share one physical core, or be used by others."""
    sync_ms: float
    """Milliseconds to write and sync a page in place, on the disk of temporary files."""

    def __str__(self) -> str:
        """In words."""
        return (
            f"{self.additions_per_second / 1e6:.1f} million additions/s in Python on one core,"
            f" {self.each_of_all / 1e6:.1f} on each while all are busy; {self.sync_ms:.2f} ms for a synced write"
        )


def look_at_machine() -> Machine:
    """Takes some seconds; medians."""
    # Not by fork, as this process has threads.
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as cores:
        # Child processes ignore Ctrl-C, which this process handles: they would print tracebacks.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            rates = cores.map(_additions, range(ROUNDS * (os.cpu_count() or 1)))
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        together = statistics.median(rates)
    return Machine(
        statistics.median(_additions(number) for number in range(ROUNDS)),
        together,
        statistics.median(_syncs()),
    )


def _additions(_: int) -> float:
    began, total = time.perf_counter(), 0
    for number in range(ADDITIONS):
        total += number
    return ADDITIONS / (time.perf_counter() - began)


def _syncs() -> list[float]:
    times = []
    with tempfile.TemporaryFile() as file:
        # In place, as PostgreSQL writes its log: a growing file would have more to sync.
        os.write(file.fileno(), A_PAGE)
        os.fsync(file.fileno())
        for _ in range(WRITES):
            began = time.perf_counter()
            os.pwrite(file.fileno(), A_PAGE, 0)
            os.fdatasync(file.fileno())
            times.append(1000 * (time.perf_counter() - began))
    return times
