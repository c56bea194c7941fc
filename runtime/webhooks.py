"""Where gateways tell what became of messages: ``/webhooks/{device}``, one address for each device.

Listens on loopback unless told otherwise: a proxy with TLS stands before it. Who calls is known by the signature that
the gateway makes with a secret of the device; a request without a good one changes nothing.
"""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
from aiohttp import web
from aiohttp.typedefs import Handler

from messaging.database import GONE, Pool
from messaging.errors import InvalidInput, Unavailable
from messaging.gateways import Gateways
from messaging.gateways.base import DeviceUnfit, Gateway, Unauthentic
from messaging.identity import validate_name
from messaging.receipts import record_receipts

__all__ = ["webhooks"]

logger = logging.getLogger(__name__)

LARGEST = 1_000_000
"""Bytes of a request."""


@asynccontextmanager
async def webhooks(pool: Pool, gateways: Gateways, *, host: str, port: int) -> AsyncIterator[str]:
    """Listens for the length of the block; yields the address. Raises Unavailable where the port cannot be had."""
    runner = web.AppRunner(_application(pool, gateways), access_log=None)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError as error:
            raise Unavailable(
                f"webhooks cannot be received on {host}:{port}: {error.strerror}; set DRUMBEAT_WEBHOOKS_PORT to another port"
            ) from error
        listening = runner.addresses[0][1]
        yield f"http://{host}:{listening}/webhooks"
    finally:
        await runner.cleanup()


def _application(pool: Pool, gateways: Gateways) -> web.Application:
    async def gateway_of(request: web.Request) -> tuple[str, Gateway]:
        try:
            name = validate_name(request.match_info["device"])
        except InvalidInput:
            raise web.HTTPNotFound(text="no such device") from None
        device = await pool.fetchrow("select gateway, gateway_options from devices where id = $1", name)
        if device is None:
            raise web.HTTPNotFound(text="no such device")
        return device["gateway"], await gateways.of(device["gateway"], device["gateway_options"])

    async def challenge(request: web.Request) -> web.Response:
        _, gateway = await gateway_of(request)
        return web.Response(text=gateway.challenge(dict(request.query)))

    async def receive(request: web.Request) -> web.Response:
        kind, gateway = await gateway_of(request)
        headers = {name.lower(): value for name, value in request.headers.items()}
        receipts = gateway.receipts(headers, await request.read())
        async with pool.acquire() as connection:
            news = await record_receipts(connection, kind, receipts)
        return web.json_response({"receipts": len(receipts), "news": news})

    application = web.Application(client_max_size=LARGEST, middlewares=[_answer_errors])
    application.router.add_get("/webhooks/{device}", challenge)
    application.router.add_post("/webhooks/{device}", receive)
    return application


NOT_NOW: tuple[type[Exception], ...] = (*GONE, asyncpg.PostgresError)
"""What the database may be unable to do at this moment; the gateway is asked to come again."""


@web.middleware
async def _answer_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """A gateway comes again after a 5xx, and not after a 4xx."""
    try:
        return await handler(request)
    except Unauthentic as error:
        logger.warning("a webhook's request was not believed: %s %s: %s", request.method, request.path, error)
        raise web.HTTPUnauthorized(text="not believed") from None
    except (DeviceUnfit, InvalidInput) as error:
        logger.error("webhooks of %s cannot be read: %s", request.path, error)  # noqa: TRY400 - the line says it all
        raise web.HTTPServiceUnavailable(text="not now") from None
    except NOT_NOW as error:
        logger.warning("a receipt could not be written: %s", error)
        raise web.HTTPServiceUnavailable(text="not now") from None
