"""People answer what a sequence has sent: what a real worker does then, at any moment, and after it was killed."""

import asyncio
import hashlib
import hmac
import itertools
import json
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import pytest
from temporalio.api.sdk.v1 import WorkflowMetadata

from messaging.common.keywords import DEFAULT_KEYWORDS
from messaging.devices.device import DeviceSettings
from messaging.devices.store import add_device
from messaging.replies.record import record_inbound
from operations import contacts, enrollment
from operations.audit import audit
from operations.schedule import RECOVERY, SWEEP
from rig.people import phone
from rig.waiting import until
from tests.support.live import Live
from tests.support.ports import free_port
from tests.support.replies import inbound

SECRET = "a-secret-of-the-tests"

ASKING = """
sequence: asking
on_reply: [{when: later, do: continue}]
steps:
  - id: ask
    day: 1
    text: "Do you want the price list?"
    on_reply:
      - {when: [yes, ya], do: go prices}
      - {when: course, do: go course}
      - {when: no, do: stop}
  - {id: remind, after: 30s, text: "Still there?"}
  - {id: prices, after: 0s, text: "The price list"}
  - {id: bye, after: 48h, text: "Bye"}
"""
COURSE = "sequence: course\nsteps: [{id: lesson, day: 1, text: Lesson}]\n"

STORY = """
sequence: story
steps:
  - {id: one, day: 1, text: One}
  - {id: two, after: WAIT, text: Two}
  - {id: three, after: AGAIN, text: Three}
"""


@asynccontextmanager
async def listening(live: Live) -> AsyncIterator[int]:
    """A device whose webhooks are signed; answers a port for a worker to listen on."""
    await live.scenario.add_device()
    async with live.scenario.pool.acquire() as connection:
        settings = DeviceSettings(id=live.scenario.device, options={"webhook_secret_env": "SIMULATED_SECRET"})
        await add_device(connection, settings)
    yield free_port()


async def worker(live: Live, port: int) -> Any:
    return await live.start_worker(DRUMBEAT_WEBHOOKS_PORT=str(port), SIMULATED_SECRET=SECRET)


async def says(live: Live, ports: int | Sequence[int], index: int, text: str) -> datetime:
    """Reports what a person says until a worker acknowledges it, at one of these ports; answers when it did."""
    message = {
        "id": f"in-{index}-{text}",
        "from": phone(index),
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "kind": "text",
        "text": text,
    }
    body = json.dumps({"device": live.scenario.device, "messages": [message]}).encode()
    digest = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
    headers = {"X-Hub-Signature-256": f"sha256={digest}", "Content-Type": "application/json"}
    turns = itertools.cycle([ports] if isinstance(ports, int) else ports)
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=20)) as session, asyncio.timeout(90):
        for port in turns:
            url = f"http://127.0.0.1:{port}/webhooks/{live.scenario.device}"
            try:
                async with session.post(url, data=body, headers=headers) as answer:
                    if answer.status == 200:
                        return datetime.now(UTC)
            except (aiohttp.ClientError, TimeoutError):
                pass
            await asyncio.sleep(0.05)
    raise AssertionError("unreachable")


async def texts(live: Live, index: int) -> list[str]:
    """What this phone has got."""
    return [row["text"] for row in await live.scenario.accepted() if row["phone"] == phone(index)]


async def stands(live: Live, index: int) -> tuple[str, str]:
    """What the contact's workflow does, and why, as it knows itself."""
    handle = live.connection.temporal.get_workflow_handle(f"sequence:asking:{phone(index)}")
    progress = await handle.query("progress", result_type=dict)
    return progress["state"], progress["why"]


async def details(live: Live, index: int) -> str:
    """What the Web UI shows of a contact."""
    handle = live.connection.temporal.get_workflow_handle(f"sequence:asking:{phone(index)}")
    shown: WorkflowMetadata = await handle.query("__temporal_workflow_metadata", result_type=WorkflowMetadata)
    return str(shown.current_details)


QUESTION = "Do you want the price list?"


