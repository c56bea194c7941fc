"""A real simulated gateway in a process of its own, for tests."""

import asyncio
import http.client
import json
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from rig.gateway_control import requests_log
from tests.support.ports import free_port

__all__ = [
    "PHONE",
    "ROOT",
    "SimulatorProcess",
    "outcomes",
    "post",
    "raw_send",
    "running_simulator",
]

PHONE = "+12015550123"
ROOT = Path(__file__).parents[2]
START_WITHIN = 20.0
"""Seconds; a generous deadline on a busy machine."""


class SimulatorProcess:
    """Can be stopped, killed and started again on the same port and data. Its methods block."""

    def __init__(self, data: Path, *arguments: str) -> None:
        self.data = data
        self.port = free_port()
        self.arguments = arguments
        self.control_url = ""
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where clients send to."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Returns once it answers."""
        assert self._process is None, "it runs"
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-m", "simulator", "--port", str(self.port), "--data", str(self.data)),
                *self.arguments,
            ],
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + START_WITHIN
        while time.monotonic() < deadline and self._process.poll() is None:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=START_WITHIN)
            try:
                connection.request("GET", "/health")
                self.control_url = json.load(connection.getresponse())["control_url"]
            except (OSError, http.client.HTTPException):
                time.sleep(0.02)
            else:
                return
            finally:
                connection.close()
        raise RuntimeError(f"the simulated gateway does not answer; exit code: {self._process.poll()}")

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        return self._end(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL: no chance to save anything."""
        self._end(signal.SIGKILL)

    def _end(self, number: signal.Signals) -> int:
        assert self._process is not None, "start() first"
        process, self._process = self._process, None
        process.send_signal(number)
        return process.wait(START_WITHIN)

    def close(self) -> None:
        """Ends it if it runs."""
        if self._process is not None:
            self.kill()


@asynccontextmanager
async def running_simulator(data: Path, *arguments: str) -> AsyncIterator[SimulatorProcess]:
    """A simulated gateway for the length of a block. ``arguments``: as ``python -m simulator`` takes them."""
    process = SimulatorProcess(data, *arguments)
    try:
        await asyncio.to_thread(process.start)
        yield process
    finally:
        await asyncio.to_thread(process.close)


async def post(
    http: aiohttp.ClientSession, url: str, device: str, key: str | None = None, /, **fields: object
) -> tuple[int, Any]:
    """Sends a message; the status and the answer."""
    headers = {} if key is None else {"Idempotency-Key": key}
    body = {"device": device, "to": PHONE, "text": "Hello", **fields}
    async with http.post(f"{url}/v1/messages", json=body, headers=headers) as answer:
        return answer.status, await answer.json(content_type=None)


async def outcomes(url: str, device: str) -> list[str]:
    """What became of a device's requests, in the log's order."""
    return [row["outcome"] for row in await requests_log(url, device=device)]


async def raw_send(
    simulator: SimulatorProcess, device: str
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A send over a bare socket: what comes back is seen byte for byte."""
    reader, writer = await asyncio.open_connection("127.0.0.1", simulator.port)
    body = f'{{"device": "{device}", "to": "{PHONE}", "text": "Hello"}}'.encode()
    head = "POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
    await writer.drain()
    return reader, writer
