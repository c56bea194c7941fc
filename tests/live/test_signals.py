"""Running workflows are told of edits and of the end of a pause: each that must know, and a few at a time."""

import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from temporalio import workflow
from temporalio.client import Client
from temporalio.common import SearchAttributePair, TypedSearchAttributes
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from activities import pacing, telling
from activities.telling import TellingActivities
from messaging.common.database import Pool
from messaging.devices.device import DeviceSettings
from messaging.sending.telling import Tell, count_unplanned
from messaging.sequences.apply import apply_sequences
from messaging.sequences.file import read_sequence
from messaging.sequences.replanning import replan
from operations import devices, leads, sequences, signals
from operations.connection import Drumbeat
from rig.waiting import until
from runtime.servers import Addresses
from runtime.settings import Settings
from temporal import search_attributes as attributes
from temporal.telling import start_telling
from workflows.telling import TellingWorkflow

TEMPORAL = Path(sys.executable).parent / "temporal"
FILE = "sequence: cold\nsteps:\n  - {id: a, day: 1, text: Hello}\n  - {id: b, day: 3, text: Story}\n"
EDITED = FILE.replace("day: 3", "day: 2")


@workflow.defn
class Listener:
    """Hears what a contact's workflow hears, until it is told to end."""

    def __init__(self) -> None:
        self._heard: list[str] = []
        self._over = False

    @workflow.run
    async def run(self) -> list[str]:
        """What it heard."""
        await workflow.wait_condition(lambda: self._over)
        return self._heard

    @workflow.signal
    def plan_changed(self) -> None:
        """Notes it."""
        self._heard.append("plan_changed")

    @workflow.signal
    def wake(self) -> None:
        """Notes it."""
        self._heard.append("wake")

    @workflow.signal
    def end(self) -> None:
        """Ends."""
        self._over = True

    @workflow.query
    def heard(self) -> list[str]:
        """What it heard so far."""
        return self._heard


@pytest.fixture
async def client(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Client]:
    """A client of a Temporal server of the test's own, with a worker for listeners and for what tells them."""
    monkeypatch.setattr(pacing, "PATIENCE", 0.2)  # listeners change nothing in the database
    async with (
        await WorkflowEnvironment.start_local(
            dev_server_existing_path=str(TEMPORAL),
            search_attributes=list(attributes.ALL),
            data_converter=pydantic_data_converter,
        ) as server,
        Worker(
            server.client,
            task_queue="test",
            workflows=[Listener, TellingWorkflow],
            activities=[TellingActivities(pool).tell],
            workflow_runner=UnsandboxedWorkflowRunner(),
        ),
    ):
        yield server.client


@pytest.fixture
async def connection(database_url: str, client: Client) -> AsyncIterator[Drumbeat]:
    """The test's servers, as operations are given them."""
    addresses = Addresses(
        database_url=database_url,
        temporal_address=client.service_client.config.target_host,
        namespace=client.namespace,
        ui_url=None,
        simulator_url=None,
        embedded=False,
    )
    connected = Drumbeat(Settings(task_queue="test"), addresses, client)
    yield connected
    await connected.close()


async def contact(
    pool: Pool, client: Client, phone: str, *, sequence: str = "cold", state: str = "held"
) -> str:
    """A running contact of the sequence, with a message of its first step that waits; its workflow's ID."""
    workflow_id = f"sequence:{sequence}:{phone}"
    await pool.execute(
        "insert into devices (id, gateway) values ('main', 'simulated') on conflict do nothing"
    )
    await pool.execute("insert into leads (phone) values ($1) on conflict do nothing", phone)
    await pool.execute(
        "with c as (insert into sequence_contacts (sequence_id, lead_id, phone, device_id, workflow_id, run_id,"
        "  timeline, plan_revision, enrolled_at) select s.id, l.id, l.phone, 'main', $3, 'r',"
        "  jsonb_build_object('zone', s.time_zone, 'enrolled_at', now() - interval '1 day'), s.revision,"
        "  now() - interval '1 day' from sequences s, leads l where l.phone = $1 and s.name = $2 returning *)"
        " insert into broadcast_messages (id, sequence_stepid, sequence_contact_id, lead_id, recipient_phone,"
        "  device_id, due_at, updated_at, reason) select gen_random_uuid(), t.id, c.id, c.lead_id, c.phone, 'main', now(),"
        "  now() - interval '1 day', 'paused' from c join sequence_steps t on t.sequence_id = c.sequence_id and t.position = 0",
        phone,
        sequence,
        workflow_id,
    )
    await client.start_workflow(
        Listener.run,
        id=workflow_id,
        task_queue="test",
        search_attributes=TypedSearchAttributes(
            [
                SearchAttributePair(attributes.SEQUENCE, sequence),
                SearchAttributePair(attributes.DEVICE, "main"),
                SearchAttributePair(attributes.STATE, state),
            ]
        ),
    )
    return workflow_id


