"""Contacts: their enrollment, their sleep and their waking, by one worker process, against bare workflows."""

import asyncio
import statistics
from collections.abc import Sequence
from dataclasses import asdict

from benchmarks import contacts
from benchmarks.contacts import Asleep
from benchmarks.figures import Figure, Figures, parts, spread
from benchmarks.floor import QUEUE
from benchmarks.stage import Stage
from operations.schedule import SWEEP

__all__ = ["compare_contacts"]

SETTLE = 10.0
"""Seconds from an enrollment until it is looked what sleeping costs."""
A_SWEEP = 60.0
"""Seconds for which it is looked: one sweep falls into them."""


async def compare_contacts(
    here: Stage, figures: Figures, count: int, rounds: int, asleep: Sequence[int]
) -> None:
    """``count``: who is enrolled by a service, and who wakes; ``asleep``: how many sleep, rising."""
    empty = await contacts.sizes(here)
    await here.start_worker()
    try:
        await _sleepers(here, figures, asleep, empty)
        await _polling(here, figures, asleep)
        await here.start_worker("-m", "benchmarks.floor", str(here.home), f"{QUEUE}-0")
        slowest = await _service(here, figures, -(-count // rounds), rounds)
        await _wake(here, figures, count, slowest)
    finally:
        await here.stop_workers()


async def _sleepers(here: Stage, figures: Figures, counts: Sequence[int], empty: tuple[int, int]) -> None:
    """Enrolled by the sweep's workflow, which is asked for; the one that comes by the minute would help it meanwhile."""
    sweep = here.connection.temporal.get_schedule_handle(SWEEP)
    nobody = await _look(here, 0, empty)
    enrolled = 0
    for count in counts:
        more, enrolled = count - enrolled, count
        figures.tell(f"{more:,} contacts are enrolled")
        await sweep.pause(note="a benchmark measures it")
        per_second = await contacts.enroll_by_trigger(here, f"SWEEP{count}", more)
        await sweep.unpause()
        name = f"enrollment of {more:,} by trigger"
        figures.note(Figure(name, f"{per_second:.1f} contacts/s", details={"per_second": per_second}))
        slept = await _look(here, count, empty)
        before = sum(nobody.cpu_percent.values())
        figures.note(
            Figure(
                f"{count:,} contacts asleep, CPU",
                parts(slept.cpu_percent, "% of a core"),
                f"nobody enrolled, {parts(nobody.cpu_percent, '%')}",
                sum(slept.cpu_percent.values()) / before if before else None,
                {"asleep": asdict(slept), "nobody": asdict(nobody)},
            )
        )
        figures.note(
            Figure(
                "their bytes, each",
                f"{slept.temporal_bytes:,.0f} in Temporal, {slept.postgres_bytes:,.0f} in PostgreSQL",
            )
        )
        figures.note(
            Figure(
                "memory with them",
                f"worker {slept.worker_mb:.0f} MB, Temporal {slept.temporal_mb:.0f} MB",
                f"nobody enrolled, {nobody.worker_mb:.0f} and {nobody.temporal_mb:.0f} MB",
            )
        )


async def _look(here: Stage, count: int, empty: tuple[int, int]) -> Asleep:
    # What autovacuum would do at some time within the minute.
    await (await here.connection.pool()).execute("vacuum (analyze)")
    await asyncio.sleep(SETTLE)
    return await contacts.asleep(here, count, A_SWEEP, empty)


async def _polling(here: Stage, figures: Figures, counts: Sequence[int]) -> None:
    """What a design that asks the database each minute pays instead, while nobody is due."""
    polled = {count: await contacts.polling_ms(here, count) for count in (*counts, 1_000_000)}
    words = ", ".join(f"{count:,} contacts: {ms:.2f} ms" for count, ms in polled.items())
    details = {str(count): ms for count, ms in polled.items()}
    figures.note(Figure("polling instead, each minute", words, details=details))


async def _service(here: Stage, figures: Figures, share: int, rounds: int) -> float:
    """Enrollment by a service, in turn with bare workflows. The slowest round, in contacts a second."""
    ours: list[float] = []
    bare: list[float] = []
    for number in range(rounds):
        for turn in (0, 1):  # nobody is always the first
            if (number + turn) % 2:
                bare.append(await contacts.start_bare(here, share))
            else:
                ours.append(await contacts.enroll_by_service(here, f"SERVICE{number}", share))
        figures.tell(
            f"round {number + 1} of {rounds}, {share:,} enrolled by a service: {ours[-1]:.1f}/s, bare {bare[-1]:.1f}/s"
        )
    figures.note(
        Figure(
            f"enrollment of {share:,} by a service",
            f"{spread(ours)} contacts/s",
            f"bare workflows that sleep, {spread(bare)}/s",
            statistics.median(ours) / statistics.median(bare),
            {"enrollment": ours, "bare": bare},
        )
    )
    return min(ours)


async def _wake(here: Stage, figures: Figures, count: int, per_second: float) -> None:
    for label, moments in (("at one moment", 1), ("over a minute", 60)):
        figures.tell(f"{count:,} contacts, and as many bare workflows, wake {label}")
        late = await contacts.wake(here, f"WAKE{moments}", count, moments, per_second)
        bare = await contacts.wake_bare(here, count, moments, per_second)
        figures.note(
            Figure(
                f"{count:,} contacts due {label}, lateness",
                str(late),
                f"bare workflows, {bare}",
                late.median / bare.median if bare.median > 0 else None,
                {"contacts": asdict(late), "bare": asdict(bare)},
            )
        )
