"""The endpoint for receipts and inbound messages: ``/webhooks/{device}``, one address for each device.

It listens on loopback by default, behind a proxy with TLS. The sender is verified by the signature that the gateway
makes with a secret of the device; a request without a valid one changes nothing.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta

import asyncpg
from aiohttp import web
from aiohttp.typedefs import Handler

from messaging.common.database import CONNECTION_LOST, Pool
from messaging.common.errors import InvalidInput
from messaging.common.keywords import DEFAULT_KEYWORDS, Keywords
from messaging.common.observer import NOBODY, Observer
from messaging.common.say_once import SayOnce
from messaging.common.words import validate_name
from messaging.devices.store import find_gateway
from messaging.gateways import Gateways
from messaging.gateways.base import DeviceUnfit, Gateway, Unauthentic
from messaging.replies.consequences import Consequences, together
from messaging.replies.recipients import learn_from_receipts
from messaging.replies.record import record_inbound
from messaging.sending.receipts import record_receipts
from runtime.listener import Listener

__all__ = ["webhooks"]

logger = logging.getLogger(__name__)
logger.addFilter(SayOnce())

LARGEST = 4 * 1024 * 1024
"""Bytes of a request. Meta's have 3 MB at most (Cloud API, Webhooks: "payloads … can be up to 3MB")."""
CONCURRENCY = 4
"""Requests that are handled at the same time: each needs a database connection, and so does sending."""
HANDLED_WITHIN = 60.0
"""Seconds from a complete request to its answer."""

LEAVING_WITHIN = 5.0
"""Seconds for which a stopping worker waits for requests; gateways repeat the others."""


GATEWAY = web.RequestKey("gateway", str)
"""Of a request: the kind of gateway that its device has, as soon as that is known."""

CarryOut = Callable[[Consequences], Awaitable[object]]
"""Called with what a request has done."""


@asynccontextmanager
async def webhooks(
    pool: Pool,
    gateways: Gateways,
    *,
    host: str,
    port: int,
    carry_out: CarryOut,
    keywords: Keywords = DEFAULT_KEYWORDS,
    confirmation: str = "",
    observer: Observer = NOBODY,
) -> AsyncIterator[Listener]:
    """Listens during the block, or waits for the port. Raises Unavailable if the port can never be used.

    ``carry_out``: called with what was recorded, before the gateway gets its answer. ``keywords``, ``confirmation``:
    those of devices that have none of their own. ``observer``: is told of requests and of what they brought.
    """
    listener = Listener("webhooks of gateways", "DRUMBEAT_WEBHOOKS_PORT", host=host, port=port)
    reception = _Reception(pool, gateways, listener, carry_out, keywords, confirmation, observer)
    application = reception.application()
    runner = web.AppRunner(
        application, access_log=None, logger=logger, auto_decompress=False, shutdown_timeout=LEAVING_WITHIN
    )
    await runner.setup()
    try:
        assert runner.server is not None
        async with listener.serving(runner.server):
            yield listener
    finally:
        await runner.cleanup()


