"""Measures CPU and memory of the worker and the servers, each with all its children."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import psutil

__all__ = ["Usage", "usage"]


@dataclass(frozen=True)
class Usage:
    """CPU seconds since the start, and memory now, by the name of a process."""

    cpu: dict[str, float] = field(default_factory=dict)
    memory: dict[str, int] = field(default_factory=dict)
    """Bytes: resident memory without shared memory (PostgreSQL's processes share their buffers)."""

    def since(self, before: "Usage") -> dict[str, float]:
        """CPU seconds between the two."""
        return {name: seconds - before.cpu.get(name, 0.0) for name, seconds in self.cpu.items()}


def usage(processes: Mapping[str, int]) -> Usage:
    """The usage of the processes with these numbers and their children. An ended process counts as nothing."""
    cpu: dict[str, float] = {}
    memory: dict[str, int] = {}
    for name, pid in processes.items():
        try:
            parent = psutil.Process(pid)
            family = [parent, *parent.children(recursive=True)]
        except psutil.NoSuchProcess:
            continue
        cpu[name], memory[name] = 0.0, 0
        for process in family:
            try:
                times, held = process.cpu_times(), process.memory_info()
            except psutil.NoSuchProcess:
                continue
            # Include ended children: their time is only in the parent's record.
            cpu[name] += times.user + times.system + times.children_user + times.children_system
            memory[name] += held.rss - held.shared
    return Usage(cpu, memory)
