"""Programs of ours in processes of their own that need not import everything anew, which takes a second of CPU.

They are forked from a process that has imported it (:mod:`tests.support.fork_server`), have an environment, arguments and
output of their own, and can be killed or stopped like any other. What concerns the start of Python itself, its imports or a
terminal needs ``asyncio.create_subprocess_exec``.
"""

import asyncio
import atexit
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import IO

__all__ = ["Forked", "fork", "output_of"]

ROOT = Path(__file__).parents[2]


class Forked:
    """A program that was started, as ``asyncio.subprocess.Process`` has it."""

    def __init__(self, pid: int, connection: socket.socket) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._ending = asyncio.create_task(self._end(connection))

    async def _end(self, connection: socket.socket) -> int:
        with connection:
            self.returncode = int(await asyncio.get_running_loop().sock_recv(connection, 20))
        return self.returncode

    async def wait(self) -> int:
        """How it ended: its exit code, or the negative number of the signal that killed it."""
        return await asyncio.shield(self._ending)

    def send_signal(self, number: int) -> None:
        """Sends it a signal. Raises ProcessLookupError if it has ended."""
        if self.returncode is not None:
            raise ProcessLookupError
        os.kill(self.pid, number)

    def kill(self) -> None:
        """SIGKILL."""
        self.send_signal(signal.SIGKILL)


async def fork(
    *arguments: str, env: Mapping[str, str], stdout: IO[bytes], stderr: IO[bytes], cwd: Path = ROOT
) -> Forked:
    """Starts ``python ARGUMENTS``: a file, or ``-c`` and code."""
    request = {"arguments": arguments, "environment": dict(env), "directory": str(cwd)}
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    connection.connect(_server())
    socket.send_fds(connection, [json.dumps(request).encode()], [stdout.fileno(), stderr.fileno()])
    connection.setblocking(False)
    return Forked(int(await asyncio.get_running_loop().sock_recv(connection, 20)), connection)


async def output_of(*arguments: str, env: Mapping[str, str], cwd: Path = ROOT) -> tuple[int, str, str]:
    """Runs ``python ARGUMENTS``; answers exit code, standard output and standard error."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as error:
        process = await fork(*arguments, env=env, stdout=out, stderr=error, cwd=cwd)
        try:
            code = await process.wait()
        finally:
            if process.returncode is None:
                process.kill()
        out.seek(0)
        error.seek(0)
        return code, out.read().decode(), error.read().decode()


@cache
def _server() -> str:
    """Starts the process that forks, once in each process of the tests; it ends with that. The address of its socket."""
    address = f"\0drumbeat-forks-{os.getpid()}"  # in Linux' abstract namespace, which has no files
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with listener:
        listener.bind(address)
        listener.listen(100)
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.fork_server", str(listener.fileno())],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            pass_fds=[listener.fileno()],
        )
    atexit.register(process.communicate)
    return address
