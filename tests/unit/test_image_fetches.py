"""An image is fetched once for all who ask, and kept for a time."""

import asyncio

import pytest
from aiohttp import web

from messaging.gateways.base import NotAccepted, WrongContent
from messaging.gateways.images import ENTRIES, FETCHES, LARGEST, MEMORY, ImageStore
from rig.waiting import until
from tests.support.image_servers import (
    JPEG,
    LOCAL,
    PNG,
    Images,
    Servers,
    answering,
    error_of,
    opened,
)


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
