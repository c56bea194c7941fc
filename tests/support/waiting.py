"""How tests wait for something that happens by itself, and find a free port."""

import asyncio
import inspect
import socket
import time
from collections.abc import Awaitable, Callable

__all__ = ["free_port", "until"]


async def until(condition: Callable[[], bool | Awaitable[bool]], seconds: float = 30) -> None:
    """Waits until ``condition`` answers true, as generously as a busy machine needs; fails after ``seconds``."""
    deadline = time.monotonic() + seconds
    while True:
        answer = condition()
        if await answer if inspect.isawaitable(answer) else answer:
            return
        assert time.monotonic() < deadline, "it did not happen"
        await asyncio.sleep(0.02)


def free_port() -> int:
    """A loopback port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
