"""A campaign's messages a second, against the engine's floor on the same servers with the same worker settings."""

import asyncio
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.floor import QUEUE
from benchmarks.people import add_leads
from benchmarks.processes import usage
from benchmarks.stage import ROOT, Stage
from messaging.devices import DeviceSettings
from operations import campaigns, devices

__all__ = ["DEVICES", "FLOORS", "Run", "add_devices", "campaign_run", "draft_campaign", "floor_run"]

DEVICES = 5

FLOORS = {"FloorParent": "FloorChild", "FloorFeeder": "FloorLead"}
"""The workflows that start, and those that are started: see benchmarks/floor.py."""

FILE = """campaign: {name}
target: {{niche: {niche}}}
text: "Hi {{{{ name }}}}, half price today."
"""


@dataclass(frozen=True)
class Run:
    """One round: how fast, and milliseconds of CPU for each message by process."""

    per_second: float
    cpu_ms: dict[str, float]


async def add_devices(here: Stage, count: int = DEVICES) -> None:
    """Devices that have no delay: what is measured is the engine."""
    for number in range(count):
        settings = DeviceSettings(id=f"bench-{number}", gateway="simulated", min_delay=0, max_delay=0)
        await devices.add(here.connection, settings)


async def draft_campaign(here: Stage, name: str, leads: int, devices_used: int = DEVICES) -> None:
    """A campaign of that name, to the same people as every other of so many leads: there are not that many numbers."""
    niche = f"AUDIENCE-{leads}"
    pool = await here.connection.pool()
    if not await pool.fetchval("select exists (select from leads where $1 = any(niches))", niche):
        await add_leads(here, leads, niche=niche, devices=devices_used)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "campaign.yaml"
        file.write_text(FILE.format(name=name, niche=niche))
        await campaigns.apply(here.connection, [file])


async def campaign_run(here: Stage, name: str, leads: int, workers: int = 1) -> Run:
    """A campaign from the start command to its end, by so many worker processes."""
    await draft_campaign(here, name, leads)
    pool = await here.connection.pool()
    for _ in range(workers):
        await here.start_worker()
    try:
        before, began = here.usage(), time.monotonic()
        await campaigns.start(here.connection, name)
        while not await pool.fetchval("select ended_at is not null from campaigns where name = $1", name):
            await asyncio.sleep(0.1)
        seconds = time.monotonic() - began
        spent = here.usage().since(before)
        sent = await pool.fetchval(
            "select count(*) from broadcast_messages m join campaigns c on c.id = m.campaign_id"
            " where c.name = $1 and m.status = 'sent'",
            name,
        )
        assert sent == leads, f"{sent} of {leads} were sent"
    finally:
        await here.stop_workers()
    return Run(leads / seconds, {process: 1000 * cpu / leads for process, cpu in spent.items()})


async def floor_run(here: Stage, floor: str, name: str, leads: int, workers: int = 1) -> Run:
    """Bare workflows, from the start of the first to the end of the last. ``floor``: one of FLOORS."""
    temporal = here.connection.temporal
    bare = [await _bare_worker(here) for _ in range(workers)]
    try:
        before, began = here.usage(), time.monotonic()
        workers_before = usage({str(worker.pid): worker.pid for worker in bare})
        # As many as there are workers, since those that start leads eagerly keep one busy each.
        shares = [(leads * share // workers, leads * (share + 1) // workers) for share in range(workers)]
        async with asyncio.TaskGroup() as group:
            for first, last in shares:
                of_share = temporal.execute_workflow(
                    floor, args=[name, first, last], id=f"floor-{name}-{first}", task_queue=QUEUE
                )
                group.create_task(of_share)
        query = f"WorkflowType = '{FLOORS[floor]}' and ExecutionStatus = 'Completed' and WorkflowId STARTS_WITH '{name}:'"
        while (await temporal.count_workflows(query)).count < leads:
            await asyncio.sleep(0.1)
        seconds = time.monotonic() - began
        spent = here.usage().since(before)
        workers_spent = usage({str(worker.pid): worker.pid for worker in bare}).since(workers_before)
        spent["worker"] = sum(workers_spent.values())
    finally:
        for worker in bare:
            worker.kill()
            await worker.wait()
    return Run(leads / seconds, {process: 1000 * cpu / leads for process, cpu in spent.items()})


async def _bare_worker(here: Stage) -> asyncio.subprocess.Process:
    worker = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.floor", str(here.home)), cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    assert worker.stdout is not None
    assert b"working" in await worker.stdout.readline()
    return worker
