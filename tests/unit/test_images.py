"""Images: from real servers on this machine, never from where a worker must not look, and none that WhatsApp refuses."""

import asyncio
import contextlib
import gzip
import socket
import time
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from messaging.gateways.base import NotAccepted, Picture, WrongContent
from messaging.gateways.images import ENTRIES, FETCHES, LARGEST, MEMORY, ImageStore, is_public
from messaging.gateways.networks import parse_networks
from rig.waiting import until
from tests.support.ports import free_port

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


@pytest.fixture
async def servers() -> AsyncIterator[Servers]:
    opened = Servers()
    yield opened
    await opened.close()


@pytest.fixture
async def store() -> AsyncIterator[ImageStore]:
    opened = ImageStore(LOCAL)
    yield opened
    await opened.close()


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


# Where a worker must not look

INTERNAL = [
    "0.0.0.0", "10.1.2.3", "100.64.0.1", "100.100.100.200", "127.0.0.1", "127.8.8.8", "168.63.129.16",
    "169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.1", "192.0.0.192", "192.0.2.1", "192.88.99.1",
    "192.168.1.1", "198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.255", "240.0.0.1",
    "255.255.255.255", "::", "::1", "::127.0.0.1", "::8.8.8.8", "::ffff:127.0.0.1", "::ffff:8.8.8.8",
    "::ffff:0:10.0.0.1", "64:ff9b::a00:1", "64:ff9b::808:808", "64:ff9b:1::a00:1", "100::1", "2001::1", "2001:2::1",
    "2001:10::1", "2001:db8::1", "2002:7f00:1::1", "2002:808:808::1", "3fff::1", "5f00::1", "fc00::1", "fd12::1",
    "fe80::1", "fec0::1", "ff02::1", "ff0e::1",
]  # fmt: skip


@pytest.mark.parametrize("address", ["1.1.1.1", "8.8.8.8", "100.63.255.255", "172.32.0.1", "2606:4700::1111"])
def test_public_addresses(address: str) -> None:
    assert is_public(ip_address(address))


@given(st.integers(0, 2**32 - 1).map(IPv4Address))
def test_no_ipv4_address_is_public_inside_another(address: IPv4Address) -> None:
    for prefix, shift in (("::", 0), ("::ffff:0:0", 0), ("64:ff9b::", 0), ("64:ff9b:1::", 0), ("2002::", 80)):
        assert not is_public(IPv6Address(int(IPv6Address(prefix)) + (int(address) << shift)))


@given(st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)))
def test_no_special_address_is_public(address: IPv4Address | IPv6Address) -> None:
    special = (address.is_private, address.is_loopback, address.is_link_local, address.is_multicast)
    if any(special) or address.is_reserved or address.is_unspecified or not address.is_global:
        assert not is_public(address)


async def test_internal_addresses_are_refused() -> None:
    async def resolve(name: str, port: int) -> list[str]:
        return [INTERNAL[int(name.partition(".")[0][1:])]]

    async with opened(ImageStore(resolve=resolve)) as store:
        for number, address in enumerate(INTERNAL):
            literal = f"[{address}]" if ":" in address else address
            for host in (literal, f"n{number}.example"):
                words = await error_of(store.get(f"http://{host}/"), WrongContent)
                assert "not at a public address" in words, host


async def test_nothing_reaches_an_internal_server(servers: Servers) -> None:
    internal = Images()
    url = await servers.web(internal)
    port = url.rpartition(":")[2]
    async with opened(ImageStore()) as store:
        for host in ("127.0.0.1", "localhost", "LOCALHOST", "[::ffff:127.0.0.1]"):
            words = await error_of(store.get(f"http://{host}:{port}/"), WrongContent)
            assert "not at a public address" in words, host
    assert internal.hits == 0


@pytest.mark.parametrize(
    "host",
    [
        "2130706433", "0x7f000001", "0x7f.1", "127.1", "127.0.1", "0177.0.0.1", "017700000001", "127.0.0.01",
        "127.0.0.1.", "127.0.0.1..", "0x7f.0.0.0x1", "127.0.0.0x1", "127.0.0.0X1", "0x", "256.0.0.1", "1.2.3.4.5",
        "[::ffff:127.0.0.1]", "[::1%25lo]", "[::1%lo]",
    ],
)  # fmt: skip
async def test_odd_ways_to_write_an_address_are_refused(servers: Servers, host: str) -> None:
    """Even of one that is allowed: whether all who read it mean the same by it, nobody knows."""
    server = Images()
    port = (await servers.web(server)).rpartition(":")[2]
    async with opened(ImageStore(parse_networks("127.0.0.0/8"))) as store:
        await error_of(store.get(f"http://{host}:{port}/"), WrongContent)
    assert server.hits == 0


