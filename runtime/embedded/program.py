"""Runs a server that is a single program as a child process."""

import asyncio
import os
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from messaging.common.errors import Unavailable
from runtime.embedded.processes import dying_with_parent

__all__ = ["Program", "accepts", "open_log"]

LOG_LIMIT = 16 * 1024 * 1024
"""Bytes. A log that is longer at a start is renamed, and a new one begins."""


class Program:
    """A program that listens on loopback ports, and that ends with this process."""

    name: str
    """For people."""
    death: signal.Signals = signal.SIGKILL
    """The signal that the kernel sends it when this process dies."""
    start_within = 60.0
    """Seconds."""
    stop_signal: signal.Signals = signal.SIGTERM
    stop_within = 15.0
    """Seconds until it is ended by force."""

    def __init__(self, log: Path) -> None:
        self.log = log
        self._log_start = 0
        self._process: asyncio.subprocess.Process | None = None

    def command(self) -> Sequence[str]:
        """The program and its arguments."""
        raise NotImplementedError

    def privileges(self) -> Sequence[str]:
        """Options of setpriv(1), to run it with other privileges."""
        return ()

    def directory(self) -> Path:
        """Where it runs."""
        return self.log.parent

    def environment(self) -> Mapping[str, str] | None:
        """Its environment; None: that of this process."""
        return None

    async def answers(self) -> bool:
        """True if it serves requests. Raises Unavailable if it never will."""
        raise NotImplementedError

    @property
    def pid(self) -> int:
        """The process ID."""
        assert self._process is not None, "launch() first"
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self._process is not None and self._process.returncode is None

    async def launch(self, inherit: Sequence[int] = ()) -> None:
        """Starts the program, which gets these descriptors; it is not ready yet."""
        with open_log(self.log) as output:
            self._log_start = os.fstat(output.fileno()).st_size
            self._process = await asyncio.create_subprocess_exec(
                *dying_with_parent(self.death),
                *self.privileges(),
                *self.command(),
                cwd=self.directory(),
                env=self.environment(),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                pass_fds=inherit,
            )

    async def ready(self) -> None:
        """Waits until it answers. If it does not, stops it and raises Unavailable with the last line of its log."""
        try:
            async with asyncio.timeout(self.start_within):
                up = await self._comes_up()
        except TimeoutError:
            up, reason = False, f"no answer within {self.start_within:.0f} seconds"
        except Unavailable:
            await self.stop()
            raise
        else:
            reason = self._last_words()
        if not up:
            await self.stop()
            raise Unavailable(f"{self.name} did not start: {reason} (log: {self.log})")

    async def _comes_up(self) -> bool:
        while self.alive:
            # Check again that it runs: another program on the same port may have answered.
            if await self.answers() and self.alive:
                return True
            await asyncio.sleep(0.05)
        return False

    async def wait(self) -> None:
        """Returns when it has ended."""
        if self._process is not None:
            await self._process.wait()

    async def stop(self) -> None:
        """Asks it to end, and ends it by force if it does not."""
        if self._process is None or self._process.returncode is not None:
            return
        with suppress(ProcessLookupError):
            self._process.send_signal(self.stop_signal)
        try:
            async with asyncio.timeout(self.stop_within):
                await self._process.wait()
        except TimeoutError:
            with suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()

    def _last_words(self) -> str:
        """The line of its log since the start that most likely says why it ended."""
        with self.log.open("rb") as log:
            log.seek(self._log_start)
            lines = log.read().decode(errors="replace").strip().splitlines() or ["its log is empty"]
        errors = [line for line in lines if "FATAL" in line or "rror:" in line]
        return (errors or lines)[-1].strip()[:300]


def open_log(path: Path) -> BinaryIO:
    """Opens a log for appending, readable by its owner only; renames a log that has grown too long."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with suppress(FileNotFoundError):
        if path.stat().st_size > LOG_LIMIT:
            path.replace(path.with_name(path.name + ".1"))
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "ab")


async def accepts(port: int) -> bool:
    """True if something listens on that loopback port."""
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
    return True
