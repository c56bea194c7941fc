"""Using the embedded servers: the first user starts them, the last one ends them, and none is cut off.

Every user holds a shared lock on one file, and the supervisor, a process of its own, stops the servers as soon as
nobody does. A lock goes with its process, so a user that is killed leaves nothing behind.
"""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from messaging.errors import Unavailable
from runtime.embedded.state import LEASE, STARTING, SUPERVISOR, Running, is_free, locked, read_running, take
from runtime.settings import CHECKOUT, Ports

__all__ = ["leased"]

START_PATIENCE = 120.0
"""Seconds for a first start on a slow machine, or for a long recovery."""


@asynccontextmanager
async def leased(home: Path, ports: Ports, tell: Callable[[str], None]) -> AsyncIterator[Running]:
    """The embedded servers, for the length of the block. Raises Unavailable if they do not come up."""
    home.mkdir(parents=True, exist_ok=True)
    # Waits while a supervisor is stopping, for it holds the exclusive lock until the servers are down.
    lease = await asyncio.to_thread(take, home, LEASE, exclusive=False, wait=True)
    assert lease is not None
    try:
        yield await asyncio.to_thread(_running, home, ports, tell)
    finally:
        os.close(lease)
        await asyncio.shield(asyncio.to_thread(_see_off, home))


def _running(home: Path, ports: Ports, tell: Callable[[str], None]) -> Running:
    with locked(home, STARTING):
        running = read_running(home)
        if running is not None and not is_free(home, SUPERVISOR):
            return running
        tell("Starting PostgreSQL, Temporal and the simulated gateway …")
        return _start(home, ports)


def _start(home: Path, ports: Ports) -> Running:
    (home / "servers.json").unlink(missing_ok=True)
    (home / "logs").mkdir(exist_ok=True)
    log = home / "logs" / "supervisor.log"
    with log.open("ab") as output:
        process = subprocess.Popen(  # noqa: S603 - our own module
            [sys.executable, "-m", "runtime.embedded.supervisor", str(home.resolve()), _ports(ports)],
            cwd=CHECKOUT,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,  # Ctrl-C is for the user, who may need the servers to finish
        )
    deadline = time.monotonic() + START_PATIENCE
    while time.monotonic() < deadline:
        running = read_running(home)
        if running is not None and running.supervisor_pid == process.pid:
            return running
        if process.poll() is not None:
            break
        time.sleep(0.05)
    else:
        process.terminate()
    failure = home / "failure"
    raise Unavailable(
        failure.read_text() if failure.exists() else f"the embedded servers did not start; see {log}"
    )


def _ports(ports: Ports) -> str:
    return json.dumps({"ports": ports.model_dump(), "explicit": sorted(ports.model_fields_set)})


def _see_off(home: Path) -> None:
    """Waits until the servers are down, if nobody else uses them: nothing is to be left running behind the last user."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if is_free(home, SUPERVISOR):
            return
        if not is_free(home, LEASE) and read_running(home) is not None:
            return  # somebody else's now; a supervisor that is stopping has removed the record first
        time.sleep(0.1)
