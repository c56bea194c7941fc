"""All figures, each beside what it was measured against in the same run: ``python -m benchmarks``, by ``make bench``.

Machines differ and are noisy: rounds alternate, and what is shown are medians. Writes ``bench-results.json``.
"""

import argparse
import asyncio
import json
import os
import platform
import statistics
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks import contacts
from benchmarks.campaign import FLOORS, Run, add_devices, campaign_run, draft_campaign, floor_run
from benchmarks.contacts import Asleep
from benchmarks.ledger import ledger_rates
from benchmarks.peer import MISSING, PeerResult, peer_rate
from benchmarks.people import MOST
from benchmarks.stage import Stage, stage

__all__ = ["Figure", "main"]

RESULTS = Path("bench-results.json")

TARGET = 80.0
"""Messages a second: the default throughput of one number of the WhatsApp Cloud API."""


FLOOR_NAMES = {"FloorParent": "bare parent and children", "FloorFeeder": "bare eager starts"}


@dataclass
class Figure:
    """One line of the table. ``against``: what it was measured against, ``ratio`` how it compares."""

    what: str
    value: str
    against: str = ""
    ratio: float | None = None
    details: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        """In one line."""
        ratio = "" if self.ratio is None else f", ratio {self.ratio:.2f}"
        return f"{self.what}: {self.value}" + (f" (against {self.against}{ratio})" if self.against else "")


@dataclass
class Bench:
    """The run: its sizes, and what it found."""

    here: Stage
    leads: int
    rounds: int
    contacts: int
    asleep: Sequence[int]
    """How many sleep when it is looked what they cost, rising."""
    note: Callable[[Figure], None]
    """Called with each figure as it is found: the whole takes minutes."""

    async def campaigns(self, workers: int) -> None:
        """Both floors and the campaign, turn by turn."""
        runs: dict[str, list[Run]] = {floor: [] for floor in FLOORS}
        ours: list[Run] = []

        async def ours_once(name: str) -> None:
            ours.append(await campaign_run(self.here, f"c{name}".upper(), self.leads, workers))

        async def floor_once(name: str, floor: str) -> None:
            runs[floor].append(await floor_run(self.here, floor, f"{floor}-{name}", self.leads, workers))

        turns: list[Callable[[str], Awaitable[None]]] = [
            ours_once,
            *(partial(floor_once, floor=floor) for floor in FLOORS),
        ]
        for number in range(self.rounds):
            for turn in range(len(turns)):  # nobody is always the first
                await turns[(number + turn) % len(turns)](f"w{workers}r{number}")
        rate = _median(ours)
        processes = f"{workers} worker process" + ("es" if workers > 1 else "")
        for floor, those in runs.items():
            self.note(
                Figure(
                    f"campaign, {self.leads:,} leads, {processes}",
                    f"{_rates(ours)} messages/s",
                    f"{FLOOR_NAMES[floor]}, {_rates(those)}/s",
                    rate / _median(those),
                    {"floor": [asdict(run) for run in those], "campaign": [asdict(run) for run in ours]},
                )
            )
        if workers == 1:
            self.note(
                Figure(
                    "the same, against one Cloud API number",
                    f"{rate:.1f} messages/s",
                    f"{TARGET:.0f}/s",
                    rate / TARGET,
                )
            )
            for label, taken in (
                *((FLOOR_NAMES[floor], those) for floor, those in runs.items()),
                ("a message", ours),
            ):
                spent = {
                    process: statistics.median(run.cpu_ms.get(process, 0.0) for run in taken)
                    for process in taken[0].cpu_ms
                }
                words = ", ".join(f"{process} {ms:.1f}" for process, ms in spent.items())
                self.note(Figure(f"CPU of {label}, ms", f"{sum(spent.values()):.1f}", words))

    async def people(self) -> None:
        """Enrollment, sleep and waking, by one worker process."""
        empty = await contacts.sizes(self.here)
        await self.here.start_worker()
        try:
            enrolled = 0
            for count in self.asleep:
                more = count - enrolled
                by_trigger = await contacts.enroll_by_trigger(self.here, f"SWEEP{count}", more)
                enrolled = count
                self.note(Figure(f"enrollment of {more:,} by trigger", f"{by_trigger:.1f} contacts/s"))
                self._slept(await contacts.asleep(self.here, count, 20, empty))
            by_service = await contacts.enroll_by_service(self.here, "SERVICE", self.contacts)
            self.note(Figure(f"enrollment of {self.contacts:,} by a service", f"{by_service:.1f} contacts/s"))
            polled = {
                count: await contacts.polling_ms(self.here, count) for count in (*self.asleep, 1_000_000)
            }
            self.note(
                Figure(
                    "polling instead, each minute",
                    ", ".join(f"{count:,} contacts: {ms:.2f} ms" for count, ms in polled.items()),
                )
            )
            for label, spread in (("at one moment", 0.0), ("over a minute", 60.0)):
                late = await contacts.wake(self.here, f"wake{spread:.0f}", self.contacts, spread)
                self.note(
                    Figure(
                        f"{late.contacts:,} contacts due {label}, lateness",
                        f"median {late.median:.2f} s, 99th percentile {late.p99:.2f} s",
                        details=asdict(late),
                    )
                )
        finally:
            await self.here.stop_workers()

    def _slept(self, slept: Asleep) -> None:
        cpu = ", ".join(f"{process} {percent:.1f}" for process, percent in slept.cpu_percent.items())
        self.note(
            Figure(
                f"{slept.contacts:,} contacts asleep, CPU in % of a core",
                f"{sum(slept.cpu_percent.values()):.1f}",
                cpu,
                details=asdict(slept),
            )
        )
        self.note(
            Figure(
                "bytes for each of them",
                f"{slept.temporal_bytes:,.0f} in Temporal, {slept.postgres_bytes:,.0f} in PostgreSQL",
                f"worker {slept.worker_mb:.0f} MB, Temporal {slept.temporal_mb:.0f} MB of memory",
            )
        )

    async def ledger(self) -> None:
        """Claim and settle against a bare insert and update."""
        for rate in await ledger_rates(self.here, 4 * self.leads, self.rounds):
            self.note(Figure(rate.name, f"{rate.per_second:,.0f}/s", rate.against, rate.ratio))

    async def peer(self) -> None:
        """The same campaign on DBOS, where it is installed; ours between its rounds."""
        if find_spec("dbos") is None:
            self.note(Figure("DBOS", "not measured", MISSING))
            return
        ours: list[float] = []
        theirs: dict[bool, list[PeerResult]] = {True: [], False: []}
        for number in range(self.rounds):
            ours.append((await campaign_run(self.here, f"OURS{number}", self.leads)).per_second)
            for step, results in theirs.items():
                name = f"PEER{number}{step}".upper()
                await draft_campaign(self.here, name, self.leads)
                results.append(await peer_rate(self.here, name, step=step))
        for step, results in theirs.items():
            rate = statistics.median(result.per_second for result in results)
            cpu = 1000 * statistics.median(result.cpu_seconds for result in results)
            self.note(
                Figure(
                    f"DBOS, {self.leads:,} leads, {'a step each' if step else 'no step'}",
                    f"{rate:.1f} messages/s, CPU of a message {cpu:.1f} ms",
                    f"ours between its rounds, {statistics.median(ours):.1f}/s",
                    rate / statistics.median(ours),
                    {"rounds": [asdict(result) for result in results]},
                )
            )


