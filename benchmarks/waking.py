"""Measures how late contacts wake, compared with bare workflows that sleep until the same moment."""

import asyncio
import statistics
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from benchmarks.contacts import apply, enroll_all, start_bare
from rig.stage import Stage
from rig.waiting import NeverHappened
from temporal.bulk import each

__all__ = [
    "Lateness",
    "awake",
    "both",
    "enroll_at",
    "enrolled_in_time",
    "middle",
    "wake",
    "wake_bare",
    "wake_together",
]

One = TypeVar("One")
Other = TypeVar("Other")

AHEAD = 4.0
"""The least seconds from the beginning of an enrollment until the contacts are due."""

LOOK = 1.0
"""Seconds between two checks whether all have woken; each check takes time from the machine."""

DUE = """sequence: {name}
timezone: UTC
steps:
  - {{id: a, day: 1, at: "{at:%H:%M:%S}", text: "Good morning"}}
"""


@dataclass(frozen=True)
class Lateness:
    """Seconds from the moment a step was due until the gateway accepted it; of a bare workflow, until its activity ran."""

    contacts: int
    median: float
    p99: float

    @classmethod
    def of(cls, late: Sequence[float]) -> "Lateness":
        """The two figures of many delays."""
        return cls(
            len(late), statistics.median(late), sorted(late)[min(len(late) - 1, round(0.99 * len(late)))]
        )

    def __str__(self) -> str:
        """In words."""
        return f"median {self.median:.2f} s, 99th percentile {self.p99:.2f} s"


def middle(rounds: Sequence[Lateness]) -> Lateness:
    """The median of the rounds, for each figure."""
    return Lateness(
        rounds[0].contacts,
        statistics.median(late.median for late in rounds),
        statistics.median(late.p99 for late in rounds),
    )


async def wake(here: Stage, name: str, count: int, moments: int, per_second: float) -> Lateness:
    """Contacts that are due at moments a second apart.

    ``per_second``: the enrollment rate of a service on this machine, as all must sleep before the first moment.
    """

    async def enroll(attempt: str, first: datetime) -> None:
        await enroll_at(here, attempt, count, moments, first)

    attempt, first = await enrolled_in_time(name, count / per_second, moments, enroll)
    return await awake(here, attempt, count, moments, first)


async def wake_bare(here: Stage, name: str, count: int, moments: int, per_second: float) -> Lateness:
    """The same with bare workflows."""

    async def start(attempt: str, first: datetime) -> None:
        await _start_bare(here, attempt, count, moments, first)

    attempt, first = await enrolled_in_time(name, count / per_second, moments, start)
    return await _bare_awake(here, attempt, count, moments, first)


async def wake_together(
    here: Stage, name: str, count: int, moments: int, per_second: float
) -> tuple[Lateness, Lateness]:
    """Contacts and as many bare workflows, due at the same moments."""

    async def start(attempt: str, first: datetime) -> None:
        await both(
            enroll_at(here, attempt, count, moments, first), _start_bare(here, attempt, count, moments, first)
        )

    # Each is enrolled at half the rate.
    attempt, first = await enrolled_in_time(name, 2 * count / per_second, moments, start)
    return await both(
        awake(here, attempt, count, moments, first), _bare_awake(here, attempt, count, moments, first)
    )


async def both(one: Coroutine[Any, Any, One], other: Coroutine[Any, Any, Other]) -> tuple[One, Other]:
    """Runs the two at the same time, and returns their results. Raises the first error; the other one is cancelled
    then.
    """
    try:
        async with asyncio.TaskGroup() as group:
            first, second = group.create_task(one), group.create_task(other)
    except ExceptionGroup as problems:
        raise problems.exceptions[0] from None
    return first.result(), second.result()


async def enrolled_in_time(
    name: str, seconds: float, moments: int, enroll: Callable[[str, datetime], Awaitable[None]]
) -> tuple[str, datetime]:
    """Enrolls all before the first moment at which they are due. If that takes too long, tries once more with others
    and more time.

    ``seconds``: how long it usually takes. Returns the name of those that are in time, and their moment. In a failed
    attempt, contacts that were enrolled too late are due tomorrow, and the others have woken before the next attempt's
    moment. Raises NeverHappened.
    """
    over = datetime.now(UTC)
    for attempt, longer in enumerate((1.5, 6.0)):
        before = AHEAD + moments / 5 + longer * seconds
        first = max(over, datetime.now(UTC)).replace(microsecond=0) + timedelta(seconds=round(before))
        await enroll(f"{name}-{attempt}", first)
        if datetime.now(UTC) < first:
            return f"{name}-{attempt}", first
        over = first + timedelta(seconds=moments)
    raise NeverHappened(
        f"those of {name} who were to wake were not enrolled in time, though they had six times as long as usual"
    )


async def enroll_at(here: Stage, name: str, count: int, moments: int, first: datetime) -> None:
    names = _names(name, moments)
    times = (first + timedelta(seconds=moment) for moment in range(moments))
    await apply(here, {of: DUE.format(name=of, at=at) for of, at in zip(names, times, strict=True)})
    await enroll_all(here, names, count)


def _names(name: str, moments: int) -> list[str]:
    """Of the sequences, one for each moment."""
    return [f"{name}-{moment}" for moment in range(moments)]


async def awake(here: Stage, name: str, count: int, moments: int, first: datetime) -> Lateness:
    """Waits until each contact has got its message."""
    names = _names(name, moments)
    pool = await here.connection.pool()
    query = (
        "select extract(epoch from m.sent_at - m.due_at)::float8 as late from broadcast_messages m"
        " join sequence_contacts c on c.id = m.sequence_contact_id join sequences s on s.id = c.sequence_id"
        " where s.name = any($1) and m.status = 'sent' and m.due_at >= $2"
    )
    active = (
        "select count(*) from sequence_contacts c join sequences s on s.id = c.sequence_id"
        " where s.name = any($1) and c.status = 'active'"
    )

    async def sent() -> bool:
        return bool(await pool.fetchval(f"select count(*) from ({query}) t", names, first) >= count)  # noqa: S608

    async def over() -> bool:
        return bool(await pool.fetchval(active, names) == 0)

    within = _patience(first, moments, count)
    await here.until(f"{count} contacts of {name} are sent to", sent, within, LOOK)
    # Their last activity must not disturb the next round.
    await here.until(f"{count} contacts of {name} complete", over, within, LOOK)
    return Lateness.of([row["late"] for row in await pool.fetch(query, names, first)])


async def _start_bare(here: Stage, name: str, count: int, moments: int, first: datetime) -> None:
    await start_bare(here, name, count, lambda index: first + timedelta(seconds=index % moments))


async def _bare_awake(here: Stage, name: str, count: int, moments: int, first: datetime) -> Lateness:
    """Waits until all have ended."""
    temporal = here.connection.temporal
    query = f"WorkflowType = 'FloorContact' and ExecutionStatus = 'Completed' and WorkflowId STARTS_WITH '{name}:'"

    async def ended() -> bool:
        return (await temporal.count_workflows(query)).count >= count

    within = _patience(first, moments, count)
    await here.until(f"{count} bare workflows of {name} end", ended, within, LOOK)
    ids = [execution.id async for execution in temporal.list_workflows(query)]
    return Lateness.of(
        await each(ids, lambda of: temporal.get_workflow_handle(of, result_type=float).result())
    )


def _patience(first: datetime, moments: int, count: int) -> float:
    """Seconds from now in which all should be over, even on a slow machine."""
    return max(0.0, (first - datetime.now(UTC)).total_seconds()) + moments + 120 + count / 2
