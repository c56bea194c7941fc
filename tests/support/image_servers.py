"""Servers of images on this machine, and what the store of images says of them."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from aiohttp import web

from messaging.gateways.base import NotAccepted, Picture
from messaging.gateways.images import ImageStore
from messaging.gateways.networks import parse_networks

__all__ = [
    "JPEG",
    "LOCAL",
    "PNG",
    "Handler",
    "Images",
    "Servers",
    "Talk",
    "answering",
    "error_of",
    "opened",
    "saying",
]

PNG = b"\x89PNG\r\n\x1a\n" + b"a png"
JPEG = b"\xff\xd8\xff\xe0" + b"a jpeg"
LOCAL = parse_networks("127.0.0.1")
"""This one only: the servers of somebody else are at 127.0.0.2."""

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Servers:
    """Starts servers for one test."""

    def __init__(self) -> None:
        self._stack = contextlib.AsyncExitStack()

    async def web(self, handler: Handler, host: str = "127.0.0.1") -> str:
        """The URL of a new web server, without a slash at the end."""
        runner = web.ServerRunner(web.Server(handler), shutdown_timeout=0.05)
        await runner.setup()
        self._stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, host, 0).start()
        return f"http://{host}:{runner.addresses[0][1]}"

    async def raw(self, talk: Talk) -> str:
        """The URL of a new server that reads the head of a request, and then does as told."""
        talks = set()

        async def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            talks.add(task)
            with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
                await reader.readuntil(b"\r\n\r\n")
                await talk(reader, writer)
            writer.close()

        async def end() -> None:
            for task in talks:
                task.cancel()
            await asyncio.gather(*talks, return_exceptions=True)

        server = await asyncio.start_server(begin, "127.0.0.1", 0)
        self._stack.push_async_callback(end)
        self._stack.callback(server.close)
        return f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"

    async def close(self) -> None:
        await self._stack.aclose()


@contextlib.asynccontextmanager
async def opened(store: ImageStore) -> AsyncIterator[ImageStore]:
    try:
        yield store
    finally:
        await store.close()


class Images:
    """A handler that serves one image, and counts."""

    def __init__(self, content: bytes = PNG) -> None:
        self.content = content
        self.hits = 0
        self.paths: list[str] = []

    async def __call__(self, request: web.BaseRequest) -> web.Response:
        self.hits += 1
        self.paths.append(request.path)
        return web.Response(body=self.content, content_type="image/png")


def answering(status: int = 200, body: bytes = PNG, **headers: str) -> Handler:
    async def handle(request: web.BaseRequest) -> web.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return web.Response(status=status, body=body, headers=named)

    return handle


def saying(head: str, body: bytes = b"") -> Talk:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(f"HTTP/1.1 {head}\r\n\r\n".encode() + body)
        await writer.drain()
        await reader.read()

    return talk


async def error_of(fetch: Awaitable[Picture], kind: type[NotAccepted]) -> str:
    """The words of the error, which has to be of that very kind, in one line, and about the message alone."""
    with pytest.raises(NotAccepted) as caught:
        await fetch
    assert type(caught.value) is kind, caught.value
    assert caught.value.concerns == "message"
    words = str(caught.value)
    assert "\n" not in words
    assert words.startswith("the image")
    return words
