"""``/metrics`` for Prometheus; ``/live`` and ``/ready`` for whatever watches or restarts the worker.

It listens on loopback by default: what it says is no secret of anybody's, but is nobody else's business either.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web
from aiohttp.typedefs import Handler

from monitoring.metrics import CONTENT_TYPE, Metrics
from monitoring.readiness import Readiness
from runtime.listener import Listener

__all__ = ["monitored"]

logger = logging.getLogger(__name__)


@asynccontextmanager
async def monitored(
    metrics: Metrics, readiness: Readiness, *, host: str, port: int
) -> AsyncIterator[Listener]:
    """Answers during the block, or waits for the port. Raises Unavailable if the port can never be used."""
    listener = Listener("requests for metrics and health", "DRUMBEAT_METRICS_PORT", host=host, port=port)

    async def text(_: web.Request) -> web.Response:
        return web.Response(body=await metrics.text(), headers={"Content-Type": CONTENT_TYPE})

    async def live(_: web.Request) -> web.Response:
        """The event loop turns, or nobody would answer."""
        return web.json_response({"live": True})

    async def ready(_: web.Request) -> web.Response:
        found = await readiness.check()
        return web.json_response(found.as_json(), status=200 if found.ready else 503)

    application = web.Application(middlewares=[_one_request])
    application.router.add_get("/metrics", text)
    application.router.add_get("/live", live)
    application.router.add_get("/ready", ready)
    runner = web.AppRunner(application, access_log=None, logger=logger, shutdown_timeout=1.0)
    await runner.setup()
    measuring = asyncio.create_task(metrics.measure_lag())
    try:
        assert runner.server is not None
        async with listener.serving(runner.server):
            yield listener
    finally:
        measuring.cancel()
        await runner.cleanup()


@web.middleware
async def _one_request(request: web.Request, handler: Handler) -> web.StreamResponse:
    """One for each connection, as the listener counts them."""
    try:
        answer = await handler(request)
    except web.HTTPException as refusal:
        refusal.force_close()
        raise
    answer.force_close()
    return answer
