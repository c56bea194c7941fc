"""Answers that never end, or end too late: they cost neither memory nor time."""

import asyncio
import gzip
import time
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from messaging.gateways import http
from messaging.gateways.base import MaybeAccepted, NotAccepted
from messaging.gateways.http import HttpClient
from messaging.gateways.images import ImageStore
from messaging.gateways.networks import parse_networks
from tests.support.wire import Reply, wire

YES = b'HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n{"a": 1}'
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n"


@asynccontextmanager
async def talking(head: bytes, words: bytes, every: float = 0) -> AsyncIterator[str]:
    """The address of a server that answers with ``head`` and then these words again and again."""
    talks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        talks.add(task)
        try:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(head)
            while True:
                writer.write(words)
                await writer.drain()
                await asyncio.sleep(every)
        except ConnectionError:
            pass
        finally:
            writer.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for talk in talks:
            talk.cancel()
        await asyncio.gather(*talks, return_exceptions=True)


def chunk(words: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(words), words)


async def failure(url: str, timeout: float = 20) -> str:
    client = HttpClient("the gateway", url)
    try:
        with pytest.raises(MaybeAccepted) as caught:
            await client.request("POST", "/", timeout=timeout)
    finally:
        await client.close()
    return str(caught.value)


@asynccontextmanager
async def image_store() -> AsyncIterator[ImageStore]:
    store = ImageStore(parse_networks("127.0.0.0/8"), timeout=30)
    try:
        yield store
    finally:
        await store.close()


def memory() -> int:
    """Bytes that this process has in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


async def test_answers_that_never_end() -> None:
    before, began = memory(), time.monotonic()
    async with talking(HEAD + b"\r\n", chunk(b" " * 65_536)) as url:
        told = await asyncio.gather(*(failure(url) for _ in range(4)))
    assert time.monotonic() - began < 10
    assert all("it answered 200, but its answer has more than 256 KB" in words for words in told)
    assert memory() - before < 60_000_000


async def test_a_small_answer_is_not_unpacked_to_a_large_one() -> None:
    packed = gzip.compress(b" " * 100_000_000)
    assert len(packed) < http.LARGEST_ANSWER
    async with wire(Reply(200, packed, {"Content-Encoding": "gzip"})) as server:
        tracemalloc.start()
        try:
            told = await failure(server.url)
            _, most = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert "it answered 200, but its answer has more than 256 KB" in told
    assert most < 10_000_000


async def test_an_answer_that_stops_in_the_middle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "BETWEEN_BYTES", 0.2)
    async with talking(HEAD + b"\r\n", chunk(b"{"), every=60) as url:
        told = await failure(url)
    assert "it answered 200, but the rest of its answer did not come in time" in told


async def test_an_answer_that_drips_ends_with_the_time_of_the_request() -> None:
    began = time.monotonic()
    async with talking(HEAD + b"\r\n", chunk(b" "), every=0.05) as url:
        told = await failure(url, timeout=0.5)
    assert time.monotonic() - began < 5
    assert "it answered 200, but the rest of its answer did not come in time" in told


@pytest.mark.parametrize("words", [b"X-A: " + b"x" * 4_000 + b"\r\n", b"x" * 4_000])
async def test_headers_that_never_end(words: bytes) -> None:
    before, began = memory(), time.monotonic()
    async with talking(b"HTTP/1.1 200 OK\r\n", words) as url:
        await failure(url, timeout=1)
    assert time.monotonic() - began < 5
    assert memory() - before < 30_000_000


@pytest.mark.parametrize(
    "words", [b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"]
)
async def test_interim_answers_without_end_are_given_up_at_once(words: bytes) -> None:
    began = time.monotonic()
    async with talking(words, 1000 * words) as url:
        told = await failure(url, timeout=30)
        assert "it sends interim answers without end" in told
        async with image_store() as images:
            with pytest.raises(NotAccepted, match="its server is not reached, or breaks off"):
                await images.get(f"{url}/a.png", wait=30)
    assert time.monotonic() - began < 10


async def test_some_interim_answers_are_passed_over_for_each_request() -> None:
    async with talking(b"", 19 * b"HTTP/1.1 100 Continue\r\n\r\n" + YES, every=60) as url:
        client = HttpClient("the gateway", url)
        try:
            assert (await client.request("POST", "/", timeout=5)).content == {"a": 1}
        finally:
            await client.close()