async def heard(client: Client, workflow_id: str) -> list[str]:
    """What a listener heard."""
    return await client.get_workflow_handle(workflow_id).query(Listener.heard)


async def wait_until_heard(client: Client, workflow_id: str, what: list[str]) -> None:
    """Waits until a listener was told."""

    async def reached() -> bool:
        return await heard(client, workflow_id) == what

    await until(reached)


async def prepare(pool: Pool) -> None:
    """Two sequences, to tell one from the other."""
    drafts = [read_sequence(FILE, "cold.yaml"), read_sequence(FILE.replace("cold", "other"), "other.yaml")]
    async with pool.acquire() as database:
        await apply_sequences(database, drafts)


async def test_an_edit_reaches_the_contacts_of_the_sequence_alone(
    pool: Pool, client: Client, connection: Drumbeat, tmp_path: Path
) -> None:
    await prepare(pool)
    asleep = await contact(pool, client, "+12015550101", state="scheduled")
    ended = await contact(pool, client, "+12015550102", state="scheduled")
    other = await contact(pool, client, "+12015550103", sequence="other")
    await client.get_workflow_handle(ended).signal(Listener.end)
    await client.get_workflow_handle(ended).result()
    await pool.execute('update sequence_contacts set timeline = timeline || \'{"done": ["a"]}\'')
    file = tmp_path / "cold.yaml"

    async def applied(text: str) -> tuple[str, int, int]:
        file.write_text(text)
        (one,) = await sequences.apply(connection, [file], consent=True)
        return one.result, one.contacts_replanned, one.contacts_to_signal

    await replan(pool, await pool.fetchval("select id from sequences where name = 'cold'"))
    assert await applied(FILE) == ("unchanged", 0, 0)
    assert await applied(EDITED) == ("changed", 2, 2)
    await wait_until_heard(client, asleep, ["plan_changed"])
    assert await heard(client, other) == []

    async def one_left() -> bool:
        return await count_unplanned(pool) == 1  # the other one's workflow is gone: there is nothing to tell

    await until(one_left)
    # Applied again it changes nothing, and says who is still to hear; those are told once more.
    assert await applied(EDITED) == ("unchanged", 0, 1)
    await wait_until_heard(client, asleep, ["plan_changed"] * 2)
    await pool.execute("update sequence_contacts set plan_changed_at = null")
    assert await applied(EDITED) == ("unchanged", 0, 0)
    # Other words, and the same moment: nobody has to know before the claim.
    assert await applied(EDITED.replace("Story", "Tale")) == ("changed", 0, 0)


async def test_an_import_that_corrects_zones_reaches_whose_plan_has_another(
    pool: Pool, client: Client, connection: Drumbeat, tmp_path: Path
) -> None:
    await prepare(pool)
    asleep = await contact(pool, client, "+12015550101", state="scheduled")
    right = await contact(pool, client, "+12015550102", state="scheduled")
    other = await contact(pool, client, "+12015550101", sequence="other")
    file = tmp_path / "leads.csv"
    file.write_text("phone,time_zone\n+12015550102,Asia/Tokyo\n")
    await leads.import_leads(connection, file)
    await pool.execute("update sequence_contacts set plan_changed_at = null")
    file.write_text("phone,time_zone\n+12015550101,Asia/Tokyo\n+12015550102,Asia/Tokyo\n")
    assert (await leads.import_leads(connection, file)).contacts_replanned == 2
    await wait_until_heard(client, asleep, ["plan_changed"])
    await wait_until_heard(client, other, ["plan_changed"])
    assert "plan_changed" not in (await heard(client, right))[1:]
    # Neither step is due at a time of the day: their moments stay, and nobody has to hear.
    assert await leads.correct_time_zone(connection, "+12015550102", "Asia/Seoul") == 0


async def test_what_waits_for_a_device_goes_by_its_new_hours(
    pool: Pool, client: Client, connection: Drumbeat
) -> None:
    await prepare(pool)
    waits = await contact(pool, client, "+12015550101")
    await pool.execute("update devices set next_slot_at = now() + interval '9 hours'")
    await pool.execute(
        "update broadcast_messages set status = 'queued', slot_at = now() + interval '8 hours'"
    )
    same = await devices.add(connection, DeviceSettings(id="main", gateway="simulated", min_delay=1))
    assert (same.result, same.rescheduled, same.contacts_woken) == ("changed", False, 0)
    moved = await devices.add(
        connection, DeviceSettings(id="main", gateway="simulated", time_zone="Asia/Tokyo")
    )
    assert (moved.rescheduled, moved.contacts_woken) == (True, 1)
    await wait_until_heard(client, waits, ["wake"])
    assert await pool.fetchval("select slot_at is null from broadcast_messages")
    assert await pool.fetchval("select next_slot_at <= clock_timestamp() from devices")


