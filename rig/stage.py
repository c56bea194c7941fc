"""Starts embedded servers and worker processes for a test, a benchmark or a chaos run; or uses those of make production."""

import asyncio
import inspect
import itertools
import os
import signal
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from messaging.common.errors import InvalidInput
from operations.connection import Drumbeat, connect
from rig.processes import Usage, usage
from rig.waiting import NeverHappened, until
from rig.workers import environment, spawn_worker
from runtime.embedded.processes import dying_with_parent
from runtime.embedded.state import read_state
from runtime.servers import address_of_temporal
from runtime.settings import Ports, Settings, load_settings

__all__ = ["SIMULATOR_SECRET", "Stage", "stage"]

Answer = TypeVar("Answer")

SIMULATOR_SECRET = "secrets/devices/simulator"  # noqa: S105 - a path
"""Of ``make production``, below its folder: the secret with which the simulated gateway signs what it reports."""

START_WITHIN = 120.0
"""Seconds for a worker to poll."""
LONG = 1800.0
"""Seconds for anything else."""
STOP_WITHIN = 60.0
"""Seconds for a worker to end by itself."""


@dataclass
class Stage:
    """The servers, and the workers that were started."""

    connection: Drumbeat
    home: Path
    workers: list[asyncio.subprocess.Process] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)
    """Variables of the workers that are started from now on."""
    gateway_options: dict[str, str] = field(default_factory=dict)
    """What devices of the simulated gateway must name."""
    _logs: Iterator[int] = field(default_factory=itertools.count)

    async def start_worker(self, *command: str) -> asyncio.subprocess.Process:
        """Starts a worker process and waits until it works: ``worker.py``, or another ``command``."""
        # A new log, since an older one already says that a worker has begun.
        log = self.home / "logs" / f"worker-{next(self._logs)}.log"
        process = await self.spawn_worker(log, *command)
        await self.until(f"worker begins ({log.name})", lambda: self.works(log), START_WITHIN)
        return process

    async def spawn_worker(self, log: Path, *command: str) -> asyncio.subprocess.Process:
        """Starts a worker process without waiting. It ends with this process, even if that is killed."""
        process = await spawn_worker(
            log,
            environment(**{**self.environment, "DRUMBEAT_HOME": str(self.home)}),
            *command,
            prefix=dying_with_parent(signal.SIGKILL),
        )
        self.workers.append(process)
        return process

    def works(self, log: Path) -> bool:
        """True if the worker of this log has begun to work."""
        return log.exists() and b"working on task queue" in log.read_bytes()

    @property
    def gateway_control(self) -> str:
        """The gateway's control address, which works even while it is offline. The port stays the same after a
        restart.
        """
        state = read_state(self.home)
        assert state is not None, "the servers run"
        assert state.running is not None, "the servers run"
        return state.running.simulator_control_url

    async def watched(self, what: str, work: Awaitable[Answer], within: float = LONG) -> Answer:
        """The result of ``work``. Raises NeverHappened if that takes too long, or if a worker has ended."""
        task = asyncio.ensure_future(work)
        try:
            await self.until(what, task.done, within)
            return await task
        finally:
            task.cancel()

    async def until(
        self,
        what: str,
        done: Callable[[], bool | Awaitable[bool]],
        within: float = LONG,
        every: float = 0.1,
    ) -> None:
        """Like :func:`rig.waiting.until`, but the error has a worker's last lines. Raises NeverHappened also if a
        worker has ended.
        """

        async def over() -> bool:
            answer = done()
            if await answer if inspect.isawaitable(answer) else answer:
                return True
            for worker in self.workers:
                if worker.returncode is not None:
                    raise NeverHappened(f"{what}: a worker ended with code {worker.returncode}")
            return False

        try:
            await until(over, within, what=what, every=every)
        except NeverHappened as never:
            raise NeverHappened(f"{never}{self._last_lines()}") from None

    def _last_lines(self) -> str:
        """The last lines of the newest worker's log, which is deleted later."""
        logs = sorted((self.home / "logs").glob("worker-*.log"), key=lambda log: log.stat().st_mtime)
        return "" if not logs else "\n" + "\n".join(logs[-1].read_text(errors="replace").splitlines()[-10:])

    async def stop_workers(self) -> None:
        """Sends SIGTERM to all workers, and waits for their end."""
        for process in self.workers:
            if process.returncode is None:
                process.send_signal(signal.SIGTERM)
        for process in self.workers:
            await _ended(process)
        self.workers.clear()

    async def stop_worker(self, process: asyncio.subprocess.Process) -> None:
        """The same for one worker."""
        self.workers.remove(process)
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        await _ended(process)

    def usage(self) -> Usage:
        """The usage so far of each server, and of all workers together."""
        state = read_state(self.home)
        servers = {} if state is None else {name: child.pid for name, child in state.children.items()}
        workers = [usage({"worker": worker.pid}) for worker in self.workers if worker.returncode is None]
        taken = usage(servers)
        return Usage(
            {**taken.cpu, "worker": sum(one.cpu.get("worker", 0.0) for one in workers)},
            {**taken.memory, "worker": sum(one.memory.get("worker", 0) for one in workers)},
        )


async def _ended(process: asyncio.subprocess.Process) -> None:
    """Waits for its end, and kills it if that takes too long; nothing is lost by that."""
    try:
        await asyncio.wait_for(process.wait(), STOP_WITHIN)
    except TimeoutError:
        process.kill()
        await process.wait()


@asynccontextmanager
async def stage() -> AsyncIterator[Stage]:
    """Servers with data of their own, which is removed afterwards; or those of ``make production``, if the environment
    names them. Raises InvalidInput if it names other servers, or if those are not empty.
    """
    if address_of_temporal() is not None:
        async with _production() as here:
            yield here
        return
    with tempfile.TemporaryDirectory(prefix="drumbeat-rig-", ignore_cleanup_errors=True) as folder:
        home = Path(folder) / "home"
        async with connect(_settings(home)) as connection:
            await connection.pool()
            here = Stage(connection, home)
            try:
                yield here
            finally:
                await here.stop_workers()


@asynccontextmanager
async def _production() -> AsyncIterator[Stage]:
    settings = load_settings()
    state = read_state(settings.home)
    if (
        state is None
        or state.running is None
        or not state.supervisor.runs
        or state.running.temporal_address != address_of_temporal()
    ):
        raise InvalidInput(
            "this runs on servers of its own, or on those of make production: unset TEMPORAL_ADDRESS and TEMPORAL_PROFILE"
        )
    async with connect(settings) as connection:
        pool = await connection.pool()
        if await pool.fetchval("select exists (select from devices)"):
            raise InvalidInput("this needs servers that nobody has used: make production ARGS='--fresh …'")
        named = {
            name: value
            for name, value in os.environ.items()
            if name.startswith(("DATABASE_URL", "TEMPORAL_"))
        }
        if settings.simulator_url:
            named["DRUMBEAT_SIMULATOR_URL"] = settings.simulator_url
        options = {"webhook_secret_file": str(settings.home / SIMULATOR_SECRET)}
        here = Stage(connection, settings.home, environment=named, gateway_options=options)
        try:
            yield here
        finally:
            await here.stop_workers()


def _settings(home: Path) -> Settings:
    """The settings of the workers, whatever the environment says."""
    return Settings.model_construct(home=home, ports=Ports.model_construct())
