"""Measures an edit that affects all sleeping contacts: how long it takes, and how late due contacts are during it."""

import asyncio
import itertools
import json
import statistics
import time
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import datetime

from benchmarks.contacts import SLEEPERS, apply, enroll_by_trigger
from benchmarks.figures import Figure, Figures
from benchmarks.waking import Lateness, awake, both, enroll_at, enrolled_in_time
from messaging.common.database import Pool
from messaging.sending.telling import count_unplanned
from operations import contacts
from operations.schedule import SWEEP
from rig.stage import Stage

__all__ = ["measure_edits"]

ASK_EVERY = 5.0
"""Seconds between two commands to a sleeping contact."""

SAY_EVERY = 30.0
"""Seconds between two lines of progress."""

DUE = 300
"""Contacts that become due during the edit, over a minute."""
MOMENTS = 60
A_SECOND = 40.0
"""Contacts per second that a service enrolls at least, on two cores."""

TIMEOUTS = ("schedule_to_start_timeout", "start_to_close_timeout")


@dataclass(frozen=True)
class Edited:
    """The result. ``stored``: seconds of the commands; ``replanned``: seconds until the last contact had replanned.

    ``timed_out``: workflow tasks that timed out. ``pauses``: seconds of each command that paused a contact.
    """

    contacts: int
    edits: int
    stored: float
    replanned: float
    timed_out: int
    pauses: Sequence[float]

    def __str__(self) -> str:
        """In words."""
        return (
            f"stored in {self.stored:.1f} s, all replanned within {self.replanned:.0f} s ({self.contacts / self.replanned:.0f} contacts a"
            f" second), {self.timed_out} workflow tasks timed out; {len(self.pauses)} pauses of a contact meanwhile took"
            f" {statistics.median(self.pauses):.2f} s ({max(self.pauses):.2f} at most)"
        )


async def measure_edits(here: Stage, figures: Figures, count: int) -> None:
    """Measures one edit beside contacts that become due, and three in a row in which the worker is killed."""
    worker = await here.start_worker()
    try:
        await here.connection.temporal.get_schedule_handle(SWEEP).pause(note="a benchmark measures edits")
        edited, late = await _edit_all(here, figures, "EDIT", count)
        _note(figures, f"an edit that moves a step of {count:,} sleeping contacts", edited)
        due = f"{late.contacts:,} others due over {MOMENTS} s of it, lateness"
        figures.note(Figure(due, str(late), details=asdict(late)))
        killed = await _edits(here, figures, "EDIT", count, ["28d", "27d", "26d"], kill=worker)
        _note(figures, "three edits in a row, and the worker is killed and another begins meanwhile", killed)
    finally:
        await here.stop_workers()


def _note(figures: Figures, what: str, edited: Edited) -> None:
    figures.note(Figure(what, str(edited), details=asdict(edited)))


async def _edit_all(here: Stage, figures: Figures, name: str, count: int) -> tuple[Edited, Lateness]:
    """Moves a step of sleeping contacts to an earlier day, while DUE others become due."""
    pool = await here.connection.pool()
    figures.tell(f"{count:,} contacts are enrolled by their trigger")

    async def enrolled() -> str:
        count_now: int = await pool.fetchval("select count(*) from sequence_contacts")
        return f"{count_now:,} are enrolled"

    async with _progress(figures, enrolled):
        rate = await enroll_by_trigger(here, name, count)
    figures.tell(f"{count:,} contacts sleep, enrolled at {rate:.0f} a second; {DUE} more are enrolled")

    async def enroll(attempt: str, first: datetime) -> None:
        await enroll_at(here, attempt, DUE, MOMENTS, first)

    attempt, first = await enrolled_in_time(f"{name}-DUE", DUE / A_SECOND, MOMENTS, enroll)
    return await both(_edits(here, figures, name, count, ["29d"]), awake(here, attempt, DUE, MOMENTS, first))


async def _edits(
    here: Stage,
    figures: Figures,
    name: str,
    count: int,
    moments: Sequence[str],
    *,
    kill: asyncio.subprocess.Process | None = None,
) -> Edited:
    """Moves the step several times in a row. ``kill``: a worker to kill after a tenth was signalled; another one
    starts.
    """
    pool = await here.connection.pool()
    before, began = await _timed_out(here), time.monotonic()
    for moment in moments:
        await apply(here, {name: SLEEPERS.format(name=name).replace("30d", moment)})
    stored = time.monotonic() - began
    pauses: list[float] = []

    async def replanned() -> bool:
        nonlocal kill
        remaining = await count_unplanned(pool)
        if kill is not None and remaining < 0.9 * count:
            here.workers.remove(kill)
            kill.kill()
            await kill.wait()
            kill = None
            await here.start_worker()
        return remaining == 0

    async def still_to_signal() -> str:
        return f"{await count_unplanned(pool):,} of {count:,} are have not replanned yet"

    async with _progress(figures, still_to_signal), _pausing(here, pool, name, pauses):
        await here.until(
            f"{count:,} contacts have replanned after an edit", replanned, _patience(count), every=0.2
        )
    seconds = time.monotonic() - began
    return Edited(count, len(moments), stored, seconds, await _timed_out(here) - before, pauses)


def _patience(count: int) -> float:
    """Seconds to signal this many, even on a machine with a quarter of the speed of two cores of today."""
    return 300 + count / 10


@asynccontextmanager
async def _progress(figures: Figures, how_far: Callable[[], Awaitable[str]]) -> AsyncIterator[None]:
    """Prints the progress now and then."""

    async def say() -> None:
        while True:
            await asyncio.sleep(SAY_EVERY)
            figures.tell(await how_far())

    saying = asyncio.create_task(say())
    try:
        yield
    finally:
        saying.cancel()


@asynccontextmanager
async def _pausing(here: Stage, pool: Pool, name: str, seconds: list[float]) -> AsyncIterator[None]:
    """Pauses and resumes a contact of the sequence now and then; records how long each pause command took."""
    rows = await pool.fetch(
        "select c.phone from sequence_contacts c join sequences s on s.id = c.sequence_id where s.name = $1"
        " order by c.id desc limit 1000",
        name,
    )
    over = asyncio.Event()

    async def pause() -> None:
        for row in itertools.cycle(rows):
            began = time.monotonic()
            await contacts.pause(here.connection, name, row["phone"])
            seconds.append(time.monotonic() - began)
            await contacts.resume(here.connection, name, row["phone"])
            with suppress(TimeoutError):
                await asyncio.wait_for(over.wait(), ASK_EVERY)
            if over.is_set():
                return

    pausing = asyncio.create_task(pause())
    try:
        yield
    finally:
        over.set()
        await pausing


async def _timed_out(here: Stage) -> int:
    """Workflow tasks that have timed out so far: schedule to start, or start to close."""
    ports = json.loads((here.home / "ports.json").read_text())
    url = f"http://127.0.0.1:{ports['temporal_metrics_port']}/metrics"
    text = await asyncio.to_thread(lambda: urllib.request.urlopen(url).read().decode())
    return sum(
        int(float(line.rpartition(" ")[2]))
        for line in text.splitlines()
        if line.partition("{")[0] in TIMEOUTS and "WorkflowTaskTimeout" in line
    )
