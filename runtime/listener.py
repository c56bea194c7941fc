"""A listening port with limits, so that clients cannot use up what the process needs for its own work.

Idle and slow connections are limited in number, time and memory, so that descriptors are left for sending. If another
process has the port, this one waits for it and takes over.
"""

import asyncio
import errno
import logging
import resource
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import cast

from messaging.common.errors import Unavailable
from messaging.common.say_once import SayOnce

__all__ = ["Listener", "raise_descriptor_limit"]

logger = logging.getLogger(__name__)
logger.addFilter(SayOnce())

MOST = 128
"""The most connections at a time; fewer if an eighth of the process's descriptors is less."""
REQUEST_WITHIN = 30.0
"""Seconds from a connection's start to the end of its request."""
MEMORY = 64 * 1024 * 1024
"""Bytes of all incomplete requests together."""
BACKLOG = 512
LOOK_EVERY = 1.0
"""Seconds between two attempts to take a port over."""
PAUSE = 1.0
"""Seconds after the system could not accept a connection."""
ENOUGH = 65_536
"""Descriptors; more are of no use."""


def raise_descriptor_limit() -> None:
    """Raises the limit of open files to the permitted maximum, which is far above the usual limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = ENOUGH if hard == resource.RLIM_INFINITY else min(hard, ENOUGH)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _most() -> int:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MOST if soft == resource.RLIM_INFINITY else max(4, min(MOST, soft // 8))


class Listener:
    """The port and its connections."""

    def __init__(self, what: str, setting: str, *, host: str, port: int) -> None:
        """For people: ``what`` comes in here, and which ``setting`` names the port."""
        self.port: int | None = None
        """The address that accepts connections; None while another process has the port."""
        self._what, self._setting, self._host, self._wanted = what, setting, host, port
        self._most = _most()
        self._sockets: list[socket.socket] = []
        self._open: set[asyncio.BaseTransport] = set()
        self._owing: dict[asyncio.BaseTransport, asyncio.TimerHandle] = {}
        """Connections whose request is not complete, with their deadline; the oldest comes first."""
        self._held: dict[asyncio.BaseTransport, int] = {}
        self._left = asyncio.Event()

    @asynccontextmanager
    async def serving(self, protocol: Callable[[], asyncio.Protocol]) -> AsyncIterator[None]:
        """Accepts connections during the block, each with a ``protocol`` of its own.

        If another process has the port, waits in the background until it is free. Raises Unavailable if it can never be
        used.
        """
        await self._bind()
        if self.port is None:
            logger.warning(
                "port %d of %s is in use, by another worker or program: %s are not received by this worker until it is"
                " free; if it is no worker that has it, set %s to another port",
                *(self._wanted, self._host, self._what, self._setting),
            )
        task = asyncio.create_task(self._serve(protocol))
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            for listening in self._sockets:
                listening.close()

    async def _serve(self, protocol: Callable[[], asyncio.Protocol]) -> None:
        while self.port is None:
            await asyncio.sleep(LOOK_EVERY)
            try:
                await self._bind()
            except Unavailable as error:
                logger.warning("%s", error)
        async with asyncio.TaskGroup() as group:
            for listening in self._sockets:
                group.create_task(self._accept(protocol, listening))

    async def _bind(self) -> None:
        """Listens on each address of the host, unless another process does. Raises Unavailable."""
        sockets: list[socket.socket] = []
        try:
            found = await asyncio.get_running_loop().getaddrinfo(
                self._host or None, self._wanted, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )
            for family, address in dict.fromkeys((family, address[:2]) for family, _, _, _, address in found):
                sockets.append(socket.create_server(address, family=family, backlog=BACKLOG))
                sockets[-1].setblocking(False)
        except OSError as error:
            for listening in sockets:
                listening.close()
            if error.errno == errno.EADDRINUSE:
                return
            no_address = isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL
            host = f"{self._setting.removesuffix('PORT')}HOST to an address of this machine"
            raise Unavailable(
                f"{self._what} cannot be received on port {self._wanted} of {self._host}:"
                f" {(error.strerror or str(error)).partition(' (while')[0]}; set"
                f" {host if no_address else f'{self._setting} to another port'}"
            ) from error
        self._sockets, self.port = sockets, sockets[0].getsockname()[1]
        logger.info("%s are received on port %d of %s", self._what, self.port, self._host)

    def holds(self, transport: asyncio.BaseTransport | None, size: int) -> None:
        """Counts the bytes of an incomplete request; if all together are too many, closes the oldest incomplete
        connection.
        """
        if transport in self._owing:
            self._held[transport] = size
        while sum(self._held.values()) > MEMORY and self._close_longest():
            pass

    def complete(self, transport: asyncio.BaseTransport | None) -> None:
        """The request is complete: its connection is not closed to make room any more. Its bytes still count."""
        timer = self._owing.pop(transport, None) if transport is not None else None
        if timer is not None:
            timer.cancel()

    def entered(self, transport: asyncio.BaseTransport) -> None:
        """A connection begins."""
        self._open.add(transport)
        self._owing[transport] = asyncio.get_running_loop().call_later(REQUEST_WITHIN, self._close, transport)

    def left(self, transport: asyncio.BaseTransport) -> None:
        """A connection has ended."""
        self._forget(transport)
        self._open.discard(transport)
        self._left.set()

    async def _accept(self, protocol: Callable[[], asyncio.Protocol], listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, _ = await loop.sock_accept(listening)
            except OSError as error:  # no descriptors left, or a client that has gone already
                logger.warning(
                    "a connection for %s could not be accepted: %s", self._what, error.strerror or error
                )
                await asyncio.sleep(PAUSE)
                continue
            try:
                while len(self._open) >= self._most:
                    self._left.clear()
                    if self._close_longest():
                        logger.warning(
                            "more than %d connections for %s: those that have not sent their request are closed",
                            self._most,
                            self._what,
                        )
                    await self._left.wait()
                await loop.connect_accepted_socket(lambda: _Connection(protocol(), self), connection)
            except BaseException as error:
                connection.close()
                if not isinstance(error, OSError):
                    raise

    def _close_longest(self) -> bool:
        """Closes the connection that has waited longest with an incomplete request, if there is one."""
        longest = next(iter(self._owing), None)
        if longest is None:
            return False
        self._close(longest)
        return True

    def _close(self, transport: asyncio.BaseTransport) -> None:
        self._forget(transport)
        cast("asyncio.WriteTransport", transport).abort()  # not every event loop's transport is of that class

    def _forget(self, transport: asyncio.BaseTransport) -> None:
        self.complete(transport)
        self._held.pop(transport, None)


class _Connection(asyncio.Protocol):
    """Passes one connection to its protocol, and reports its begin and end to the listener."""

    def __init__(self, inner: asyncio.Protocol, listener: Listener) -> None:
        self._inner, self._listener = inner, listener
        self._transport: asyncio.BaseTransport | None = None
        self.data_received = inner.data_received  # type: ignore[method-assign]
        self.eof_received = inner.eof_received  # type: ignore[method-assign]
        self.pause_writing = inner.pause_writing  # type: ignore[method-assign]
        self.resume_writing = inner.resume_writing  # type: ignore[method-assign]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._listener.entered(transport)
        self._inner.connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        assert self._transport is not None
        self._listener.left(self._transport)
        self._inner.connection_lost(error)
