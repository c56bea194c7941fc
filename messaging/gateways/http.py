"""An HTTP client for gateways: every failure says whether the request may have reached the server."""

import asyncio
import json
import math
import re
import zlib
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from messaging.common.storable import storable
from messaging.common.values import Value
from messaging.gateways.base import MaybeAccepted, NotAccepted
from messaging.gateways.connections import Connector
from messaging.gateways.options import redacted

__all__ = ["Answer", "HttpClient", "alike", "format_cause", "format_words", "one_line", "retry_after"]

CONNECTIONS = 500
"""The most requests in flight; others wait for a connection, and count as not accepted if that takes too long."""

CONNECT_TIMEOUT = 5.0
"""Seconds to get a connection, within the timeout of the request."""

KEEP_ALIVE = 4.0
"""Seconds that an idle connection is kept. Many servers close idle ones after five; a request at that moment would
leave its message in doubt.
"""

LARGEST_ANSWER = 256 * 1024
"""Bytes of an answer, also after unpacking; those of gateways have some hundred."""

BETWEEN_BYTES = 5.0
"""Seconds that an answer which has begun may pause."""

LONGEST_RETRY_AFTER = 900.0
"""Seconds. A longer wait that a gateway asks for is cut to this. A number that is barred for longer gets an error that
says so; and one mistake of a proxy must not cost a day.
"""

LONGEST_WORDS = 500


class Answer(Value):
    """An answer. ``content``: its JSON, None where it is none, or where a no did not come whole: then its status speaks.
    ``retry_after``: seconds, where it says."""

    status: int
    content: Any
    retry_after: float | None


class _Progress:
    """The progress of one request. ``sent`` is set before its first byte can leave."""

    def __init__(self) -> None:
        self.sent = False


class _NoAnswer(Exception):
    def __init__(self, why: str, *, sent: bool) -> None:
        super().__init__(why)
        self.sent = sent


class HttpClient:
    """The connections to one gateway. Create it inside a running event loop; safe for many tasks at once."""

    def __init__(self, what: str, url: str) -> None:
        """``what`` names the gateway in errors; ``url`` is its address, without a slash at the end."""
        self._url = url
        parts = urlsplit(url)
        self.name = f"{what} at {parts.hostname}" + (f":{parts.port}" if parts.port else "")
        trace = aiohttp.TraceConfig()
        trace.on_request_headers_sent.append(_note_sent)
        self._session = aiohttp.ClientSession(
            connector=Connector(limit=CONNECTIONS, keepalive_timeout=KEEP_ALIVE),
            # If a server compresses its answers all the same, they are unpacked with a limit.
            headers={"Accept-Encoding": "identity"},
            auto_decompress=False,
            trace_configs=[trace],
            cookie_jar=aiohttp.DummyCookieJar(),
        )

    async def close(self) -> None:
        """Closes the connections."""
        await self._session.close()

    async def request(self, method: str, path: str, *, timeout: float, **request: Any) -> Answer:
        """The answer, whatever it says, within ``timeout`` seconds. ``request``: as aiohttp takes it.

        A POST goes out once: aiohttp repeats, after a connection that was closed, only methods that are idempotent by
        themselves, and redirects are not followed. Raises NotAccepted if no byte can have gone out, and MaybeAccepted
        if some may have and there is no complete answer.
        """
        try:
            return await self._exchange(method, path, timeout, request)
        except _NoAnswer as error:
            if error.sent:
                raise self.maybe(str(error)) from error
            raise NotAccepted(f"{self.name} cannot be reached: {error}") from error

    async def ask(
        self,
        path: str,
        query: Mapping[str, str],
        *,
        timeout: float,
        headers: Mapping[str, str] | None = None,
        largest: int = LARGEST_ANSWER,
    ) -> Answer:
        """The answer to a read request, of ``largest`` bytes at most, within ``timeout`` seconds. Raises NotAccepted if there
        is none.
        """
        request = {"params": query, "headers": headers}
        try:
            return await self._exchange("GET", path, timeout, request, largest)
        except _NoAnswer as error:
            raise NotAccepted(f"{self.name} could not be asked: {error}") from error

    async def _exchange(
        self,
        method: str,
        path: str,
        timeout: float,
        request: Mapping[str, Any],
        largest: int = LARGEST_ANSWER,
    ) -> Answer:
        await _notice_closed_connections()
        progress = _Progress()
        limits = aiohttp.ClientTimeout(
            total=timeout, connect=min(CONNECT_TIMEOUT, timeout), ceil_threshold=math.inf
        )
        try:
            async with self._session.request(
                method,
                self._url + path,
                timeout=limits,
                allow_redirects=False,
                trace_request_ctx=progress,
                **request,
            ) as answer:
                content, problem = None, ""
                try:
                    content = _json(await _read(answer, largest))
                except (aiohttp.ClientError, OSError, _Endless) as error:
                    problem = str(error) if isinstance(error, _Endless) else format_cause(error)
                    answer.close()
                if problem and 200 <= answer.status < 300:
                    raise _NoAnswer(f"it answered {answer.status}, but {problem}", sent=True)
                return Answer(status=answer.status, content=content, retry_after=retry_after(answer))
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise _NoAnswer(format_cause(error), sent=progress.sent) from error

    def maybe(self, why: str) -> MaybeAccepted:
        """The error for a message in doubt."""
        return MaybeAccepted(f"{self.name} may have accepted the message: {why}")


