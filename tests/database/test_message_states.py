"""All orders in which the claim, the answer and the receipts of one message may come end in the same state.

The table is in docs/design.md; the ledger is real, and each order has the same row, put back to its beginning.
"""

import asyncio
import itertools
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID

import pytest

from messaging.common.database import Connection
from messaging.gateways.webhook_events import Receipt
from messaging.sending.ledger import Ledger
from messaging.sending.message_status import MessageStatus
from messaging.sending.receipts import record_receipts
from rig.waiting import until
from tests.support.contact import NOON, Contact

Event = Literal["yes", "maybe", "refused", "sent", "delivered", "read", "failed"]
RECEIPTS: tuple[Event, ...] = ("sent", "delivered", "read", "failed")
AT: dict[str, datetime] = {
    name: NOON + timedelta(seconds=second)
    for second, name in enumerate(("yes", "maybe", "refused", "sent", "delivered", "read", "failed"), 1)
}
BEGIN = (
    "update broadcast_messages set status = 'processing', processing_worker_id = 'first', claimed_at = $2,"
    " answered_at = null, accepted_at = null, sent_at = null, delivered_at = null, read_at = null, reason = null,"
    " content = null, image_url = null, gateway_message_id = null, earlier_gateway_ids = $3, retried = $4, resends = $5,"
    " updated_at = clock_timestamp() where id = $1"
)


class Message:
    """The contact's message while its first attempt holds it; told of by our ID (``ours``) or by the gateway's alone."""

    def __init__(self, contact: Contact, message_id: UUID, *, ours: bool) -> None:
        self.pool = contact.scenario.pool
        self.ledger = Ledger(self.pool)
        self.id = message_id
        self.ours = ours

    async def begin(
        self, earlier: Iterable[str] = (), *, retried: int = 0, resends: int = 0, early: bool = True
    ) -> None:
        await self.pool.execute(BEGIN, self.id, NOON, list(earlier), retried, resends)
        if early:
            await self.pool.execute("delete from early_receipts")

    async def happens(self, event: str, token: str = "first", theirs: str = "wamid.now") -> None:
        if event in RECEIPTS:
            receipt = Receipt(
                status=event,  # type: ignore[arg-type]
                at=AT[event],
                message_id=self.id if self.ours else None,
                gateway_message_id=theirs,
                reason="131026" if event == "failed" else None,
            )
            async with self.pool.acquire() as connection:
                await record_receipts(connection, "simulated", [receipt])
            return
        status = {
            "yes": MessageStatus.SENT,
            "maybe": MessageStatus.UNCONFIRMED,
            "refused": MessageStatus.FAILED,
        }
        await self.ledger.settle(
            self.id,
            token,
            status[event],
            AT[event],
            gateway_message_id=theirs if event == "yes" else None,
            reason=None if event == "yes" else event,
            content="Hi Aisha",
            image_url="https://example.com/a.jpg",
        )

    async def state(self) -> dict[str, Any]:
        row = await self.pool.fetchrow("select * from broadcast_messages where id = $1", self.id)
        assert row is not None
        return dict(row)


async def message_of(contact: Contact, *, ours: bool = True) -> Message:
    await contact.claim("first")
    row = await contact.message()
    assert isinstance(row["id"], UUID)
    return Message(contact, row["id"], ours=ours)


def expected(events: tuple[str, ...]) -> dict[str, Any]:
    """The end, whatever the order: read and delivered outrank failed, failed outranks sent, and sent outranks a doubt."""
    got = [AT[event] for event in events if event in ("delivered", "read")]
    if got:
        status = "sent"
    elif "failed" in events:
        status = "failed"
    elif "yes" in events or "sent" in events:
        status = "sent"
    else:
        status = next(
            (end for event, end in (("maybe", "unconfirmed"), ("refused", "failed")) if event in events), ""
        )
        status = status or "processing"
    proofs = [AT[event] for event in events if event in ("sent", "delivered", "read")]
    taken = AT["yes"] if "yes" in events else min(proofs, default=None)
    answered = {"yes", "maybe", "refused"} & set(events)
    return {
        "status": status,
        "delivered_at": min(got, default=None),
        "read_at": AT["read"] if "read" in events else None,
        "content": "Hi Aisha" if answered else None,
        "image_url": "https://example.com/a.jpg" if answered else None,
        "sent_at": taken if status == "sent" else None,
    }