def _median(runs: Sequence[Run]) -> float:
    return statistics.median(run.per_second for run in runs)


def _rates(runs: Sequence[Run]) -> str:
    rates = [run.per_second for run in runs]
    return f"{_median(runs):.1f} ({min(rates):.1f} to {max(rates):.1f})"


async def run(
    leads: int, rounds: int, people: int, asleep: Sequence[int], note: Callable[[Figure], None]
) -> None:
    """Everything, on servers started for it."""
    async with stage() as here:
        await add_devices(here)
        bench = Bench(here, leads, rounds, people, asleep, note)
        await bench.campaigns(1)
        await bench.campaigns(2)
        await bench.peer()
        await bench.ledger()
        await bench.people()


def main() -> None:
    """Runs it, shows the table, and writes the results."""
    parser = argparse.ArgumentParser(prog="make bench", description="Measure Drumbeat on this machine.")
    parser.add_argument("--leads", type=int, default=2000, help="of a campaign")
    parser.add_argument("--rounds", type=int, default=3, help="of everything that alternates")
    parser.add_argument("--contacts", type=int, default=1000, help="of a sequence")
    parser.add_argument("--asleep", type=int, nargs="+", default=[1000, 10_000], help="contacts at a time")
    arguments = parser.parse_args()
    if min(arguments.leads, arguments.rounds, arguments.contacts, *arguments.asleep) < 1:
        parser.error("give numbers from 1 on")
    # An audience, the ledger's rows; who sleeps; who is enrolled by a service, and who wakes.
    people = 5 * arguments.leads + max(arguments.asleep) + 3 * arguments.contacts
    if people > MOST:
        parser.error(
            f"this takes {people:,} people, and there are {MOST:,} fictional numbers: give smaller ones"
        )
    console = Console(highlight=False)
    machine = {"cores": os.cpu_count(), "python": platform.python_version(), "system": platform.platform()}
    figures: list[Figure] = []

    def note(figure: Figure) -> None:
        figures.append(figure)
        console.print(str(figure), style="dim")
        found = {
            "machine": machine,
            "arguments": vars(arguments),
            "figures": [asdict(one) for one in figures],
        }
        RESULTS.write_text(json.dumps(found, indent=1) + "\n")

    asleep = sorted(set(arguments.asleep))
    asyncio.run(run(arguments.leads, arguments.rounds, arguments.contacts, asleep, note))
    table = Table("what", "measured", "against", "ratio", box=None)
    for figure in figures:
        ratio = "" if figure.ratio is None else f"{figure.ratio:.2f}"
        table.add_row(figure.what, figure.value, figure.against, ratio)
    console.print(table)
    console.print(f"Written to {RESULTS}")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
