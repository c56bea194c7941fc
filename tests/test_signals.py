"""Running workflows are told of edits and of the end of a pause: each that must know, one by one or in bulk."""

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from temporalio import workflow
from temporalio.client import Client
from temporalio.common import SearchAttributePair, TypedSearchAttributes
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from messaging.database import Pool
from messaging.devices import DeviceSettings
from messaging.sequence_edits import apply_sequences
from messaging.sequence_files import read_sequence
from naming import attributes
from operations import devices, leads, sequences, signals
from operations.connection import Connection
from runtime.servers import Addresses
from runtime.settings import load_settings

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
async def client() -> AsyncIterator[Client]:
    """A client of a Temporal server of the test's own, with a worker for listeners."""
    async with (
        await WorkflowEnvironment.start_local(
            dev_server_existing_path=str(TEMPORAL), search_attributes=list(attributes.ALL)
        ) as server,
        Worker(
            server.client,
            task_queue="test",
            workflows=[Listener],
            workflow_runner=UnsandboxedWorkflowRunner(),
        ),
    ):
        yield server.client


@pytest.fixture
async def connection(database_url: str, client: Client) -> AsyncIterator[Connection]:
    """The test's servers, as operations are given them."""
    addresses = Addresses(
        database_url=database_url,
        temporal_address=client.service_client.config.target_host,
        namespace=client.namespace,
        ui_url=None,
        simulator_url=None,
        embedded=False,
    )
    connected = Connection(load_settings(), addresses, client)
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
        "  timeline, plan_revision, enrolled_at) select s.id, l.id, l.phone, 'main', $3, 'r', '{}', s.revision,"
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


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Waits until it holds; half a minute is long for the index and for a batch operation."""
    for _ in range(300):
        if await condition():
            return
        await asyncio.sleep(0.1)
    pytest.fail("it did not come to pass")


async def wait_until_heard(client: Client, workflow_id: str, what: list[str]) -> None:
    """Waits for a batch operation to reach a listener."""

    async def reached() -> bool:
        return await heard(client, workflow_id) == what

    await until(reached)


async def prepare(pool: Pool) -> None:
    """Two sequences, to tell one from the other."""
    drafts = [read_sequence(FILE, "cold.yaml"), read_sequence(FILE.replace("cold", "other"), "other.yaml")]
    async with pool.acquire() as database:
        await apply_sequences(database, drafts)


async def test_an_edit_reaches_the_contacts_of_the_sequence_alone(
    pool: Pool, client: Client, connection: Connection, tmp_path: Path
) -> None:
    await prepare(pool)
    asleep = await contact(pool, client, "+12015550101", state="scheduled")
    ended = await contact(pool, client, "+12015550102", state="scheduled")
    other = await contact(pool, client, "+12015550103", sequence="other")
    await client.get_workflow_handle(ended).signal(Listener.end)
    await client.get_workflow_handle(ended).result()
    file = tmp_path / "cold.yaml"
    file.write_text(FILE)
    (applied,) = await sequences.apply(connection, [file], consent=True)
    assert (applied.result, applied.contacts_told) == ("unchanged", 0)
    file.write_text(EDITED)
    (applied,) = await sequences.apply(connection, [file], consent=True)
    assert (applied.result, applied.contacts_told) == ("changed", 2)
    assert await heard(client, asleep) == ["plan_changed"]
    assert await heard(client, other) == []
    # Whoever has not planned anew yet is told once more; whoever has is left alone.
    (applied,) = await sequences.apply(connection, [file], consent=True)
    assert (applied.result, applied.contacts_told) == ("unchanged", 2)
    await pool.execute("update sequence_contacts set plan_revision = 2")
    (applied,) = await sequences.apply(connection, [file], consent=True)
    assert applied.contacts_told == 0


async def test_an_import_that_corrects_zones_reaches_whose_plan_has_another(
    pool: Pool, client: Client, connection: Connection, tmp_path: Path
) -> None:
    await prepare(pool)
    asleep = await contact(pool, client, "+12015550101", state="scheduled")
    right = await contact(pool, client, "+12015550102", state="scheduled")
    other = await contact(pool, client, "+12015550101", sequence="other")
    for zone, one in (("UTC", asleep), ("Asia/Tokyo", right), ("UTC", other)):
        await pool.execute(
            "update sequence_contacts set timeline = jsonb_build_object('zone', $1::text) where workflow_id = $2",
            zone,
            one,
        )
    file = tmp_path / "leads.csv"
    file.write_text("phone,time_zone\n+12015550101,Asia/Tokyo\n+12015550102,Asia/Tokyo\n")
    assert (await leads.import_leads(connection, file)).contacts_told == 2
    assert [await heard(client, one) for one in (asleep, right, other)] == [
        ["plan_changed"],
        [],
        ["plan_changed"],
    ]
    assert await leads.correct_time_zone(connection, "+12015550102", "Asia/Seoul") == 3, (
        "those too who have not heard"
    )
    assert await heard(client, right) == ["plan_changed"]


async def test_what_waits_for_a_device_goes_by_its_new_hours(
    pool: Pool, client: Client, connection: Connection
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
    assert await heard(client, waits) == ["wake"]
    assert await pool.fetchval("select slot_at is null from broadcast_messages")
    assert await pool.fetchval("select next_slot_at <= clock_timestamp() from devices")


async def test_resuming_wakes_whom_it_held(pool: Pool, client: Client, connection: Connection) -> None:
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
    assert [await heard(client, one) for one in (held, later, other)] == [["wake"], [], []]
    again = await sequences.resume(connection, "cold")
    assert (again.changed, again.contacts_woken) == (False, 1)

    assert (await devices.pause(connection, "main", "blocked")).changed
    assert (await devices.resume(connection, "main")).contacts_woken == 2
    assert [await heard(client, one) for one in (held, later, other)] == [["wake"] * 3, [], ["wake"]]


async def test_many_are_told_by_a_batch_operation(
    pool: Pool, client: Client, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signals, "ONE_BY_ONE", 1)
    await prepare(pool)
    held = [await contact(pool, client, f"+1201555010{n}") for n in range(3)]
    scheduled = await contact(pool, client, "+12015550104", state="scheduled")
    other = await contact(pool, client, "+12015550105", sequence="other")

    async def indexed() -> bool:
        return (await client.count_workflows()).count == 5

    await until(indexed)
    told = await signals.wake_held(connection, sequence="cold")
    assert told.batch is not None
    for one in held:
        await wait_until_heard(client, one, ["wake"])
    assert await heard(client, scheduled) == await heard(client, other) == []

    await pool.execute("update sequences set revision = 2")
    await signals.plan_changed(connection, "cold")
    for one in held:
        await wait_until_heard(client, one, ["wake", "plan_changed"])
    await wait_until_heard(client, scheduled, ["plan_changed"])
    await signals.wake_held(connection, device="main")
    await wait_until_heard(client, other, ["wake"])


async def test_who_is_new_does_not_depend_on_the_index(
    pool: Pool, client: Client, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signals, "ONE_BY_ONE", 1)
    await prepare(pool)
    for n in range(2):
        await contact(pool, client, f"+1201555010{n}")
    # Not to be found by its attributes, as if it were not in the index yet.
    new = await contact(pool, client, "+12015550109", sequence="cold", state="enrolling")
    await pool.execute(
        "update broadcast_messages set updated_at = now() where recipient_phone = '+12015550109'"
    )
    told = await signals.wake_held(connection, sequence="cold")
    assert (told.contacts, told.batch is not None) == (3, True)
    assert await heard(client, new) == ["wake"]


async def test_an_unreadable_file_is_a_problem_like_any_other(
    pool: Pool, connection: Connection, tmp_path: Path
) -> None:
    latin, good = tmp_path / "latin.yaml", tmp_path / "good.yaml"
    latin.write_bytes("sequence: café".encode("latin-1"))
    good.write_bytes(b"\xef\xbb\xbf" + FILE.encode())
    with pytest.raises(sequences.FileProblems) as raised:
        await sequences.apply(connection, [latin, tmp_path / "none.yaml", good])
    assert str(raised.value).splitlines() == [
        f"{latin}:1: is not UTF-8 in its byte 13, save it as UTF-8",
        f"{tmp_path}/none.yaml:1: cannot be read: No such file or directory",
    ]
    (applied,) = await sequences.apply(connection, [good])
    assert applied.result == "created"
