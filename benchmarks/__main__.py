"""Measures all figures, each with its comparison from the same run: ``python -m benchmarks``, by ``make bench``.

Machines differ and are noisy, so rounds alternate and medians are shown. Writes ``bench-results.json``.
"""

import argparse
import asyncio
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.campaign import add_devices
from benchmarks.compare_campaigns import compare_campaigns
from benchmarks.compare_contacts import compare_contacts
from benchmarks.editing import measure_edits
from benchmarks.figures import Figure, Figures, spread
from benchmarks.flood import RECEIPTS_A_SECOND, measure_floods
from benchmarks.ledger import ledger_rates
from benchmarks.machine import look_at_machine
from benchmarks.people import most_enrolled
from messaging.common.errors import DrumbeatError
from rig.people import MOST_PHONES
from rig.stage import stage
from rig.waiting import NeverHappened

__all__ = ["main"]

RESULTS = Path("bench-results.json")

ENDED = "it was ended by hand"
INTERRUPTED = 130
"""The shell's exit code after Ctrl-C."""

FULL = {"contacts": 1000, "asleep": [1000, 10_000, 50_000]}


async def run(figures: Figures, arguments: argparse.Namespace) -> None:
    """Measures everything, on servers started for it. Raises NeverHappened and errors of the servers."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    figures.note(Figure("the machine, at the beginning", str(look_at_machine())))
    async with stage() as here:
        await add_devices(here)
        if arguments.edited:
            await measure_edits(here, figures, arguments.edited)
            return
        if arguments.campaigns:
            await compare_campaigns(here, figures, arguments.leads, arguments.rounds, 1)
            return
        if arguments.flood:
            await measure_floods(here, figures, arguments.leads, arguments.rounds, arguments.flood)
            return
        for workers in (1, 2):
            # Half as many leads for two workers, to save time.
            leads = -(-arguments.leads // workers)
            await compare_campaigns(here, figures, leads, arguments.rounds, workers)
        for rate in await ledger_rates(here, arguments.leads, arguments.rounds):
            value = f"{spread(rate.rounds, 0)} messages/s"
            figures.note(Figure(rate.name, value, rate.against, rate.ratio, {"rounds": rate.rounds}))
        asleep = sorted(set(arguments.asleep))
        await compare_contacts(here, figures, arguments.contacts, arguments.rounds, asleep)
    figures.note(Figure("the machine, at the end", str(look_at_machine())))


def main(asked: Sequence[str] | None = None) -> None:
    """Runs it, shows the table, and writes the results. Exit code 1 if something could not be measured, 130 after
    Ctrl-C.
    """
    parser = argparse.ArgumentParser(
        prog="make bench",
        description="Measure Drumbeat on this machine.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--full",
        action="store_true",
        help="as many contacts as the documentation shows: --contacts 1000 --asleep 1000 10000 50000",
    )
    parser.add_argument("--leads", type=int, default=2000, help="of a campaign; half of them by two workers")
    parser.add_argument(
        "--rounds", type=int, default=3, help="of everything that takes turns, which one round does not"
    )
    parser.add_argument(
        "--contacts", type=int, default=300, help="enrolled by a service, and woken, each round"
    )
    parser.add_argument(
        "--asleep", type=int, nargs="+", default=[1000, 2000], help="numbers of sleeping contacts, rising"
    )
    parser.add_argument(
        "--edited",
        type=int,
        default=0,
        metavar="N",
        help="measure only edits of a sequence with this many sleeping contacts, e.g. 20000",
    )
    parser.add_argument(
        "--campaigns", action="store_true", help="measure only campaigns, with one worker process"
    )
    if "--full" in (sys.argv[1:] if asked is None else asked):
        parser.set_defaults(**FULL)
    parser.add_argument(
        "--flood",
        type=int,
        default=0,
        metavar="S",
        help="measure only campaigns beside S seconds of 1,000 receipts a second from a gateway, e.g. 60",
    )
    arguments = parser.parse_args(asked)
    if (
        min(
            arguments.leads,
            arguments.rounds,
            arguments.contacts,
            1 + arguments.edited,
            1 + arguments.flood,
            *arguments.asleep,
        )
        < 1
    ):
        parser.error("give numbers from 1 on")
    if min(arguments.asleep) < arguments.rounds:
        parser.error("at least one contact a round is to sleep: give a larger --asleep, or fewer --rounds")
    # The audiences and the ledger's rows; contacts that sleep; contacts that a service enrolls, and those that wake,
    # counted for a second attempt too.
    by_service = 2 * (2 * arguments.rounds + 1) * arguments.contacts
    flooded = arguments.flood and arguments.leads + RECEIPTS_A_SECOND * arguments.flood // 2
    people = arguments.edited or flooded or 3 * arguments.leads + max(arguments.asleep) + by_service
    if people > MOST_PHONES or by_service > most_enrolled():
        parser.error(
            f"this takes {people:,} people, {by_service:,} of them enrolled by a service, and of fictional numbers there"
            f" are {MOST_PHONES:,}, of which a service may enroll {most_enrolled():,}: give smaller ones"
        )
    figures = Figures(RESULTS, vars(arguments))
    problem = ENDED
    # Ignore Ctrl-C until the event loop handles it: during the creation of the loop it would leave half of it behind.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        figures.tell(
            "each thousand contacts take a good minute on two cores"
            if arguments.edited
            else f"each of {arguments.rounds} rounds takes about {2 * arguments.flood} s"
            if arguments.flood
            else "this takes some ten minutes on two cores, and '--full' half an hour; '--help' says how to measure less"
        )
        asyncio.run(run(figures, arguments))
        problem = ""
    except (KeyboardInterrupt, asyncio.CancelledError):
        pass  # the latter if nothing was awaited yet
    except (NeverHappened, DrumbeatError) as error:
        problem = str(error)
    except Exception as error:
        problem = repr(error)
        raise
    finally:
        figures.close(problem)
    sys.exit(INTERRUPTED if problem == ENDED else bool(problem))


if __name__ == "__main__":
    main()
