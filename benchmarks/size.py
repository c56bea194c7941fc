"""Runs a campaign of any size on the embedded servers, to see whether it slows down or anything grows.

.venv/bin/python -m benchmarks.size --leads 50000 --devices 5
"""

import argparse
import asyncio
import json
import sys
import time
from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks.campaign import DEVICES, add_devices, draft_campaign
from messaging.campaigns.contract import FAN_OUTS, FanOut
from operations import audit as audits
from operations import campaigns
from rig import gateway_control
from rig.people import MOST_PHONES
from rig.stage import Stage, stage

__all__ = ["Sample", "main"]

NAME = "SIZE"


@dataclass(frozen=True)
class Sample:
    """Progress and usage at a number of seconds after the start. Memory in MB."""

    seconds: float
    settled: int
    worker_mb: float
    temporal_mb: float
    cpu_ms_per_message: float
    """CPU of worker and servers together since the sample before."""


async def run(leads: int, count: int, every: float, fan_out: FanOut) -> dict[str, Any]:
    """Runs the campaign from the start command to its end; returns the samples and the checks after it."""
    async with stage() as here:
        await add_devices(here, count)
        await draft_campaign(here, NAME, leads, count, fan_out)
        await here.start_worker()
        began = time.monotonic()
        await campaigns.start(here.connection, NAME)
        samples = await _watch(here, began, every)
        seconds = time.monotonic() - began
        found = await _examine(here, leads)
    return {
        "leads": leads,
        "devices": count,
        "fan_out": fan_out,
        "seconds": round(seconds, 1),
        "per_second": round(leads / seconds, 2),
        **found,
        "samples": [asdict(sample) for sample in samples],
    }


async def _watch(here: Stage, began: float, every: float) -> list[Sample]:
    pool = await here.connection.pool()
    samples: list[Sample] = []
    before, settled_before = here.usage(), 0
    while True:
        await asyncio.sleep(every)
        campaign = await pool.fetchrow(
            "select ended_at is not null as over, (select count(*) from broadcast_messages"
            " where not is_unsettled(status)) as settled from campaigns"
        )
        assert campaign is not None
        now = here.usage()
        moved = campaign["settled"] - settled_before
        sample = Sample(
            seconds=round(time.monotonic() - began, 1),
            settled=campaign["settled"],
            worker_mb=round(now.memory["worker"] / 1e6, 1),
            temporal_mb=round(now.memory["temporal"] / 1e6, 1),
            cpu_ms_per_message=round(1000 * sum(now.since(before).values()) / max(moved, 1), 2),
        )
        rate = moved / max(sample.seconds - (samples[-1].seconds if samples else 0.0), 0.1)
        print(  # noqa: T201 - a program's own output
            f"{sample.seconds:8.1f} s {sample.settled:8,} settled {rate:6.1f}/s  worker {sample.worker_mb:6.1f} MB "
            f" Temporal {sample.temporal_mb:7.1f} MB  {sample.cpu_ms_per_message:6.2f} ms CPU a message",
            flush=True,
        )
        samples.append(sample)
        before, settled_before = now, campaign["settled"]
        if campaign["over"]:
            return samples


async def _examine(here: Stage, leads: int) -> dict[str, Any]:
    """Compares the gateway's log with the ledger, and measures the length of the histories."""
    pool = await here.connection.pool()
    phones = {row["phone"] for row in await pool.fetch("select phone from leads")}
    accepted = Counter(row["phone"] for row in await gateway_control.accepted(here.gateway_control))
    longest: Counter[str] = Counter()
    runs: Counter[str] = Counter()
    query = "WorkflowType in ('CampaignWorkflow', 'CampaignShardWorkflow')"
    async for execution in here.connection.temporal.list_workflows(query):
        longest[execution.workflow_type] = max(longest[execution.workflow_type], execution.history_length)
        runs[execution.workflow_type] += 1
    report = await audits.audit(here.connection)
    return {
        "accepted": sum(accepted.values()),
        "doubled": sum(count - 1 for count in accepted.values()),
        "missing": len(phones - accepted.keys()),
        "strangers": len(accepted.keys() - phones),
        "longest_history": dict(longest),
        "runs": dict(runs),
        "audit_kept": report.kept,
        "expected": leads,
    }


def main() -> None:
    """Runs it, and prints the result as JSON. Exit code 1 if a message was sent twice or is missing."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--leads", type=int, default=50_000, help=f"at most {MOST_PHONES:,}")
    parser.add_argument("--devices", type=int, default=DEVICES)
    parser.add_argument("--every", type=float, default=20.0, help="seconds between two samples")
    parser.add_argument("--fan-out", choices=FAN_OUTS, default="children")
    arguments = parser.parse_args()
    if not 0 < arguments.leads <= MOST_PHONES or arguments.devices < 1 or arguments.every <= 0:
        parser.error(f"--leads is from 1 to {MOST_PHONES:,}; --devices and --every are positive")
    result = asyncio.run(run(arguments.leads, arguments.devices, arguments.every, arguments.fan_out))
    print(json.dumps(result, indent=1))  # noqa: T201 - a program's own output
    whole = result["doubled"] == result["missing"] == result["strangers"] == 0 and result["audit_kept"]
    sys.exit(0 if whole else 1)


if __name__ == "__main__":
    main()
