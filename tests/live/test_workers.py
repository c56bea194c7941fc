"""No worker runs: every page and command that it matters to says so, soon, and nothing that was asked for is lost."""

import asyncio
import json
import signal
from datetime import timedelta

import pytest
from temporalio.client import Client

from messaging.common.database import Pool
from messaging.reporting.workers import find_workers, goodbye
from operations import enrollment, reports, workers
from operations.workers import present
from rig.people import phone
from rig.waiting import until
from tests.support.live import Live
from tests.support.ports import free_port

SHORT = """
sequence: short
trigger: COLDVITAC
steps:
  - {id: a, day: 1, text: "One"}
"""


async def idle(live: Live) -> str | None:
    return (await find_workers(live.scenario.pool, live.connection.settings.task_queue)).idle


@pytest.mark.long
async def test_what_is_asked_for_while_no_worker_runs_is_said_and_done_later(live: Live) -> None:
    queue, pool = live.connection.settings.task_queue, live.scenario.pool
    await live.scenario.add_device()
    await live.scenario.add_leads(2)
    await live.scenario.apply(SHORT)
    await live.scenario.apply_campaign("campaign: sale\ntarget: {niche: vitac}\ntext: Sale\n")
    await pool.execute("update leads set triggers = '{COLDVITAC}'")
    sentence = f"no worker has ever polled the task queue '{queue}'"

    code, out, _ = await live.run("starter.py", "status")
    assert (code, sentence in " ".join(out.split())) == (0, True)
    report = json.loads((await live.run("starter.py", "status", "--json"))[1])
    assert report["workers"] == []
    assert report["attention"][0].startswith(sentence)

    clock = asyncio.get_running_loop().time
    began = clock()
    code, out, error = await live.run("starter.py", "enroll", "short", phone(7))
    assert (code, "no worker has taken it yet" in out, sentence in error) == (0, True, True)
    done = await enrollment.enroll_by_trigger(live.connection, "COLDVITAC")
    assert done.handed_over
    assert clock() - began < 15, "each within five seconds, and a process's start"
    code, out, error = await live.run("starter.py", "campaign", "start", "sale", "--yes")
    assert (code, sentence in error) == (0, True)
    code, _, error = await live.run("starter.py", "contact", phone(7))
    assert code == 1
    assert "handed to Temporal for short, and enrolled as soon as a worker takes it" in error
    code, _, error = await live.run("starter.py", "pause", "short", phone(7))
    assert (code, "no worker has enrolled it yet" in error) == (1, True)
    await enrollment.enroll(live.connection, "short", phone(0), patience=0)
    assert (await reports.contact(live.connection, phone(0))).handed_over == ("short",)
    assert "Handed to Temporal for short" in (await live.run("starter.py", "contact", phone(0)))[1]

    await live.start_worker()
    await until(live.works)
    await live.all_over(3)
    assert (await reports.contact(live.connection, phone(7))).handed_over == ()
    code, out, error = await live.run("starter.py", "status")
    assert (code, "worker" in out, error) == (0, False, "")
    (worker,) = (await reports.status(live.connection)).workers
    assert worker.task_queue == queue

    async def all_sent() -> bool:
        return len(await live.scenario.accepted()) == 5

    await until(all_sent)  # three contacts, and the campaign's two leads


@pytest.mark.long
async def test_it_is_said_since_when_none_runs_and_for_which_queue_others_do(live: Live) -> None:
    queue = live.connection.settings.task_queue
    worker = await live.start_worker()
    await until(live.works)
    await live.kill(worker)

    async def noticed() -> bool:
        return not await live.works()

    await until(noticed)
    seen = await live.scenario.pool.fetchval("select max(seen_at) from workers")
    assert await idle(live) == (
        f"no worker polls the task queue '{queue}' since {seen:%Y-%m-%d %H:%M:%S} UTC:"
        " nothing goes out before one runs, '.venv/bin/python worker.py', or it is just starting"
    )
    await live.start_worker(DRUMBEAT_TASK_QUEUE="elsewhere")

    async def elsewhere() -> bool:
        return "(workers run for 'elsewhere')" in (await idle(live) or "")

    await until(elsewhere)


async def test_a_worker_that_does_not_reach_temporal_does_not_say_that_it_runs(
    pool: Pool, caplog: pytest.LogCaptureFixture
) -> None:
    nowhere = await Client.connect(f"127.0.0.1:{free_port()}", lazy=True)
    async with present(nowhere, pool, "queue"):
        await until(lambda: "does not answer; retrying" in caplog.text)
        assert "Temporal at 127.0.0.1:" in caplog.text
        assert await pool.fetchval("select count(*) from workers") == 0


async def test_a_worker_says_again_that_it_runs_whatever_went_wrong_before(
    live: Live, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(workers, "BEAT", timedelta(seconds=0.05))
    pool, queue = live.scenario.pool, live.connection.settings.task_queue
    await pool.execute("alter table workers rename to gone")
    async with present(live.connection.temporal, pool, queue):
        await until(lambda: "PostgreSQL at its address does not answer; retrying" in caplog.text)
        await pool.execute("alter table gone rename to workers")
        await until(live.works)
        await until(lambda: "PostgreSQL at its address answers again" in caplog.text)
        # Once each, however long it took.
        assert caplog.text.count("does not answer") == caplog.text.count("answers again") == 1
        # As if the machine had been asleep.
        await pool.execute("update workers set seen_at = seen_at - interval '1 hour'")
        await until(live.works)


async def test_workers_that_ended_long_ago_are_forgotten(pool: Pool) -> None:
    await pool.execute(
        "insert into workers (id, task_queue, seen_at) values ('old', 'queue', now() - interval '31 days'),"
        " ('known', 'queue', now() - interval '29 days')"
    )
    await goodbye(pool, "known")
    assert [row["id"] for row in await pool.fetch("select id from workers")] == ["known"]


async def test_a_worker_that_ends_says_so_at_once(live: Live) -> None:
    worker = await live.start_worker()
    await until(live.works)
    worker.send_signal(signal.SIGTERM)
    await worker.wait()
    live.workers.remove(worker)
    assert not await live.works()
    assert await live.scenario.pool.fetchval("select ended_at is not null from workers")
