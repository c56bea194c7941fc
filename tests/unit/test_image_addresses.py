"""Images are never fetched from where a worker must not look, by whatever name or redirect."""

import asyncio
from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from messaging.gateways.base import NotAccepted, WrongContent
from messaging.gateways.images import ImageStore, is_public
from messaging.gateways.networks import parse_networks
from tests.support.image_servers import (
    LOCAL,
    PNG,
    Handler,
    Images,
    Servers,
    answering,
    error_of,
    opened,
)
from tests.support.ports import free_port

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
