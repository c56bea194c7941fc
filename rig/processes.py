"""What processes use: worker and servers, each with all its children."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import psutil

__all__ = ["Usage", "usage"]


@dataclass(frozen=True)
class Usage:
    """CPU seconds since the start, and memory now, by the name of a process."""

    cpu: dict[str, float] = field(default_factory=dict)
    memory: dict[str, int] = field(default_factory=dict)
    """Bytes: resident, without what is shared with others (PostgreSQL's processes share their buffers)."""

    def since(self, before: "Usage") -> dict[str, float]:
        """CPU seconds that went by between the two."""
        return {name: seconds - before.cpu.get(name, 0.0) for name, seconds in self.cpu.items()}


def usage(processes: Mapping[str, int]) -> Usage:
    """What the processes with these numbers, and their children, have used. One that has ended counts nothing."""
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
            # Of children that have ended: their time is the parent's, and would be lost otherwise.
            cpu[name] += times.user + times.system + times.children_user + times.children_system
            memory[name] += held.rss - held.shared
    return Usage(cpu, memory)
