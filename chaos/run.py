"""One chaos run: servers, load, disturbances, the time to settle, and the evidence."""

import asyncio
import json
import shutil
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from chaos.evidence import Evidence, fetch, look
from chaos.executor import Executor
from chaos.load import Load
from chaos.plan import Action, Plan
from chaos.plan_file import write_plan
from chaos.topology import WORKERS
from chaos.workers import Workers
from operations.connection import Drumbeat
from rig.stage import Stage, stage
from rig.waiting import TRANSIENT

__all__ = ["PLAN", "SETTLE_WITHIN", "Ended", "Prepare", "run"]

PLAN = "plan.yaml"
"""The name of the file with the plan as it was carried out."""

SETTLE_WITHIN = 400.0
"""Seconds from the end of the plan on. The longest pause between two attempts at a message is six minutes."""

HISTORIES = 20
"""The most histories of workflows that are left, which are kept for the analysis of a failure."""

LOOK_EVERY = 0.5
TELL_EVERY = 15.0

Prepare = Callable[[Drumbeat], Awaitable[None]]
Tell = Callable[[str], None]


@dataclass(frozen=True)
class Ended:
    """A run that is over."""

    done: tuple[Action, ...]
    """The plan as it was carried out."""
    settled_after: float | None
    """Seconds after the end of the plan; None where something was left."""
    evidence: Evidence
    ended_by_themselves: int
    """Workers that ended although nobody killed them."""


async def run(
    plan: Plan,
    folder: Path,
    tell: Tell,
    *,
    prepare: Prepare | None = None,
    settle_within: float = SETTLE_WITHIN,
) -> Ended:
    """Runs the plan, on servers of its own, and leaves plan, logs and evidence in ``folder``.

    ``tell`` is called with what happens. ``prepare`` changes the servers before anything is sent; a test damages them
    with it. Raises NeverHappened, perhaps in a group, if a server does not come back; and InvalidInput.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_plan(folder / PLAN, plan)
    async with stage() as here:
        gateway = here.gateway_control
        load = Load(here.connection, plan, here.gateway_options)
        await load.prepare(gateway)
        if prepare is not None:
            await prepare(here.connection)
        workers = Workers(here, WORKERS, tell)
        try:
            await workers.start()
            executor = Executor(here, workers, gateway, tell)
            try:
                await _disturb(plan, load, executor)
            finally:
                write_plan(folder / PLAN, plan.model_copy(update={"actions": executor.done}))
            tell("the plan is over: no faults, nothing paused, all workers run")
            settled_after = await _settle(here, settle_within, tell, executor)
            evidence = await fetch(here.connection, gateway, executor.answers, executor.terminated)
            _keep(folder, evidence)
            if settled_after is None:
                await _keep_histories(here, folder / "running")
        finally:
            await workers.close()
            shutil.copytree(here.home / "logs", folder / "logs", dirs_exist_ok=True)
    return Ended(executor.done, settled_after, evidence, workers.ended_by_themselves)


async def _disturb(plan: Plan, load: Load, executor: Executor) -> None:
    """Runs from the first message until the last disturbance is over."""
    clock = asyncio.get_running_loop().time
    began = clock()

    def elapsed() -> float:
        return clock() - began

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(load.run(elapsed))
        tasks.create_task(executor.carry_out(plan, elapsed))
    await executor.end_disturbances()


async def _settle(here: Stage, within: float, tell: Tell, executor: Executor) -> float | None:
    """Waits until nothing is open; answers after how many seconds, or None if something is left after ``within``."""
    clock = asyncio.get_running_loop().time
    began = clock()
    tell_at = began + TELL_EVERY
    while clock() - began <= within:
        try:
            await executor.stop_terminated()
            left = await look(here.connection, here.gateway_control, executor.terminated)
        except TRANSIENT as error:
            tell(f"nobody can look just now: {type(error).__name__}")
        else:
            if left.nothing:
                return clock() - began
            if clock() > tell_at:
                tell_at += TELL_EVERY
                some = [*left.messages, *left.workflows, *left.enrollments, *left.replies][:3]
                tell(
                    f"{len(left.messages):,} messages are not settled, {len(left.workflows):,} workflows and"
                    f" {len(left.enrollments):,} enrollments are open, {len(left.replies):,} replies not acknowledged; at most {began + within - clock():.0f} s more: {'; '.join(some)}"
                )
        await asyncio.sleep(LOOK_EVERY)
    return None


async def _keep_histories(here: Stage, folder: Path) -> None:
    """Writes the histories of the first workflows that still run, to see what they wait for."""
    folder.mkdir()
    temporal = here.connection.temporal
    query = "ExecutionStatus = 'Running' and DrumbeatPhone is not null"
    async for found in temporal.list_workflows(query, limit=HISTORIES):
        history = await temporal.get_workflow_handle(found.id, run_id=found.run_id).fetch_history()
        (folder / f"{found.id}.json").write_text(history.to_json())


def _keep(folder: Path, evidence: Evidence) -> None:
    """Writes the deliveries and the ledger, one line each, for the analysis of a failure."""
    for name, found in (("deliveries", evidence.deliveries), ("ledger", evidence.rows)):
        lines = (json.dumps(one.model_dump(mode="json"), ensure_ascii=False) + "\n" for one in found)
        (folder / f"{name}.jsonl").write_text("".join(lines))
