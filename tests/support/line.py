"""A line to a server, which the test can let go dead: a TCP proxy on loopback."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

__all__ = ["Line", "line_to"]


class Line:
    """What is sent on it arrives, until it hangs: then it is taken, and nothing comes of it."""

    def __init__(self, host: str, port: int) -> None:
        self._to = (host, port)
        self.port = 0
        self._open = asyncio.Event()
        self._open.set()
        self._copying: set[asyncio.Task[None]] = set()

    def hang(self) -> None:
        """From now on nothing arrives, in either direction."""
        self._open.clear()

    def go_on(self) -> None:
        """What was held up arrives."""
        self._open.set()

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, until either end closes it."""
        try:
            there = await asyncio.open_connection(*self._to)
            copying = [
                asyncio.create_task(self._copy(reader, there[1])),
                asyncio.create_task(self._copy(there[0], writer)),
            ]
            self._copying.update(copying)
            await asyncio.wait(copying, return_when=asyncio.FIRST_COMPLETED)
            for task in copying:
                task.cancel()
            there[1].close()
        finally:
            writer.close()

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65_536):
                await self._open.wait()
                writer.write(data)
                await writer.drain()


@asynccontextmanager
async def line_to(port: int, host: str = "127.0.0.1") -> AsyncIterator[Line]:
    """A line to that port, on a port of its own."""
    line = Line(host, port)
    server = await asyncio.start_server(line.connected, "127.0.0.1", 0)
    line.port = server.sockets[0].getsockname()[1]
    try:
        yield line
    finally:
        line.go_on()
        server.close()
