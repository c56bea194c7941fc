"""Alerts and events as they run: set up by commands, delivered by workers that are killed."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from operations import enrollment
from rig.people import phone
from rig.waiting import until
from tests.support.live import Live
from tests.support.receivers import received, secret_in
from tests.support.wire import Fault, Reply, Wire, serving

SEQUENCE = """
sequence: story
steps:
  - {id: a, day: 1, text: "One"}
"""
KINDS = ("contact.enrolled", "message.sent", "contact.completed")


async def run(live: Live, *arguments: str) -> tuple[int, Any, str]:
    code, out, error = await live.run("starter.py", "alert", *arguments)
    return code, (json.loads(out) if "--json" in arguments and code in (0, 1) and out else out), error


def events(server: Wire, secret: Path) -> list[dict[str, Any]]:
    return [received(request, secret.read_text()) for request in server.requests]


async def test_commands_set_up_what_a_worker_delivers(live: Live, tmp_path: Path) -> None:
    secret = secret_in(tmp_path)
    await live.scenario.add_device()
    await live.scenario.apply(SEQUENCE)
    async with serving(Wire()) as server:
        server.does(Reply(200))
        given = ("--webhook", server.url, "--secret-file", str(secret))
        code, added, _ = await run(live, "add", "crm", *given, "--kinds", ",".join(KINDS), "--json")
        assert (code, added["new"], added["kinds"], added["warnings"]) == (0, True, list(KINDS), [])
        code, out, error = await run(live, "test", "crm")
        assert (code, out) == (1, "")
        assert "nothing was delivered, as workers deliver: no worker has ever polled" in error
        await live.start_worker()
        await until(live.works)
        code, tested, _ = await run(live, "test", "crm", "--json")
        assert (code, tested["taken"], tested["answer"]) == (0, True, "it answered 200")
        (test,) = events(server, secret)
        assert (test["type"], test["data"]["receiver"]) == ("test", "crm")
        server.does(Reply(401, b"who are you?"))
        code, tested, _ = await run(live, "test", "crm", "--json")
        assert (code, tested["answer"]) == (1, "it answered 401: who are you?")
        _, out, _ = await run(live, "list")
        assert "! crm: the test of " in out
        assert "was NOT taken: it answered 401: who are you?" in " ".join(out.split())
        server.does(Reply(200))
        await enrollment.enroll(live.connection, "story", phone(1), device=live.scenario.device)
        await until(lambda: len(server.requests) == 2 + len(KINDS))
        assert Counter(one["type"] for one in events(server, secret)[2:]) == Counter(KINDS)
        await live.scenario.pool.execute(
            "update devices set status = 'paused', status_reason = 'parked after 3 failures in a row: logged out'"
        )
        code, out, _ = await run(live, "list")
        assert code == 0
        assert f"device {live.scenario.device} is parked" in out, "at that moment"
        code, _, error = await run(live, "test", "crn")
        assert (code, "did you mean 'crm'?" in error) == (1, True)
        code, removed, _ = await run(live, "remove", "crm", "--json")
        assert (code, removed["dropped"]) == (0, 0)


@pytest.mark.long
@pytest.mark.timeout(240)
async def test_a_worker_that_is_killed_loses_nothing_and_a_second_delivery_has_the_same_id(
    live: Live, tmp_path: Path
) -> None:
    """Killed while the receiver holds its answer back, and facts go on without a worker for the outbox."""
    secret = secret_in(tmp_path)
    await live.scenario.add_device()
    await live.scenario.apply(SEQUENCE)
    async with serving(Wire()) as server:
        server.does(Fault.HANG)
        given = ("--webhook", server.url, "--secret-file", str(secret), "--kinds", ",".join(KINDS))
        assert (await run(live, "add", "crm", *given))[0] == 0
        worker = await live.start_worker()
        for index in range(3):
            await enrollment.enroll(live.connection, "story", phone(index), device=live.scenario.device)
        await live.all_over(3)
        await until(lambda: len(server.requests) == 1)
        await live.kill(worker)
        server.does(Reply(200))
        await live.start_worker()

        async def all_taken() -> bool:
            waiting: int = await live.scenario.pool.fetchval("select count(*) from outbox")
            return waiting == 0

        await until(all_taken, 120)
        found = events(server, secret)
        counted = Counter(one["id"] for one in found)
        assert len(counted) == 3 * len(KINDS)
        assert max(counted.values()) <= 2
        assert found[0]["id"] == found[1]["id"], "what was under way is delivered again, before the others"
        assert [one for one, times in counted.items() if times > 1] == [found[0]["id"]]
