"""Images from real servers on this machine: none that WhatsApp refuses, and what each answer means."""

import asyncio
import gzip
import socket
import time
import zlib

import pytest
from aiohttp import web

from messaging.gateways.base import NotAccepted, Picture, WrongContent
from messaging.gateways.images import LARGEST, ImageStore
from tests.support.image_servers import (
    JPEG,
    LOCAL,
    PNG,
    Images,
    Servers,
    answering,
    error_of,
    opened,
    saying,
)
from tests.support.ports import free_port

# What an image is


async def test_images_are_fetched(servers: Servers, store: ImageStore) -> None:
    png, jpeg = await servers.web(Images(PNG)), await servers.web(Images(JPEG))
    assert await store.get(f"{png}/a") == Picture(content=PNG, media_type="image/png")
    assert await store.get(f"{jpeg}/a") == Picture(content=JPEG, media_type="image/jpeg")


@pytest.mark.parametrize(
    "declared",
    [
        "application/octet-stream",
        "binary/octet-stream",
        "image/jpg",
        "image/webp",
        "IMAGE/PNG; charset=utf-8",
        None,
    ],
)
async def test_a_vague_or_mistaken_content_type_is_overlooked(
    servers: Servers, store: ImageStore, declared: str | None
) -> None:
    line = "" if declared is None else f"Content-Type: {declared}\r\n"
    url = await servers.raw(saying(f"200 OK\r\n{line}Content-Length: {len(PNG)}", PNG))
    assert (await store.get(url)).media_type == "image/png"


@pytest.mark.parametrize("declared", ["text/html; charset=utf-8", "application/json", "video/mp4"])
async def test_what_is_said_to_be_something_else_is_no_image(
    servers: Servers, store: ImageStore, declared: str
) -> None:
    url = await servers.web(answering(Content_Type=declared))
    words = await error_of(store.get(url), WrongContent)
    assert f"served as {declared.partition(';')[0]}" in words


@pytest.mark.parametrize(
    "content", [b"GIF89a", b"RIFF\x00\x00\x00\x00WEBPVP8 ", b"<html>", b"\xff\xd8", b"x" + PNG, PNG[1:]]
)
async def test_bytes_of_another_kind_are_no_image(
    servers: Servers, store: ImageStore, content: bytes
) -> None:
    url = await servers.web(Images(content))
    assert "neither JPEG nor PNG" in await error_of(store.get(url), WrongContent)


async def test_an_empty_image_is_none(servers: Servers, store: ImageStore) -> None:
    url = await servers.web(Images(b""))
    assert "empty" in await error_of(store.get(url), WrongContent)


# Size


async def test_an_image_may_have_5_mb(servers: Servers, store: ImageStore) -> None:
    url = await servers.web(Images(PNG.ljust(LARGEST, b".")))
    assert len((await store.get(url)).content) == LARGEST == 5_000_000


async def test_a_larger_one_is_refused_before_it_is_read(servers: Servers, store: ImageStore) -> None:
    url = await servers.raw(saying(f"200 OK\r\nContent-Length: {LARGEST + 1}"))
    assert "more than 5 MB" in await error_of(store.get(url), WrongContent)


@pytest.mark.parametrize("chunked", [True, False])
async def test_a_larger_one_that_does_not_say_so_is_cut(
    servers: Servers, store: ImageStore, chunked: bool
) -> None:
    ended = asyncio.Event()
    sent = 0

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(
            b"HTTP/1.1 200 OK\r\n" + (b"Transfer-Encoding: chunked\r\n" if chunked else b"") + b"\r\n"
        )
        piece = PNG.ljust(65_536, b".")
        try:
            while sent < 4 * LARGEST:
                writer.write(b"10000\r\n%b\r\n" % piece if chunked else piece)
                await writer.drain()
                sent += len(piece)
        finally:
            ended.set()

    url = await servers.raw(talk)
    assert "more than 5 MB" in await error_of(store.get(url), WrongContent)
    await ended.wait()
    assert sent < 4 * LARGEST


