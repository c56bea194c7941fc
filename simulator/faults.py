"""The faults in force, and their effect on each request."""

import json
import random
import sqlite3
import time
from typing import Any, Literal

from pydantic import TypeAdapter

from simulator.api import Anywhere, Fault, Latency, Offline, Terminal
from simulator.store import Store

__all__ = ["Faults", "Plan"]

ONE: TypeAdapter[Latency | Terminal] = TypeAdapter(Fault)


class Plan:
    """The effect on one request: its delays, and at most one fault that ends it."""

    def __init__(
        self, before: float, after: float, fault: Terminal | None, acting: list[Latency | Terminal]
    ) -> None:
        self.before = before
        self.after = after
        self.fault = fault
        self.text = json.dumps([_short(fault) for fault in acting]) if acting else None
        """The faults that act, as the log keeps them."""
        self.counted = any(fault.count is not None for fault in acting)
        """True if this used up one of a fault's counted requests: then call ``Faults.save``."""


class Faults:
    """The faults in force. They survive a restart, except "offline" everywhere: a gateway that is started should be
    up.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        stored = [
            ONE.validate_json(row["fault"]) for row in store.read_now("select fault from faults order by id")
        ]
        self._faults = [fault for fault in stored if not _closes(fault)]
        self._next = 1 + max((fault.id or 0 for fault in stored), default=0)

    def current(self) -> list[Latency | Terminal]:
        """Those in force, oldest first."""
        now = time.time()
        self._faults = [fault for fault in self._faults if fault.until is None or fault.until > now]
        return list(self._faults)

    def offline_until(self) -> float | None:
        """When the gateway can be reached again, in Unix time; infinity if that is not known, None if it is reachable
        now.
        """
        ends = [fault.until or float("inf") for fault in self.current() if _closes(fault)]
        return max(ends, default=None)

    async def add(self, fault: Latency | Terminal) -> Latency | Terminal:
        """Adds a fault; returns it with its number."""
        until = None if fault.for_seconds is None else time.time() + fault.for_seconds
        fault = fault.model_copy(update={"id": self._next, "until": until})
        self._next += 1
        self._faults.append(fault)
        await self.save()
        return fault

    async def replace(self, faults: list[Latency | Terminal]) -> None:
        """Replaces all faults by these."""
        self._faults = []
        for fault in faults:
            await self.add(fault)
        await self.save()

    async def remove(
        self, *, number: int | None = None, device: str | None = None, phone: str | None = None
    ) -> int:
        """Ends the fault with that number, or those of a device or a phone, or all; returns how many."""

        def ends(fault: Anywhere) -> bool:
            wanted = ((number, fault.id), (device, fault.device), (phone, fault.phone))
            return all(value is None or value == own for value, own in wanted)

        before = self.current()
        self._faults = [fault for fault in before if not ends(fault)]
        await self.save()
        return len(before) - len(self._faults)

    def plan(self, on: Literal["send", "read"], device: str | None, phone: str | None) -> Plan:
        """Draws the effect on a request. Delays add up; of the other faults, the most specific one acts, then the
        oldest.
        """
        fitting = [
            fault
            for fault in self.current()
            if fault.on in (on, "all")
            and (fault.device is None or fault.device == device)
            and (fault.phone is None or fault.phone == phone)
        ]
        fitting.sort(key=lambda fault: (fault.phone is None, fault.device is None))
        before = after = 0.0
        acting: list[Latency | Terminal] = []
        terminal: Terminal | None = None
        for fault in fitting:
            if terminal is not None and not isinstance(fault, Latency):
                continue
            if fault.probability < 1 and random.random() >= fault.probability:  # noqa: S311
                continue
            acting.append(fault)
            if not isinstance(fault, Latency):
                terminal = fault
            elif fault.after_accepting:
                after += fault.draw()
            else:
                before += fault.draw()
        plan = Plan(before, after, terminal, acting)
        for fault in acting:
            if fault.count is not None:
                fault.count -= 1
        self._faults = [fault for fault in self._faults if fault.count != 0]
        return plan

    async def save(self) -> None:
        """Stores the faults in force, with what is left of their counts."""
        rows = [(fault.id, fault.model_dump_json()) for fault in self.current()]

        def work(connection: sqlite3.Connection) -> None:
            connection.execute("delete from faults")
            connection.executemany("insert into faults values (?, ?)", rows)

        await self._store.write(work)


def _closes(fault: Anywhere) -> bool:
    return isinstance(fault, Offline) and fault.everywhere


def _short(fault: Latency | Terminal) -> dict[str, Any]:
    return fault.model_dump(exclude_defaults=True, exclude={"until", "count", "for_seconds"})
