"""The rule by which new knowledge about one lead joins what is known."""

import asyncio

import asyncpg
import pytest

from messaging.common.database import Pool
from messaging.common.errors import InvalidInput
from messaging.leads.lead import Lead, TargetStatus
from messaging.leads.store import MERGE, load_lead, upsert_lead
from tests.support.lead_tables import add_devices, everything

PHONE = "+12015550123"


@pytest.fixture(autouse=True)
async def devices(pool: Pool) -> None:
    await add_devices(pool, "d1", "d2")


async def upsert(pool: Pool, **given: object) -> int:
    async with pool.acquire() as connection:
        return await upsert_lead(connection, Lead.model_validate({"phone": PHONE, **given}))


async def consume(pool: Pool, trigger: str, phone: str = PHONE) -> None:
    """What an enrollment leaves behind: the contact is recorded, and the trigger gone."""
    await pool.execute(
        "with s as (insert into sequences (name, trigger) values (lower($1), $1) returning id)"
        " insert into sequence_contacts (sequence_id, lead_id, phone, device_id, workflow_id, run_id, timeline,"
        " plan_revision) select s.id, l.id, l.phone, 'd1', 'w', 'r', '{}', 1 from s, leads l where l.phone = $2",
        trigger,
        phone,
    )
    await pool.execute(
        "update leads set triggers = array_remove(triggers, $1) where phone = $2", trigger, phone
    )


async def test_a_new_lead(pool: Pool) -> None:
    lead_id = await upsert(
        pool,
        name=" Ali {{ name }} ",
        niches=["vitac"],
        triggers=["coldvitac "],
        device_id="d1",
        time_zone="Asia/Kuala_Lumpur",
        attributes={"First Name": "Ali"},
    )
    async with pool.acquire() as connection:
        stored = await load_lead(connection, PHONE)
        assert await load_lead(connection, "+12015550199") is None
    assert stored is not None
    assert stored.id == lead_id
    assert (stored.name, stored.niches, stored.triggers) == ("Ali {{ name }}", ("VITAC",), ("COLDVITAC",))
    assert stored.target_status is TargetStatus.PROSPECT
    assert (stored.device_id, stored.time_zone) == ("d1", "Asia/Kuala_Lumpur")
    assert stored.attributes == {"first_name": "Ali"}
    assert stored.created_at.tzinfo is not None


async def test_what_is_not_given_stays(pool: Pool) -> None:
    await upsert(
        pool, name="Ali", niches=["A"], triggers=["T"], target_status="customer", device_id="d1", time_zone="UTC",
        attributes={"city": "Ipoh"},
    )  # fmt: skip
    before = await everything(pool)
    await upsert(pool)
    await upsert(
        pool, name=" ", device_id="", time_zone="", attributes={"city": ""}, niches=["a"], triggers=["t"]
    )
    assert await everything(pool) == before


async def test_what_is_given_replaces_or_unites(pool: Pool) -> None:
    first = await upsert(
        pool, name="Ali", niches=["B"], triggers=["T"], time_zone="UTC", attributes={"city": "Ipoh", "x": "1"}
    )
    second = await upsert(
        pool, name="Ali bin Abu", niches=["a", "b", "c"], triggers=["S"], target_status="customer",
        device_id="d2", time_zone="Asia/Kuala_Lumpur", attributes={"city": "Melaka"},
    )  # fmt: skip
    assert first == second
    (row,) = await everything(pool)
    assert row["name"] == "Ali bin Abu"
    assert row["niches"] == ["B", "A", "C"]
    assert row["triggers"] == ["T", "S"]
    assert row["target_status"] == "customer"
    assert row["device_id"] == "d2"
    assert row["time_zone"] == "Asia/Kuala_Lumpur"
    assert row["attributes"] == {"city": "Melaka", "x": "1"}
    assert row["updated_at"] > row["created_at"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", "B"), ("niches", ["B"]), ("triggers", ["B"]), ("target_status", "customer"), ("device_id", "d1"),
        ("time_zone", "UTC"), ("attributes", {"a": "2"}), ("attributes", {"b": "1"}),
    ],
)  # fmt: skip
async def test_each_field_alone_is_a_change(pool: Pool, field: str, value: object) -> None:
    await upsert(pool, name="A", niches=["A"], triggers=["A"], attributes={"a": "1"})
    before = await everything(pool)
    await upsert(pool, **{field: value})
    (row,) = await everything(pool)
    assert {name for name in row if row[name] != before[0][name]} == {field, "updated_at", "xmin"}


