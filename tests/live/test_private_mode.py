"""Private mode, from the outside: what Temporal has stored of a real run is searched for the people, byte by byte."""

from pathlib import Path

import pytest
from aiohttp import ClientSession
from temporalio.client import WorkflowExecutionStatus

from messaging.common.private_keys import new_keys, read_keys, use_keys
from messaging.devices.device import DeviceSettings
from messaging.devices.store import add_device
from operations import campaigns, enrollment
from rig.gateway_control import listen, write
from rig.people import phone
from rig.waiting import until
from tests.support.live import Live, live_servers
from tests.support.ports import free_port
from tests.support.scenario import Scenario

NAME, TEXT, SECRET = "Xanthippe", "Quicksilver", "a-secret-of-the-tests"
ACTOR = "Kassandra"
STORY = f"""
sequence: story
on_reply: pause
steps:
  - {{id: one, day: 1, text: "{TEXT} {{{{ name }}}}"}}
  - {{id: two, after: 1s, text: "Two {{{{ name }}}}"}}
  - {{id: late, day: 30, text: "Late {{{{ name }}}}"}}
"""
SALE = f"campaign: sale\ntarget: {{niche: VITAC}}\ntext: {TEXT} sale\n"


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    new_keys(tmp_path / "private-keys")
    return tmp_path / "private-keys"


async def test_temporal_has_nothing_of_a_person(
    scenario: Scenario, database_url: str, tmp_path: Path, keys: Path
) -> None:
    stored, log = tmp_path / "temporal.db", tmp_path / "worker.log"
    private = {"DRUMBEAT_PRIVATE_KEYS": str(keys)}
    async with live_servers(scenario, database_url, log, dev_server_database_filename=str(stored)) as live:
        await scenario.add_device()
        await scenario.apply(STORY)
        await scenario.apply_campaign(SALE)
        await scenario.add_leads(2)
        await scenario.pool.execute("update leads set name = $1", NAME)
        async with scenario.pool.acquire() as connection:
            options = {"webhook_secret_env": "SIMULATED_SECRET"}
            await add_device(connection, DeviceSettings(id=scenario.device, options=options))
        port, metrics = free_port(), free_port()
        ports = {"DRUMBEAT_WEBHOOKS_PORT": str(port), "DRUMBEAT_METRICS_PORT": str(metrics)}
        await live.start_worker(**private, **ports, SIMULATED_SECRET=SECRET)
        await until(live.works)
        await listen(scenario.simulator_url, f"http://127.0.0.1:{port}/webhooks", SECRET)
        for command in (
            ("enroll", "story", phone(1), "--name", NAME, "--device", scenario.device),
            ("pause", "story", phone(1), "--reason", f"{NAME} asked"),
            ("resume", "story", phone(1), "--as", ACTOR),
            ("campaign", "start", "sale", "--yes"),
        ):
            code, _, error = await live.run("starter.py", *command, **private)
            assert code == 0, error

        async def sent() -> bool:
            return len(await scenario.accepted()) == 4

        await until(sent)
        reply = {"device": scenario.device, "from": phone(1), "text": f"{TEXT}, says {NAME}"}
        assert await write(scenario.simulator_url, reply) == [200]

        async def paused() -> bool:
            query = "DrumbeatState = 'paused'"
            return (await live.connection.temporal.count_workflows(query)).count == 1

        await until(paused)
        async with ClientSession() as session, session.get(f"http://127.0.0.1:{metrics}/metrics") as answer:
            counted = await answer.read()
            assert b"drumbeat_" in counted
            hidden(counted)
        code, out, _ = await live.run("starter.py", "stop", "story", phone(1), **private)
        assert (code, "stopped" in out) == (0, True)
        await live.all_over(1)
        code, out, _ = await live.run("starter.py", "audit", **private)
        assert code == 0, out
        # A process without the keys, or with others, would store what is to be hidden.
        code, _, error = await live.run("starter.py", "status")
        assert (code, "this ledger is in private mode" in error) == (1, True), error
        new_keys(tmp_path / "others")
        code, _, error = await live.run(
            "starter.py", "status", DRUMBEAT_PRIVATE_KEYS=str(tmp_path / "others")
        )
        assert (code, "is not that of this ledger" in error) == (1, True), error
        pseudonym = read_keys(keys).pseudonym(phone(1))
        running = [
            one async for one in live.connection.temporal.list_workflows(f"DrumbeatPhone = '{pseudonym}'")
        ]
        assert {one.id for one in running} == {f"sequence:story:{pseudonym}", f"campaign:sale:{pseudonym}"}
        for one in running:
            history = await live.connection.temporal.get_workflow_handle(one.id).fetch_history()
            for event in history.events:
                hidden(event.SerializeToString())
    for file in (*tmp_path.glob("temporal.db*"), log):
        hidden(file.read_bytes())


def hidden(content: bytes) -> None:
    for word in (phone(0), phone(1), phone(1)[1:], NAME, TEXT, ACTOR):
        place = content.find(word.encode())
        assert place < 0, content[max(place - 200, 0) : place + 100]


@pytest.mark.long
async def test_who_is_under_way_when_it_is_switched_on_goes_on(live: Live, keys: Path) -> None:
    """With the ID that the workflow has; a second one gets nothing."""
    await live.scenario.add_device()
    await live.scenario.apply(STORY.replace("after: 1s", "after: 4s"))
    await live.scenario.apply_campaign(SALE)
    await live.scenario.add_leads(2)
    plain = await live.start_worker()
    await enrollment.enroll(live.connection, "story", phone(0), device=live.scenario.device)

    async def texts() -> list[str]:
        return sorted(f"{one['phone']} {one['text'].split()[0]}" for one in await live.scenario.accepted())

    async def some(count: int) -> bool:
        return len(await texts()) >= count

    await until(lambda: some(1))
    assert (await live.run("starter.py", "device", "pause", live.scenario.device))[0] == 0
    await campaigns.start(live.connection, "sale")

    async def held() -> bool:
        return (await live.connection.temporal.count_workflows("DrumbeatState = 'held'")).count == 3

    await until(held)
    await live.kill(plain)
    private = {"DRUMBEAT_PRIVATE_KEYS": str(keys)}
    await live.start_worker(**private)
    await until(live.works)
    code, out, error = await live.run("starter.py", "enroll", "story", phone(0), **private)
    assert "already" in out + error
    await live.run("starter.py", "device", "resume", live.scenario.device, **private)
    await until(lambda: some(4))
    assert await texts() == sorted(
        [f"{phone(0)} {TEXT}", f"{phone(0)} Two", f"{phone(0)} {TEXT}", f"{phone(1)} {TEXT}"]
    )
    code, _, error = await live.run("starter.py", "stop", "story", phone(0), **private)
    assert code == 0, error
    handle = live.connection.temporal.get_workflow_handle(f"sequence:story:{phone(0)}")

    async def ended() -> bool:
        return (await handle.describe()).status is not WorkflowExecutionStatus.RUNNING

    await until(ended)
    use_keys(read_keys(keys))
    try:
        assert (
            await live.connection.temporal.count_workflows(f"WorkflowId = 'sequence:story:{phone(0)}'")
        ).count == 1
    finally:
        use_keys(None)

    # Forgotten, under the phone as under the pseudonym.
    code, out, error = await live.run("starter.py", "contact", "forget", phone(0), "--yes", **private)
    assert code == 0, error

    async def gone() -> bool:
        ids = [run.id async for run in live.connection.temporal.list_workflows()]
        pseudonym = read_keys(keys).pseudonym(phone(0))
        return not any(phone(0) in one or pseudonym in one for one in ids)

    await until(gone)
