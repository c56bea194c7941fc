"""What gateways tell afterwards, as the ledger takes it; and what operators resolve by hand."""

import asyncio
import json
from datetime import timedelta
from typing import Literal
from uuid import UUID, uuid4

import pytest

from messaging.common.errors import Conflict, NotFound
from messaging.gateways.webhook_events import Receipt
from messaging.sending.receipts import record_receipts
from messaging.sending.resolutions import resolve_as_sent, send_again
from tests.support.contact import NOON, Contact

ReceiptStatus = Literal["sent", "delivered", "read", "failed"]

WAITS = "select sum(writes)::integer from pg_stat_io where object = 'wal'"
"""How often the database's log was written, which whoever waits for a commit has done at once."""


async def in_state(contact: Contact, status: str, **columns: object) -> UUID:
    """The contact's message, brought to that state."""
    await contact.claim()
    (row,) = await contact.scenario.messages()
    sent_at = NOON if status == "sent" else None
    await contact.scenario.pool.execute(
        "update broadcast_messages set status = $1, sent_at = $2, gateway_message_id = $3, delivered_at = $4",
        status,
        sent_at,
        columns.get("gateway_message_id"),
        columns.get("delivered_at"),
    )
    message_id: UUID = row["id"]
    return message_id


async def tell(contact: Contact, *receipts: Receipt) -> int:
    async with contact.scenario.pool.acquire() as connection:
        return await record_receipts(connection, "simulated", receipts)


@pytest.mark.parametrize("told", ["sent", "delivered", "read"])
@pytest.mark.parametrize("status", ["unconfirmed", "processing", "queued", "pending", "failed"])
async def test_a_receipt_proves_that_the_message_went_out(
    contact: Contact, status: str, told: ReceiptStatus
) -> None:
    message_id = await in_state(contact, status)
    at = NOON + timedelta(minutes=1)
    receipt = Receipt(status=told, at=at, message_id=message_id, gateway_message_id="wamid.1")
    assert await tell(contact, receipt) == 1
    assert await tell(contact, receipt) == 0, "told twice is no news"
    row = await contact.message()
    assert (row["status"], row["sent_at"], row["gateway_message_id"]) == ("sent", at, "wamid.1")
    assert row["delivered_at"] == (None if told == "sent" else at)
    assert row["read_at"] == (at if told == "read" else None)
    contact.now += timedelta(minutes=5)
    await contact.send()
    assert await contact.scenario.accepted() == [], "nothing goes out after it"


async def test_read_and_delivered_come_in_any_order(contact: Contact) -> None:
    await in_state(contact, "sent", gateway_message_id="wamid.1")
    first, second = NOON + timedelta(minutes=1), NOON + timedelta(minutes=2)
    receipts = [
        Receipt(status="read", at=second, gateway_message_id="wamid.1"),
        Receipt(status="delivered", at=first, gateway_message_id="wamid.1"),
        Receipt(status="sent", at=first, gateway_message_id="wamid.1"),
    ]
    assert await tell(contact, *receipts) == 2
    row = await contact.message()
    assert (row["sent_at"], row["delivered_at"], row["read_at"]) == (NOON, first, second)


@pytest.mark.parametrize("status", ["sent", "unconfirmed", "processing"])
async def test_an_error_that_comes_late(contact: Contact, status: str) -> None:
    message_id = await in_state(contact, status)
    receipt = Receipt(status="failed", at=NOON, message_id=message_id, reason="undeliverable (131026)")
    assert await tell(contact, receipt) == 1
    row = await contact.message()
    assert (row["status"], row["reason"], row["sent_at"]) == ("failed", "undeliverable (131026)", None)


@pytest.mark.parametrize(("status", "delivered"), [("sent", True), ("queued", False), ("cancelled", False)])
async def test_an_error_changes_nothing_else(contact: Contact, status: str, delivered: bool) -> None:
    message_id = await in_state(contact, status, delivered_at=NOON if delivered else None)
    receipt = Receipt(status="failed", at=NOON, message_id=message_id, reason="late")
    assert await tell(contact, receipt) == 0
    assert (await contact.message())["status"] == status


async def test_receipts_of_others_are_passed_over(contact: Contact) -> None:
    await in_state(contact, "unconfirmed")
    strangers = [
        Receipt(status="sent", at=NOON, message_id=uuid4()),
        Receipt(status="read", at=NOON, gateway_message_id="wamid.other"),
        Receipt(status="failed", at=NOON),
    ]
    assert await tell(contact, *strangers) == 0
    assert (await contact.message())["status"] == "unconfirmed"