def check(row: dict[str, Any], events: tuple[str, ...]) -> None:
    for column, value in expected(events).items():
        assert row[column] == value, (column, events)
    if "failed" in events and row["status"] == "failed" and "refused" not in events:
        assert row["reason"] == "131026", events


def orders(events: Iterable[Event]) -> Iterable[tuple[Event, ...]]:
    """Every order of every choice of them."""
    chosen = tuple(events)
    for count in range(1, len(chosen) + 1):
        yield from itertools.permutations(chosen, count)


@pytest.mark.parametrize("answer", ["yes", "maybe", "refused"])
async def test_answer_and_receipts_in_every_order(contact: Contact, answer: Event) -> None:
    message = await message_of(contact)
    for events in orders((answer, *RECEIPTS)):
        if answer == "refused" and "failed" in events:
            continue  # no gateway refuses what it then fails to deliver
        await message.begin()
        for event in events:
            await message.happens(event)
        end = await message.state()
        check(end, events)
        for event in (*events, *events):
            await message.happens(event)
        again = await message.state()
        assert {**again, "updated_at": None} == {**end, "updated_at": None}, (events, "twice is once")


async def test_receipts_that_know_only_the_gateways_id_wait_for_the_answer(contact: Contact) -> None:
    message = await message_of(contact, ours=False)
    for events in orders(("yes", *RECEIPTS)):
        await message.begin()
        for event in events:
            await message.happens(event)
        end = await message.state()
        if "yes" in events:
            check(end, events)
            assert await message.pool.fetchval("select count(*) from early_receipts") == 0
        else:
            assert end["status"] == "processing"


@pytest.mark.parametrize(
    ("earlier", "retried", "resends"), [(["wamid.before"], 1, 0), ([], 1, 0), ([], 0, 1)]
)
async def test_of_a_message_that_is_sent_again_the_present_sending_counts(
    contact: Contact, earlier: list[str], retried: int, resends: int
) -> None:
    """A failure that comes before the answer is the present one's or not: where nobody can know yet, the answer tells."""
    message = await message_of(contact)
    for events in itertools.permutations(("yes", *RECEIPTS[::3])):
        await message.begin(earlier, retried=retried, resends=resends)
        for event in events:
            await message.happens(event)
        check(await message.state(), events)
    now, before = "wamid.now", "wamid.before"
    for told in itertools.permutations((("yes", now), ("sent", now), ("failed", before))):
        await message.begin(earlier, retried=retried, resends=resends)
        for what, theirs in told:
            await message.happens(what, theirs=theirs)
        row = await message.state()
        assert (row["status"], row["gateway_message_id"]) == ("sent", now), told


async def test_a_yes_that_comes_late_corrects_what_nobody_knew(contact: Contact) -> None:
    """Another attempt has taken the message over, and learned nothing."""
    message = await message_of(contact)
    for events in itertools.permutations(("take over", "maybe", "yes", "delivered")):
        if events.index("maybe") < events.index("take over"):
            continue
        await message.begin()
        for event in events:
            if event == "take over":
                await message.pool.execute(
                    "update broadcast_messages set processing_worker_id = 'second', answered_at = null"
                    " where status = 'processing'"
                )
            else:
                await message.happens(event, token="second" if event == "maybe" else "first")
        row = await message.state()
        assert (row["status"], row["content"]) == ("sent", "Hi Aisha"), events
        assert row["gateway_message_id"] == "wamid.now"


async def test_an_attempt_says_once_what_came_of_it(contact: Contact) -> None:
    """Told once more, and otherwise, as where the word that it was written got lost: the first word stands."""
    message = await message_of(contact)
    for first, second in itertools.product(("yes", "maybe", "refused"), repeat=2):
        await message.begin()
        await message.happens(first)
        before = await message.state()
        await message.happens(second)
        assert await message.state() == before, (first, second)


@pytest.mark.parametrize("status", ["pending", "queued", "cancelled", "suppressed", "expired"])
async def test_a_no_or_a_doubt_settles_nothing_that_was_taken_back(contact: Contact, status: str) -> None:
    message = await message_of(contact)
    for event in ("refused", "maybe"):
        await message.begin()
        await message.pool.execute("update broadcast_messages set status = $1", status)
        await message.happens(event)
        assert (await message.state())["status"] == status