class _Reception:
    """Handles requests."""

    def __init__(
        self,
        pool: Pool,
        gateways: Gateways,
        listener: Listener,
        carry_out: CarryOut,
        keywords: Keywords,
        confirmation: str,
        observer: Observer,
    ) -> None:
        self._pool, self._gateways, self._listener = pool, gateways, listener
        self._observer = observer
        self._carry_out, self._keywords, self._confirmation = carry_out, keywords, confirmation
        self._turns, self._carrying_out = asyncio.Semaphore(CONCURRENCY), asyncio.Semaphore(CONCURRENCY)

    def application(self) -> web.Application:
        """The paths."""
        application = web.Application(middlewares=[self._observe, _answer])
        application.router.add_get("/webhooks/{device}", self._challenge)
        application.router.add_post("/webhooks/{device}", self._receive)
        return application

    @web.middleware
    async def _observe(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Tells of each request, also of one that ends without an answer, which counts as 500."""
        began, status = time.monotonic(), 500
        try:
            answer = await handler(request)
        except web.HTTPException as refusal:
            status = refusal.status
            raise
        else:
            status = answer.status
            return answer
        finally:
            took = timedelta(seconds=time.monotonic() - began)
            self._observer.webhook_answered(gateway=request.get(GATEWAY, "unknown"), answer=status, took=took)

    async def _challenge(self, request: web.Request) -> web.Response:
        self._listener.complete(request.transport)
        async with asyncio.timeout(HANDLED_WITHIN), self._turns:
            _, gateway = await self._gateway_of(request)
            return web.Response(text=gateway.challenge(dict(request.query)))

    async def _receive(self, request: web.Request) -> web.Response:
        body = await self._body(request)
        headers = {name.lower(): value for name, value in request.headers.items()}
        async with asyncio.timeout(HANDLED_WITHIN), self._turns:
            kind, gateway = await self._gateway_of(request)
            # In a thread, as parsing a large body takes a while and sending must not wait for it.
            events = await asyncio.to_thread(gateway.read_webhook, headers, body)
            async with self._pool.acquire() as connection:
                # Inbound messages first, as they may stop what is to be sent.
                device = request.match_info["device"]
                inbound = await record_inbound(
                    connection, kind, device, events.inbound, self._keywords, confirmation=self._confirmation
                )
                news = await record_receipts(connection, kind, events.receipts)
                self._observer.inbound_recorded(inbound.effects)
                self._observer.receipts_recorded(kind, [receipt.status for receipt in events.receipts])
                then = together([inbound.then, await learn_from_receipts(connection, kind, events.receipts)])
        # The answer acknowledges an opt-out or a reply, so no message that it stops may begin to be sent after it. Other
        # requests go on meanwhile.
        if any(then):
            async with self._carrying_out:
                await self._carry_out(then)
        return web.json_response(
            {"receipts": len(events.receipts), "inbound": len(events.inbound), "news": news + inbound.new}
        )

    async def _gateway_of(self, request: web.Request) -> tuple[str, Gateway]:
        try:
            name = validate_name(request.match_info["device"])
        except InvalidInput:
            raise web.HTTPNotFound(text="no such device") from None
        found = await find_gateway(self._pool, name)
        if found is None:
            raise web.HTTPNotFound(text="no such device")
        kind, options = found
        request[GATEWAY] = kind
        return kind, await self._gateways.of(kind, options)

    async def _body(self, request: web.Request) -> bytes:
        """The whole body. Raises the HTTP error to answer if it is too long or compressed."""
        if request.headers.get("Content-Encoding", "identity").lower() != "identity":
            logger.warning("a compressed request for %s is not taken", request.raw_path)
            raise web.HTTPUnsupportedMediaType(text="send it uncompressed")
        body = bytearray()
        too_long = (request.content_length or 0) > LARGEST
        try:
            while not too_long and (chunk := await request.content.readany()):
                body += chunk
                too_long = len(body) > LARGEST
                self._listener.holds(request.transport, len(body))
        except (ConnectionError, web.RequestPayloadError):
            raise web.HTTPBadRequest(text="the request broke off") from None
        if too_long:
            logger.warning(
                "a request for %s has more than %d bytes, and is not taken; no gateway sends that much",
                *(request.raw_path, LARGEST),
            )
            raise web.HTTPRequestEntityTooLarge(LARGEST, len(body))
        self._listener.complete(request.transport)
        return bytes(body)


NOT_NOW: tuple[type[Exception], ...] = (*CONNECTION_LOST, asyncpg.PostgresError)
"""Errors that may mean that the database cannot work at this moment; the gateway is asked to repeat the request."""


@web.middleware
async def _answer(request: web.Request, handler: Handler) -> web.StreamResponse:
    """One request for each connection: an idle connection would take up room, and might be closed during the next
    request.
    """
    try:
        answer = await _answer_errors(request, handler)
    except web.HTTPException as refusal:
        refusal.force_close()
        raise
    answer.force_close()
    return answer


async def _answer_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """A gateway repeats a request after a 5xx, and not after a 4xx."""
    try:
        return await handler(request)
    except Unauthentic as error:
        logger.warning("a webhook's request was not believed: %s %s: %s", request.method, request.path, error)
        raise web.HTTPUnauthorized(text="not believed") from None
    except (DeviceUnfit, InvalidInput) as error:
        logger.error("webhooks of %s cannot be read: %s", request.path, error)  # noqa: TRY400 - the line says it all
        raise web.HTTPServiceUnavailable(text="not now") from None
    except NOT_NOW as error:
        logger.warning("what a gateway reported could not be written: %s", error)
        raise web.HTTPServiceUnavailable(text="not now") from None
