"""Reports that a worker runs; and the sentence for operators if none does."""

import asyncio
import logging
import os
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import uuid4

from messaging.common.roles import ROLES, Role
from messaging.reporting.workers import BEAT, beat, find_workers, goodbye
from messaging.times.local_time import format_wall, load_zone
from runtime.version import VERSION

if TYPE_CHECKING:
    from temporalio.client import Client

    from messaging.common.database import Pool
    from operations.connection import Drumbeat

__all__ = ["idle", "present"]

logger = logging.getLogger("drumbeat")

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
) -> AsyncIterator[None]:
    """While the block runs, reports again and again that a worker of the task queue is there and reaches Temporal."""
    worker = f"{socket.gethostname()}:{os.getpid()}/{uuid4().hex[:8]}"
    saying = asyncio.create_task(_say(client, pool, worker, task_queue, build_id, roles))
    try:
        yield
    finally:
        saying.cancel()
        await asyncio.wait([saying])
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
) -> None:
    from temporal.versions import gets_work

    well = True
    while True:
        try:
            async with asyncio.timeout(ANSWERS_WITHIN.total_seconds()):
                waits = not await gets_work(client, task_queue, build_id)
            await beat(pool, worker, task_queue, version=VERSION, build_id=build_id, roles=roles, waits=waits)
            well = True
        except Exception as error:  # noqa: BLE001 - it goes on, whatever it is
            if well:
                logger.warning("this worker does not reach its servers just now: %s", error)
            well = False
        await asyncio.sleep(BEAT.total_seconds())
