"""Compares campaigns with bare workflows, in alternating rounds."""

import statistics
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict
from functools import partial

from benchmarks.campaign import FLOORS, Run, campaign_run, floor_run
from benchmarks.figures import Figure, Figures, medians, parts, spread
from messaging.campaigns.contract import FanOut
from rig.stage import Stage

__all__ = ["Turn", "compare_campaigns"]

TARGET = 80.0
"""Messages per second: the default throughput of one number of the WhatsApp Cloud API."""

OURS: dict[FanOut, str] = {"children": "campaign", "eager": "campaign, eager"}
FLOOR_NAMES = {"FloorParent": "bare parent and children", "FloorFeeder": "bare eager starts"}

Turn = Callable[[str], Awaitable[Run]]
"""One round, under a unique name."""


async def compare_campaigns(
    here: Stage,
    figures: Figures,
    leads: int,
    rounds: int,
    workers: int,
    others: Mapping[str, Turn] | None = None,
) -> None:
    """Measures with this many worker processes. ``others``: what is compared, by name; by default the bare
    workflows.
    """
    if others is None:
        others = {
            FLOOR_NAMES[floor]: partial(_floor_once, here, floor, leads=leads, workers=workers)
            for floor in FLOORS
        }
    turns: dict[str, Turn] = {
        **{
            ours: partial(_campaign_once, here, fan_out, leads=leads, workers=workers)
            for fan_out, ours in OURS.items()
        },
        **others,
    }
    runs: dict[str, list[Run]] = {name: [] for name in turns}
    for number in range(rounds):
        # Alternate the order, so that none is always the first or always after the same.
        for name in list(turns)[:: 1 if number % 2 == 0 else -1]:
            run = await turns[name](f"W{workers}R{number}")
            runs[name].append(run)
            figures.tell(f"round {number + 1} of {rounds}, {leads:,} leads: {name}, {run.per_second:.1f}/s")
    _note(figures, f"{leads:,} leads, {workers} worker process" + ("es" if workers > 1 else ""), runs)
    if workers == 1:
        for ours in OURS.values():
            rate = _rate(runs[ours])
            target = f"one number of the Cloud API, {TARGET:.0f}/s"
            figures.note(Figure(ours, f"{rate:.1f} messages/s", target, rate / TARGET))


async def _campaign_once(here: Stage, fan_out: FanOut, name: str, *, leads: int, workers: int) -> Run:
    return await campaign_run(here, f"{fan_out}-{name}", leads, workers, fan_out)


async def _floor_once(here: Stage, floor: str, name: str, *, leads: int, workers: int) -> Run:
    return await floor_run(here, floor, f"{floor}-{name}", leads, workers)


def _note(figures: Figures, which: str, runs: dict[str, list[Run]]) -> None:
    """Each of ours against each of the others: the rate, and the CPU."""
    others = [name for name in runs if name not in OURS.values()]
    for ours in OURS.values():
        for name in others:
            _note_pair(figures, f"{ours}, {which}", runs[ours], name, runs[name])


def _note_pair(figures: Figures, what: str, ours: list[Run], name: str, others: list[Run]) -> None:
    figures.note(
        Figure(
            what,
            f"{_spread(ours)} messages/s",
            f"{name}, {_spread(others)}/s",
            _rate(ours) / _rate(others),
            {"campaign": [asdict(run) for run in ours], "against": [asdict(run) for run in others]},
        )
    )
    spent, theirs = (medians([run.cpu_ms for run in each]) for each in (ours, others))
    figures.note(
        Figure(
            "its CPU for each message",
            parts(spent, "ms"),
            parts(theirs, "ms"),
            sum(spent.values()) / sum(theirs.values()),
        )
    )


def _rate(runs: Sequence[Run]) -> float:
    return statistics.median(run.per_second for run in runs)


def _spread(runs: Sequence[Run]) -> str:
    return spread([run.per_second for run in runs])
