"""Fetches images by URL once, checks them, and keeps them for a while.

Authors of campaigns choose the URLs, and a worker runs inside its operator's network. So nothing is fetched from an
address that is not public. The result is an image that WhatsApp takes, or an error before anything is sent.
"""

import asyncio
import re
import socket
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from messaging.gateways.base import NotAccepted, Picture, WrongContent
from messaging.gateways.connections import Connector
from messaging.gateways.http import one_line
from messaging.gateways.networks import Network, parse_networks

__all__ = ["ImageStore", "Resolve", "is_public"]

LARGEST = 5_000_000
"""Bytes. WhatsApp Cloud API, "Supported media types": JPEG and PNG of up to 5 MB. Of both megabytes this is the smaller."""

TIMEOUT = 10.0
"""Seconds for one fetch, with all its redirects."""

WAIT = 2.0
"""Seconds that a message waits for its image: its claim must reach the gateway within messaging.sending.claim_lifetimes.CALL_GRACE."""

KEEP = 600.0
"""Seconds for which an image is kept."""

KEEP_FAILURES = 15.0
"""Seconds for which an error is kept, so that not every message fetches again."""

MEMORY = 64_000_000
"""Bytes of images that are kept, at most."""

ENTRIES = 64
"""Images and errors that are kept, at most."""

FETCHES = 8
"""Fetches at the same time. Others wait, and their time counts from their start."""

MAX_REDIRECTS = 3

_JPEG, _PNG = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"
_INVALID = "that is no web address; write one that begins with https://"
_CAUSES: tuple[tuple[type[BaseException], str], ...] = (
    (aiohttp.ClientConnectorDNSError, "the name of its server is not known; check the address"),
    (aiohttp.ClientConnectorCertificateError, "its certificate is not valid for that name; renew it"),
    (aiohttp.ClientSSLError, "its server speaks no TLS; check whether the address begins with https or http"),
    (ValueError, _INVALID),  # from yarl, aiohttp and the system, each of which refuses some
    (ConnectionRefusedError, "its server refuses connections; check that it runs, and the address"),
    (TimeoutError, "it took too long; see whether it opens in a browser"),
    (Exception, "its server is not reached, or breaks off; see whether it opens in a browser"),
)

Resolve = Callable[[str, int], Awaitable[list[str]]]
"""The addresses of a name, for a port. Raises OSError where there are none."""


# What is_global misses in the IANA special-purpose registries: protocol assignments with Teredo, 6to4 and its relays,
# documentation. The single one is public in name, but in Azure it is the host below the virtual machine.
_NOT_PUBLIC = parse_networks("192.0.0.0/24, 192.88.99.0/24, 168.63.129.16, 2001::/23, 2002::/16, 3fff::/20")
_UNICAST = IPv6Network("2000::/3")  # all global IPv6 (RFC 4291, 2.4); no mapped and NAT64 addresses


def is_public(address: IPv4Address | IPv6Address) -> bool:
    """True if it is a public address: not private, local, shared, reserved, multicast or a translated IPv4 address."""
    if address.is_multicast or address.is_reserved or any(address in network for network in _NOT_PUBLIC):
        return False
    return address.is_global and (address.version == 4 or address in _UNICAST)


class _Resolver(AbstractResolver):
    """Makes aiohttp connect to the checked address: a second look-up of the name may give another (DNS rebinding)."""

    def __init__(self, resolve: Resolve, permit: Callable[[str, list[str]], list[str]]) -> None:
        self._resolve, self._permit = resolve, permit

    async def resolve(self, host: str, port: int = 0, family: int = 0) -> list[ResolveResult]:
        return [
            ResolveResult(hostname=host, host=address, port=port, family=family, proto=0, flags=0)
            for address in self._permit(host, await self._resolve(host, port))
        ]

    async def close(self) -> None: ...


