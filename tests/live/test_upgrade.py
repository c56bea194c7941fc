"""Two versions of the workers side by side: those that sleep go over, go back, and nothing is sent twice, lost or late."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from jsonschema import Draft202012Validator
from temporalio.common import WorkerDeploymentVersion

from messaging.gateways import Gateways
from messaging.reporting.workers import find_workers
from operations import campaigns, devices, enrollment
from operations.audit import audit
from operations.connection import connect
from rig.people import phone
from rig.waiting import until
from rig.workers import spawn_worker
from runtime.database import open_pool
from runtime.embedded.postgres import Postgres
from runtime.settings import Settings
from runtime.version import VERSION
from temporal import versions
from tests.support.live import Live, live_servers
from tests.support.releases import RELEASE_0_1_0, copy_with, released, run_in
from tests.support.scenario import Scenario
from tests.support.simulator_process import SimulatorProcess
from worker import make_worker

SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "commands.schema.json").read_text())

pytestmark = pytest.mark.long

PEOPLE, LEADS = 30, 60
STEPS = """
sequence: long
trigger: LONG
steps:
  - {id: a, day: 1, text: "a"}
  - {id: b, after: 7s, text: "b"}
  - {id: c, after: 7s, text: "c"}
  - {id: d, after: 7s, text: "d"}
