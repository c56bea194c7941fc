"""Connections that are closed or left hanging instead of an answer."""

import asyncio
import socket
import struct
from typing import Any

from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

__all__ = ["Connection", "Dropped", "Hung"]


class Connection(H11Protocol):
    """uvicorn's connection, which its requests can reach (``request.state.connection``) in order to cut it."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.app_state: dict[str, Any] = {**self.app_state, "connection": self}

    @property
    def port(self) -> int | None:
        """The local port of the connection."""
        return self.server[1] if self.server else None

    def cut(self) -> None:
        """Closes the connection at once; unsent data is lost."""
        self.transport.abort()

    def reset(self) -> None:
        """Closes the connection at once with a reset, as a machine that went down answers."""
        connected = self.transport.get_extra_info("socket")
        if connected is not None:
            connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.cut()


class Dropped(Response):
    """Closes the connection without a byte of an answer."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        del send
        scope["state"]["connection"].cut()
        await _gone(receive)


class Hung(Response):
    """Says nothing until the client gives up, ``over`` is set or ``seconds`` are over; then closes the connection."""

    def __init__(self, over: asyncio.Event, seconds: float | None) -> None:
        super().__init__()
        self._over = over
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        del send
        waits = [asyncio.create_task(_gone(receive)), asyncio.create_task(self._over.wait())]
        try:
            await asyncio.wait(waits, timeout=self._seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
            await asyncio.wait(waits)
        scope["state"]["connection"].cut()
        await _gone(receive)


async def _gone(receive: Receive) -> None:
    """Until the client's side of the connection is closed: only then uvicorn expects no answer."""
    while (await receive())["type"] != "http.disconnect":
        pass
