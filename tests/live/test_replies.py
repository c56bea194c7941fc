"""A person answers, in the simulated gateway's inbox, to a real worker."""

import asyncio

import pytest

from messaging.common.keywords import DEFAULT_KEYWORDS
from messaging.devices.device import DeviceSettings
from messaging.devices.store import add_device
from messaging.replies.record import record_inbound
from operations import campaigns, enrollment, reports
from operations.audit import audit
from operations.schedule import SWEEP
from rig.gateway_control import listen, write
from rig.people import phone
from rig.waiting import until
from tests.support.campaigns import finished
from tests.support.live import Live
from tests.support.ports import free_port
from tests.support.replies import inbound
from tests.support.reports import adds_up

SECRET = "a-secret-of-the-tests"
STORY = """
sequence: story
on_reply: continue
steps:
  - {id: one, day: 1, text: "One. Reply STOP at any time"}
  - {id: two, after: 5s, text: "Two"}
"""
MOVES, MOVED = 5, 6
"""Two phones of one person."""
CIRCLE = (21, 22, 23)
"""The phones of three persons, each of whom gets the next one's."""
VITAC = """
sequence: vitac
keyword: [VITAC, INFO]
ad: 120226305854810726
require_consent: true
steps:
  - {id: one, day: 1, text: "Hi {{ name }}"}
"""
SALE = "campaign: sale\ntarget: {niche: VITAC}\ntext: Half price\n"


async def texts(live: Live, index: int) -> list[str]:
    """What this phone has got."""
    return [row["text"] for row in await live.scenario.accepted() if row["phone"] == phone(index)]


async def test_people_answer_stop_or_change_their_number(live: Live) -> None:
    scenario, port = live.scenario, free_port()
    await scenario.add_device()
    async with scenario.pool.acquire() as connection:
        await add_device(
            connection, DeviceSettings(id=scenario.device, options={"webhook_secret_env": "SIMULATED_SECRET"})
        )
    await scenario.apply(STORY)
    await scenario.apply_campaign(SALE)
    await scenario.add_leads(3)
    await live.start_worker(DRUMBEAT_WEBHOOKS_PORT=str(port), SIMULATED_SECRET=SECRET)
    await listen(scenario.simulator_url, f"http://127.0.0.1:{port}/webhooks", SECRET)
    for index in (0, 1, 2, MOVES, *CIRCLE):
        await enrollment.enroll(live.connection, "story", phone(index), device=scenario.device)

    async def first_steps() -> bool:
        return len(await scenario.accepted()) >= 7

    await until(first_steps)
    stop = {"device": scenario.device, "from": phone(1), "text": "Stop!!"}
    other = {"device": scenario.device, "from": phone(2), "text": "don't stop"}
    answered = await write(scenario.simulator_url, stop, other, times=5, order="shuffled", together=True)
    assert answered == [200] * 10
    changed = {
        "device": scenario.device,
        "from": phone(MOVES),
        "kind": "number_changed",
        "payload": phone(MOVED),
        "user_id": "US.1",
    }
    assert await write(scenario.simulator_url, changed, times=3, together=True) == [200] * 3
    for old, new in zip(CIRCLE, (*CIRCLE[1:], CIRCLE[0]), strict=True):
        told = {
            "device": scenario.device,
            "from": phone(old),
            "kind": "number_changed",
            "payload": phone(new),
        }
        assert await write(scenario.simulator_url, told) == [200]
    again = await enrollment.enroll(live.connection, "story", phone(MOVED), device=scenario.device)
    assert again.result == "already_enrolled"
    await campaigns.start(live.connection, "sale")
    assert (await finished(live)).messages.sent == 2
    await live.all_over(7)
    rows = await scenario.pool.fetch(
        "select phone, key_phone from sequence_contacts where phone = any ($1) and status = 'completed' order by phone",
        [phone(index) for index in CIRCLE],
    )
    assert [tuple(row) for row in rows] == [
        (phone(new), phone(old)) for old, new in zip((CIRCLE[-1], *CIRCLE), CIRCLE, strict=False)
    ]
    for index in CIRCLE:
        assert await texts(live, index) == ["One. Reply STOP at any time", "Two"], (
            "one from each of its owners"
        )
    assert await texts(live, MOVES) == ["One. Reply STOP at any time"]
    assert await texts(live, MOVED) == ["Two"], "by the workflow that began with the other number"
    assert await texts(live, 1) == ["One. Reply STOP at any time"]
    for index in (0, 2):
        assert sorted(await texts(live, index)) == ["Half price", "One. Reply STOP at any time", "Two"]
    assert await scenario.pool.fetchval("select count(*) from inbound_messages") == 6
    for made in (
        await reports.report_campaign(live.connection, "sale"),
        await reports.report_sequence(live.connection, "story"),
        await reports.report_device(live.connection, scenario.device),
        await reports.report_week(live.connection),
    ):
        assert made.total.outcomes.sent > 1
        await adds_up(scenario.pool, made)
    code, page, errors = await live.run("starter.py", "report", "campaign", "sale", "--html", "-")
    assert (code, errors, page.count("</html>")) == (0, "", 1)
    assert (
        await scenario.pool.fetchval("select status from sequence_contacts where phone = $1", phone(1))
        == "opted_out"
    )
    handle = live.connection.temporal.get_workflow_handle(f"sequence:story:{phone(1)}")
    async with asyncio.timeout(30):
        await handle.result()
    report = await audit(live.connection)
    assert report.kept, [check for check in report.checks if not check.kept]
    code, out, _ = await live.run("starter.py", "inbox")
    assert code == 0
    assert "don't stop" in out
    assert "may mean stop" in out
    assert "Stop!!" not in out
    code, out, _ = await live.run("starter.py", "status")
    assert "1 answer to look at" in out
    code, out, _ = await live.run("starter.py", "contact", phone(1))
    assert out.index("Reply STOP at any time") < out.rindex("Stop!!")
    assert "gets nothing more (the recipient answered 'Stop!!'; inbound message" in " ".join(out.split())
    code, out, _ = await live.run("starter.py", "contact", phone(MOVES))
    assert code == 0
    assert phone(MOVED) in out.splitlines()[0]
    assert f"Had the number {phone(MOVES)} until" in out
    identifier = await scenario.pool.fetchval("select id from inbound_messages where to_review is not null")
    code, out, _ = await live.run("starter.py", "inbox", "done", str(identifier))
    assert code == 0
    code, out, _ = await live.run("starter.py", "inbox", "--json")
    assert (code, out.strip()) == (0, "[]")
    await keyword_enrolls(live)


