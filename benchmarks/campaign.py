"""A campaign's messages per second, against bare workflows on the same servers with the same worker settings."""

import asyncio
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.floor import QUEUE
from benchmarks.people import add_leads
from messaging.campaigns.contract import FanOut
from messaging.devices.device import DeviceSettings
from operations import campaigns, devices
from rig.stage import Stage
from rig.waiting import NeverHappened
from temporal.ids import campaign_workflow_id

__all__ = ["DEVICES", "FLOORS", "Run", "add_devices", "campaign_run", "draft_campaign", "floor_run"]

DEVICES = 5

FLOORS = {"FloorParent": "FloorChild", "FloorFeeder": "FloorLead"}
"""The workflows that start others, and those that they start: see benchmarks/floor.py."""

FILE = """campaign: {name}
target: {{niche: {niche}}}
fan_out: {fan_out}
text: "Hi {{{{ name }}}}, half price today."
"""


@dataclass(frozen=True)
class Run:
    """One round: the rate, and milliseconds of CPU for each message by process."""

    per_second: float
    cpu_ms: dict[str, float]


async def add_devices(here: Stage, count: int = DEVICES) -> None:
    """Devices without a delay, so that only the engine is measured."""
    for number in range(count):
        settings = DeviceSettings(id=f"bench-{number}", gateway="simulated", min_delay=0, max_delay=0)
        await devices.add(here.connection, settings)


async def draft_campaign(
    here: Stage, name: str, leads: int, devices_used: int = DEVICES, fan_out: FanOut = "children"
) -> None:
    """A campaign of that name. Campaigns with the same number of leads share their people, as fictional numbers are
    limited.
    """
    niche = f"AUDIENCE-{leads}"
    pool = await here.connection.pool()
    if not await pool.fetchval("select exists (select from leads where $1 = any(niches))", niche):
        await add_leads(here, leads, niche=niche, devices=devices_used)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "campaign.yaml"
        file.write_text(FILE.format(name=name, niche=niche, fan_out=fan_out))
        await campaigns.apply(here.connection, [file])


async def campaign_run(
    here: Stage, name: str, leads: int, workers: int = 1, fan_out: FanOut = "children"
) -> Run:
    """A campaign from the start command until the last lead's workflow is completed, with this many worker
    processes; 0: those that run already.
    """
    await draft_campaign(here, name, leads, fan_out=fan_out)
    pool = await here.connection.pool()

    async def ended() -> bool:
        return bool(await pool.fetchval("select ended_at is not null from campaigns where name = $1", name))

    async def completed() -> bool:
        # The ledger knows the end of the last message before Temporal does; bare workflows are measured by Temporal
        # too.
        return await _completed(here, "MessageWorkflow", f"{campaign_workflow_id(name)}:") == leads

    async def work() -> None:
        await campaigns.start(here.connection, name)
        await here.until(f"campaign {name} ends", ended)
        await here.until(f"all workflows of {name} complete", completed)

    run = await _measured(here, leads, workers, work)
    sent = await pool.fetchval(
        "select count(*) from broadcast_messages m join campaigns c on c.id = m.campaign_id"
        " where c.name = $1 and m.status = 'sent'",
        name,
    )
    if sent != leads:
        raise NeverHappened(f"{sent} of {leads} were sent")
    return run


async def floor_run(here: Stage, floor: str, name: str, leads: int, workers: int = 1) -> Run:
    """Bare workflows, from the start of the first until the last is completed. ``floor``: one of FLOORS."""
    temporal = here.connection.temporal
    # Each worker has its own queue and share of the leads, since eager starts come back to the worker that starts them.
    queues = [f"{QUEUE}-{number}" for number in range(workers)]

    async def completed() -> bool:
        return await _completed(here, FLOORS[floor], f"{name}:") == leads

    async def work() -> None:
        starters = [
            temporal.execute_workflow(
                floor,
                args=[name, leads * number // workers, leads * (number + 1) // workers],
                id=f"floor-{name}-{number}",
                task_queue=queue,
            )
            for number, queue in enumerate(queues)
        ]
        await here.watched(f"the workflows of {name} are started", asyncio.gather(*starters))
        await here.until(f"all workflows of {name} complete", completed)

    return await _measured(here, leads, workers, work, queues)


async def _measured(
    here: Stage, leads: int, workers: int, work: Callable[[], Awaitable[None]], bare: Sequence[str] = ()
) -> Run:
    """One round, by workers that run before the clock starts. ``bare``: the queues of bare workflows."""
    try:
        for number in range(workers):
            await here.start_worker(
                *(("-m", "benchmarks.floor", str(here.home), bare[number]) if bare else ())
            )
        before, began = here.usage(), time.monotonic()
        await work()
        seconds = time.monotonic() - began
        spent = here.usage().since(before)
    finally:
        if workers:
            await here.stop_workers()
    return Run(leads / seconds, {process: 1000 * cpu / leads for process, cpu in spent.items()})


async def _completed(here: Stage, workflow_type: str, prefix: str) -> int:
    query = f"WorkflowType = '{workflow_type}' and ExecutionStatus = 'Completed' and WorkflowId STARTS_WITH '{prefix}'"
    return (await here.connection.temporal.count_workflows(query)).count
