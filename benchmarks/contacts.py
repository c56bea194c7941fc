"""Measures how fast contacts of sequences are enrolled, and what they cost while they sleep.

For comparison: ``FloorContact`` of benchmarks/floor.py, bare workflows that a service starts, that sleep, and that end.
"""

import asyncio
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from benchmarks.campaign import DEVICES
from benchmarks.floor import QUEUE, FloorContact, FloorFeeder
from benchmarks.people import add_leads, some_phones
from operations import contacts, enrollment, sequences
from rig.stage import Stage
from temporal.bulk import each

__all__ = [
    "SLEEPERS",
    "IdleUsage",
    "apply",
    "asleep",
    "end_bare",
    "enroll_all",
    "enroll_by_service",
    "enroll_by_trigger",
    "feed_bare",
    "polling_ms",
    "sizes",
    "start_bare",
]

AT_ONCE = 50
"""Calls of one service that are in flight at a time."""

LATER = timedelta(days=30)
"""The time until the step of sleeping contacts."""

SLEEPERS = """sequence: {name}
trigger: {name}
steps:
  - {{id: a, after: 30d, text: "Good morning"}}
"""


async def enroll_by_trigger(here: Stage, name: str, count: int) -> float:
    """Contacts per second, from the command until the last one is in the ledger. The sweep should be paused."""
    await apply(here, {name: SLEEPERS.format(name=name)})
    await add_leads(here, count, trigger=name)
    began = time.monotonic()
    sweep = enrollment.enroll_by_trigger(here.connection, name)
    await here.watched("the sweep's workflow", sweep, _patience(count))
    await _enrolled(here, [name], count)
    return count / (time.monotonic() - began)


async def enroll_by_service(here: Stage, name: str, count: int) -> float:
    """Contacts per second through ``starter.enroll``, by one service, until the last one is enrolled and sleeps."""
    await apply(here, {name: SLEEPERS.format(name=name)})
    return await enroll_all(here, [name], count)


async def start_bare(
    here: Stage, name: str, count: int, due: Callable[[int], datetime] | None = None
) -> float:
    """Bare workflows per second, started like a service enrolls, until the last one sleeps. ``due``: by number."""
    temporal = here.connection.temporal
    later = datetime.now(UTC) + LATER

    async def start(index: int) -> None:
        await temporal.start_workflow(
            FloorContact.run,
            due(index) if due else later,
            id=f"{name}:{index}",
            task_queue=f"{QUEUE}-0",
        )

    async def asleep(index: int) -> None:
        await temporal.get_workflow_handle(f"{name}:{index}").query(FloorContact.asleep)

    began = time.monotonic()
    await each(range(count), start, concurrency=AT_ONCE)
    await each(_last(count), asleep, concurrency=AT_ONCE)
    return count / (time.monotonic() - began)


async def feed_bare(here: Stage, name: str, count: int) -> float:
    """Bare workflows per second, started eagerly by an activity like the sweep enrolls, until the last one sleeps."""
    temporal, queue = here.connection.temporal, f"{QUEUE}-0"
    began = time.monotonic()
    feeding = temporal.execute_workflow(
        FloorFeeder.run,
        args=[name, 0, count, datetime.now(UTC) + LATER],
        id=f"floor-{name}",
        task_queue=queue,
    )
    await here.watched(f"the workflows of {name} are started", feeding)
    await temporal.get_workflow_handle(f"{name}:{count - 1}").query(FloorContact.asleep)
    return count / (time.monotonic() - began)


async def end_bare(here: Stage, name: str, count: int) -> None:
    """Ends them, so that they do not sleep beside the contacts that are measured."""
    temporal = here.connection.temporal
    await each(range(count), lambda index: temporal.get_workflow_handle(f"{name}:{index}").terminate())


@dataclass(frozen=True)
class IdleUsage:
    """What sleeping contacts cost while nothing is due. CPU in percent of one core."""

    contacts: int
    cpu_percent: dict[str, float]
    worker_mb: float
    temporal_mb: float


async def asleep(here: Stage, contacts: int, seconds: float) -> IdleUsage:
    """Measures for this many seconds."""
    before, began = here.usage(), time.monotonic()
    await asyncio.sleep(seconds)
    passed = time.monotonic() - began
    after = here.usage()
    return IdleUsage(
        contacts=contacts,
        cpu_percent={name: 100 * cpu / passed for name, cpu in after.since(before).items()},
        worker_mb=after.memory["worker"] / 1e6,
        temporal_mb=after.memory["temporal"] / 1e6,
    )


async def sizes(here: Stage) -> tuple[int, int]:
    """Bytes in use of Temporal's database and of Drumbeat's, without their logs: those have a size of their own."""
    pool = await here.connection.pool()
    await pool.execute("checkpoint")
    with closing(sqlite3.connect(here.home / "temporal" / "temporal.db")) as database:
        (temporal,) = database.execute(
            "select (page_count - freelist_count) * page_size"
            " from pragma_page_count, pragma_freelist_count, pragma_page_size"
        ).fetchone()
    return temporal, await pool.fetchval("select pg_database_size(current_database())")


async def polling_ms(here: Stage, contacts: int) -> float:
    """The median time of the query that a polling design would repeat each minute, over this many contacts."""
    pool = await here.connection.pool()
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute(
            "create temporary table polled (id integer, status text, next_due_at timestamptz) on commit drop"
        )
        await connection.execute(
            "insert into polled select n, 'active', now() + interval '30 days' + n * interval '1 second'"
            " from generate_series(1, $1::integer) n",
            contacts,
        )
        await connection.execute("create index on polled (next_due_at) where status = 'active'")
        await connection.execute("analyze polled")
        times = []
        for _ in range(21):
            began = time.perf_counter()
            await connection.fetch(
                "select id from polled where status = 'active' and next_due_at <= now() order by next_due_at limit 100"
            )
            times.append(1000 * (time.perf_counter() - began))
    return statistics.median(times)


async def enroll_all(here: Stage, names: Sequence[str], count: int) -> float:
    """Enrolls contacts in these sequences in turn; returns contacts per second."""
    phones = some_phones(count)

    async def one(index: int) -> None:
        await enrollment.enroll(
            here.connection,
            names[index % len(names)],
            phones[index],
            name="Aisha",
            device=f"bench-{index % DEVICES}",
        )

    async def asleep(index: int) -> None:
        await contacts.progress(here.connection, names[index % len(names)], phones[index])

    began = time.monotonic()
    await each(range(count), one, concurrency=AT_ONCE)
    await _enrolled(here, names, count)
    await each(_last(count), asleep, concurrency=AT_ONCE)
    return count / (time.monotonic() - began)


def _last(count: int) -> range:
    """The contacts any of which can be the last one to fall asleep."""
    return range(max(0, count - AT_ONCE), count)


async def apply(here: Stage, files: dict[str, str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{name}.yaml" for name in files]
        for path, source in zip(paths, files.values(), strict=True):
            path.write_text(source)
        await sequences.apply(here.connection, paths)


async def _enrolled(here: Stage, names: Sequence[str], count: int) -> None:
    pool = await here.connection.pool()
    query = "select count(*) from sequence_contacts c join sequences s on s.id = c.sequence_id where s.name = any($1)"

    async def all_are() -> bool:
        return bool(await pool.fetchval(query, list(names)) >= count)

    await here.until(f"{count} contacts are enrolled", all_are, _patience(count), every=0.02)


def _patience(count: int) -> float:
    """Seconds to enroll this many, even on a slow machine."""
    return 600 + count / 5