"""
CAMPAIGN = "campaign: sale\ntarget: {niche: sale}\ntext: Sale\n"

LATE = timedelta(seconds=4)
"""A message that is later than this was not given to a worker that could send it. (Temporal gives a task that no one
answers out again after ten seconds.)
"""


async def worker(live: Live, name: str, folder: Path, **more: str) -> Any:
    """A worker of that code, once it works."""
    log = live.log.with_name(f"{name}.log")
    process = await spawn_worker(
        log, {**live.environment, **more, "PYTHONPATH": str(folder)}, str(folder / "worker.py")
    )
    live.workers.append(process)
    await until(lambda: b"working on task queue" in log.read_bytes(), 60, what=f"{name} works")
    return process


async def end(live: Live, process: Any) -> None:
    process.terminate()
    await process.wait()
    live.workers.remove(process)


async def upgrade(live: Live, *arguments: str, **more: str) -> dict[str, Any]:
    code, out, error = await live.run("starter.py", "upgrade", *arguments, "--json", **more)
    assert code == 0, error
    answer: dict[str, Any] = json.loads(out)
    of = {**SCHEMA["properties"][f"upgrade {arguments[0]}"], "$defs": SCHEMA["$defs"]}
    Draft202012Validator(of).validate(answer)
    return answer


async def run_by(live: Live, build: str, workflow: str = "SequenceContactWorkflow") -> int:
    """Running workflows whose last task was given to workers of that version."""
    query = f"TemporalWorkerDeploymentVersion = 'drumbeat:{build}' and WorkflowType = '{workflow}' and ExecutionStatus = 'Running'"
    return (await live.connection.temporal.count_workflows(query)).count


async def on_time(live: Live) -> None:
    """Nothing was sent later than its slot, or than it was due."""
    late = await live.scenario.pool.fetch(
        "select recipient_phone, due_at, slot_at, sent_at from broadcast_messages"
        " where status <> 'sent' or sent_at > coalesce(slot_at, due_at) + $1::interval",
        LATE,
    )
    assert [dict(row) for row in late] == []


@asynccontextmanager
async def unmigrated(postgres: Postgres, simulator: SimulatorProcess, log: Path) -> AsyncIterator[Live]:
    """Servers with an empty database."""
    name = f"upgrade_{uuid4().hex[:8]}"
    async with await open_pool(postgres.url("postgres")) as server:
        await server.execute(f"create database {name}")
    async with (
        await open_pool(postgres.url(name)) as pool,
        live_servers(Scenario(pool, simulator.url), postgres.url(name), log) as live,
    ):
        yield live


async def test_from_0_1_0_and_back_under_load(
    postgres: Postgres, simulator: SimulatorProcess, tmp_path: Path
) -> None:
    old = released(RELEASE_0_1_0, tmp_path / "old")
    here = Path.cwd()
    async with unmigrated(postgres, simulator, tmp_path / "worker.log") as live:
        pool = live.scenario.pool
        first = await worker(live, "old", old)  # it makes the schema of its release
        (tmp_path / "long.yaml").write_text(STEPS)
        (tmp_path / "sale.yaml").write_text(CAMPAIGN)
        contacts = [f"{phone(index)},,LONG,sequences" for index in range(PEOPLE)]
        leads = [f"{phone(index + 100)},SALE,,campaigns" for index in range(LEADS)]
        (tmp_path / "people.csv").write_text("\n".join(["phone,niches,triggers,device", *contacts, *leads]))

        async def by_old(*arguments: str) -> None:
            await run_in(old, "starter.py", *arguments, env=live.environment)

        for device, pace in (("sequences", "0"), ("campaigns", "0.3")):
            await by_old(
                *("device", "add", device, "--gateway", "simulated", "--option", f"url={simulator.url}"),
                *("--min-delay", pace, "--max-delay", pace),
            )
        await by_old("lead", "import", str(tmp_path / "people.csv"))
        await by_old("sequence", "apply", str(tmp_path / "long.yaml"))
        await by_old("campaign", "apply", str(tmp_path / "sale.yaml"))
        await by_old("campaign", "start", "sale")
        await by_old("enroll", "--trigger", "LONG")

        before = await pool.fetch("select version from schema_migrations")
        told = await upgrade(live, "check", DRUMBEAT_BUILD_ID="new")
        assert await pool.fetch("select version from schema_migrations") == before, "it changes nothing"
        assert told["deployment"] is None
        assert [(one["version"], one["build_id"]) for one in told["workers"]] == [(None, None)]
        pending = {one["number"]: one for one in told["migrations"]}
        assert len(pending) == len(list((here / "messaging" / "migrations").glob("*.sql"))) - len(before)
        assert pending["20261201000211"]["does"] == [
            "adds workers.version (about 1 row)",
            "adds workers.build_id (about 1 row)",
        ]
        assert not any(one["removes"] or one["blocks"] for one in pending.values())
        running = {one["workflow"]: (one["running"], one["pinned"]) for one in told["workflows"]}
        assert running["SequenceContactWorkflow"] == (PEOPLE, False)

        # Expand: the schema of this version, while workers of 0.1.0 send. Then workers of both.
        await run_in(here, "worker.py", "--migrate-only", env=live.environment)
        assert (await upgrade(live, "check"))["migrations"] == []
        second = await worker(live, "new", here, DRUMBEAT_BUILD_ID="new")
        assert "it gets nothing to do before 'upgrade switch new'" in await _logged(live, "new")
        assert await run_by(live, "new") == 0
        there = {(one["version"], one["build_id"]) for one in (await upgrade(live, "check"))["workers"]}
        assert there == {(None, None), (VERSION, "new")}
        await until(lambda: _waiting(live, {"new"}), 20, what="the new ones say that they get nothing to do")
        done = await upgrade(live, "switch", DRUMBEAT_BUILD_ID="new")
        assert (done["before"], done["current"], done["contacts"]) == (None, "new", PEOPLE)
        await until(lambda: _all_by(live, "new"), 20, what="those that sleep go over with their next step")
        await until(lambda: _waiting(live, set()), 20, what="and that they do")
        # Roll back, and forth.
        back = await upgrade(live, "back")
        assert (back["before"], back["current"]) == ("new", None)
        await asyncio.sleep(3)  # some steps are due
        forth = await upgrade(live, "switch", "new")
        assert (forth["before"], forth["current"]) == (None, "new")
        await end(live, first)
        await live.all_over(PEOPLE)
        await until(lambda: _settled(live), 30)
        rows = [*await live.scenario.accepted("sequences"), *await live.scenario.accepted("campaigns")]
        texts = Counter((row["phone"], row["text"]) for row in rows)
        assert set(texts.values()) == {1}, "nothing twice"
        assert len(texts) == 4 * PEOPLE + LEADS, "nothing lost"
        await on_time(live)
        report = await audit(live.connection)
        assert report.kept, [one for one in report.checks if not one.kept]
        await end(live, second)


async def _all_by(live: Live, build: str) -> bool:
    return await run_by(live, build) == await versions.running(
        live.connection.temporal, "SequenceContactWorkflow"
    )


async def _waiting(live: Live, builds: set[str]) -> bool:
    running = (await find_workers(live.scenario.pool, live.connection.settings.task_queue)).running
    return {one.build_id for one in running if one.waits} == builds


async def _settled(live: Live) -> bool:
    count = await live.scenario.pool.fetchval(
        "select count(*) from broadcast_messages where is_unsettled(status)"
    )
    return bool(count == 0)


async def _logged(live: Live, name: str) -> str:
    log = live.log.with_name(f"{name}.log")
    await until(lambda: b"gets nothing to do" in log.read_bytes(), 20)
    return log.read_text()


async def nothing_begins_with_another(live: Live, build: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a worker starts that is not current begins with a current one, though an eager start would be granted."""
    for name, value in live.environment.items():
        monkeypatch.setenv(name, value)
    queue = live.connection.settings.task_queue
    async with connect(Settings(task_queue=queue, build_id="third")) as drumbeat:
        other = WorkerDeploymentVersion("drumbeat", "third")
        gateways = Gateways(live.scenario.simulator_url)
        async with make_worker(
            drumbeat.temporal, await drumbeat.pool(), gateways, task_queue=queue, version=other
        ):
            await enrollment.enroll(drumbeat, "long", phone(60), device=live.scenario.device)
        await gateways.close()
        handle = drumbeat.temporal.get_workflow_handle(f"sequence:long:{phone(60)}")
        events = (await handle.fetch_history()).events
    assert not events[0].workflow_execution_started_event_attributes.eager_execution_accepted
    assert await run_by(live, "third") == 0
    await until(lambda: _all_by(live, build), 20)