async def test_a_late_no_says_nothing_of_what_another_attempt_has(contact: Contact) -> None:
    message = await message_of(contact)
    await message.pool.execute("update broadcast_messages set processing_worker_id = 'second'")
    for event in ("refused", "maybe"):
        await message.happens(event)
        assert (await message.state())["status"] == "processing"


async def test_the_contact_moves_on_although_a_receipt_was_faster(contact: Contact) -> None:
    """And the device is free again."""
    await contact.scenario.pool.execute("update devices set min_delay = 5, max_delay = 6, faults = 1")
    settle = Ledger.settle

    async def overtaken(self: Ledger, message_id: UUID, *arguments: Any, **named: Any) -> Any:
        receipt = Receipt(status="read", at=NOON, message_id=message_id, gateway_message_id="overtakes")
        async with contact.scenario.pool.acquire() as connection:
            assert await record_receipts(connection, "simulated", [receipt]) == 1
        return await settle(self, message_id, *arguments, **named)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Ledger, "settle", overtaken)
        outcome = await contact.send()
    assert outcome.kind == "settled"
    assert outcome.next is not None
    row = await contact.message()
    assert (row["status"], row["content"], row["read_at"]) == ("sent", "Hi Aisha", NOON)
    assert row["earlier_gateway_ids"] == ["overtakes"]
    position = await contact.scenario.pool.fetchrow(
        "select timeline -> 'done' as done, next_due_at from sequence_contacts"
    )
    assert position is not None
    assert (position["done"], position["next_due_at"]) == (["hello"], outcome.next.due_at)
    device = await contact.scenario.pool.fetchrow(
        "select faults, isfinite(in_flight_until) as busy from devices"
    )
    assert device is not None
    assert tuple(device) == (0, False)


async def test_early_receipts_are_kept_for_a_while_and_not_without_end(contact: Contact) -> None:
    pool = contact.scenario.pool
    async with pool.acquire() as connection:

        async def tell(name: str) -> None:
            receipt = Receipt(status="delivered", at=NOON, gateway_message_id=name)
            assert await record_receipts(connection, "simulated", [receipt]) == 0

        async def hundredth(number: int) -> None:
            """With which those leave that are over."""
            await pool.execute(
                "select setval(pg_get_serial_sequence('early_receipts', 'id'), $1)", number * 100 - 1
            )
            await tell(f"stranger-{number * 100}")

        for index in range(30):
            await tell(f"stranger-{index}")
        await hundredth(1)
        assert await pool.fetchval("select count(*) from early_receipts") == 31
        await pool.execute("update early_receipts set received_at = received_at - interval '2 hours'")
        await hundredth(2)
        assert await pool.fetchval("select count(*) from early_receipts") == 1, "what is over leaves"
        await hundredth(10_000)
        assert await pool.fetchval("select count(*) from early_receipts") == 1, "and so do too many"


@pytest.mark.parametrize("first", ["answer", "receipt"])
async def test_an_answer_and_a_receipt_in_the_same_moment_do_not_miss_each_other(
    contact: Contact, first: str
) -> None:
    """Neither sees what the other has not committed: so one waits."""
    message = await message_of(contact, ours=False)

    async def happens(connection: Connection, what: str) -> None:
        if what == "answer":
            await connection.execute(
                "select settle_attempt($1, 'first', 'sent', $2, 'wamid.now', null, 'Hi', null, null)",
                message.id,
                NOON,
            )
        else:
            await connection.execute(
                "select record_receipt('simulated', null, 'wamid.now', 'read', $1, null)", NOON
            )

    async with message.pool.acquire() as one, message.pool.acquire() as other:
        transaction = one.transaction()
        await transaction.start()
        await happens(one, first)
        second = asyncio.create_task(happens(other, "receipt" if first == "answer" else "answer"))

        async def waits() -> bool:
            return bool(await message.pool.fetchval("select count(*) from pg_locks where not granted"))

        await until(waits)
        await transaction.commit()
        await second
    row = await message.state()
    assert (row["status"], row["read_at"]) == ("sent", NOON)
    assert await message.pool.fetchval("select count(*) from early_receipts") == 0
