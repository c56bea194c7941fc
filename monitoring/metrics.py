"""The metrics of one worker process, and the text that Prometheus reads.

A counter counts what this process has done: the sum over all workers is right, and Prometheus' rate() takes account of
restarts. What the ledger knows is in :mod:`monitoring.ledger`. No label names a person or a message: labels are devices,
sequences, campaigns that are under way, and words of ours.
"""

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from datetime import timedelta
from typing import get_args

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.exposition import generate_latest

from messaging.common.database import Pool
from messaging.common.observer import Observer
from messaging.replies.record import InboundEffect
from messaging.sending.durable_writes import DurableWrites
from monitoring.ledger import LedgerMetrics

__all__ = ["CONTENT_TYPE", "Metrics"]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

SDK_WITHIN = 1.0
"""Seconds for the metrics of Temporal's SDK, which come from a port of this process."""

TICK = 1.0
"""Seconds between two looks at how late the event loop is."""

LATENESS = (1, 5, 15, 60, 300, 900, 3600, 4 * 3600, 12 * 3600, 24 * 3600, 72 * 3600)
"""Seconds: from at once to so late that it hardly matters any more."""
ATTEMPT = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15, 30, 60, 120)
"""Seconds: the slowest gateways may take two minutes."""
REQUEST = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
"""Seconds: a request has a minute."""

KINDS = ("sequence", "campaign")
OUTCOMES = ("sent", "failed", "unconfirmed")
"""Counters of these are there from the beginning."""

Text = Callable[[], Awaitable[bytes]]


class Metrics(Observer):
    """What this process has counted, and what it sees. One for a process, in a registry of its own."""

    def __init__(self, version: str, pool: Pool) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for each counter, of no use to anybody
        self._collected = collected = CollectorRegistry()
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=collected)
        self._ledger = LedgerMetrics(pool)
        collected.register(self._ledger)
        self._sdk: Text | None = None
        self._gauge("drumbeat_info", "1; its label is the version of Drumbeat that runs", "version").labels(
            version
        ).set(1)
        self._lag = self._gauge(
            "drumbeat_event_loop_lag_seconds",
            "How late the worker's event loop was when it last had something to do at a set time",
        )
        self._messages = Counter(
            "drumbeat_messages",
            "Messages that this worker's attempts to send have settled, by what they are of and how that ended",
            ["device", "kind", "outcome"],
            registry=collected,
        )
        self._put_off = Counter(
            "drumbeat_attempts_put_off",
            "Attempts to send that came to no end, and are tried again: the gateway was away, refused for now, or did not answer",
            ["device"],
            registry=collected,
        )
        self._lateness = Histogram(
            "drumbeat_lateness_seconds",
            "How long after its due time a message was sent: the wait for the device's turn, hours and limits, and any delay",
            ["device", "kind"],
            buckets=LATENESS,
            registry=collected,
        )
        self._attempt = Histogram(
            "drumbeat_attempt_seconds",
            "How long attempts to send took, from the claim to the outcome in the ledger",
            ["gateway"],
            buckets=ATTEMPT,
            registry=collected,
        )
        self._webhooks = Counter(
            "drumbeat_webhook_requests",
            "Requests of gateways, by the gateway and the HTTP status of the answer",
            ["gateway", "answer"],
            registry=collected,
        )
        self._webhook = Histogram(
            "drumbeat_webhook_seconds",
            "How long gateways waited for the answer to a request",
            ["gateway"],
            buckets=REQUEST,
            registry=collected,
        )
        self._receipts = Counter(
            "drumbeat_receipts",
            "Receipts of messages that webhooks brought, by status",
            ["gateway", "status"],
            registry=collected,
        )
        self._inbound = Counter(
            "drumbeat_inbound_messages",
            "New inbound messages, by the one thing that each has done",
            ["effect"],
            registry=collected,
        )
        for effect in get_args(InboundEffect):
            self._inbound.labels(effect)
        self._begun: set[str] = set()
        self._watch_pool(pool)

    def _gauge(self, name: str, words: str, *labels: str) -> Gauge:
        return Gauge(name, words, labels, registry=self._collected)

    def _watch_pool(self, pool: Pool) -> None:
        connections = self._gauge(
            "drumbeat_database_connections", "Connections to PostgreSQL, by whether they are in use", "state"
        )
        connections.labels("idle").set_function(pool.get_idle_size)
        connections.labels("used").set_function(lambda: pool.get_size() - pool.get_idle_size())
        self._gauge(
            "drumbeat_database_connections_max",
            "The most connections to PostgreSQL that this worker opens (DRUMBEAT_POOL_SIZE)",
        ).set_function(pool.get_max_size)

    def watch_writes(self, writes: DurableWrites) -> None:
        """Shows the outcomes that cannot be written."""
        self._gauge(
            "drumbeat_outcomes_unwritten",
            "Outcomes of attempts that cannot be written to the ledger just now, and are tried until they can",
        ).set_function(lambda: writes.waiting)

    def add_sdk(self, text: Text) -> None:
        """Adds the metrics of Temporal's SDK, which ``text`` fetches."""
        self._sdk = text

    async def text(self) -> bytes:
        """All of it, in Prometheus' text format. Takes two seconds or three at most, whatever hangs."""
        await self._ledger.refresh()
        for device in self._ledger.devices:
            self._begin(device)
        own = generate_latest(self._collected)
        if self._sdk is None:
            return own
        # Without them, the rest is worth having.
        with suppress(Exception):
            async with asyncio.timeout(SDK_WITHIN):
                return own + await self._sdk()
        return own

    def _begin(self, device: str) -> None:
        """Has the counters of a device begin at 0: Prometheus takes a counter that appears with 1 for one that was not
        counted up.
        """
        if device not in self._begun:
            self._begun.add(device)
            self._put_off.labels(device)
            for kind, outcome in itertools.product(KINDS, OUTCOMES):
                self._messages.labels(device, kind, outcome)

    async def measure_lag(self) -> None:
        """Runs until it is cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + TICK
            await asyncio.sleep(TICK)
            self._lag.set(max(0.0, loop.time() - due))

    def attempt_ended(
        self,
        *,
        device: str,
        gateway: str,
        kind: str,
        status: str | None,
        took: timedelta,
        late: timedelta | None,
    ) -> None:
        """See :class:`Observer`. Test messages count nowhere."""
        if kind == "test":
            return
        self._attempt.labels(gateway).observe(took.total_seconds())
        if status is None:
            self._put_off.labels(device).inc()
            return
        self._messages.labels(device, kind, status).inc()
        if late is not None:
            self._lateness.labels(device, kind).observe(max(0.0, late.total_seconds()))

    def webhook_answered(self, *, gateway: str, answer: int, took: timedelta) -> None:
        """See :class:`Observer`."""
        self._webhooks.labels(gateway, str(answer)).inc()
        self._webhook.labels(gateway).observe(took.total_seconds())

    def receipts_recorded(self, gateway: str, statuses: Iterable[str]) -> None:
        """See :class:`Observer`."""
        for status in statuses:
            self._receipts.labels(gateway, status).inc()

    def inbound_recorded(self, effects: Iterable[str]) -> None:
        """See :class:`Observer`."""
        for effect in effects:
            self._inbound.labels(effect).inc()
