"""What Temporal's SDK says of itself, its log and its metrics, is passed on like our own."""

import logging
import socket
from collections.abc import Awaitable, Callable

import aiohttp
from temporalio.runtime import (
    LogForwardingConfig,
    LoggingConfig,
    PrometheusConfig,
    Runtime,
    TelemetryConfig,
    TelemetryFilter,
)

from messaging.common.errors import Unavailable

__all__ = ["prepare_sdk"]

ATTEMPTS = 5
"""How often another free port is tried, as somebody else may take it just then."""


def prepare_sdk(*, metrics: bool) -> Callable[[], Awaitable[bytes]] | None:
    """Sets how the SDK logs: to Python's log, as everything else. Call it before a client connects.

    With ``metrics``, the answer fetches the SDK's metrics in Prometheus' text format. The SDK offers them on a port of
    its own, here a free one of loopback; so one address of ours has everything. Raises Unavailable.
    """
    log = LoggingConfig(
        TelemetryFilter(core_level="WARN", other_level="ERROR"),
        forwarding=LogForwardingConfig(logging.getLogger("temporalio"), append_target_to_name=False),
    )
    if not metrics:
        Runtime.set_default(Runtime(telemetry=TelemetryConfig(logging=log)))
        return None
    for _ in range(ATTEMPTS):
        port = _free_port()
        try:
            runtime = Runtime(
                telemetry=TelemetryConfig(
                    logging=log,
                    metrics=PrometheusConfig(
                        bind_address=f"127.0.0.1:{port}",
                        counters_total_suffix=True,
                        unit_suffix=True,
                        durations_as_seconds=True,
                    ),
                )
            )
        except (RuntimeError, ValueError) as error:
            refused = error
            continue
        Runtime.set_default(runtime)
        return lambda: _fetch(f"http://127.0.0.1:{port}/metrics")
    raise Unavailable(f"the metrics of Temporal's SDK find no port: {refused}") from refused


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


async def _fetch(url: str) -> bytes:
    async with aiohttp.ClientSession(trust_env=False) as session, session.get(url) as answer:
        answer.raise_for_status()
        return await answer.read()
