"""All figures, each beside what it was measured against in the same run: ``python -m benchmarks``, by ``make bench``.

Machines differ and are noisy: rounds alternate, and what is shown are medians. Writes ``bench-results.json``.
"""

import argparse
import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.campaign import add_devices
from benchmarks.compare_campaigns import compare_campaigns
from benchmarks.compare_contacts import compare_contacts
from benchmarks.figures import Figure, Figures, spread
from benchmarks.ledger import ledger_rates
from benchmarks.machine import look_at_machine
from benchmarks.people import MOST, most_enrolled
from benchmarks.stage import Stuck, stage
from messaging.errors import DrumbeatError

__all__ = ["main"]

RESULTS = Path("bench-results.json")

FULL = {"contacts": 1000, "asleep": [1000, 10_000, 50_000]}


async def run(figures: Figures, arguments: argparse.Namespace) -> None:
    """Everything, on servers started for it. Raises Stuck, and whatever the servers say."""
    figures.note(Figure("the machine, at the beginning", str(look_at_machine())))
    async with stage() as here:
        await add_devices(here)
        for workers in (1, 2):
            # A quarter, to save time: of two workers only the ratios are to be read.
            leads = -(-arguments.leads // workers**2)
            await compare_campaigns(here, figures, leads, arguments.rounds, workers)
        for rate in await ledger_rates(here, arguments.leads, arguments.rounds):
            value = f"{spread(rate.rounds, 0)} messages/s"
            figures.note(Figure(rate.name, value, rate.against, rate.ratio, {"rounds": rate.rounds}))
        asleep = sorted(set(arguments.asleep))
        await compare_contacts(here, figures, arguments.contacts, arguments.rounds, asleep)
    figures.note(Figure("the machine, at the end", str(look_at_machine())))


def main(asked: Sequence[str] | None = None) -> None:
    """Runs it, shows the table, and writes the results; exit code 1 where something could not be measured."""
    parser = argparse.ArgumentParser(
        prog="make bench",
        description="Measure Drumbeat on this machine.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--full", action="store_true", help=f"as many as the documentation shows: {FULL}")
    parser.add_argument("--leads", type=int, default=2000, help="of a campaign")
    parser.add_argument("--rounds", type=int, default=3, help="of everything that alternates")
    parser.add_argument("--contacts", type=int, default=300, help="of a sequence")
    parser.add_argument("--asleep", type=int, nargs="+", default=[1000, 2000], help="contacts at a time")
    if "--full" in (asked or sys.argv[1:]):
        parser.set_defaults(**FULL)
    arguments = parser.parse_args(asked)
    if min(arguments.leads, arguments.rounds, arguments.contacts, *arguments.asleep) < 1:
        parser.error("give numbers from 1 on")
    # The audiences and the ledger's rows; who sleeps; who is enrolled by a service, and who wakes.
    by_service = (arguments.rounds + 2) * arguments.contacts + arguments.rounds
    people = 3 * arguments.leads + max(arguments.asleep) + arguments.rounds + by_service
    if people > MOST or by_service > most_enrolled():
        parser.error(
            f"this takes {people:,} people, {by_service:,} of them enrolled by a service, and of fictional numbers there"
            f" are {MOST:,}, of which a service may enroll {most_enrolled():,}: give smaller ones"
        )
    figures = Figures(RESULTS, vars(arguments))
    figures.tell(
        "this takes some thirteen minutes on two cores, and '--full' an hour; '--help' says how to measure less"
    )
    problem = "it was ended by hand"
    try:
        asyncio.run(run(figures, arguments))
        problem = ""
    except (Stuck, DrumbeatError) as error:
        problem = str(error)
    except Exception as error:
        problem = repr(error)
        raise
    finally:
        figures.close(problem)
    sys.exit(1 if problem else 0)


if __name__ == "__main__":
    main()