async def _notice_closed_connections() -> None:
    """Lets the event loop notice which idle connections the server has closed.

    A request over such a connection would leave its message in doubt without need. The first turn of the loop reads
    from the sockets, the second one acts on that.
    """
    await asyncio.sleep(0)
    await asyncio.sleep(0)


async def _note_sent(session: aiohttp.ClientSession, context: SimpleNamespace, parameters: object) -> None:
    del session, parameters
    context.trace_request_ctx.sent = True


class _Endless(Exception):
    """An answer that cannot be read to its end."""


async def _read(answer: aiohttp.ClientResponse, largest: int) -> bytes:
    """The body, unpacked. Raises _Endless if it is too long or too slow, and the connection's errors."""
    too_long = f"its answer has more than {largest // 1024} KB"
    raw = bytearray()
    while True:
        try:
            async with asyncio.timeout(BETWEEN_BYTES):
                chunk = await answer.content.readany()
        except TimeoutError:
            raise _Endless("the rest of its answer did not come in time") from None
        if not chunk:
            break
        raw += chunk
        if len(raw) > largest:
            raise _Endless(too_long)
    if answer.headers.get("Content-Encoding", "").lower() not in {"gzip", "deflate"}:
        return bytes(raw)
    unpacking = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)  # gzip or zlib, by its header
    try:
        unpacked = unpacking.decompress(raw, largest + 1)
    except zlib.error:
        raise _Endless("its answer cannot be unpacked") from None
    if len(unpacked) > largest:
        raise _Endless(too_long)
    return unpacked


def one_line(text: str) -> str:
    """A gateway's text, made fit for a list of errors and a log."""
    return " ".join(storable(text).split())[:LONGEST_WORDS]


def format_words(words: Any, *credentials: str) -> str:
    """A gateway's text in one line, without its full stop and without credentials; empty if it is no text."""
    return one_line(redacted(words, *credentials)).rstrip(".") if isinstance(words, str) else ""


def alike(status: int, words: str) -> str:
    """The common part of refusals that differ only by a number, an ID or a time."""
    return f"{status} {re.sub(r'[^a-z]+', ' ', words.lower()).strip()}".rstrip()


def _json(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        return None


def format_cause(error: BaseException) -> str:
    """The cause in words, and where to look."""
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "its name is not known; check the address"
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return f"its certificate is not valid for that name ({one_line(str(error.certificate_error))})"
    if isinstance(error, aiohttp.ClientSSLError):
        return "it speaks no TLS that we understand; check whether the address begins with https or http"
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return "no connection in time; check the address and the network"
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return "it closed the connection without an answer"
    if isinstance(error, aiohttp.ClientPayloadError):
        return "its answer was cut off"
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    if isinstance(cause, ConnectionRefusedError):
        return "it refuses connections; check that it runs, and its address"
    if isinstance(cause, OSError) and cause.strerror:
        return cause.strerror
    return one_line(str(cause)) or type(cause).__name__


def retry_after(answer: aiohttp.ClientResponse) -> float | None:
    """Seconds to wait, from a number or an HTTP date (RFC 9110, 10.2.3); None if there is no usable value."""
    value = answer.headers.get("Retry-After")
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = (_date(value) - _now_by(answer)).total_seconds()
        except (ValueError, OverflowError):
            return None
    if math.isnan(seconds):
        return None
    return min(max(seconds, 0.0), LONGEST_RETRY_AFTER)


def _date(text: str) -> datetime:
    moment = parsedate_to_datetime(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _now_by(answer: aiohttp.ClientResponse) -> datetime:
    """The present by the server's own clock, if it sends one, as ours may differ."""
    value = answer.headers.get("Date")
    try:
        return _date(value) if value else datetime.now(UTC)
    except (ValueError, OverflowError):
        return datetime.now(UTC)
