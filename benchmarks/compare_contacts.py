"""Compares enrollment, sleep and waking of contacts with bare workflows, with one worker process."""

import asyncio
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

from benchmarks import contacts
from benchmarks.contacts import IdleUsage
from benchmarks.figures import Figure, Figures, medians, ratio, spread
from benchmarks.floor import QUEUE
from benchmarks.waking import Lateness, middle, wake, wake_bare, wake_together
from operations.schedule import SWEEP
from rig.stage import Stage

__all__ = ["compare_contacts"]

SETTLE = 5.0
"""Seconds from an enrollment until the cost of sleeping is measured."""
A_LOOK = 10.0
"""Seconds of each measurement, which includes one sweep: six times as often as the sweep of every minute."""
A_MINUTE = 60
"""Number of moments, a second apart, at which contacts wake."""

BARE = "bare workflows that sleep"


async def compare_contacts(
    here: Stage, figures: Figures, count: int, rounds: int, asleep: Sequence[int]
) -> None:
    """``count``: contacts that a service enrolls, and that wake; ``asleep``: how many sleep, in rising order."""
    sweep = here.connection.temporal.get_schedule_handle(SWEEP)
    await here.start_worker()
    try:
        # The benchmark starts the sweep itself; the scheduled one would disturb it.
        await sweep.pause(note="a benchmark measures it")
        nobody = await _look(here, 0, rounds)
        bare = await _start_bare_worker(here)
        each = await _enrollment(here, figures, asleep[0], rounds)
        await here.stop_worker(bare)
        await _sleepers(here, figures, asleep, rounds, nobody, each)
        await _polling(here, figures, asleep)
        await _start_bare_worker(here)
        slowest = await _service(here, figures, count, rounds)
        await _wake(here, figures, count, rounds, slowest)
    finally:
        await here.stop_workers()


async def _start_bare_worker(here: Stage) -> asyncio.subprocess.Process:
    return await here.start_worker("-m", "benchmarks.floor", str(here.home), f"{QUEUE}-0")


async def _enrollment(here: Stage, figures: Figures, total: int, rounds: int) -> "_Enrolled":
    """Measures enrollment by trigger, in turn with bare workflows that an activity starts too."""
    ours, bare = _Enrolled(), _Enrolled()
    for number in range(rounds):
        share = total * (number + 1) // rounds - total * number // rounds
        for turn in (0, 1):  # alternate the order
            before = await contacts.sizes(here)
            if (number + turn) % 2:
                rate = await contacts.feed_bare(here, f"SWEEP{number}", share)
                bare.add(rate, share, before, await contacts.sizes(here))
                await contacts.end_bare(here, f"SWEEP{number}", share)
            else:
                rate = await contacts.enroll_by_trigger(here, f"SWEEP{number}", share)
                ours.add(rate, share, before, await contacts.sizes(here))
        figures.tell(
            f"round {number + 1} of {rounds}, {share:,} enrolled by trigger: {ours.rates[-1]:.1f}/s, bare {bare.rates[-1]:.1f}/s"
        )
    figures.note(_against_bare(f"enrollment of {total // rounds:,} by trigger", ours.rates, bare.rates))
    figures.note(
        Figure(
            "their bytes in Temporal, each",
            spread(ours.temporal_bytes, 0),
            f"{BARE}, {spread(bare.temporal_bytes, 0)}",
            ratio(statistics.median(ours.temporal_bytes), statistics.median(bare.temporal_bytes)),
            {"enrollment": asdict(ours), "bare": asdict(bare)},
        )
    )
    return ours


@dataclass
class _Enrolled:
    """Rounds: contacts per second, and bytes for each; those in PostgreSQL include leads, which bare workflows have
    not.
    """

    rates: list[float] = field(default_factory=list)
    temporal_bytes: list[float] = field(default_factory=list)
    postgres_bytes: list[float] = field(default_factory=list)

    def add(self, rate: float, count: int, before: tuple[int, int], after: tuple[int, int]) -> None:
        """Adds a round with this many contacts and these sizes of the databases before and after."""
        self.rates.append(rate)
        self.temporal_bytes.append((after[0] - before[0]) / count)
        self.postgres_bytes.append((after[1] - before[1]) / count)


def _against_bare(what: str, ours: Sequence[float], bare: Sequence[float]) -> Figure:
    return Figure(
        what,
        f"{spread(ours)} contacts/s",
        f"{BARE}, {spread(bare)}/s",
        ratio(statistics.median(ours), statistics.median(bare)),
        {"enrollment": list(ours), "bare": list(bare)},
    )