async def test_compressed_images_are_not_unpacked(servers: Servers, store: ImageStore) -> None:
    asked: list[str | None] = []
    bomb = zlib.compress(PNG.ljust(20 * LARGEST, b"."), 1, wbits=31)
    assert len(bomb) < LARGEST

    async def handle(request: web.BaseRequest) -> web.Response:
        asked.append(request.headers.get("Accept-Encoding"))
        body = bomb if request.path == "/bomb" else gzip.compress(PNG)
        headers = {"Content-Encoding": "gzip", "Content-Type": "image/png"}
        return web.Response(body=body, headers=headers)

    url = await servers.web(handle)
    for path in ("/bomb", "/small"):
        assert "compresses it" in await error_of(store.get(url + path), WrongContent)
    assert asked == ["identity", "identity"]


# What a server answers


@pytest.mark.parametrize("status", [400, 401, 403, 404, 406, 410, 451, 204, 206, 300, 302, 304])
async def test_an_answer_that_is_for_good(servers: Servers, store: ImageStore, status: int) -> None:
    body = b"" if status in {204, 304} else PNG
    url = await servers.web(answering(status, body))
    words = await error_of(store.get(f"{url}/a.png?token=hidden#part"), WrongContent)
    assert words.startswith(f"the image {url}/a.png cannot be used: its server answers {status}; ")


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504, 599])
async def test_an_answer_that_may_change(servers: Servers, store: ImageStore, status: int) -> None:
    url = await servers.web(answering(status))
    words = await error_of(store.get(f"{url}/a.png?token=hidden"), NotAccepted)
    assert words.startswith(f"the image {url}/a.png cannot be used: its server answers {status}; ")


async def test_a_server_that_refuses(store: ImageStore) -> None:
    url = f"http://127.0.0.1:{free_port()}/a.png"
    assert "refuses connections" in await error_of(store.get(url), NotAccepted)


async def test_a_name_that_nobody_knows() -> None:
    async def resolve(name: str, port: int) -> list[str]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    async with opened(ImageStore(resolve=resolve)) as store:
        assert "the name of its server is not known" in await error_of(
            store.get("http://unknown.example/"), NotAccepted
        )


@pytest.mark.parametrize(
    ("head", "body"),
    [
        ("200 OK\r\nContent-Length: 100", PNG),
        ("200 OK\r\nTransfer-Encoding: chunked", b"5\r\n\x89PNG"),
        ("200 OK\r\nContent-Length: x", PNG),
        ("", b""),
    ],
)
async def test_a_server_that_breaks_off_or_speaks_no_http(
    servers: Servers, store: ImageStore, head: str, body: bytes
) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(f"HTTP/1.1 {head}\r\n\r\n".encode() + body if head else b"")
        await writer.drain()

    await error_of(store.get(await servers.raw(talk)), NotAccepted)


async def test_a_server_without_tls(servers: Servers, store: ImageStore) -> None:
    url = (await servers.web(Images())).replace("http:", "https:")
    assert "speaks no TLS" in await error_of(store.get(url), NotAccepted)


@pytest.mark.parametrize("phase", ["silent", "dripping", "redirecting"])
async def test_a_fetch_takes_so_long_and_no_longer(servers: Servers, phase: str) -> None:
    """However it is spent: each redirect and each byte comes within the time, and all of them do not."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if phase == "silent":
            await reader.read()
        if phase == "redirecting":
            await asyncio.sleep(0.15)
            writer.write(b"HTTP/1.1 302 Found\r\nLocation: /a\r\nContent-Length: 0\r\n\r\n")
            await writer.drain()
            return
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        while True:
            writer.write(b".")
            await writer.drain()
            await asyncio.sleep(0.02)

    url = await servers.raw(talk)
    async with opened(ImageStore(LOCAL, timeout=0.25)) as store:
        began = time.monotonic()
        assert "took too long" in await error_of(store.get(url), NotAccepted)
        assert 0.2 < time.monotonic() - began < 5