async def test_resuming_wakes_whom_it_held(pool: Pool, client: Client, connection: Drumbeat) -> None:
    await prepare(pool)
    held = await contact(pool, client, "+12015550101")
    later = await contact(pool, client, "+12015550102")
    other = await contact(pool, client, "+12015550103", sequence="other")
    await pool.execute(
        "update broadcast_messages set slot_at = now() + interval '1 hour' where recipient_phone = '+12015550102'"
    )
    assert (await sequences.pause(connection, "cold")).changed
    assert not (await sequences.pause(connection, "cold")).changed
    resumed = await sequences.resume(connection, "cold")
    assert (resumed.changed, resumed.contacts_woken) == (True, 1)
    await wait_until_heard(client, held, ["wake"])
    again = await sequences.resume(connection, "cold")
    assert (again.changed, again.contacts_woken) == (False, 1)
    await wait_until_heard(client, held, ["wake"] * 2)

    assert (await devices.pause(connection, "main", "blocked")).changed
    assert (await devices.resume(connection, "main")).contacts_woken == 2
    await wait_until_heard(client, held, ["wake"] * 3)
    await wait_until_heard(client, other, ["wake"])
    assert await heard(client, later) == []


async def test_many_are_told_a_few_at_a_time_those_first_who_are_due_first(
    pool: Pool, client: Client, connection: Drumbeat, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pacing, "PATIENCE", 600.0)
    monkeypatch.setattr(telling, "batches", lambda items: pacing.batches(items, 2))
    await prepare(pool)
    ids = [await contact(pool, client, f"+1201555010{n}", state="scheduled") for n in range(5)]
    await client.get_workflow_handle(ids[3]).signal(Listener.end)  # is passed over, and waited for by nobody
    await client.get_workflow_handle(ids[3]).result()
    order = [3, 4, 0, 1, 2]
    for place, one in enumerate(order):
        await pool.execute(
            "update sequence_contacts set plan_changed_at = now(), next_due_at = now() + $2::integer * interval '1 hour'"
            " where workflow_id = $1",
            ids[one],
            place,
        )
    await start_telling(client, Tell(kind="plans"), task_queue="test")
    for told in ([4], [0, 1], [2]):
        for one in told:
            await wait_until_heard(client, ids[one], ["plan_changed"])
        rest = [one for one in order[order.index(told[-1]) + 1 :] if one != 3]
        for one in rest:
            assert await heard(client, ids[one]) == [], "the others wait until these have moved"
        await pool.execute(
            "update sequence_contacts set plan_changed_at = null where workflow_id = any($1)",
            [ids[one] for one in told],
        )
    await client.get_workflow_handle("telling").result()


async def test_what_is_handed_over_meanwhile_is_told_too(
    pool: Pool, client: Client, connection: Drumbeat, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pacing, "PATIENCE", 600.0)
    await prepare(pool)
    asleep = await contact(pool, client, "+12015550101", state="scheduled")
    held = await contact(pool, client, "+12015550102")
    changed = "update sequence_contacts set plan_changed_at = now() where workflow_id = $1"
    await pool.execute(changed, asleep)
    await start_telling(client, Tell(kind="plans"), task_queue="test")
    await wait_until_heard(client, asleep, ["plan_changed"])
    await pool.execute("delete from broadcast_messages where recipient_phone = '+12015550101'")
    assert await signals.wake_held(connection, "sequence", "cold") == 1
    assert await heard(client, held) == []
    await pool.execute("update sequence_contacts set plan_changed_at = null")
    await wait_until_heard(client, held, ["wake"])
    await pool.execute("update broadcast_messages set updated_at = now()")
    await client.get_workflow_handle("telling").result()


async def test_an_unreadable_file_is_a_problem_like_any_other(
    pool: Pool, connection: Drumbeat, tmp_path: Path
) -> None:
    latin, good = tmp_path / "latin.yaml", tmp_path / "good.yaml"
    latin.write_bytes("sequence: café".encode("latin-1"))
    good.write_bytes(b"\xef\xbb\xbf" + FILE.encode())
    with pytest.raises(sequences.FileProblems) as raised:
        await sequences.apply(connection, [latin, tmp_path / "none.yaml", good])
    assert str(raised.value).splitlines() == [
        f"{latin}:1: is not UTF-8 in its byte 13, save it as UTF-8",
        f"{tmp_path}/none.yaml: cannot be read: No such file or directory",
    ]
    (applied,) = await sequences.apply(connection, [good])
    assert applied.result == "created"