async def keyword_enrolls(live: Live) -> None:
    """A new person writes the keyword of a sequence; of another one, only the message is recorded before the worker dies."""
    scenario = live.scenario
    await scenario.apply(VITAC)
    [new, late, clicked] = [phone(11), phone(12), phone(13)]
    click = {"device": scenario.device, "from": clicked, "text": "Is it free?", "name": "Aisha"}
    message = {"device": scenario.device, "from": new, "text": "Vita-C!", "name": "Aisha"}
    began = asyncio.get_running_loop().time()
    assert await write(scenario.simulator_url, message, times=3, together=True) == [200] * 3
    assert await write(scenario.simulator_url, {**click, "ad": "120226305854810726"}) == [200]

    async def greeted(number: str) -> bool:
        return [row["text"] for row in await scenario.accepted() if row["phone"] == number] == ["Hi Aisha"]

    await until(lambda: greeted(new))
    await until(lambda: greeted(clicked))
    assert asyncio.get_running_loop().time() - began < 5, "not only by the sweep, a minute later"
    async with scenario.pool.acquire() as connection:
        given = inbound("in-late", late, "VITAC", name="Aisha")
        recorded = await record_inbound(connection, "simulated", scenario.device, [given], DEFAULT_KEYWORDS)
    assert [one.lead.phone for one in recorded.then.wanted] == [late]
    await live.connection.temporal.get_schedule_handle(SWEEP).trigger()
    await until(lambda: greeted(late))
    rows = await scenario.pool.fetch(
        "select phone, consent_note from leads where consent_source = 'inbound' order by phone"
    )
    assert [tuple(row) for row in rows] == [
        (new, "wrote to us: Vita-C!"),
        (late, "wrote to us: VITAC"),
        (clicked, "wrote to us: Is it free?"),
    ]
    assert await scenario.pool.fetchval("select count(*) from wanted_enrollments") == 0
    code, out, _ = await live.run("starter.py", "inbox", "--only", "enrolled")
    assert code == 0
    assert out.count("enrolled in vitac") == 2
    assert "no lead" not in out
    code, out, _ = await live.run("starter.py", "contact", new)
    assert "Consent: given in a message (wrote to us: Vita-C!)" in " ".join(out.split())


@pytest.mark.long
async def test_an_opt_out_is_confirmed_once_though_the_worker_is_killed(live: Live) -> None:
    """The worker dies while the confirmation is at the gateway, which has accepted it."""
    scenario, port = live.scenario, free_port()
    await scenario.add_device()
    async with scenario.pool.acquire() as connection:
        await add_device(
            connection, DeviceSettings(id=scenario.device, options={"webhook_secret_env": "SIMULATED_SECRET"})
        )
    await scenario.add_leads(2)
    more = {
        "DRUMBEAT_WEBHOOKS_PORT": str(port),
        "SIMULATED_SECRET": SECRET,
        "DRUMBEAT_OPT_OUT_CONFIRMATION": "Bye {{ name }}",
    }
    worker = await live.start_worker(**more)
    await until(live.works)
    await listen(scenario.simulator_url, f"http://127.0.0.1:{port}/webhooks", SECRET)
    await scenario.faults({"kind": "latency", "seconds": 30, "after_accepting": True})
    stop = {"device": scenario.device, "from": phone(1), "text": "STOP"}
    assert await write(scenario.simulator_url, stop, times=2) == [200, 200]

    async def accepted() -> bool:
        return bool(await scenario.accepted())

    await until(accepted)
    [message] = await scenario.messages()
    assert (message["purpose"], message["status"]) == ("opt-out confirmation", "processing")
    await live.kill(worker)
    await scenario.faults()
    await live.start_worker(**more)
    await until(live.works)
    handle = live.connection.temporal.get_workflow_handle(f"message:{message['id']}")
    async with asyncio.timeout(60):
        assert (await handle.result())["status"] == "sent"
    assert await write(scenario.simulator_url, stop, {**stop, "text": "stop!"}) == [200, 200]
    await scenario.apply_campaign(SALE)
    await campaigns.start(live.connection, "sale")
    assert (await finished(live)).messages.sent == 1
    assert [await texts(live, index) for index in range(2)] == [["Half price"], ["Bye Lead 1"]]
    [message, _] = await scenario.messages()
    assert (message["status"], message["attempts"]) == ("sent", 2)
    report = await audit(live.connection)
    assert report.kept, [check for check in report.checks if not check.kept]