async def test_what_people_answer_decides_how_it_goes_on(live: Live) -> None:
    async with listening(live) as port:
        await live.scenario.apply(COURSE)
        await live.scenario.apply(ASKING)
        await worker(live, port)
        answers = {0: "How much?", 1: "Yes!", 2: "No", 3: "course", 4: "later"}
        lost, lost_course = 5, 6
        for index in (*answers, lost, lost_course):
            await enrollment.enroll(live.connection, "asking", phone(index), device=live.scenario.device)

        async def asked() -> bool:
            return len(await live.scenario.accepted()) == 7

        await until(asked)
        await asyncio.gather(*(says(live, port, index, text) for index, text in answers.items()))

        async def went_on() -> bool:
            return await texts(live, 1) == [QUESTION, "The price list"] and await texts(live, 3) == [
                QUESTION,
                "Lesson",
            ]

        await until(went_on)

        async def paused() -> bool:
            return await stands(live, 0) == ("paused", 'answered: "How much?"')

        await until(paused)

        # The answer to the webhook waits for a message that is at the gateway.
        await live.scenario.faults({"kind": "latency", "seconds": 1, "phone": phone(7)})
        enrolling = asyncio.create_task(
            enrollment.enroll(live.connection, "asking", phone(7), device=live.scenario.device)
        )

        async def of_the_slow_one() -> str | None:
            status: str | None = await live.scenario.pool.fetchval(
                "select status from broadcast_messages where recipient_phone = $1", phone(7)
            )
            return status

        async def under_way() -> bool:
            return await of_the_slow_one() == "processing"

        await until(under_way)
        await says(live, port, 7, "Hello")
        assert await of_the_slow_one() == "sent"
        await enrolling
        page = await details(live, 0)
        assert 'Last answer: "How much?", 20' in page
        assert "**paused**" in page

        async def shown() -> bool:
            return 'Last answer: "later", 20' in await details(live, 4)

        await until(shown)
        assert (await stands(live, 4))[0] == "scheduled", "it goes on, and shows the answer all the same"
        for index in (0, 4):
            handle = live.connection.temporal.get_workflow_handle(f"sequence:asking:{phone(index)}")
            listed = str((await handle.describe()).typed_search_attributes)
            assert "How much" not in listed
            assert "later" not in listed
        rows = await live.scenario.pool.fetch(
            "select c.status, c.reason from sequence_contacts c join sequences s on s.id = c.sequence_id"
            " where s.name = 'asking' order by phone"
        )
        assert [tuple(row) for row in rows[:5]] == [
            ("active", None),
            ("active", None),
            ("stopped", 'answered: "No"'),
            ("stopped", 'answered: "course", goes on in course'),
            ("active", None),
        ]
        for index in (2, 3):
            handle = live.connection.temporal.get_workflow_handle(f"sequence:asking:{phone(index)}")
            async with asyncio.timeout(20):
                assert (await handle.result())["outcome"] == "stopped"

        # A worker that dies right after it has recorded a reply signals nothing, and starts nothing.
        async with live.scenario.pool.acquire() as connection:
            for index, text in ((lost, "Hello"), (lost_course, "course")):
                message = inbound("lost", phone(index), text).model_copy(
                    update={"at": datetime.now(UTC), "gateway_message_id": f"lost-{index}"}
                )
                device = live.scenario.device
                await record_inbound(connection, "simulated", device, [message], DEFAULT_KEYWORDS)

        async def recovered() -> bool:
            for schedule in (RECOVERY, SWEEP):
                await live.connection.temporal.get_schedule_handle(schedule).trigger()
            await asyncio.sleep(0.5)
            return (await stands(live, lost))[0] == "paused" and await texts(live, lost_course) == [
                QUESTION,
                "Lesson",
            ]

        await until(recovered)
        await contacts.resume(live.connection, "asking", phone(0))

        async def resumed() -> bool:
            return (await stands(live, 0))[0] == "scheduled"

        await until(resumed)
        report = await audit(live.connection)
        assert report.kept, [check for check in report.checks if not check.kept]


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("people", "wait", "kills"), [(16, 2, False), pytest.param(500, 40, True, marks=pytest.mark.long)]
)
async def test_who_answers_a_moment_before_a_step_is_due(
    live: Live, people: int, wait: int, kills: bool
) -> None:
    """Whatever they say, and whichever worker is killed: nothing begins to go out after the answer to the webhook."""
    chance = random.Random(people)
    async with listening(live) as port:
        await live.scenario.apply(STORY.replace("WAIT", f"{wait}s").replace("AGAIN", f"{wait // 2}s"))
        ports = [port, free_port()] if kills else [port]
        processes = [await worker(live, one) for one in ports]
        enrolling = asyncio.Semaphore(8)

        async def person(index: int) -> datetime:
            async with enrolling:
                await enrollment.enroll(live.connection, "story", phone(index), device=live.scenario.device)

            async def due_at() -> datetime | None:
                moment: datetime | None = await live.scenario.pool.fetchval(
                    "select next_due_at from sequence_contacts c join sequence_steps t on t.id = c.next_step_id"
                    " where phone = $1 and t.key = 'two'",
                    phone(index),
                )
                return moment

            due = None
            while due is None:
                due = await due_at()
                await asyncio.sleep(1 if kills else 0.2)
            moment = due + timedelta(seconds=chance.uniform(-0.3, 0.15))
            await asyncio.sleep((moment - datetime.now(UTC)).total_seconds())
            text = chance.choice(["STOP", "Hello", "How much?"])
            first, _ = await asyncio.gather(*(says(live, ports, index, text) for _ in range(2)))
            return first

        async def killing() -> None:
            for victim in itertools.cycle((0, 1)):
                await asyncio.sleep(chance.uniform(4, 7))
                await live.kill(processes[victim])
                processes[victim] = await worker(live, ports[victim])

        killer = asyncio.create_task(killing()) if kills else None
        acknowledged = await asyncio.gather(*(person(index) for index in range(people)))
        if killer is not None:
            killer.cancel()
        pool = live.scenario.pool
        assert await pool.fetchval("select count(*) from inbound_messages") == people
        missed = await pool.fetch(
            "select c.phone, c.status, c.ended_at, m.text, m.sent_at, m.received_at"
            "  from sequence_contacts c join inbound_messages m on m.phone = c.phone"
            " where c.status <> 'opted_out' and c.paused_at is null"
            "   and (c.ended_at is null or c.ended_at > m.received_at)"
        )
        assert [dict(row) for row in missed] == [], "no reply is lost"
        await asyncio.sleep(wait // 2 + 1)  # in which 'three' would come
        late = [
            (row["text"], row["phone"])
            for row, (index, at) in itertools.product(await live.scenario.accepted(), enumerate(acknowledged))
            if row["phone"] == phone(index) and datetime.fromisoformat(row["received_at"]) > at
        ]
        assert late == []
        sent = [row["text"] for row in await live.scenario.accepted()]
        assert sent.count("One") == people
        assert kills or sent.count("Three") == 0
        assert 0 < sent.count("Two") < people or people < 100, "some are before, some after"
