"""Contacts of sequences: how fast they are enrolled, what they cost while they sleep, and how late they wake."""

import asyncio
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from benchmarks.people import add_leads, some_phones
from benchmarks.stage import Stage
from operations import enrollment, sequences

__all__ = ["Asleep", "Lateness", "asleep", "enroll_by_service", "enroll_by_trigger", "polling_ms", "wake"]

AT_ONCE = 50
"""Calls of one service on their way at a time."""

SLEEPERS = 'sequence: {name}\ntrigger: {name}\nsteps:\n  - {{id: a, after: 30d, text: "Good morning"}}\n'
DUE = 'sequence: {name}\ntimezone: UTC\nsteps:\n  - {{id: a, day: 1, at: "{at:%H:%M:%S}", text: "Good morning"}}\n'
AFTER = 'sequence: {name}\nsteps:\n  - {{id: a, after: {seconds}s, text: "Good morning"}}\n'


async def enroll_by_trigger(here: Stage, name: str, count: int) -> float:
    """Contacts a second, from the sweep's start until the last one is enrolled and sleeps."""
    await _apply(here, SLEEPERS.format(name=name))
    await add_leads(here, count, trigger=name)
    began = time.monotonic()
    await enrollment.enroll_by_trigger(here.connection, name)
    await _enrolled(here, name, count)
    return count / (time.monotonic() - began)


async def enroll_by_service(
    here: Stage, name: str, count: int, source: str = SLEEPERS, every: float = 0
) -> float:
    """Contacts a second through ``starter.enroll``; ``every``: seconds between two, where they are to be spread."""
    await _apply(here, source.format(name=name))
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(number: str) -> None:
        async with gate:
            await enrollment.enroll(here.connection, name, number, name="Aisha", device="bench-0")

    began = time.monotonic()
    async with asyncio.TaskGroup() as group:
        for index, number in enumerate(some_phones(count)):
            if every:
                await asyncio.sleep(max(0, began + index * every - time.monotonic()))
            group.create_task(one(number))
    await _enrolled(here, name, count)
    return count / (time.monotonic() - began)


@dataclass(frozen=True)
class Asleep:
    """What so many sleeping contacts cost while nothing is due. CPU in percent of one core."""

    contacts: int
    cpu_percent: dict[str, float]
    temporal_bytes: float
    """Of its database, for each contact."""
    postgres_bytes: float
    worker_mb: float
    temporal_mb: float
    polling_ms: float
    """What the polling design would pay each minute for these: one indexed query that finds nobody."""


async def asleep(here: Stage, contacts: int, seconds: float, empty: tuple[int, int]) -> Asleep:
    """Looks for so many seconds. ``empty``: the sizes of both databases before the first contact, see ``sizes``."""
    before, began = here.usage(), time.monotonic()
    await asyncio.sleep(seconds)
    passed = time.monotonic() - began
    after = here.usage()
    temporal, postgres = await sizes(here)
    return Asleep(
        contacts=contacts,
        cpu_percent={name: 100 * cpu / passed for name, cpu in after.since(before).items()},
        temporal_bytes=(temporal - empty[0]) / contacts,
        postgres_bytes=(postgres - empty[1]) / contacts,
        worker_mb=after.memory["worker"] / 1e6,
        temporal_mb=after.memory["temporal"] / 1e6,
        polling_ms=await polling_ms(here, contacts),
    )


async def sizes(here: Stage) -> tuple[int, int]:
    """Bytes of Temporal's database and of Drumbeat's, without their logs: those have a size of their own."""
    pool = await here.connection.pool()
    await pool.execute("checkpoint")
    with closing(sqlite3.connect(here.home / "temporal" / "temporal.db")) as database:
        (temporal,) = database.execute(
            "select page_count * page_size from pragma_page_count, pragma_page_size"
        ).fetchone()
    return temporal, await pool.fetchval("select pg_database_size(current_database())")


async def polling_ms(here: Stage, contacts: int) -> float:
    """The median time of the query that a polling design repeats each minute, over so many contacts."""
    pool = await here.connection.pool()
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute(
            "create temporary table polled on commit drop as select n as id, 'active' as status,"
            " now() + interval '30 days' + n * interval '1 second' as next_due_at from generate_series(1, $1::integer) n".replace(
                "$1::integer", str(contacts)
            )
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


@dataclass(frozen=True)
class Lateness:
    """Seconds from the moment a step was due to the gateway's acceptance."""

    contacts: int
    median: float
    p99: float


async def wake(here: Stage, name: str, count: int, spread: float = 0) -> Lateness:
    """So many contacts that are due at one moment, or spread over so many seconds."""
    if spread:
        await enroll_by_service(here, name, count, AFTER.replace("{seconds}", "30"), every=spread / count)
    else:
        at = datetime.now(UTC) + timedelta(seconds=20 + count / 20)
        at = at.replace(microsecond=0) + timedelta(seconds=1)
        await enroll_by_service(here, name, count, DUE.replace("{at:%H:%M:%S}", f"{at:%H:%M:%S}"))
    pool = await here.connection.pool()
    query = (
        "select extract(epoch from m.sent_at - m.due_at)::float8 as late from broadcast_messages m"
        " join sequence_contacts c on c.id = m.sequence_contact_id join sequences s on s.id = c.sequence_id"
        " where s.name = $1 and m.status = 'sent'"
    )
    deadline = time.monotonic() + 60 + spread + count / 5
    while len(rows := await pool.fetch(query, name)) < count:
        if time.monotonic() > deadline:
            raise RuntimeError(f"{len(rows)} of {count} were sent")
        await asyncio.sleep(0.5)
    late = sorted(row["late"] for row in rows)
    return Lateness(count, statistics.median(late), late[min(count - 1, round(0.99 * count))])


async def _apply(here: Stage, source: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "sequence.yaml"
        file.write_text(source)
        files: Sequence[Path] = [file]
        await sequences.apply(here.connection, files)


async def _enrolled(here: Stage, name: str, count: int) -> None:
    pool = await here.connection.pool()
    query = (
        "select count(*) from sequence_contacts c join sequences s on s.id = c.sequence_id where s.name = $1"
    )
    while await pool.fetchval(query, name) < count:
        await asyncio.sleep(0.05)