async def _sleepers(
    here: Stage,
    figures: Figures,
    counts: Sequence[int],
    rounds: int,
    nobody: Sequence[IdleUsage],
    first: _Enrolled,
) -> None:
    """Measures the cost of each number of sleeping contacts. The first number is enrolled already; it enrolls the
    rest.
    """
    bytes_each = statistics.median(first.temporal_bytes)
    enrolled = counts[0]
    for count in counts:
        if (more := count - enrolled) > 0:
            figures.tell(f"{more:,} contacts are enrolled")
            grown, sizes = _Enrolled(), await contacts.sizes(here)
            rate = await contacts.enroll_by_trigger(here, f"SWEEP-{count}", more)
            grown.add(rate, more, sizes, await contacts.sizes(here))
            enrolled = count
            figures.note(
                Figure(
                    f"{more:,} more by trigger, bytes in Temporal, each",
                    f"{grown.temporal_bytes[0]:,.0f}; {grown.postgres_bytes[0]:,.0f} in PostgreSQL, with the leads;"
                    f" at {rate:.1f} contacts/s",
                    f"those before, {bytes_each:,.0f}",
                    ratio(grown.temporal_bytes[0], bytes_each),
                    asdict(grown),
                )
            )
        slept = await _look(here, enrolled, rounds)
        # Without a ratio: the difference is at the resolution of a process's clock.
        figures.note(
            Figure(
                f"{enrolled:,} contacts asleep, CPU",
                _cpu(slept, "% of a core"),
                f"nobody enrolled, {_cpu(nobody, '%')}",
                details={
                    "asleep": [asdict(look) for look in slept],
                    "nobody": [asdict(look) for look in nobody],
                },
            )
        )
        figures.note(
            Figure(
                "memory with them",
                f"worker {slept[-1].worker_mb:.0f} MB, Temporal {slept[-1].temporal_mb:.0f} MB",
                f"nobody enrolled, {nobody[-1].worker_mb:.0f} and {nobody[-1].temporal_mb:.0f} MB",
            )
        )


async def _look(here: Stage, count: int, times: int) -> list[IdleUsage]:
    """So many looks, and one before them that does not count: what was done before has its after-work."""
    # Does now what autovacuum would do at some time within the minute.
    await (await here.connection.pool()).execute("vacuum (analyze)")
    await asyncio.sleep(SETTLE)
    looks = []
    for _ in range(1 + times):
        await here.connection.temporal.get_schedule_handle(SWEEP).trigger()
        looks.append(await contacts.asleep(here, count, A_LOOK))
    return looks[1:]


def _cpu(looks: Sequence[IdleUsage], unit: str) -> str:
    """The whole, and its parts."""
    processes = medians([look.cpu_percent for look in looks])
    named = ", ".join(f"{name} {percent:.1f}" for name, percent in processes.items())
    return f"{spread([sum(look.cpu_percent.values()) for look in looks])} {unit} ({named})"


async def _polling(here: Stage, figures: Figures, counts: Sequence[int]) -> None:
    """What a design that polls the database each minute costs instead, while no contact is due."""
    polled = {count: await contacts.polling_ms(here, count) for count in (*counts, 1_000_000)}
    words = ", ".join(f"{count:,} contacts: {ms:.2f} ms" for count, ms in polled.items())
    details = {str(count): ms for count, ms in polled.items()}
    figures.note(Figure("polling instead, each minute", words, details=details))


async def _service(here: Stage, figures: Figures, share: int, rounds: int) -> float:
    """Measures enrollment by a service, in turn with bare workflows. Returns the slowest round, in contacts per
    second.
    """
    ours: list[float] = []
    bare: list[float] = []
    for number in range(rounds):
        for turn in (0, 1):  # alternate the order
            if (number + turn) % 2:
                bare.append(await contacts.start_bare(here, f"SERVICE{number}", share))
            else:
                ours.append(await contacts.enroll_by_service(here, f"SERVICE{number}", share))
        figures.tell(
            f"round {number + 1} of {rounds}, {share:,} enrolled by a service: {ours[-1]:.1f}/s, bare {bare[-1]:.1f}/s"
        )
    figures.note(_against_bare(f"enrollment of {share:,} by a service", ours, bare))
    return min(ours)


async def _wake(here: Stage, figures: Figures, count: int, rounds: int, per_second: float) -> None:
    ours: list[Lateness] = []
    bare: list[Lateness] = []
    for number in range(rounds):
        for turn in (0, 1):  # alternate the order
            if (number + turn) % 2:
                bare.append(await wake_bare(here, f"WAKE{number}", count, 1, per_second))
            else:
                ours.append(await wake(here, f"WAKE{number}", count, 1, per_second))
        figures.tell(
            f"round {number + 1} of {rounds}, {count:,} due at one moment: {ours[-1]}; bare {bare[-1]}"
        )
    one, other = middle(ours), middle(bare)
    figures.note(
        Figure(
            f"{count:,} contacts due at one moment, lateness",
            str(one),
            f"bare workflows, {other}",
            ratio(one.median, other.median),
            {"contacts": [asdict(late) for late in ours], "bare": [asdict(late) for late in bare]},
        )
    )
    figures.tell(f"{count:,} contacts, and as many bare workflows beside them, wake over a minute")
    one, other = await wake_together(here, "WAKES", count, A_MINUTE, per_second)
    # Without a ratio: both share the machine, and are late by some hundredths of a second.
    figures.note(
        Figure(
            f"{count:,} contacts due over a minute, lateness",
            str(one),
            f"as many bare workflows beside them, {other}",
            details={"contacts": [asdict(one)], "bare": [asdict(other)]},
        )
    )
