"""The embedded servers as tests see them: from outside, by what runs and what answers."""

import asyncio
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
from temporalio.client import Client

from rig.gateway_control import accepted
from rig.waiting import until
from runtime.embedded.state import Running, read_state
from runtime.temporal_client import connect
from tests.support.simulator_process import ROOT, post

__all__ = [
    "Innocent",
    "User",
    "kill_all",
    "left",
    "pids",
    "read_data",
    "remember_free_ports",
    "write_data",
]

WITHIN = 30.0
"""Seconds; a generous deadline on a busy machine."""

USER = """
import asyncio, dataclasses, json, sys
from runtime.servers import servers
from runtime.settings import load_settings

async def use():
    async with servers(load_settings()) as addresses:
        print(json.dumps(dataclasses.asdict(addresses)), flush=True)
        await asyncio.to_thread(sys.stdin.read)

asyncio.run(use())
"""


class User:
    """Another process that uses the servers."""

    def __init__(self, home: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", USER],
            cwd=ROOT,
            env={**os.environ, "DRUMBEAT_HOME": str(home)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    @property
    def session(self) -> int:
        """The session that its terminal's Ctrl-C goes to."""
        return os.getsid(self._process.pid)

    async def addresses(self) -> dict[str, Any]:
        """The servers, when it has them."""
        assert self._process.stdout is not None
        line = await asyncio.to_thread(self._process.stdout.readline)
        assert line, "it ended without servers"
        found: dict[str, Any] = json.loads(line)
        return found

    async def leave(self) -> int:
        """Lets it go on to its end; the exit code."""
        await asyncio.to_thread(self._process.communicate)
        return self._process.returncode

    def kill(self) -> None:
        """SIGKILL."""
        self._process.kill()
        self._process.communicate()


class Innocent:
    """A process that has nothing to do with us, and runs as the user whom PostgreSQL runs as."""

    def __init__(self) -> None:
        setpriv = shutil.which("setpriv")
        other_user = [str(setpriv), "--reuid", "nobody", "--clear-groups"] if os.geteuid() == 0 else []
        self._process = subprocess.Popen([*other_user, "sleep", "600"])

    @property
    def pid(self) -> int:
        """Its number."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it was left in peace."""
        return self._process.poll() is None

    def end(self) -> None:
        """Ends it."""
        self._process.kill()
        self._process.wait()


def remember_free_ports(home: Path) -> dict[str, int]:
    """Makes the set of this directory prefer ports of its own, as if it had run before."""
    names = [
        "temporal",
        "ui",
        "postgres",
        "simulator",
        "temporal_http",
        "temporal_metrics",
        "simulator_control",
    ]
    probes = [socket.socket() for _ in names]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        ports = {f"{name}_port": probe.getsockname()[1] for name, probe in zip(names, probes, strict=True)}
    finally:
        for probe in probes:
            probe.close()
    home.mkdir(parents=True, exist_ok=True)
    (home / "ports.json").write_text(json.dumps(ports))
    return ports


def left(home: Path) -> dict[int, str]:
    """The processes whose command line names the directory: the supervisor and its servers."""
    found = {}
    for process in Path("/proc").iterdir():
        if process.name.isdecimal():
            with suppress(OSError):
                command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                if str(home) in command:
                    found[int(process.name)] = command
    return found


def pids(home: Path) -> dict[str, int]:
    """The servers by name, and the supervisor, as they are recorded."""
    state = read_state(home)
    assert state is not None
    return {
        "supervisor": state.supervisor.pid,
        **{name: process.pid for name, process in state.children.items()},
    }


async def kill_all(home: Path) -> None:
    """SIGKILL to everything at once."""
    for pid in left(home):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    await until(lambda: not left(home))


async def temporal_of(running: Running) -> Client:
    """A client of the set's Temporal."""
    return await connect(running.temporal_address, "default", embedded=True)


async def write_data(running: Running) -> None:
    """Something that each of the servers has to keep."""
    database = await asyncpg.connect(running.database_url)
    try:
        await database.execute("create table kept (word text)")
        await database.execute("insert into kept values ('drum')")
    finally:
        await database.close()
    client = await temporal_of(running)
    await client.start_workflow("Nobodys", id="kept", task_queue="nobodys")
    async with aiohttp.ClientSession() as http:
        assert (await post(http, running.simulator_url, "kept"))[0] == 200


async def read_data(running: Running) -> tuple[str, str, int]:
    """What :func:`write_data` left: a word, the workflow's status, the number of messages."""
    database = await asyncpg.connect(running.database_url)
    try:
        word: str = await database.fetchval("select word from kept")
    finally:
        await database.close()
    client = await temporal_of(running)
    description = await client.get_workflow_handle("kept").describe()
    assert description.status is not None
    messages = await accepted(running.simulator_url, device="kept")
    return word, description.status.name, len(messages)
