"""Contacts of sequences: how fast they are enrolled, what they cost while they sleep, and how late they wake.

Beside them ``FloorContact`` of benchmarks/floor.py: bare workflows that a service starts, that sleep, and that end.
"""

import asyncio
import itertools
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
from benchmarks.stage import Stage, Stuck
from naming.calls import each
from operations import enrollment, sequences

__all__ = [
    "Asleep",
    "Lateness",
    "asleep",
    "end_bare",
    "enroll_by_service",
    "enroll_by_trigger",
    "feed_bare",
    "middle",
    "polling_ms",
    "sizes",
    "start_bare",
    "wake",
    "wake_bare",
]

AT_ONCE = 50
"""Calls of one service on their way at a time."""

LATER = timedelta(days=30)
"""Until the step of who is to sleep."""

LOOK = 1.0
"""Seconds between two looks whether all have woken, which are work beside theirs."""

SLEEPERS = """sequence: {name}
trigger: {name}
steps:
  - {{id: a, after: 30d, text: "Good morning"}}
"""
DUE = """sequence: {name}
timezone: UTC
steps:
  - {{id: a, day: 1, at: "{at:%H:%M:%S}", text: "Good morning"}}
"""

_numbers = itertools.count()


async def enroll_by_trigger(here: Stage, name: str, count: int) -> float:
    """Contacts a second, from the command until the last one is in the ledger. The sweep should be paused."""
    await _apply(here, {name: SLEEPERS.format(name=name)})
    await add_leads(here, count, trigger=name)
    began = time.monotonic()
    await here.watched("the sweep's workflow", enrollment.enroll_by_trigger(here.connection, name))
    await _enrolled(here, [name], count)
    return count / (time.monotonic() - began)


async def enroll_by_service(here: Stage, name: str, count: int) -> float:
    """Contacts a second through ``starter.enroll``, by one service, until the last one is enrolled and sleeps."""
    await _apply(here, {name: SLEEPERS.format(name=name)})
    return await _enroll(here, [name], count)


async def start_bare(here: Stage, count: int, due: Callable[[int], datetime] | None = None) -> float:
    """Bare workflows a second, started as a service enrolls, until the last one sleeps. ``due``: by number."""
    temporal, run = here.connection.temporal, next(_numbers)
    later = datetime.now(UTC) + LATER

    async def start(index: int) -> None:
        handle = await temporal.start_workflow(
            FloorContact.run,
            due(index) if due else later,
            id=f"bare-{run}:{index}",
            task_queue=f"{QUEUE}-0",
        )
        if index == count - 1:
            await handle.query(FloorContact.asleep)

    began = time.monotonic()
    await each(range(count), start, at_once=AT_ONCE)
    return count / (time.monotonic() - began)


async def feed_bare(here: Stage, name: str, count: int) -> float:
    """Bare workflows a second, started eagerly by an activity as the sweep enrolls, until the last one sleeps."""
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
    """They are not to sleep beside those that are looked at."""
    temporal = here.connection.temporal
    await each(range(count), lambda index: temporal.get_workflow_handle(f"{name}:{index}").terminate())


@dataclass(frozen=True)
class Asleep:
    """What so many sleeping contacts cost while nothing is due. CPU in percent of one core."""

    contacts: int
    cpu_percent: dict[str, float]
    worker_mb: float
    temporal_mb: float


