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
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
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
from benchmarks.floor import QUEUE
from benchmarks.ledger import ledger_rates
from benchmarks.machine import look_at_machine
from benchmarks.peer import MISSING, PeerResult, peer_rate
from benchmarks.people import MOST, most_enrolled
from benchmarks.stage import Stage, Stuck, stage
from messaging.errors import DrumbeatError
from operations.schedule import SWEEP

__all__ = ["Figure", "main"]

RESULTS = Path("bench-results.json")

TARGET = 80.0
"""Messages a second: the default throughput of one number of the WhatsApp Cloud API."""

SETTLE = 10.0
"""Seconds from an enrollment until it is looked what sleeping costs."""
A_SWEEP = 60.0
"""Seconds for which it is looked: one sweep falls into them."""

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
        """Both floors and the campaign, turn by turn; with one worker process also the peer, where it is installed."""
        with_peer = workers == 1 and find_spec("dbos") is not None
        floors: dict[str, list[Run]] = {floor: [] for floor in FLOORS}
        peers: dict[bool, list[PeerResult]] = {True: [], False: []} if with_peer else {}
        ours: list[Run] = []

        async def ours_once(name: str) -> None:
            ours.append(await campaign_run(self.here, f"C{name}", self.leads, workers))

        async def floor_once(name: str, floor: str) -> None:
            floors[floor].append(await floor_run(self.here, floor, f"{floor}-{name}", self.leads, workers))

        async def peer_once(name: str, step: bool) -> None:
            name = f"PEER{name}{step}".upper()
            await draft_campaign(self.here, name, self.leads)
            peers[step].append(await peer_rate(self.here, name, step=step))

        turns: list[Callable[[str], Awaitable[None]]] = [
            ours_once,
            *(partial(floor_once, floor=floor) for floor in floors),
            *(partial(peer_once, step=step) for step in peers),
        ]
        for number in range(self.rounds):
            for turn in range(len(turns)):  # nobody is always the first
                await turns[(number + turn) % len(turns)](f"W{workers}R{number}")
        self._note_campaigns(workers, ours, floors)
        if workers == 1:
            self._note_cost(ours, floors)
            self._note_peers(ours, peers)

    def _note_campaigns(self, workers: int, ours: Sequence[Run], floors: Mapping[str, Sequence[Run]]) -> None:
        processes = f"{workers} worker process" + ("es" if workers > 1 else "")
        for floor, runs in floors.items():
            self.note(
                Figure(
                    f"campaign, {self.leads:,} leads, {processes}",
                    f"{_rates(ours)} messages/s",
                    f"{FLOOR_NAMES[floor]}, {_rates(runs)}/s",
                    _median(ours) / _median(runs),
                    {"floor": [asdict(run) for run in runs], "campaign": [asdict(run) for run in ours]},
                )
            )

    def _note_cost(self, ours: Sequence[Run], floors: Mapping[str, Sequence[Run]]) -> None:
        rate = _median(ours)
        self.note(
            Figure(
                "the same, against one Cloud API number",
                f"{rate:.1f} messages/s",
                f"{TARGET:.0f}/s",
                rate / TARGET,
            )
        )
        spent = _cpu([run.cpu_ms for run in ours])
        for floor, runs in floors.items():
            bare = _cpu([run.cpu_ms for run in runs])
            self.note(
                Figure(
                    "CPU of a message",
                    _parts(spent, "ms"),
                    f"{FLOOR_NAMES[floor]}, {_parts(bare, 'ms')}",
                    sum(spent.values()) / sum(bare.values()),
                )
            )

    def _note_peers(self, ours: Sequence[Run], peers: Mapping[bool, Sequence[PeerResult]]) -> None:
        if not peers:
            self.note(Figure("the same, against DBOS", "not measured", MISSING))
        for step, results in peers.items():
            rates = [result.per_second for result in results]
            rate = statistics.median(rates)
            cpu = _cpu([{name: 1000 * spent for name, spent in one.cpu.items()} for one in results])
            self.note(
                Figure(
                    "the same, against DBOS",
                    f"{_median(ours):.1f} messages/s",
                    f"{'a step for each lead' if step else 'no steps'}, {_spread(rates)}/s, {_parts(cpu, 'ms')}",
                    _median(ours) / rate,
                    {"rounds": [asdict(result) for result in results]},
                )
            )

    async def ledger(self) -> None:
        """Claim and settle against a bare insert and update."""
        for rate in await ledger_rates(self.here, 4 * self.leads, self.rounds):
            self.note(
                Figure(
                    rate.name,
                    f"{_spread(rate.rounds, 0)} messages/s",
                    rate.against,
                    rate.ratio,
                    {"rounds": rate.rounds},
                )
            )

    async def people(self) -> None:
        """Enrollment, sleep and waking, by one worker process."""
        empty = await contacts.sizes(self.here)
        await self.here.start_worker()
        sweep = self.here.connection.temporal.get_schedule_handle(SWEEP)
        try:
            awake = await self._sleep(0, empty)
            enrolled = 0
            for count in self.asleep:
                more = count - enrolled
                await sweep.pause(note="it would enroll the same leads meanwhile")
                by_trigger = await contacts.enroll_by_trigger(self.here, f"SWEEP{count}", more)
                await sweep.unpause()
                enrolled = count
                name = f"enrollment of {more:,} by trigger"
                self.note(Figure(name, f"{by_trigger:.1f} contacts/s", details={"per_second": by_trigger}))
                await self._sleep(count, empty, awake)
            polled = {
                count: await contacts.polling_ms(self.here, count) for count in (*self.asleep, 1_000_000)
            }
            self.note(
                Figure(
                    "polling instead, each minute",
                    ", ".join(f"{count:,} contacts: {ms:.2f} ms" for count, ms in polled.items()),
                    details={str(count): ms for count, ms in polled.items()},
                )
            )
            await self.here.start_worker("-m", "benchmarks.floor", str(self.here.home), f"{QUEUE}-0")
            per_second = await self._enroll()
            await self._wake(per_second)
        finally:
            await self.here.stop_workers()

    async def _sleep(self, count: int, empty: tuple[int, int], awake: Asleep | None = None) -> Asleep:
        """What so many cost who sleep; ``awake``: what it cost before there was one."""
        await asyncio.sleep(SETTLE)
        slept = await contacts.asleep(self.here, count, A_SWEEP, empty)
        cpu = sum(slept.cpu_percent.values())
        name = f"{count:,} contacts asleep" if count else "nobody enrolled"
        if awake is None:
            self.note(Figure(f"{name}, CPU", _parts(slept.cpu_percent, "% of a core"), details=asdict(slept)))
            return slept
        before = sum(awake.cpu_percent.values())
        self.note(
            Figure(
                f"{name}, CPU",
                _parts(slept.cpu_percent, "% of a core"),
                f"nobody enrolled, {before:.1f}",
                cpu / before,
                asdict(slept),
            )
        )
        self.note(
            Figure(
                f"{name}, each",
                f"{slept.temporal_bytes:,.0f} bytes in Temporal, {slept.postgres_bytes:,.0f} in PostgreSQL",
            )
        )
        self.note(
            Figure(
                f"{name}, memory",
                f"worker {slept.worker_mb:.0f} MB, Temporal {slept.temporal_mb:.0f} MB",
                f"nobody enrolled, {awake.worker_mb:.0f} and {awake.temporal_mb:.0f} MB",
            )
        )
        return slept

    async def _enroll(self) -> float:
        """By a service, against bare workflows, in turn; contacts a second."""
        ours: list[float] = []
        bare: list[float] = []
        share = -(-self.contacts // self.rounds)
        for number in range(self.rounds):
            ours.append(await contacts.enroll_by_service(self.here, f"SERVICE{number}", share))
            bare.append(await contacts.start_bare(self.here, share))
        self.note(
            Figure(
                f"enrollment of {share:,} by a service",
                f"{_spread(ours)} contacts/s",
                f"bare workflows that sleep, {_spread(bare)}/s",
                statistics.median(ours) / statistics.median(bare),
                {"enrollment": ours, "bare": bare},
            )
        )
        return min(ours)

    async def _wake(self, per_second: float) -> None:
        for label, moments in (("at one moment", 1), ("over a minute", 60)):
            late = await contacts.wake(self.here, f"WAKE{moments}", self.contacts, moments, per_second)
            bare = await contacts.wake_bare(self.here, self.contacts, moments, per_second)
            self.note(
                Figure(
                    f"{late.contacts:,} contacts due {label}, lateness",
                    str(late),
                    f"bare workflows, {bare}",
                    late.median / bare.median if bare.median > 0 else None,
                    {"contacts": asdict(late), "bare": asdict(bare)},
                )
            )


def _median(runs: Sequence[Run]) -> float:
    return statistics.median(run.per_second for run in runs)


def _rates(runs: Sequence[Run]) -> str:
    return _spread([run.per_second for run in runs])


def _spread(rates: Sequence[float], digits: int = 1) -> str:
    middle, low, high = (f"{rate:,.{digits}f}" for rate in (statistics.median(rates), min(rates), max(rates)))
    return f"{middle} ({low} to {high})"


def _cpu(rounds: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The medians by process."""
    return {process: statistics.median(spent[process] for spent in rounds) for process in rounds[0]}


def _parts(of: Mapping[str, float], unit: str) -> str:
    """Sum and parts; what is nothing is not named."""
    named = ", ".join(f"{name} {part:.1f}" for name, part in of.items() if part >= 0.05)
    return f"{sum(of.values()):.1f} {unit} ({named})"


async def run(
    leads: int, rounds: int, people: int, asleep: Sequence[int], note: Callable[[Figure], None]
) -> None:
    """Everything, on servers started for it."""
    note(Figure("the machine, at the beginning", str(look_at_machine())))
    async with stage() as here:
        await add_devices(here)
        bench = Bench(here, leads, rounds, people, asleep, note)
        await bench.campaigns(1)
        await bench.campaigns(2)
        await bench.ledger()
        await bench.people()
    note(Figure("the machine, at the end", str(look_at_machine())))


def main() -> None:
    """Runs it, shows the table, and writes the results."""
    parser = argparse.ArgumentParser(
        prog="make bench",
        description="Measure Drumbeat on this machine.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--leads", type=int, default=2000, help="of a campaign")
    parser.add_argument("--rounds", type=int, default=3, help="of everything that alternates")
    parser.add_argument("--contacts", type=int, default=1000, help="of a sequence")
    parser.add_argument("--asleep", type=int, nargs="+", default=[1000, 10_000], help="contacts at a time")
    arguments = parser.parse_args()
    if min(arguments.leads, arguments.rounds, arguments.contacts, *arguments.asleep) < 1:
        parser.error("give numbers from 1 on")
    # An audience, the ledger's rows; who sleeps; who is enrolled by a service, and who wakes.
    by_service = 3 * arguments.contacts + arguments.rounds
    people = 5 * arguments.leads + max(arguments.asleep) + by_service
    if people > MOST or by_service > most_enrolled():
        parser.error(
            f"this takes {people:,} people, {by_service:,} of them enrolled by a service, and of fictional numbers there"
            f" are {MOST:,}, of which a service may enroll {most_enrolled():,}: give smaller ones"
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

    console.print(
        "This takes a quarter of an hour on two quick cores. Each figure is shown, and written to"
        f" {RESULTS}, as soon as it is found; '--help' says how to measure less.",
        style="dim",
    )
    began = time.monotonic()
    asleep = sorted(set(arguments.asleep))
    problem = ""
    try:
        asyncio.run(run(arguments.leads, arguments.rounds, arguments.contacts, asleep, note))
    except (Stuck, DrumbeatError) as error:
        problem = str(error)
    table = Table("what", "measured", "against", "ratio", box=None)
    for figure in figures:
        ratio = "" if figure.ratio is None else f"{figure.ratio:.2f}"
        table.add_row(figure.what, figure.value, figure.against, ratio)
    console.print(table)
    if problem:
        console.print(f"Not everything was measured: {problem}", markup=False)
    console.print(f"Written to {RESULTS}, after {(time.monotonic() - began) / 60:.0f} minutes")
    sys.exit(1 if problem else 0)


if __name__ == "__main__":
    main()
