"""The metrics of one worker process, and the text that Prometheus reads."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from prometheus_client import CollectorRegistry, Gauge, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.exposition import generate_latest

from messaging.common.database import Pool

__all__ = ["CONTENT_TYPE", "Metrics"]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

SDK_WITHIN = 1.0
"""Seconds for the metrics of Temporal's SDK, which come from a port of this process."""

TICK = 1.0
"""Seconds between two looks at how late the event loop is."""

Text = Callable[[], Awaitable[bytes]]


class Metrics:
    """What this process has counted, and what it sees. One for a process.

    Everything is in a registry of its own.
    """

    def __init__(self, version: str) -> None:
        self._registry = registry = CollectorRegistry()
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=registry)
        Gauge(
            "drumbeat_info",
            "1; the label says which version of Drumbeat runs",
            ["version"],
            registry=registry,
        ).labels(version).set(1)
        self._lag = Gauge(
            "drumbeat_event_loop_lag_seconds",
            "How late the worker's event loop was when it last had something to do at a set time",
            registry=registry,
        )
        self._sdk: Text | None = None

    def watch_pool(self, pool: Pool) -> None:
        """Shows the connections to PostgreSQL."""
        connections = Gauge(
            "drumbeat_database_connections",
            "Connections to PostgreSQL, by whether they are in use",
            ["state"],
            registry=self._registry,
        )
        connections.labels("idle").set_function(pool.get_idle_size)
        connections.labels("used").set_function(lambda: pool.get_size() - pool.get_idle_size())
        Gauge(
            "drumbeat_database_connections_max",
            "The most connections to PostgreSQL that this worker opens (DRUMBEAT_POOL_SIZE)",
            registry=self._registry,
        ).set_function(pool.get_max_size)

    def add_sdk(self, text: Text) -> None:
        """Adds the metrics of Temporal's SDK, which ``text`` fetches."""
        self._sdk = text

    async def text(self) -> bytes:
        """All of it, in Prometheus' text format. Takes a second or two at most."""
        own = generate_latest(self._registry)
        if self._sdk is None:
            return own
        # Without them, the rest is worth having.
        with suppress(Exception):
            async with asyncio.timeout(SDK_WITHIN):
                return own + await self._sdk()
        return own

    async def measure_lag(self) -> None:
        """Runs until it is cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + TICK
            await asyncio.sleep(TICK)
            self._lag.set(max(0.0, loop.time() - due))
