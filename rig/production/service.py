"""One replica of a service as a process: started, checked, restarted."""

import asyncio
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from messaging.common.errors import Unavailable
from rig.production.command import Command
from rig.production.compose import Healthcheck, Service
from runtime.embedded.program import Program, open_log

__all__ = ["Replica", "healthy", "run_once"]

ONCE_WITHIN = 60.0
"""Seconds for a service that runs once, with its repetitions."""


class Replica(Program):
    """A service that goes on, as one process."""

    def __init__(
        self, service: Service, name: str, command: Command, check: Command | None, log: Path
    ) -> None:
        super().__init__(log)
        self.name = name
        self.start_within = 60.0 if service.healthcheck is None else _patience(service.healthcheck)
        self.stop_within = service.stop_within
        self._command = command
        self._check = check

    def command(self) -> Sequence[str]:
        return self._command.words

    def directory(self) -> Path:
        return self._command.folder

    def environment(self) -> Mapping[str, str]:
        return self._command.environment

    async def answers(self) -> bool:
        return self._check is None or await healthy(self._check)


def _patience(check: Healthcheck) -> float:
    return check.start_period + check.retries * (check.interval + check.timeout)


async def healthy(check: Command) -> bool:
    """Runs a health check's command."""
    kind, *words = check.words
    if kind == "CMD-SHELL":
        words = ["/bin/sh", "-c", *words]
    if words[:2] == ["nc", "-z"]:  # part of the image, and not of every machine
        program = f"import socket; socket.create_connection(({words[2]!r}, {words[3]}), 3)"
        words = [sys.executable, "-c", program]
    process = await asyncio.create_subprocess_exec(
        *words,
        cwd=check.folder,
        env=dict(check.environment),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        return await process.wait() == 0
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()


async def run_once(service: Service, command: Command, log: Path) -> None:
    """Runs a service that ends by itself, again on failure if it is to be.

    Raises Unavailable with the last line of its log.
    """
    clock = asyncio.get_running_loop().time
    deadline = clock() + ONCE_WITHIN
    while True:
        with open_log(log) as output:
            process = await asyncio.create_subprocess_exec(
                *command.words,
                cwd=command.folder,
                env=dict(command.environment),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
            try:
                code = await process.wait()
            finally:
                if process.returncode is None:
                    process.kill()
        if code == 0:
            return
        if service.restart != "on-failure" or clock() > deadline:
            lines = log.read_text(errors="replace").strip().splitlines() or ["it said nothing"]
            raise Unavailable(f"{service.name} failed: {lines[-1]} (log: {log})")
        await asyncio.sleep(1)