async def test_the_device_that_owns_a_lead_stays(pool: Pool) -> None:
    await upsert(pool, device_id="d1")
    before = await everything(pool)
    await upsert(pool, device_id="d2")
    assert await everything(pool) == before


async def test_a_consumed_trigger_does_not_come_back(pool: Pool) -> None:
    await upsert(pool, triggers=["COLD", "WARM"])
    await consume(pool, "COLD")
    before = await everything(pool)
    await upsert(pool, triggers=["COLD", "WARM"])
    assert await everything(pool) == before
    await upsert(pool, triggers=["COLD2", "COLD"])
    assert (await everything(pool))[0]["triggers"] == ["WARM", "COLD2"]


async def test_another_contact_of_the_sequence_takes_nobody_elses_trigger(pool: Pool) -> None:
    await upsert(pool, triggers=["COLD"])
    await consume(pool, "COLD")
    await upsert(pool, phone="+12015550124", triggers=["COLD"])
    assert (await everything(pool))[1]["triggers"] == ["COLD"]


async def test_an_unknown_device_is_told(pool: Pool) -> None:
    with pytest.raises(
        InvalidInput, match="there is no device 'd9': create it with 'device add d9 --gateway NAME'"
    ):
        await upsert(pool, device_id="d9")


async def test_what_cannot_be_stored_is_told(pool: Pool) -> None:
    with pytest.raises(InvalidInput, match=r"attribute 'x' contains the control character U\+0000"):
        await upsert(pool, attributes={"x": "a\0b"})


async def test_many_at_once_are_one_lead(pool: Pool) -> None:
    ids = await asyncio.gather(*(upsert(pool, name="Ali", niches=[f"N{number % 5}"]) for number in range(50)))
    assert len(set(ids)) == 1
    (row,) = await everything(pool)
    assert sorted(row["niches"]) == ["N0", "N1", "N2", "N3", "N4"]


async def test_a_lead_that_another_session_has_just_stored_is_found(pool: Pool, database_url: str) -> None:
    """The insert waits for the other session, and finds nothing to change in a row that its snapshot does not show."""
    other = await asyncpg.connect(database_url)
    try:
        transaction = other.transaction()
        await transaction.start()
        await other.execute("insert into leads (phone) values ($1)", PHONE)
        waiting = asyncio.create_task(upsert(pool))
        deadline = asyncio.get_running_loop().time() + 10
        while not await other.fetchval("select exists (select from pg_locks where not granted)"):
            assert asyncio.get_running_loop().time() < deadline
            await asyncio.sleep(0.01)
        await transaction.commit()
        assert await waiting == await other.fetchval("select id from leads")
    finally:
        await other.close()


async def test_two_merges_in_opposite_order_wait_for_each_other(pool: Pool) -> None:
    """Each locks rows that the other wants; only in one common order is there no deadlock."""

    async def merge(order: str, niche: str) -> None:
        async with pool.acquire() as connection, connection.transaction():
            await connection.execute(
                "create temporary table given_leads on commit drop as"
                " select '+1201555' || n as phone, '' as name, array[$$"
                + niche
                + "$$] as niches, '{}'::text[] as triggers,"
                " null::text as target_status, null::text as device_id, null::text as time_zone, '{}'::jsonb as attributes,"
                " null::boolean as consent, null::timestamptz as consent_at, null::text as consent_note, null::text as consent_source"
                f" from generate_series(1000, 5999) n order by n {order}"
            )
            started.release()
            await both.wait()
            await connection.execute(MERGE)

    started, both = asyncio.Semaphore(0), asyncio.Event()
    merges = [asyncio.create_task(merge(order, order)) for order in ("asc", "desc")]
    for _ in merges:
        await started.acquire()
    both.set()
    await asyncio.gather(*merges)
    assert await pool.fetchval("select count(*) from leads where cardinality(niches) = 2") == 5000
