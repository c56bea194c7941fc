"""Reports that a worker runs; and the sentence for operators if none does."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import uuid4

from messaging.common.roles import ROLES, Role
from messaging.reporting.workers import BEAT, answers, beat, find_workers, goodbye
from messaging.times.local_time import format_wall, load_zone
from runtime.logs.outages import OUTAGES, place_of
from runtime.version import VERSION

if TYPE_CHECKING:
    from temporalio.client import Client

    from messaging.common.database import Pool
    from operations.connection import Drumbeat

__all__ = ["idle", "present"]

ANSWERS_WITHIN = timedelta(seconds=5)
"""Seconds for Temporal's answer to a check, and for the last report."""


async def idle(drumbeat: "Drumbeat", zone: str | None = None) -> str | None:
    """The sentence that no worker polls our task queue, and since when; None if one does.

    ``zone``: of that time, and named elsewhere.
    """
    workers = await find_workers(await drumbeat.pool(), drumbeat.settings.task_queue)
    return workers.idle if zone is None else workers.idle_since(lambda at: format_wall(at, load_zone(zone)))


@asynccontextmanager
async def present(
    client: "Client",
    pool: "Pool",
    task_queue: str,
    build_id: str | None = None,
    roles: Sequence[Role] = ROLES,
    database_url: str | None = None,
) -> AsyncIterator[None]:
    """While the block runs, reports again and again that a worker of the task queue is there and reaches Temporal.

    Logs when Temporal or PostgreSQL stops answering, and when it answers again. ``database_url``: names it there.
    """
    servers = (
        f"Temporal at {client.service_client.config.target_host}",
        f"PostgreSQL at {place_of(database_url)}",
    )
    worker = f"{socket.gethostname()}:{os.getpid()}/{uuid4().hex[:8]}"
    saying = asyncio.create_task(_say(client, pool, worker, task_queue, build_id, roles, servers))
    try:
        yield
    finally:
        saying.cancel()
        await asyncio.wait([saying])
        OUTAGES.forget(*servers)
        with suppress(Exception):  # if PostgreSQL is away, the missing reports say so
            async with asyncio.timeout(ANSWERS_WITHIN.total_seconds()):
                await goodbye(pool, worker)


async def _say(
    client: "Client",
    pool: "Pool",
    worker: str,
    task_queue: str,
    build_id: str | None,
    roles: Sequence[Role],
    servers: tuple[str, str],
) -> None:
    from temporal.versions import gets_work

    temporal, database = servers
    waits = False

    async def ask_temporal() -> None:
        nonlocal waits
        waits = not await gets_work(client, task_queue, build_id)

    async def report() -> None:
        await beat(pool, worker, task_queue, version=VERSION, build_id=build_id, roles=roles, waits=waits)

    async def ask_database() -> None:
        await answers(pool)

    while True:
        reached = await _answers(temporal, ask_temporal)
        await _answers(database, report if reached else ask_database)
        await asyncio.sleep(BEAT.total_seconds())


async def _answers(server: str, ask: Callable[[], Awaitable[None]]) -> bool:
    problem: Exception | None = None
    try:
        async with asyncio.timeout(ANSWERS_WITHIN.total_seconds()):
            await ask()
    except Exception as error:  # noqa: BLE001 - it goes on, whatever it is
        problem = error
    OUTAGES.note(server, problem)
    return problem is None