class ImageStore:
    """Fetches images and keeps them. Create it inside a running event loop; safe for many tasks at once.

    ``allowed``: networks that are fetched from although they are not public. ``resolve``: looks names up in place of
    the system. ``timeout``: of a fetch; ``keep``, ``keep_failures``: how long what came of it is kept; in seconds.
    """

    def __init__(
        self,
        allowed: Sequence[Network] = (),
        *,
        resolve: Resolve | None = None,
        timeout: float = TIMEOUT,
        keep: float = KEEP,
        keep_failures: float = KEEP_FAILURES,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._allowed = allowed
        self._timeout, self._keep, self._keep_failures = timeout, keep, keep_failures
        self._kept: OrderedDict[str, tuple[Picture | NotAccepted, float, int]] = OrderedDict()
        self._running: dict[str, asyncio.Task[Picture | NotAccepted]] = {}
        self._slots = asyncio.Semaphore(FETCHES)
        # Threads of its own: a dead name server for a campaign's image must not delay look-ups for a gateway.
        self._threads = ThreadPoolExecutor(FETCHES, thread_name_prefix="image-names")
        resolver = _Resolver(resolve or self._look_up, self._permit)
        self._session = aiohttp.ClientSession(
            connector=Connector(resolver=resolver, use_dns_cache=False, force_close=True),
            # Images are compressed already; and without unpacking there is no decompression bomb.
            headers={"Accept": "image/jpeg, image/png, */*;q=0.1", "Accept-Encoding": "identity"},
            auto_decompress=False,
            timeout=aiohttp.ClientTimeout(total=None),
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
        )

    async def close(self) -> None:
        """Ends all fetches, so that waiting callers get NotAccepted, and closes the connections."""
        running = [task for task in self._running.values() if task.cancel()]
        await asyncio.gather(*running, return_exceptions=True)
        await self._session.close()
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def get(self, url: str, *, wait: float = WAIT) -> Picture:
        """The image at ``url``, fetched or kept, within ``wait`` seconds; a fetch that takes longer goes on.

        Its bytes decide what it is. A Content-Type may be missing, of no kind (octet-stream) or of another image, as
        many servers have it, but must not say that it is something else, like a page. Raises WrongContent where the
        image can never be used, and NotAccepted where it may be later; both concern the message alone.
        """
        outcome, until, _ = self._kept.get(url, (None, 0.0, 0))
        if outcome is not None and self._loop.time() < until:
            self._kept.move_to_end(url)
        else:
            task = self._running.get(url)
            if task is None:
                task = self._running[url] = asyncio.create_task(self._fetch(url))
                task.add_done_callback(partial(self._remember, url))
            # A fetch goes on after the end of the wait or a cancelled caller, as others may wait for it.
            await asyncio.wait({task}, timeout=wait)
            if not task.done() or task.cancelled():
                why = "was stopped" if task.done() else "is still being fetched; its server is slow"
                raise NotAccepted(f"the image {_format_url(url)} {why}", concerns="message")
            outcome = task.result()
        if isinstance(outcome, Picture):
            return outcome
        # Each caller gets an error of its own, as a raised error collects a traceback.
        raise type(outcome)(str(outcome), concerns=outcome.concerns)

    def _remember(self, url: str, task: asyncio.Task[Picture | NotAccepted]) -> None:
        del self._running[url]
        if task.cancelled():
            return
        outcome = task.result()
        seconds, size = self._keep_failures, 0
        if isinstance(outcome, Picture):
            seconds, size = self._keep, len(outcome.content)
        self._kept[url] = (outcome, self._loop.time() + seconds, size)
        self._kept.move_to_end(url)
        while len(self._kept) > ENTRIES or sum(size for _, _, size in self._kept.values()) > MEMORY:
            self._kept.popitem(last=False)

    async def _fetch(self, url: str) -> Picture | NotAccepted:
        """The image or the error, as a value, since any number of callers may wait for it."""
        hops: list[URL] = []
        try:
            async with self._slots, asyncio.timeout(self._timeout):
                return await self._follow(URL(url), hops)
        except NotAccepted as error:
            kind, why = type(error), str(error)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            chain = (error, error.__cause__)
            why = next(text for cause, text in _CAUSES if any(isinstance(each, cause) for each in chain))
            kind = WrongContent if why is _INVALID else NotAccepted
        redirected = f" (redirected to {_format_url(str(hops[-1]))})" if len(hops) > 1 else ""
        text = one_line(f"the image {_format_url(url)}{redirected} cannot be used: {why}")
        return kind(text, concerns="message")

    async def _follow(self, address: URL, hops: list[URL]) -> Picture:
        for _ in range(MAX_REDIRECTS + 1):
            hops.append(address)
            self._check(address)
            async with self._session.get(address, allow_redirects=False) as answer:
                if answer.status not in {301, 302, 303, 307, 308} or "Location" not in answer.headers:
                    return await _read(answer)
                address = address.join(URL(answer.headers["Location"]))
        raise WrongContent(f"more than {MAX_REDIRECTS} redirects; give the address that they end at")

    def _check(self, address: URL) -> None:
        host = address.raw_host or ""
        if address.scheme not in {"http", "https"} or not re.fullmatch(r"[\w.-]+|[\da-f:.]+", host, re.ASCII):
            raise WrongContent(_INVALID)
        if address.raw_user is not None or address.raw_password is not None:
            raise WrongContent("the address holds a user name or password; use one that needs none")
        # aiohttp asks no resolver for literal addresses, and the system knows odd ways to write them. A name whose
        # last part is a number is such a one (WHATWG URL, "ends in a number"), and has to be the common one.
        if ":" in host or re.fullmatch(r"[0-9]+|0x[0-9a-f]*", host.rstrip(".").rpartition(".")[2]):
            self._permit(host, [host])

    def _permit(self, host: str, addresses: list[str]) -> list[str]:
        parsed = [ip_address(address) for address in addresses]
        permitted = [str(one) for one in parsed if is_public(one) or any(one in net for net in self._allowed)]
        if not permitted:
            raise WrongContent(f"{host} is not at a public address; use another, or have its network allowed")
        return permitted

    async def _look_up(self, host: str, port: int) -> list[str]:
        ask = partial(socket.getaddrinfo, host.encode(), port, type=socket.SOCK_STREAM)
        return [str(found[4][0]) for found in await self._loop.run_in_executor(self._threads, ask)]


async def _read(answer: aiohttp.ClientResponse) -> Picture:
    if answer.status != 200:
        kind = NotAccepted if answer.status >= 500 or answer.status in {408, 425, 429} else WrongContent
        raise kind(f"its server answers {answer.status}; see whether a browser opens it without a login")
    declared = answer.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if declared and not declared.startswith("image/") and not declared.endswith("/octet-stream"):
        raise WrongContent(f"it is served as {one_line(declared)[:100]}; give the image's own address")
    if answer.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise WrongContent("its server compresses it, though asked not to; have it send images as they are")
    too_large = f"it has more than {LARGEST // 1_000_000} MB, and WhatsApp takes no more; make it smaller"
    if (answer.content_length or 0) > LARGEST:
        raise WrongContent(too_large)
    content = bytearray()
    async for chunk in answer.content.iter_any():
        content += chunk
        if len(content) > LARGEST:
            raise WrongContent(too_large)
    if not content:
        raise WrongContent("it is empty; put it there again")
    if not content.startswith((_JPEG, _PNG)):
        raise WrongContent("it is neither JPEG nor PNG, and WhatsApp takes no other; convert it")
    return Picture(content=bytes(content), media_type="image/png" if content[0] == _PNG[0] else "image/jpeg")


def _format_url(url: str) -> str:
    """The URL in one line, without what may be secret: user, password and query."""
    try:
        text = str(URL(url).with_user(None).with_query(None).with_fragment(None))
    except ValueError:
        text = re.split(r"[?#]", re.sub(r"//.*@", "//", url, flags=re.DOTALL), maxsplit=1)[0]
    return one_line(text)[:200]
