"""Shares the embedded servers between processes: the first one starts them, and they stop after the last one.

Every process that uses them holds a shared lock on one file. The supervisor, a process of its own, stops the servers as
soon as no lock is held. A lock ends with its process, so a killed process leaves nothing behind. If the supervisor is
killed, one of its users starts another.
"""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from messaging.common.errors import Unavailable
from runtime.embedded.locks import FileLock, is_held
from runtime.embedded.ports import describe, variable
from runtime.embedded.processes import plain_environment, util_linux
from runtime.embedded.program import open_log
from runtime.embedded.state import (
    FAILED,
    LEASE,
    LEAVING,
    SERVERS,
    SUPERVISOR,
    Request,
    Running,
    make_private,
    read_running,
)
from runtime.settings import CHECKOUT, Ports

__all__ = ["leased"]

LOOK_EVERY = 0.05
"""Seconds, while waiting."""
WATCH_EVERY = 1.0
"""Seconds between two checks whether the supervisor is alive."""
LONGEST_PAUSE = 30.0
"""Seconds between two attempts to start servers that do not come up."""
PATIENCE = 15.0
"""Seconds after which a wait is explained."""

Tell = Callable[[str], None]


@asynccontextmanager
async def leased(home: Path, ports: Ports, tell: Tell) -> AsyncIterator[Running]:
    """Provides the embedded servers during the block. Raises Unavailable if they do not start."""
    try:
        make_private(home)
        lease = FileLock(home / LEASE)
    except OSError as error:
        raise Unavailable(
            f"{home} cannot be written to ({error.strerror}): set DRUMBEAT_HOME to another directory"
        ) from error
    try:
        await _take(lease, tell)
        running = await _bring_up(home, ports, tell)
        keeper = asyncio.create_task(_keep_up(home, ports, tell))
        try:
            yield running
        finally:
            keeper.cancel()
            with suppress(asyncio.CancelledError):
                await keeper
    finally:
        lease.close()
        await _see_off(home)


async def _take(lease: FileLock, tell: Tell) -> None:
    """Waits while a supervisor is stopping: it holds the exclusive lock until the servers are down."""
    explain_at = time.monotonic() + 1.0
    while not lease.try_lock(shared=True):
        if time.monotonic() > explain_at:
            tell("waiting for the servers of an earlier run to stop")
            explain_at = float("inf")
        await asyncio.sleep(LOOK_EVERY)


async def _bring_up(home: Path, ports: Ports, tell: Tell) -> Running:
    """Finds the running servers, or waits for a process that is starting them, or starts them."""
    start: _Start | None = None
    explain_at = time.monotonic() + PATIENCE
    try:
        while True:
            running = read_running(home)
            if running is not None:
                return running if start is not None else _as_found(running, ports)
            if start is None:
                start = _Start.attempt(home, ports, tell)
            elif start.ended():
                # The supervisor has ended, so all its output has been written.
                running = read_running(home)
                if running is not None:
                    return running
                raise Unavailable(start.failure or f"the embedded servers did not start; see {home / 'logs'}")
            if time.monotonic() > explain_at:
                tell(f"the servers are still starting; {home / 'logs'} says what they do")
                explain_at = float("inf")
            await asyncio.sleep(LOOK_EVERY)
    finally:
        if start is not None:
            start.close()


def _as_found(running: Running, ports: Ports) -> Running:
    """The servers that another process started, with a notice for each port of our own settings that is not used."""
    notices = tuple(
        f"the servers run already: {describe(name)} listens on {running.ports[name]}, not on {port} ({variable(name)})"
        for name, port in ports.model_dump(include=ports.model_fields_set).items()
        if running.ports[name] != port
    )
    return running.model_copy(update={"notices": notices})


class _Start:
    """A supervisor that this process started, and its output."""

    def __init__(self, news: int) -> None:
        self._news = news
        self._received = b""

    @classmethod
    def attempt(cls, home: Path, ports: Ports, tell: Tell) -> "_Start | None":
        """Starts a supervisor, unless one runs. The lock is taken here and passed on, so there are never two."""
        with FileLock(home / SUPERVISOR) as lock:
            if not lock.try_lock():
                return None
            tell("starting PostgreSQL, Temporal and the simulated gateway")
            reading, writing = os.pipe()
            os.set_blocking(reading, False)
            try:
                request = Request(
                    home=home.resolve(),
                    ports=ports.model_dump(),
                    explicit=frozenset(ports.model_fields_set),
                    supervisor_lock=lock.descriptor,
                    news=writing,
                )
                with open_log(home / "logs" / "supervisor.log") as output:
                    # A session of its own, so that Ctrl-C reaches this process only, which may need the servers to
                    # finish.
                    subprocess.run(  # noqa: S603 - our own module
                        [
                            *(util_linux("setsid"), "--fork"),
                            *(sys.executable, "-m", "runtime.embedded.supervisor", request.model_dump_json()),
                        ],
                        cwd=CHECKOUT,
                        env=plain_environment(),  # inherited by all that it starts
                        stdin=subprocess.DEVNULL,
                        stdout=output,
                        stderr=output,
                        pass_fds=(lock.descriptor, writing),
                        check=True,
                    )
            except BaseException:
                os.close(reading)
                raise
            finally:
                os.close(writing)
        return cls(reading)

    def ended(self) -> bool:
        """True if the supervisor's start is over: it succeeded, failed, or was killed."""
        try:
            chunk = os.read(self._news, 65_536)
        except BlockingIOError:
            return False
        self._received += chunk
        return not chunk

    @property
    def failure(self) -> str | None:
        """Why the servers did not start, if it said so."""
        line = self._received.decode(errors="replace").strip()
        return line.removeprefix(FAILED) if line.startswith(FAILED) else None

    def close(self) -> None:
        """Stops reading its output."""
        os.close(self._news)


async def _keep_up(home: Path, ports: Ports, tell: Tell) -> None:
    """Starts another supervisor if ours is killed; the servers come back on the same ports."""
    pause = WATCH_EVERY
    while True:
        await asyncio.sleep(pause)
        if read_running(home) is not None:
            continue
        tell("the embedded servers have ended; they are started again")
        try:
            running = await _bring_up(home, ports, tell)
        except (Unavailable, OSError) as error:
            pause = min(2 * pause, LONGEST_PAUSE)
            tell(str(error))
        else:
            pause = WATCH_EVERY
            for notice in running.notices:
                tell(notice)


async def _see_off(home: Path) -> None:
    """Waits until the servers are down, unless other processes use them, so that the last user leaves nothing
    running.
    """
    while is_held(home / SUPERVISOR) or is_held(home / SERVERS):
        if _others_use_them(home):
            return
        await asyncio.sleep(LOOK_EVERY)


def _others_use_them(home: Path) -> bool:
    with FileLock(home / LEAVING) as alone, FileLock(home / LEASE) as lease:
        alone.lock()
        # The lock may be free, or shared by a user, or held by a supervisor that is stopping.
        return not lease.try_lock() and lease.try_lock(shared=True)
