"""A loopback HTTP server that notes requests byte for byte and answers, or fails, as it is told.

Raw sockets, because what a gateway's client has to survive is what no HTTP server would do.
"""

import asyncio
import json
import re
import socket
import struct
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Literal, NamedTuple, TypeVar
from urllib.parse import parse_qsl

__all__ = [
    "UNKNOWN_NAME",
    "Fault",
    "Part",
    "Raw",
    "Reply",
    "Request",
    "Wire",
    "deaf",
    "refusing",
    "serving",
    "wire",
]

UNKNOWN_NAME = "http://nothing.invalid:8055"
"""RFC 6761: a name that never exists."""


class Part(NamedTuple):
    """One field of a multipart form. ``file_name`` and ``media_type`` are None where it has none."""

    value: bytes
    file_name: str | None
    media_type: str | None


@dataclass(frozen=True)
class Request:
    """A request as it came. ``path``: with its query. ``headers``: by their lower-case names."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    raw: bytes

    @property
    def media_type(self) -> str:
        """What the body is, without parameters."""
        return self.headers.get("content-type", "").split(";")[0].strip()

    def json(self) -> Any:
        """The body of a request that says it is JSON."""
        assert self.media_type == "application/json", self.headers
        return json.loads(self.body)

    def form(self) -> dict[str, str]:
        """The fields of an HTML form, each of which is there once."""
        assert self.media_type == "application/x-www-form-urlencoded", self.headers
        fields = parse_qsl(self.body.decode("ascii"), keep_blank_values=True, strict_parsing=True)
        assert len(dict(fields)) == len(fields), fields
        return dict(fields)

    def parts(self) -> dict[str, Part]:
        """The fields of a multipart form, each of which is there once."""
        assert self.media_type == "multipart/form-data", self.headers
        boundary = re.search(r'boundary="?([^";]+)"?', self.headers["content-type"])
        assert boundary is not None
        first, *chunks, last = self.body.split(b"--" + boundary[1].encode("ascii"))
        assert (first, last.strip()) == (b"", b"--")
        parts = dict(_part(chunk) for chunk in chunks)
        assert len(parts) == len(chunks)
        return parts


@dataclass(frozen=True)
class Reply:
    """A whole answer. ``body``: bytes as they are, everything else as JSON. ``then``: with the connection."""

    status: int = 200
    body: Any = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    then: Literal["keep", "close", "reset"] = "keep"

    def raw(self) -> bytes:
        """What goes over the wire."""
        json_body = not isinstance(self.body, bytes)
        body = json.dumps(self.body).encode() if json_body else self.body
        kind = {"Content-Type": "application/json" if json_body else "text/html"}
        headers = {**kind, **self.headers, "Content-Length": str(len(body))}
        lines = [f"HTTP/1.1 {self.status} Whatever", *(f"{name}: {value}" for name, value in headers.items())]
        return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


@dataclass(frozen=True)
class Raw:
    """These bytes, and then the end of the connection. ``waits``: for a whole request, or for its first byte."""

    answer: bytes
    waits: Literal["request", "byte"] = "request"


class Fault(Enum):
    """A connection that ends without an answer."""

    RESET_AT_ONCE = "reset before a byte was read"
    RESET = "reset after the request was read"
    CLOSE = "closed after the request was read"
    HANG = "no answer until the client gives up"


Act = Reply | Raw | Fault
Served = TypeVar("Served", bound="Wire")


class Wire:
    """A server's doings. ``requests``: all that came whole."""

    def __init__(self) -> None:
        self.url = ""
        self.requests: list[Request] = []
        self._acts: list[Act] = [Reply(500)]
        self._connections: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    def does(self, *acts: Act) -> None:
        """What it does with the next requests, one after the other; the last one for all that follow."""
        assert acts
        self._acts = list(acts)

    async def idle(self) -> None:
        """Returns when every connection is closed on this side."""
        while self._connections:
            await asyncio.wait(self._connections)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        task = asyncio.current_task()
        assert task is not None
        self._connections[task] = writer
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError):  # the client went away
                while await self._exchange(reader, writer):
                    pass
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()
            del self._connections[task]

    async def stop(self) -> None:
        """Cuts what is open."""
        for writer in self._connections.values():
            writer.transport.abort()
        await self.idle()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One request and what is done with it. False: the connection has to be closed."""
        if self._acts[0] is Fault.RESET_AT_ONCE:
            self._next()
            _reset(writer)
            return False
        if isinstance(self._acts[0], Raw) and self._acts[0].waits == "byte":
            await reader.readexactly(1)
        else:
            self.requests.append(await _read(reader))
        match self._next():
            case Reply() as reply:
                writer.write(reply.raw())
                await writer.drain()
                if reply.then == "reset":
                    _reset(writer)
                return reply.then == "keep"
            case Raw(answer):
                writer.write(answer)
                await writer.drain()
                # What was not read yet would make a reset of the end, and the answer might be lost.
                if writer.can_write_eof():
                    writer.write_eof()
                while await reader.read(65_536):
                    pass
            case Fault.RESET:
                _reset(writer)
            case Fault.HANG:
                await reader.read()
        return False

    def _next(self) -> Act:
        return self._acts.pop(0) if len(self._acts) > 1 else self._acts[0]


@asynccontextmanager
async def wire(*acts: Act) -> AsyncIterator[Wire]:
    """A server on this machine that does this; see ``Wire.does``."""
    running = Wire()
    if acts:
        running.does(*acts)
    async with serving(running):
        yield running


@asynccontextmanager
async def serving(running: Served) -> AsyncIterator[Served]:
    """The same for a server that is there already."""
    server = await asyncio.start_server(running.serve, "127.0.0.1", 0)
    running.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield running
    finally:
        server.close()
        await running.stop()


@contextmanager
def refusing() -> Iterator[str]:
    """The address of a port that refuses connections, and that nobody else can take meanwhile."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{bound.getsockname()[1]}"


@contextmanager
def deaf() -> Iterator[str]:
    """The address of a socket whose queue is full: a further connection gets no answer at all."""
    with socket.socket() as listening, socket.socket() as first, socket.socket() as second:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        for filler in (first, second):
            filler.setblocking(False)
            filler.connect_ex(listening.getsockname())
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


async def _read(reader: asyncio.StreamReader) -> Request:
    head = await reader.readuntil(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
    method, path, _ = first.split(" ")
    headers = {
        name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)
    }
    assert "transfer-encoding" not in headers, "the size of a request is known, and some servers insist on it"
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Request(method, path, headers, body, head + body)


def _reset(writer: asyncio.StreamWriter) -> None:
    """Ends the connection with RST: what is on its way is lost."""
    connection = writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def _part(chunk: bytes) -> tuple[str, Part]:
    head, _, value = chunk.removeprefix(b"\r\n").removesuffix(b"\r\n").partition(b"\r\n\r\n")
    headers = {
        name.strip().lower(): text.strip()
        for name, _, text in (line.partition(":") for line in head.decode("utf-8").split("\r\n"))
    }
    disposition = headers["content-disposition"]
    assert disposition.startswith("form-data"), disposition
    name = re.search(r'[; ]name="([^"]*)"', disposition)
    file_name = re.search(r'filename="([^"]*)"', disposition)
    assert name is not None, disposition
    return name[1], Part(value, file_name and file_name[1], headers.get("content-type"))