async def asleep(here: Stage, contacts: int, seconds: float) -> Asleep:
    """Looks for so many seconds."""
    before, began = here.usage(), time.monotonic()
    await asyncio.sleep(seconds)
    passed = time.monotonic() - began
    after = here.usage()
    return Asleep(
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
    """The median time of the query that a polling design repeats each minute, over so many contacts."""
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


@dataclass(frozen=True)
class Lateness:
    """Seconds from the moment a step was due until the gateway accepted it; of a bare workflow, until its activity ran."""

    contacts: int
    median: float
    p99: float

    @classmethod
    def of(cls, late: Sequence[float]) -> "Lateness":
        """The two figures of many."""
        return cls(
            len(late), statistics.median(late), sorted(late)[min(len(late) - 1, round(0.99 * len(late)))]
        )

    def __str__(self) -> str:
        """In words."""
        return f"median {self.median:.2f} s, 99th percentile {self.p99:.2f} s"


def middle(rounds: Sequence[Lateness]) -> Lateness:
    """The median round, by either figure."""
    return Lateness(
        rounds[0].contacts,
        statistics.median(late.median for late in rounds),
        statistics.median(late.p99 for late in rounds),
    )


async def wake(here: Stage, name: str, count: int, moments: int, per_second: float) -> Lateness:
    """So many contacts, due at so many moments a second apart.

    ``per_second``: how fast a service enrolls on this machine, since all must sleep before the first moment.
    """
    first = _first_moment(count, per_second)
    names = [f"{name}-{moment}" for moment in range(moments)]
    await _apply(
        here,
        {of: DUE.format(name=of, at=first + timedelta(seconds=moment)) for moment, of in enumerate(names)},
    )
    await _enroll(here, names, count)
    _in_time(first)
    pool = await here.connection.pool()
    query = (
        "select extract(epoch from m.sent_at - m.due_at)::float8 as late from broadcast_messages m"
        " join sequence_contacts c on c.id = m.sequence_contact_id join sequences s on s.id = c.sequence_id"
        " where s.name = any($1) and m.status = 'sent' and m.due_at >= $2"
    )

    async def sent() -> bool:
        return bool(await pool.fetchval(f"select count(*) from ({query}) t", names, first) >= count)  # noqa: S608

    await here.until(f"{count} contacts of {name} are sent to", sent, _patience(first, moments, count), LOOK)
    return Lateness.of([row["late"] for row in await pool.fetch(query, names, first)])


async def wake_bare(here: Stage, count: int, moments: int, per_second: float) -> Lateness:
    """The same with bare workflows."""
    first = _first_moment(count, per_second)
    await start_bare(here, count, lambda index: first + timedelta(seconds=index % moments))
    _in_time(first)
    temporal = here.connection.temporal
    query = f"WorkflowType = 'FloorContact' and ExecutionStatus = 'Completed' and CloseTime >= '{first.isoformat()}'"

    async def ended() -> bool:
        return (await temporal.count_workflows(query)).count >= count

    await here.until(f"{count} bare workflows end", ended, _patience(first, moments, count), LOOK)
    ids = [execution.id async for execution in temporal.list_workflows(query)]
    return Lateness.of(
        await each(ids, lambda of: temporal.get_workflow_handle(of, result_type=float).result())
    )


def _first_moment(count: int, per_second: float) -> datetime:
    seconds = 3 + 1.5 * count / per_second
    return datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=round(seconds) + 1)


def _in_time(first: datetime) -> None:
    """Who is enrolled after the moment is due tomorrow."""
    if datetime.now(UTC) >= first:
        raise Stuck("to enroll those who were to wake took longer than it had before")


def _patience(first: datetime, moments: int, count: int) -> float:
    """Seconds from now on in which all should be over, also on a slow machine."""
    return max(0.0, (first - datetime.now(UTC)).total_seconds()) + moments + 120 + count / 2


async def _enroll(here: Stage, names: Sequence[str], count: int) -> float:
    """So many contacts, in these sequences in turn: contacts a second."""
    phones = some_phones(count)

    async def one(index: int) -> None:
        await enrollment.enroll(
            here.connection,
            names[index % len(names)],
            phones[index],
            name="Aisha",
            device=f"bench-{index % DEVICES}",
        )

    began = time.monotonic()
    await each(range(count), one, at_once=AT_ONCE)
    await _enrolled(here, names, count)
    await enrollment.progress(here.connection, names[(count - 1) % len(names)], phones[-1])
    return count / (time.monotonic() - began)


async def _apply(here: Stage, files: dict[str, str]) -> None:
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

    await here.until(f"{count} contacts are enrolled", all_are)