async def test_an_operator_says_that_it_arrived(contact: Contact) -> None:
    await contact.scenario.offer(keys=False, look_up=False)
    message_id = await in_state(contact, "unconfirmed")
    async with contact.scenario.pool.acquire() as connection:
        for _ in range(2):
            assert (await resolve_as_sent(connection, message_id)).result == "sent"
        row = await contact.message()
        assert (row["status"], row["sent_at"]) == ("sent", NOON)
        with pytest.raises(Conflict, match="is sent, and only an unconfirmed one"):
            await send_again(connection, message_id)
        with pytest.raises(NotFound, match="there is no message"):
            await send_again(connection, uuid4())


@pytest.mark.parametrize("status", ["failed", "cancelled", "suppressed", "queued"])
async def test_only_what_is_in_doubt_is_resolved(contact: Contact, status: str) -> None:
    message_id = await in_state(contact, status)
    async with contact.scenario.pool.acquire() as connection:
        for resolve in (resolve_as_sent, send_again):
            with pytest.raises(Conflict, match=f"is {status}"):
                await resolve(connection, message_id)
    assert (await contact.message())["status"] == status


async def test_a_request_full_of_receipts_takes_few_calls_of_the_database(contact: Contact) -> None:
    await in_state(contact, "sent", gateway_message_id="wamid.1")
    strange = [
        Receipt(status="read", at=NOON, gateway_message_id=f"wamid.strange.{number}")
        for number in range(1000)
    ]
    known = Receipt(status="delivered", at=NOON, gateway_message_id="wamid.1")
    asked: list[str] = []
    async with contact.scenario.pool.acquire() as connection:
        with connection.query_logger(lambda record: asked.append(record.query)):
            assert await record_receipts(connection, "simulated", [*strange, known]) == 1
    assert len(asked) <= 10
    assert (await contact.message())["delivered_at"] == NOON


async def test_a_request_full_of_receipts_waits_for_the_disk_a_few_times(contact: Contact) -> None:
    """Each is a transaction of its own, and only the last of many is waited for. Then all of them are there."""
    told = [Receipt(status="read", at=NOON, gateway_message_id=f"wamid.strange.{n}") for n in range(1000)]
    async with contact.scenario.pool.acquire() as connection:
        await connection.execute("set synchronous_commit = on")  # the tests' server has it off
        await connection.execute("select pg_stat_force_next_flush()")
        before = await connection.fetchval(WAITS)
        await record_receipts(connection, "simulated", told)
        behind = await connection.fetchval("select pg_current_wal_insert_lsn() - pg_current_wal_flush_lsn()")
        await connection.execute("select pg_stat_force_next_flush()")
        waits = await connection.fetchval(WAITS) - before
    assert waits < 100
    assert behind < 10_000, "a few of them are more than that"


async def test_each_receipt_of_a_request_stands_by_itself(contact: Contact) -> None:
    """While one waits for a lock, those before it are written, and locked by nobody."""
    pool = contact.scenario.pool
    first, second = (Receipt(status="read", at=NOON, gateway_message_id=f"wamid.{n}") for n in (1, 2))
    async with pool.acquire() as other, other.transaction():
        await other.execute("select pg_advisory_xact_lock(receipt_lock('simulated', 'wamid.2'))")
        recording = asyncio.create_task(tell(contact, first, second))
        async with asyncio.timeout(10):
            while not await pool.fetchval("select count(*) from early_receipts"):
                await asyncio.sleep(0.02)
        assert not recording.done()
        assert await pool.fetchval("select pg_try_advisory_lock(receipt_lock('simulated', 'wamid.1'))")
    assert await recording == 0
    assert await pool.fetchval("select count(*) from early_receipts") == 2


async def test_to_keep_an_early_receipt_costs_the_same_however_many_are_kept(contact: Contact) -> None:
    pool = contact.scenario.pool
    await pool.execute(
        "insert into early_receipts (gateway, gateway_message_id, status, happened_at, wrong_content)"
        " select 'simulated', 'wamid.' || n, 'read', now(), false from generate_series(1, 20000) n"
    )
    await pool.execute("vacuum analyze early_receipts")
    async with pool.acquire() as connection:
        for number in range(3):  # the first reads PostgreSQL's catalogues too
            told = await connection.fetchval(
                "explain (analyze, buffers, format json) select"
                f" record_receipt('simulated', null, 'wamid.new.{number}', 'read', now(), null, null, false)"
            )
    plan = json.loads(told)[0]["Plan"]
    assert plan["Shared Hit Blocks"] + plan["Shared Read Blocks"] < 200, "the whole table has 250 more"
