"""The process's two listening ports.

Clients send to the main port. While the fault "offline" acts, that port is really closed, so that connections are
refused. The control port serves the same and always stays open, so that the fault can be removed.
"""

import asyncio
import contextlib
import signal
import socket
import time
from collections.abc import Iterator

import uvicorn
from starlette.applications import Starlette

from simulator.connections import Connection
from simulator.gateway import Gateway

__all__ = ["Server", "bind"]

BACKLOG = 2048
KEEP_ALIVE = 75
"""Seconds. Longer than clients keep an idle connection, so that the server never closes one that is about to be
used.
"""


def bind(host: str, port: int) -> socket.socket:
    """A bound socket that does not listen yet: connections to it are refused. Raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host, port))
    except BaseException:
        bound.close()
        raise
    return bound


class Server(uvicorn.Server):
    """uvicorn, with a main port that opens and closes while it runs."""

    def __init__(self, app: Starlette, gateway: Gateway, main: socket.socket, control: socket.socket) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=Connection,
                ws="none",
                lifespan="off",
                loop="asyncio",
                log_level="warning",
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_keep_alive=KEEP_ALIVE,
                timeout_graceful_shutdown=10,
                backlog=BACKLOG,
            )
        )
        self._gateway = gateway
        self._waiting = main
        self._host, self._port = main.getsockname()[:2]
        self._control = control
        self._main: asyncio.Server | None = None
        self._change = asyncio.Lock()
        self._return: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._telling: asyncio.Task[None] | None = None
        gateway.follow = self.follow

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Opens both ports."""
        del sockets
        await super().startup([self._control])
        await self.follow(None)
        self._telling = asyncio.create_task(self._gateway.courier.run())

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Releases requests that hang or wait, and closes everything."""
        self._gateway.stopping.set()
        if self._telling is not None:
            self._telling.cancel()
            await asyncio.wait([self._telling])
        if self._return is not None:
            self._return.cancel()
        if self._main is None:
            self._waiting.close()
        await super().shutdown(sockets)

    async def follow(self, spare: object) -> None:
        """Opens or closes the main port as the faults require. Closing cuts its connections, except ``spare``."""
        async with self._change:
            until = self._gateway.faults.offline_until()
            if self._return is not None:
                self._return.cancel()
                self._return = None
            if until is None:
                await self._open()
                return
            await self._close(spare)
            if until != float("inf"):
                self._return = asyncio.get_running_loop().call_later(
                    max(until - time.time(), 0) + 0.01, self._come_back
                )

    def _come_back(self) -> None:
        task = asyncio.create_task(self.follow(None))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _open(self) -> None:
        if self._main is not None:
            return
        self._main = await asyncio.get_running_loop().create_server(
            lambda: Connection(self.config, self.server_state, self.lifespan.state),
            sock=self._waiting,
            backlog=BACKLOG,
        )
        self.servers.append(self._main)

    async def _close(self, spare: object) -> None:
        if self._main is None:
            return
        self._main.close()
        self.servers.remove(self._main)
        self._main = None
        # Bound but not listening: connections are refused, and no other process can take the port.
        self._waiting = bind(self._host, self._port)
        for connection in list(self.server_state.connections):
            if (
                isinstance(connection, Connection)
                and connection.port == self._port
                and connection is not spare
            ):
                connection.reset()
        await asyncio.sleep(0)  # the resets go out in the loop's next turn, before the caller gets its answer

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """SIGINT and SIGTERM stop the server; the process then ends by itself, with exit code 0."""
        loop = asyncio.get_running_loop()
        signals = (signal.SIGINT, signal.SIGTERM)
        for number in signals:
            loop.add_signal_handler(number, self.handle_exit, number, None)
        try:
            yield
        finally:
            for number in signals:
                loop.remove_signal_handler(number)