async def test_other_digits_and_dots_are_no_way_around(servers: Servers) -> None:
    server = Images()
    port = (await servers.web(server)).rpartition(":")[2]
    async with opened(ImageStore()) as store:
        for host in ("127。0。0。1", "①②⑦.0.0.1", "127.0.0.1"):
            await error_of(store.get(f"http://{host}:{port}/"), WrongContent)
    assert server.hits == 0


async def test_an_allowed_network_is_fetched_from(servers: Servers, store: ImageStore) -> None:
    mine, other = Images(), Images()
    assert await store.get(await servers.web(mine))
    await error_of(store.get(await servers.web(other, "127.0.0.2")), WrongContent)
    assert (mine.hits, other.hits) == (1, 0)


async def test_a_name_is_connected_to_where_it_was_checked(servers: Servers) -> None:
    """DNS rebinding: the second answer is another one."""
    answers = [["127.0.0.1"], ["127.0.0.2"]]
    public = Images()
    port = (await servers.web(public)).rpartition(":")[2]
    internal_hits: list[int] = []

    async def resolve(name: str, port: int) -> list[str]:
        assert name == "rebound.example"
        return answers.pop(0)

    url = f"http://rebound.example:{port}/"
    internal = await asyncio.start_server(lambda *_: internal_hits.append(1), "127.0.0.2", int(port))
    async with internal, opened(ImageStore(LOCAL, resolve=resolve, keep=0)) as store:
        assert await store.get(url)
        assert len(answers) == 1, "asked once for one connection"
        assert "rebound.example is not at a public address" in await error_of(store.get(url), WrongContent)
    assert (public.hits, internal_hits) == (1, [])


async def test_of_several_addresses_only_public_ones_are_tried(servers: Servers) -> None:
    public = Images()
    port = (await servers.web(public)).rpartition(":")[2]
    internal_hits: list[int] = []

    async def resolve(name: str, port: int) -> list[str]:
        return ["127.0.0.2", "::1", "127.0.0.1"]

    internal = await asyncio.start_server(lambda *_: internal_hits.append(1), "127.0.0.2", int(port))
    async with internal, opened(ImageStore(LOCAL, resolve=resolve)) as store:
        assert await store.get(f"http://mixed.example:{port}/")
    assert (public.hits, internal_hits) == (1, [])


@pytest.mark.parametrize(
    "url",
    [
        "", "image.png", "//127.0.0.1/a.png", "ftp://127.0.0.1/a.png", "file:///etc/hostname", "http://", "http:///a",
        "javascript:alert(1)", "data:image/png;base64,iVBORw0KGgo=", "gopher://127.0.0.1/", "http://[::1", "http://a b/",
        "http://127.0.0.1:99999/", "http://127.0.0.1:x/", "http://\x00/", f"http://{'a' * 64}/",
        "http://" + "a." * 200 + "/", "unix:///run/x.sock", "ws://127.0.0.1/", "http+unix://x/",
    ],
)  # fmt: skip
async def test_what_is_no_web_address(store: ImageStore, url: str) -> None:
    with pytest.raises(NotAccepted) as caught:
        await store.get(url)
    if "aaa" not in url and "a.a" not in url:
        assert isinstance(caught.value, WrongContent), caught.value
    assert caught.value.concerns == "message"


@pytest.mark.parametrize("user", ["user:secret", "user", ":secret", ""])
async def test_credentials_in_the_address_are_refused(servers: Servers, store: ImageStore, user: str) -> None:
    server = Images()
    url = await servers.web(server)
    with_user = f"{url}/a.png".replace("//", f"//{user}@")
    if user:
        words = await error_of(store.get(with_user), WrongContent)
        assert f"the image {url}/a.png cannot be used: the address holds a user name or password" in words
        assert server.hits == 0


# Redirects


def hops(count: int, end: Handler) -> Handler:
    """Redirects from /count down to /0, by relative and absolute addresses in turn."""

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        left = int(request.path.strip("/"))
        if left == 0:
            return await end(request)
        status = (301, 302, 303, 307, 308)[left % 5]
        target = f"/{left - 1}" if left % 2 else f"http://{request.host}/{left - 1}"
        return web.Response(status=status, headers={"Location": target, "Set-Cookie": "a=b"})

    return handle


