"""The process that owns the embedded servers: ``python -m runtime.embedded.supervisor REQUEST``.

It starts PostgreSQL, Temporal and the simulated gateway, restarts them if they die, and stops them once no process uses
them. If it is killed itself, the kernel ends its children, and a user starts a new supervisor on the same data.
"""

import asyncio
import os
import signal
import sys
from contextlib import suppress
from datetime import UTC, datetime

from messaging.common.errors import DrumbeatError, Unavailable
from runtime.embedded.locks import FileLock
from runtime.embedded.ports import choose_ports
from runtime.embedded.postgres import Postgres
from runtime.embedded.processes import ProcessId
from runtime.embedded.program import Program
from runtime.embedded.simulator import Simulator
from runtime.embedded.state import (
    FAILED,
    LEASE,
    SERVERS,
    Request,
    Running,
    State,
    read_state,
    write_state,
)
from runtime.embedded.temporal import Temporal

__all__ = ["main"]

LOOK_EVERY = 0.1
"""Seconds between two checks whether users are left."""
LEFTOVERS_WITHIN = 5.0
"""Seconds for servers to end by themselves after their supervisor was killed."""
SHORTEST_PAUSE, LONGEST_PAUSE = 0.2, 10.0
"""Seconds between two restarts of a server that does not stay up."""
STEADY = 30.0
"""Seconds after which a server has proved that it stays up."""


class Supervisor:
    """One set of servers, from start to stop."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self._home = request.home
        self._children: dict[str, Program] = {}
        self._running: Running | None = None
        self._reported = False
        self._told_to_stop = asyncio.Event()

    async def run(self) -> None:
        """Runs until it is stopped, or until no process holds the lease. Raises DrumbeatError if something does not
        start.
        """
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, self._told_to_stop.set)
        with FileLock(self._home / LEASE) as lease, FileLock(self._home / SERVERS) as servers:
            end = asyncio.create_task(self._until_the_end(lease))
            work = asyncio.create_task(self._serve(servers))
            try:
                await asyncio.wait({end, work}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                write_state(self._home, None)  # first of all, so that no process relies on it from now on
                for task in (work, end):
                    task.cancel()
                results = await asyncio.gather(work, end, return_exceptions=True)
                await asyncio.gather(*(child.stop() for child in self._children.values()))
                _log("all servers are down")
            for result in results:
                if isinstance(result, Exception):
                    raise result

    async def _until_the_end(self, lease: FileLock) -> None:
        # The exclusive lock is held until the process ends: a new user waits for that.
        while not lease.try_lock() and not self._told_to_stop.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_EVERY):
                    await self._told_to_stop.wait()

    async def _serve(self, servers: FileLock) -> None:
        await self._outlive_leftovers(servers)
        try:
            await self._start(servers)
        except Unavailable:
            # Another program may have taken a port after the check: check once more.
            await asyncio.gather(*(child.stop() for child in self._children.values()))
            await self._start(servers)
        _log("all servers are up")
        self.report(None)
        async with asyncio.TaskGroup() as keepers:
            for name, child in self._children.items():
                keepers.create_task(self._keep(name, child, servers))

    async def _outlive_leftovers(self, servers: FileLock) -> None:
        """Waits for the servers of a killed supervisor; kills a process that is provably one of them and does not end
        by itself.
        """
        before = read_state(self._home)
        write_state(self._home, None)
        if await servers.lock_within(LEFTOVERS_WITHIN):
            return
        for name, process in before.children.items() if before is not None else ():
            if process.runs:
                _log(f"{name} (process {process.pid}) is left from before and hangs: it is ended by force")
                process.kill()
        if not await servers.lock_within(LEFTOVERS_WITHIN):
            raise Unavailable(
                "servers of an earlier run do not end: 'fuser -v "
                f"{self._home / SERVERS}' says which; end them, then try again"
            )

    async def _start(self, servers: FileLock) -> None:
        ports, notices = choose_ports(self._home, self._request.ports, self._request.explicit)
        postgres = Postgres(
            self._home / "postgres", port=ports["postgres_port"], log=self._home / "logs" / "postgres.log"
        )
        postgres.forget_dead_postmaster()
        temporal = Temporal(self._home, ports)
        simulator = Simulator(self._home, ports)
        self._children = {"postgres": postgres, "temporal": temporal, "simulator": simulator}
        results = await asyncio.gather(
            *(self._bring_up(name, child, servers) for name, child in self._children.items()),
            return_exceptions=True,
        )
        for result in results:
            if result is not None:
                raise result
        self._running = Running(
            database_url=postgres.url(),
            temporal_address=temporal.address,
            ui_url=temporal.ui_url,
            simulator_url=simulator.url,
            simulator_control_url=simulator.control_url,
            ports=ports,
            notices=notices,
        )
        self._record()

    async def _bring_up(self, name: str, child: Program, servers: FileLock) -> None:
        # The kernel ends children together with the thread that started them, so this must be the main thread.
        await child.launch(inherit=(servers.descriptor,))
        self._record()
        await child.ready()
        _log(f"{name} is up (process {child.pid})")

    def _record(self) -> None:
        children = {name: ProcessId.of(child.pid) for name, child in self._children.items() if child.alive}
        this = ProcessId.of(os.getpid())
        assert this is not None
        write_state(
            self._home,
            State(
                supervisor=this,
                children={name: process for name, process in children.items() if process is not None},
                running=self._running,
            ),
        )

    async def _keep(self, name: str, child: Program, servers: FileLock) -> None:
        """Restarts a server on the same port whenever it ends; at longer intervals if it does not stay up."""
        clock = asyncio.get_running_loop().time
        pause = SHORTEST_PAUSE
        up_since = clock()
        while True:
            await child.wait()
            if clock() - up_since > STEADY:
                pause = SHORTEST_PAUSE
            _log(f"{name} ended by itself; it is started again")
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)
            up_since = clock()
            try:
                await self._bring_up(name, child, servers)
            except (DrumbeatError, OSError) as error:
                _log(str(error))

    def report(self, failure: str | None) -> None:
        """Reports to the waiting user that the servers are up, or why not. Only the first call reports."""
        if self._reported:
            return
        self._reported = True
        if failure is not None:
            with suppress(OSError):  # the user may have gone
                os.write(self._request.news, f"{FAILED}{failure}\n".encode())
        os.close(self._request.news)


def _log(line: str) -> None:
    sys.stderr.write(f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} {line}\n")
    sys.stderr.flush()


def main() -> int:
    """The exit code: 1 if the servers do not start; the reason was then reported to the user that asked for them."""
    os.umask(0o077)  # only the owner may read what the servers write
    request = Request.model_validate_json(sys.argv[1])
    for descriptor in (request.supervisor_lock, request.news):
        os.set_inheritable(descriptor, False)
    supervisor = Supervisor(request)
    try:
        asyncio.run(supervisor.run())
    except (DrumbeatError, OSError) as error:
        line = " ".join(str(error).split())
        _log(line)
        supervisor.report(line)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
