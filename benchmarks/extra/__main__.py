"""``python -m benchmarks.extra``: a campaign on Drumbeat against the same on DBOS, the peer, turn by turn.

The peer is installed by ``.venv/bin/python -m pip install --require-hashes -r benchmarks/extra/peer.lock``.
"""

import argparse
import asyncio
import sys
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from benchmarks.campaign import Run, add_devices, draft_campaign
from benchmarks.compare_campaigns import compare_campaigns
from benchmarks.extra.peer import MISSING, peer_rate
from benchmarks.figures import Figures
from rig.people import MOST_PHONES
from rig.stage import Stage, stage

RESULTS = Path("bench-peer.json")

PEERS = {"DBOS, a step for each lead": True, "DBOS, no steps": False}


async def _once(here: Stage, name: str, *, leads: int, step: bool) -> Run:
    campaign = f"PEER{name}{step}".upper()
    await draft_campaign(here, campaign, leads)
    return await peer_rate(here, campaign, step=step)


async def _run(figures: Figures, leads: int, rounds: int) -> None:
    async with stage() as here:
        await add_devices(here)
        peers = {name: partial(_once, here, leads=leads, step=step) for name, step in PEERS.items()}
        await compare_campaigns(here, figures, leads, rounds, 1, peers)


def main() -> None:
    """Runs it, shows the table, and writes the results."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.extra", description="Measure the peer.")
    parser.add_argument("--leads", type=int, default=2000, help="of a campaign (default: 2000)")
    parser.add_argument("--rounds", type=int, default=3, help="of each (default: 3)")
    arguments = parser.parse_args()
    if not 0 < arguments.leads <= MOST_PHONES or arguments.rounds < 1:
        parser.error(f"--leads is from 1 to {MOST_PHONES:,}, --rounds from 1 on")
    if find_spec("dbos") is None:
        sys.exit(MISSING)
    figures = Figures(RESULTS, vars(arguments))
    problem = "it was ended before"
    try:
        asyncio.run(_run(figures, arguments.leads, arguments.rounds))
        problem = ""
    finally:
        figures.close(problem)


if __name__ == "__main__":
    main()
