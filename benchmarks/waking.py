"""How late contacts wake, beside bare workflows that sleep until the same moment."""

import statistics
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from benchmarks.contacts import apply, enroll_all, start_bare
from benchmarks.stage import Stage, Stuck
from naming.calls import each

__all__ = ["Lateness", "enrolled_in_time", "middle", "wake", "wake_bare"]

AHEAD = 4.0
"""Seconds at least from the beginning of an enrollment until who is to wake is due."""

LOOK = 1.0
"""Seconds between two looks whether all have woken, which are work beside theirs."""

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

    async def enroll(attempt: str, first: datetime) -> None:
        files = {
            f"{attempt}-{moment}": DUE.format(
                name=f"{attempt}-{moment}", at=first + timedelta(seconds=moment)
            )
            for moment in range(moments)
        }
        await apply(here, files)
        await enroll_all(here, list(files), count)

    attempt, first = await enrolled_in_time(name, count, moments, per_second, enroll)
    names = [f"{attempt}-{moment}" for moment in range(moments)]
    pool = await here.connection.pool()
    query = (
        "select extract(epoch from m.sent_at - m.due_at)::float8 as late from broadcast_messages m"
        " join sequence_contacts c on c.id = m.sequence_contact_id join sequences s on s.id = c.sequence_id"
        " where s.name = any($1) and m.status = 'sent' and m.due_at >= $2"
    )

    async def sent() -> bool:
        return bool(await pool.fetchval(f"select count(*) from ({query}) t", names, first) >= count)  # noqa: S608

    active = (
        "select count(*) from sequence_contacts c join sequences s on s.id = c.sequence_id"
        " where s.name = any($1) and c.status = 'active'"
    )

    async def over() -> bool:
        return bool(await pool.fetchval(active, names) == 0)

    await here.until(
        f"{count} contacts of {attempt} are sent to", sent, _patience(first, moments, count), LOOK
    )
    # Who comes next in turn is not to pay for their last activity.
    await here.until(f"{count} contacts of {attempt} complete", over, _patience(first, 0, count), LOOK)
    return Lateness.of([row["late"] for row in await pool.fetch(query, names, first)])


async def wake_bare(here: Stage, name: str, count: int, moments: int, per_second: float) -> Lateness:
    """The same with bare workflows."""

    async def start(attempt: str, first: datetime) -> None:
        await start_bare(here, attempt, count, lambda index: first + timedelta(seconds=index % moments))

    attempt, first = await enrolled_in_time(name, count, moments, per_second, start)
    temporal = here.connection.temporal
    query = (
        "WorkflowType = 'FloorContact' and ExecutionStatus = 'Completed'"
        f" and WorkflowId STARTS_WITH '{attempt}:'"
    )

    async def ended() -> bool:
        return (await temporal.count_workflows(query)).count >= count

    await here.until(
        f"{count} bare workflows of {attempt} end", ended, _patience(first, moments, count), LOOK
    )
    ids = [execution.id async for execution in temporal.list_workflows(query)]
    return Lateness.of(
        await each(ids, lambda of: temporal.get_workflow_handle(of, result_type=float).result())
    )


async def enrolled_in_time(
    name: str,
    count: int,
    moments: int,
    per_second: float,
    enroll: Callable[[str, datetime], Awaitable[None]],
) -> tuple[str, datetime]:
    """Has so many enrolled before the first moment, on which they are due; others, and more slowly, if it became too late.

    Who is enrolled after the moment is due tomorrow. Answers the name of those who are in time, and their moment.
    Raises Stuck.
    """
    for slower in (1, 2, 4, 8):
        seconds = AHEAD + moments / 5 + slower * 1.5 * count / per_second
        first = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=round(seconds))
        attempt = f"{name}-{slower}"
        await enroll(attempt, first)
        if datetime.now(UTC) < first:
            return attempt, first
    raise Stuck(f"to enroll the {count} of {name} who were to wake took eight times as long as before")


def _patience(first: datetime, moments: int, count: int) -> float:
    """Seconds from now on in which all should be over, also on a slow machine."""
    return max(0.0, (first - datetime.now(UTC)).total_seconds()) + moments + 120 + count / 2