async def test_three_redirects_are_followed_and_no_more(servers: Servers, store: ImageStore) -> None:
    end = Images()
    url = await servers.web(hops(9, end))
    for count in (1, 2, 3):
        assert await store.get(f"{url}/{count}")
    assert end.hits == 3
    assert "more than 3 redirects" in await error_of(store.get(f"{url}/4"), WrongContent)
    assert end.hits == 3


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_every_redirect_is_followed(servers: Servers, store: ImageStore, status: int) -> None:
    target = await servers.web(Images())
    url = await servers.web(answering(status, b"", Location=f"{target}/b.png"))
    assert await store.get(url)


@pytest.mark.parametrize(
    "target", ["ftp://{host}/", "file:///etc/hostname", "http://user:secret@{host}/", "http://["]
)
async def test_a_redirect_to_what_is_no_web_address_is_refused(
    servers: Servers, store: ImageStore, target: str
) -> None:
    end = Images()
    host = (await servers.web(end)).removeprefix("http://")
    url = await servers.web(answering(302, b"", Location=target.format(host=host)))
    words = await error_of(store.get(url), WrongContent)
    assert words.startswith(f"the image {url}")
    assert "secret" not in words
    assert end.hits == 0


@pytest.mark.parametrize("host", ["127.0.0.2", "internal.example", "2130706434", "[::ffff:127.0.0.2]"])
async def test_a_redirect_to_an_internal_server_is_refused(servers: Servers, host: str) -> None:
    internal = Images()
    port = (await servers.web(internal, "127.0.0.2")).rpartition(":")[2]
    target = f"http://{host}:{port}/b.png?token=hidden"
    url = await servers.web(answering(302, b"", Location=target))

    async def resolve(name: str, port: int) -> list[str]:
        return ["127.0.0.2"]

    async with opened(ImageStore(LOCAL, resolve=resolve)) as store:
        words = await error_of(store.get(f"{url}/a.png?token=hidden"), WrongContent)
    assert words.startswith(f"the image {url}/a.png (redirected to http://")
    assert "hidden" not in words
    assert internal.hits == 0


async def test_a_name_is_checked_again_after_a_redirect_to_itself(servers: Servers) -> None:
    answers = [["127.0.0.1"], ["127.0.0.2"]]
    end = Images()
    port = (await servers.web(hops(1, end))).rpartition(":")[2]

    async def resolve(name: str, port: int) -> list[str]:
        return answers.pop(0)

    async with opened(ImageStore(LOCAL, resolve=resolve)) as store:
        await error_of(store.get(f"http://rebound.example:{port}/1"), WrongContent)
    assert (answers, end.hits) == ([], 0)


