"""The embedded servers that are single programs: Temporal and the simulated gateway."""

import asyncio
import os
import shutil
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from messaging.errors import Unavailable
from runtime.embedded.ports import free_port

__all__ = ["Child", "Simulator", "Temporal", "dying_with_parent", "end_leftovers"]

START_WITHIN = 60.0
STOP_WITHIN = 10.0

SEARCH_ATTRIBUTES_CACHE = "system.forceSearchAttributesCacheRefreshOnRead=true"


class Child(Protocol):
    """A server that the supervisor owns."""

    @property
    def pid(self) -> int:
        """The process ID."""
        ...

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        ...

    async def start(self) -> None:
        """Starts it, also again, and waits until it answers. Raises Unavailable."""
        ...

    async def stop(self) -> None:
        """Stops it cleanly, or by force after a while."""
        ...


def dying_with_parent(number: signal.Signals) -> list[str]:
    """The prefix of a command that the kernel ends when its parent dies, however that dies."""
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        raise Unavailable("setpriv (of util-linux) is missing: install it, or use servers of your own")
    return [setpriv, "--pdeathsig", number.name.removeprefix("SIG")]


class Program:
    """A program that listens on a loopback port."""

    def __init__(self, name: str, port: int, command: list[str], log: Path, cwd: Path) -> None:
        self._name = name
        self._port = port
        self._command = command
        self._log = log
        self._cwd = cwd
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int:
        """The process ID."""
        assert self._process is not None, "start() first"
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self._process is not None and self._process.returncode is None

    async def start(self) -> None:
        """Starts it and waits until it listens. Raises Unavailable, with the last line of its log."""
        with self._log.open("ab") as output:
            self._process = await asyncio.create_subprocess_exec(
                *dying_with_parent(signal.SIGKILL),
                *self._command,
                cwd=self._cwd,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        deadline = asyncio.get_running_loop().time() + START_WITHIN
        while self.alive and asyncio.get_running_loop().time() < deadline:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", self._port)
            except OSError:
                await asyncio.sleep(0.05)
            else:
                writer.close()
                with suppress(OSError):
                    await writer.wait_closed()
                return
        await self.stop()
        lines = self._log.read_text(errors="replace").strip().splitlines() or ["its log is empty"]
        raise Unavailable(f"{self._name} did not start on port {self._port}: {lines[-1][:300]}")

    async def stop(self) -> None:
        """SIGTERM, and SIGKILL if that does not help."""
        if self._process is None or self._process.returncode is not None:
            return
        with suppress(ProcessLookupError):
            self._process.terminate()
        try:
            await asyncio.wait_for(self._process.wait(), STOP_WITHIN)
        except TimeoutError:
            with suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()


class Temporal(Program):
    """Temporal's development server with its Web UI, and a database file that outlives it.

    WAL and NORMAL make SQLite two to three times as fast; committed work survives a kill of the process.
    """

    def __init__(self, home: Path, *, port: int, ui_port: int) -> None:
        binary = Path(sys.executable).parent / "temporal"
        if not binary.exists():
            raise Unavailable(
                "the embedded Temporal is not installed: run 'make setup', or set TEMPORAL_ADDRESS"
            )
        (home / "temporal").mkdir(parents=True, exist_ok=True)
        self._ui_port = ui_port
        super().__init__(
            "Temporal",
            port,
            [
                *(str(binary), "server", "start-dev", "--ip", "127.0.0.1"),
                *("--port", str(port), "--ui-port", str(ui_port)),
                *("--http-port", str(free_port()), "--metrics-port", str(free_port())),
                *("--db-filename", str(home / "temporal" / "temporal.db")),
                *("--sqlite-pragma", "journal_mode=WAL", "--sqlite-pragma", "synchronous=NORMAL"),
                *("--dynamic-config-value", SEARCH_ATTRIBUTES_CACHE),
                *("--log-level", "warn"),
            ],
            home / "logs" / "temporal.log",
            home,
        )

    @property
    def address(self) -> str:
        """Where clients connect to."""
        return f"127.0.0.1:{self._port}"

    @property
    def ui_url(self) -> str:
        """The Web UI."""
        return f"http://127.0.0.1:{self._ui_port}"


class Simulator(Program):
    """The simulated WhatsApp gateway."""

    def __init__(self, home: Path, *, port: int) -> None:
        super().__init__(
            "the simulated gateway",
            port,
            [
                *(sys.executable, "-m", "simulator", "--host", "127.0.0.1", "--port", str(port)),
                *("--data", str(home / "simulator")),
            ],
            home / "logs" / "simulator.log",
            Path(__file__).parent.parent.parent,
        )

    @property
    def url(self) -> str:
        """Where devices send to, and the inbox page."""
        return f"http://127.0.0.1:{self._port}"


async def end_leftovers(pids: dict[str, int]) -> None:
    """Ends servers that a supervisor which was killed left behind; only processes that are provably ours.

    The kernel ends them by itself, but PostgreSQL takes a moment to shut down, and it holds port and data until then.
    """
    deadline = asyncio.get_running_loop().time() + 15
    for name, pid in pids.items():
        while _is_ours(pid, name):
            if asyncio.get_running_loop().time() > deadline:
                os.kill(pid, signal.SIGKILL)
                break
            await asyncio.sleep(0.1)


def _is_ours(pid: int, name: str) -> bool:
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return False
    return state != "Z" and any(name.encode() in part for part in command)
