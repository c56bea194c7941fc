"""The process that owns the embedded servers: ``python -m runtime.embedded.supervisor HOME PORTS``.

It starts PostgreSQL, Temporal and the simulated gateway, starts again what dies, and stops them all once nobody uses
them. Should it be killed itself, the kernel ends its children, and the next user starts a new one on the same data.
"""

import asyncio
import json
import os
import signal
import sys
from datetime import UTC, datetime
from pathlib import Path

from messaging.errors import DrumbeatError
from runtime.embedded.children import Child, Simulator, Temporal, end_leftovers
from runtime.embedded.ports import choose_ports
from runtime.embedded.postgres import Postgres
from runtime.embedded.state import LEASE, SUPERVISOR, Running, read_running, take, write_running

__all__ = ["main"]

LOOK_EVERY = 0.25
"""Seconds between two looks at the lease and at the children."""


def _log(line: str) -> None:
    sys.stderr.write(f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} {line}\n")
    sys.stderr.flush()


class Supervisor:
    """One set of servers, from start to stop."""

    def __init__(self, home: Path, wanted: dict[str, int], explicit: list[str]) -> None:
        self._home = home
        self._wanted = wanted
        self._explicit = explicit
        self._notices: tuple[str, ...] = ()
        self._children: dict[str, Child] = {}
        self._postgres: Postgres | None = None
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Starts everything, watches over it, and stops it. Raises DrumbeatError where something does not start."""
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, self._stopping.set)
        before = read_running(self._home)
        if before is not None:
            await end_leftovers(before.pids)
        write_running(self._home, None)
        try:
            await self._start()
            self._publish()
            _log("all servers are up")
            await self._watch()
        finally:
            write_running(self._home, None)
            await asyncio.gather(*(child.stop() for child in self._children.values()))
            _log("all servers are down")

    async def _start(self) -> None:
        ports, self._notices = choose_ports(self._home, self._wanted, self._explicit)
        self._postgres = Postgres(self._home / "postgres", port=ports["postgres_port"])
        self._children = {
            "postgres": self._postgres,
            "temporal": Temporal(self._home, port=ports["temporal_port"], ui_port=ports["ui_port"]),
            "simulator": Simulator(self._home, port=ports["simulator_port"]),
        }
        # Child processes die with the thread that made them, so that is this one, the main thread.
        results = await asyncio.gather(
            *(child.start() for child in self._children.values()), return_exceptions=True
        )
        for result in results:
            if isinstance(result, BaseException):
                raise result

    def _publish(self) -> None:
        assert self._postgres is not None
        temporal, simulator = self._children["temporal"], self._children["simulator"]
        assert isinstance(temporal, Temporal)
        assert isinstance(simulator, Simulator)
        write_running(
            self._home,
            Running(
                database_url=self._postgres.url(),
                temporal_address=temporal.address,
                ui_url=temporal.ui_url,
                simulator_url=simulator.url,
                supervisor_pid=os.getpid(),
                pids={name: child.pid for name, child in self._children.items()},
                notices=self._notices,
            ),
        )

    async def _watch(self) -> None:
        """Until told to stop, or until nobody holds the lease. Servers that died come back on the same port."""
        failures = 0
        while not self._stopping.is_set():
            lease = take(self._home, LEASE, exclusive=True, wait=False)
            if lease is not None:
                return  # and keep it: who comes now waits until we are gone
            dead = [name for name, child in self._children.items() if not child.alive]
            for name in dead:
                _log(f"{name} ended by itself; starting it again")
                try:
                    await self._children[name].start()
                except DrumbeatError as error:
                    failures += 1
                    _log(str(error))
                    await asyncio.sleep(min(2.0**failures, 30.0))
                else:
                    failures = 0
                    self._publish()
            await asyncio.sleep(LOOK_EVERY)


def main() -> int:
    """Runs until the last user has gone. Leaves the reason in ``failure`` where the servers do not start."""
    home = Path(sys.argv[1])
    wanted = json.loads(sys.argv[2])
    take(home, SUPERVISOR, exclusive=True, wait=True)  # held until the end of the process
    failure = home / "failure"
    failure.unlink(missing_ok=True)
    try:
        asyncio.run(Supervisor(home, wanted["ports"], wanted["explicit"]).run())
    except DrumbeatError as error:
        failure.write_text(str(error))
        _log(str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