async def test_from_this_version_to_the_next_and_back(
    live: Live, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scenario, here = live.scenario, Path.cwd()
    await scenario.add_device()
    await scenario.add_leads(6)
    await scenario.apply(STEPS)
    await scenario.pool.execute("update leads set triggers = '{LONG}'")
    first = await worker(live, "today", here, DRUMBEAT_BUILD_ID="today")
    await until(
        lambda: _current(live, "today"), 30, what="the very first version is the current one by itself"
    )
    await run_in(here, "starter.py", "enroll", "--trigger", "LONG", env=live.environment)
    await until(lambda: _all_by(live, "today"), 20)

    await nothing_begins_with_another(live, "today", monkeypatch)

    # A campaign's lead that waits for a paused device is pinned.
    await scenario.add_device(device="resting")
    await scenario.add_leads(1, niche="SALE", device="resting", first=50)
    await scenario.apply_campaign(CAMPAIGN)
    await devices.pause(live.connection, "resting", "a test")
    await campaigns.start(live.connection, "sale")
    await until(lambda: _pinned(live, "today", 1), 20)

    following = copy_with(tmp_path / "next", "9.9.9")
    second = await worker(live, "next", following, DRUMBEAT_BUILD_ID="auto")
    told = await upgrade(live, "check")
    (build,) = {one["build_id"] for one in told["workers"]} - {"today"}
    assert build.startswith("9.9.9+")
    assert {one["version"] for one in told["workers"]} >= {"9.9.9"}
    assert (told["deployment"]["current"], sorted(told["pollers"]["builds"])) == ("today", [build, "today"])
    trial = await upgrade(live, "switch", build, "--percent", "40")
    assert (trial["current"], trial["ramping"], trial["percent"]) == ("today", build, 40)
    assert (await upgrade(live, "back"))["percent"] is None
    done = await upgrade(live, "switch", build)
    assert (done["before"], done["current"]) == ("today", build)
    assert [(one["build_id"], one["running"]) for one in done["pinned"]] == [("today", 1)]
    await until(lambda: _all_by(live, build), 20)
    assert (await upgrade(live, "back"))["current"] == "today"
    assert (await upgrade(live, "switch", build))["current"] == build

    code, _, error = await live.run("starter.py", "upgrade", "back", "nowhere")
    assert (code, "no worker of the version 'nowhere' polls" in error) == (1, True)
    await end(live, first)
    assert any("of which no worker polls" in line for line in (await upgrade(live, "check"))["attention"])
    assert (await upgrade(live, "switch", build))["moved"] == 1
    await devices.resume(live.connection, "resting")
    await live.all_over(7)
    await until(lambda: _settled(live), 30)
    assert len(await scenario.accepted("resting")) == 1
    assert len(await scenario.accepted()) == 4 * 7
    await end(live, second)


async def _current(live: Live, build: str) -> bool:
    found = await versions.deployment(live.connection.temporal, "drumbeat")
    return found is not None and found.current == build


async def _pinned(live: Live, build: str, count: int) -> bool:
    return await versions.pinned(live.connection.temporal, "drumbeat", build) == count