async def test_neither_cookies_nor_a_proxy_of_the_environment(
    servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    cookies: list[str | None] = []

    async def end(request: web.BaseRequest) -> web.Response:
        cookies.append(request.headers.get("Cookie"))
        return web.Response(body=PNG)

    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
    port = (await servers.web(hops(2, end))).rpartition(":")[2]

    async def resolve(name: str, port: int) -> list[str]:
        return ["127.0.0.1"]

    async with opened(ImageStore(LOCAL, resolve=resolve)) as store:
        assert await store.get(f"http://cookies.example:{port}/2")
    assert cookies == [None]


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


# One fetch for all


class Held:
    """A handler that answers when it is told to."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.hits = 0
        self.inside = 0
        self.peak = 0

    async def __call__(self, _: web.BaseRequest) -> web.Response:
        self.hits += 1
        self.inside += 1
        self.peak = max(self.peak, self.inside)
        try:
            await self.go.wait()
        finally:
            self.inside -= 1
        return web.Response(body=PNG)


async def test_an_image_is_fetched_once_for_all(servers: Servers, store: ImageStore) -> None:
    held = Held()
    url = await servers.web(held)
    getting = [asyncio.create_task(store.get(url)) for _ in range(50)]
    await until(lambda: held.hits > 0)
    held.go.set()
    assert {picture.content for picture in await asyncio.gather(*getting)} == {PNG}
    assert held.hits == 1


async def test_who_is_cancelled_takes_no_image_from_others(servers: Servers, store: ImageStore) -> None:
    held = Held()
    url = await servers.web(held)
    first = asyncio.create_task(store.get(url))
    await until(lambda: held.hits > 0)
    second = asyncio.create_task(store.get(url))
    await asyncio.sleep(0)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    held.go.set()
    assert await second
    assert held.hits == 1


async def test_the_wait_ends_and_the_fetch_goes_on(servers: Servers, store: ImageStore) -> None:
    held = Held()
    url = await servers.web(held)
    for _ in range(2):
        assert "is still being fetched" in await error_of(store.get(f"{url}/a?b=c", wait=0.1), NotAccepted)
    held.go.set()
    assert await store.get(f"{url}/a?b=c")
    assert held.hits == 1


async def test_a_failure_is_everybodys_own_error(servers: Servers, store: ImageStore) -> None:
    url = await servers.web(answering(404))
    errors = await asyncio.gather(*(store.get(url) for _ in range(3)), return_exceptions=True)
    assert [type(error) for error in errors] == [WrongContent] * 3
    assert len({id(error) for error in errors}) == 3


async def test_so_many_fetches_at_once(servers: Servers, store: ImageStore) -> None:
    held = Held()
    url = await servers.web(held)
    getting = [asyncio.create_task(store.get(f"{url}/{number}")) for number in range(2 * FETCHES)]
    await until(lambda: held.inside == FETCHES)
    await error_of(store.get(f"{url}/more", wait=0.1), NotAccepted)
    held.go.set()
    await asyncio.gather(*getting)
    assert held.peak == FETCHES == 8


async def test_closing_ends_the_fetches(servers: Servers) -> None:
    asked, left = asyncio.Event(), asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.set()
        assert await reader.read() == b""
        left.set()

    store = ImageStore(LOCAL)
    getting = asyncio.create_task(store.get(await servers.raw(talk)))
    await asyncio.wait_for(asked.wait(), 5)
    await store.close()
    assert "was stopped" in await error_of(getting, NotAccepted)
    await asyncio.wait_for(left.wait(), 5)


# What is kept


async def test_an_image_is_kept(servers: Servers) -> None:
    server = Images()
    url = await servers.web(server)
    async with opened(ImageStore(LOCAL, keep=600, keep_failures=0)) as store:
        for _ in range(3):
            await store.get(url)
    assert server.hits == 1


async def test_an_image_is_fetched_anew_later(servers: Servers) -> None:
    server = Images()
    url = await servers.web(server)
    async with opened(ImageStore(LOCAL, keep=0.05, keep_failures=600)) as store:
        await store.get(url)
        server.content = JPEG
        await asyncio.sleep(0.06)
        assert (await store.get(url)).content == JPEG


@pytest.mark.parametrize(("status", "kind"), [(404, WrongContent), (503, NotAccepted)])
async def test_a_failure_is_kept_for_a_time_of_its_own(
    servers: Servers, status: int, kind: type[NotAccepted]
) -> None:
    hits = 0

    async def handle(_: web.BaseRequest) -> web.Response:
        nonlocal hits
        hits += 1
        return web.Response(status=status) if hits <= 2 else web.Response(body=PNG)

    url = await servers.web(handle)
    async with opened(ImageStore(LOCAL, keep=0, keep_failures=600)) as store:
        assert await error_of(store.get(url), kind) == await error_of(store.get(url), kind)
    assert hits == 1
    async with opened(ImageStore(LOCAL, keep=600, keep_failures=0.05)) as store:
        await error_of(store.get(url), kind)
        await asyncio.sleep(0.06)
        assert await store.get(url)


async def test_so_many_images_are_kept(servers: Servers, store: ImageStore) -> None:
    server = Images()
    url = await servers.web(server)
    for number in range(ENTRIES):
        await store.get(f"{url}/{number}")
    await store.get(f"{url}/0")  # now the one least recently used is /1
    await store.get(f"{url}/new")
    assert server.hits == ENTRIES + 1
    await store.get(f"{url}/0")
    assert server.hits == ENTRIES + 1
    await store.get(f"{url}/1")
    assert server.hits == ENTRIES + 2


async def test_so_many_bytes_are_kept(servers: Servers, store: ImageStore) -> None:
    server = Images(PNG.ljust(LARGEST, b"."))
    url = await servers.web(server)
    fit = MEMORY // LARGEST
    for number in range(fit):
        await store.get(f"{url}/{number}")
    await store.get(f"{url}/0")
    assert server.hits == fit
    await store.get(f"{url}/new")
    await store.get(f"{url}/0")
    assert server.hits == fit + 1
    await store.get(f"{url}/1")
    assert server.hits == fit + 2


# The setting


def test_networks_of_a_setting() -> None:
    assert parse_networks("") == parse_networks(" , ") == ()
    networks = parse_networks("10.20.0.0/16, fd00:20::/32,192.168.1.5")
    assert [str(network) for network in networks] == ["10.20.0.0/16", "fd00:20::/32", "192.168.1.5/32"]


@pytest.mark.parametrize(
    "text", ["10.20.0.0/33", "images.example", "10.0.0.0/8 10.1.0.0/16", "10.20.0.1/16", "*"]
)
def test_what_is_no_network(text: str) -> None:
    with pytest.raises(ValueError, match=r"write networks like 10\.20\.0\.0/16") as caught:
        parse_networks(f"127.0.0.0/8, {text}")
    assert text in str(caught.value)
    assert "\n" not in str(caught.value)
