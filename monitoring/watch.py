"""Everything that a worker shows of itself, while it runs."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from temporalio.client import Client

from messaging.common.database import Pool
from messaging.common.roles import Role
from monitoring.endpoint import monitored
from monitoring.metrics import Metrics
from monitoring.readiness import Readiness
from runtime.version import VERSION

__all__ = ["Watch", "watched"]


@dataclass(frozen=True)
class Watch:
    """What the worker tells of itself to those who watch."""

    metrics: Metrics
    readiness: Readiness


@asynccontextmanager
async def watched(
    client: Client,
    pool: Pool,
    *,
    task_queue: str,
    roles: Sequence[Role],
    host: str,
    port: int,
    sdk_metrics: Callable[[], Awaitable[bytes]] | None,
) -> AsyncIterator[Watch]:
    """Answers ``/metrics``, ``/live`` and ``/ready`` during the block. Raises Unavailable if the port can never be used."""
    metrics, readiness = Metrics(VERSION, pool), Readiness(client, pool, task_queue, roles)
    if sdk_metrics is not None:
        metrics.add_sdk(sdk_metrics)
    async with monitored(metrics, readiness, host=host, port=port):
        yield Watch(metrics, readiness)
