"""What the gateway said is written through every outage of the database, whatever words it is in, and whoever is cancelled."""

import asyncio
import inspect
import json
import logging
from typing import Any

import asyncpg
import pytest
from asyncpg import exceptions

from messaging.common.database import CONNECTION_LOST, ERRORS, Pool, Verdict, verdict_of
from messaging.common.storable import LONGEST_ID, LONGEST_REASON, storable, storable_id
from messaging.gateways.base import Accepted, OutgoingMessage, Refused
from messaging.gateways.simulated import SimulatedGateway
from messaging.gateways.webhook_events import Receipt
from messaging.sending import dispatch, durable_writes
from messaging.sending.durable_writes import DurableWrites
from messaging.sending.ledger import Ledger
from messaging.sending.message_status import MessageStatus
from messaging.sending.outcomes import Deferred, Settled
from messaging.sending.receipts import record_receipts
from messaging.sequences.contract import Replanned
from rig.people import phone
from rig.waiting import until
from tests.support.contact import NOON, Contact

RAISED = [
    kind
    for _, kind in inspect.getmembers(exceptions, inspect.isclass)
    if issubclass(kind, asyncpg.PostgresError)
]


def test_every_class_of_errors_is_decided_on_by_name() -> None:
    undecided = {
        kind for kind in RAISED if next(one for one in kind.__mro__ if one in ERRORS) is asyncpg.PostgresError
    }
    assert undecided == {
        asyncpg.PostgresError,
        exceptions.FatalPostgresError,
        exceptions.UnknownPostgresError,
    }


def test_what_is_not_the_databases() -> None:
    assert verdict_of(ValueError("no")) is None
    assert verdict_of(TimeoutError()) is Verdict.AGAIN
    assert verdict_of(asyncpg.InterfaceError("pool is closed")) is Verdict.OVER
    assert verdict_of(asyncpg.InterfaceError("connection is closed")) is Verdict.AGAIN
    assert issubclass(asyncpg.TooManyConnectionsError, CONNECTION_LOST)


FAILS = """
    create sequence tries;
    create table failing (code text, times integer);
    insert into failing values ('', 0);
    create function fails() returns trigger language plpgsql as $$
    begin
        if new.answered_at is not null and old.answered_at is null and nextval('tries') <= (select times from failing) then
            raise exception 'not now' using errcode = (select code from failing);
        end if;
        return new;
    end $$;
    create trigger fails before update on broadcast_messages for each row execute function fails();
"""

AGAIN = [
    *(
        "08000",
        "08006",
        "08P01",
        "25006",
        "25P04",
        "26000",
        "40001",
        "40P01",
        "53000",
        "53100",
        "53200",
        "53300",
        "53400",
    ),
    *("55P03", "57014", "57P01", "57P02", "57P03", "57P05", "58000", "58030", "72000"),
]
MEND = [
    "0P000",
    "28000",
    "28P01",
    "3D000",
    "3F000",
    "42501",
    "42883",
    "57P04",
    "F0000",
    "XX000",
    "XX001",
    "99999",
]
WRONG = [
    "09000",
    "0A000",
    "21000",
    "22003",
    "22P02",
    "23502",
    "23514",
    "2F000",
    "38000",
    "39000",
    "44000",
    "54000",
    "P0001",
]


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(durable_writes, "FIRST_WAIT", 0.001)


async def sent_through(contact: Contact, code: str, times: int, index: int) -> dict[str, Any]:
    """One message whose outcome fails so often to be written; its row."""
    pool = contact.scenario.pool
    await pool.execute("update failing set code = $1, times = $2", code, times)
    await pool.execute("alter sequence tries restart")
    other = Contact(contact.scenario, contact.gateways)
    await other.enroll(phone(100 + index))
    outcome = await other.send()
    assert isinstance(outcome, Settled), code
    assert outcome.status is MessageStatus.SENT, code
    rows = [row for row in await contact.scenario.messages() if row["recipient_phone"] == other.phone]
    assert [row["status"] for row in rows] == ["sent"], code
    return rows[0]


@pytest.mark.usefixtures("at_once")
async def test_an_outcome_is_written_once_it_can_be(contact: Contact) -> None:
    await contact.scenario.offer(keys=False, look_up=False)
    await contact.scenario.pool.execute(FAILS)
    for index, code in enumerate([*AGAIN, *MEND]):
        row = await sent_through(contact, code, 3, index)
        assert row["content"] == "Hi Aisha", code
    assert len(await contact.scenario.requests()) == len(AGAIN) + len(MEND)


async def test_what_cannot_be_written_in_full_is_written_plainly(
    contact: Contact, caplog: pytest.LogCaptureFixture
) -> None:
    await contact.scenario.offer(keys=False, look_up=False)
    await contact.scenario.pool.execute(FAILS)
    for index, code in enumerate(WRONG):
        await sent_through(contact, code, 1, index)
        assert "could not be written in full" in caplog.text
        caplog.clear()


async def test_the_next_claim_moves_a_contact_on_whose_step_was_written_plainly(contact: Contact) -> None:
    await contact.scenario.pool.execute(FAILS)
    await contact.scenario.pool.execute("update failing set code = '22003', times = 1")
    texts = "select array_agg(content order by due_at) from broadcast_messages where status = 'sent'"
    for _ in range(4):
        outcome = await contact.send()
        assert isinstance(outcome, Settled | Replanned)
        if outcome.next is None:
            break
        contact.due, contact.now = outcome.next, max(contact.now, outcome.next.due_at)
    assert await contact.scenario.pool.fetchval(texts) == [None, "More"]
    assert [row["text"] for row in await contact.scenario.accepted()] == ["Hi Aisha", "More"]
    assert await contact.scenario.pool.fetchval("select timeline -> 'done' from sequence_contacts") == [
        "hello",
        "more",
    ]


@pytest.mark.usefixtures("at_once")
async def test_an_outage_of_any_length_is_told_of_once(
    contact: Contact, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(durable_writes, "LONGEST_WAIT", 0.002)
    caplog.set_level(logging.INFO, "messaging.sending.durable_writes")
    settle, left = Ledger.settle, 500

    async def away(self: Ledger, *arguments: Any, **named: Any) -> Any:
        nonlocal left
        left -= 1
        if left > 0:
            raise asyncpg.TooManyConnectionsError("sorry, too many clients already")
        return await settle(self, *arguments, **named)

    monkeypatch.setattr(Ledger, "settle", away)
    assert isinstance(await contact.send(), Settled)
    assert left == 0
    away_now = (
        "what became of messages cannot be written (TooManyConnectionsError: sorry, too many clients already)"
    )
    assert [record.message for record in caplog.records] == [
        f"{away_now}; it is tried until it can",
        "no outcome of a message waits to be written any more",
    ]


@pytest.mark.usefixtures("at_once")
async def test_an_outcome_outlives_the_activity_that_was_cancelled(
    contact: Contact, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that knows nothing of the outage gives up on the activity; the process goes on."""
    back, tried = asyncio.Event(), asyncio.Event()
    settle = Ledger.settle

    async def away(self: Ledger, *arguments: Any, **named: Any) -> Any:
        tried.set()
        if not back.is_set():
            raise ConnectionRefusedError("not back yet")
        return await settle(self, *arguments, **named)

    monkeypatch.setattr(Ledger, "settle", away)
    sending = asyncio.create_task(contact.send())
    await tried.wait()
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending
    assert (await contact.message())["status"] == "processing"
    back.set()

    async def written() -> bool:
        return (await contact.message())["status"] == "sent"

    await until(written)


async def test_what_is_being_written_is_waited_for_at_the_end() -> None:
    writing, go = DurableWrites(), asyncio.Event()

    async def write() -> str:
        await go.wait()
        return "written"

    waits = asyncio.create_task(writing.write(write))
    await asyncio.sleep(0)
    await writing.finish(0.01)
    assert not waits.done()
    go.set()
    await writing.finish(10)
    assert await waits == "written"


async def test_a_claim_whose_answer_got_lost_is_given_back(
    contact: Contact, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The gateway was not called: nobody has to doubt."""
    await contact.scenario.offer(keys=False, look_up=False)
    claim_step = Ledger.claim_step

    async def cut_off(self: Ledger, **named: Any) -> Any:
        await claim_step(self, **named)
        raise ConnectionResetError("the server went away")

    with monkeypatch.context() as patched:
        patched.setattr(Ledger, "claim_step", cut_off)
        with pytest.raises(ConnectionResetError):
            await contact.send()

    async def given_back() -> bool:
        return (await contact.message())["status"] == "queued"

    await until(given_back)
    outcome = await contact.send()
    assert isinstance(outcome, Settled)
    assert outcome.status is MessageStatus.SENT


@pytest.mark.parametrize("called", [True, False])
async def test_a_fault_of_ours_is_an_outcome_as_well(
    contact: Contact, monkeypatch: pytest.MonkeyPatch, called: bool
) -> None:
    await contact.scenario.offer(keys=False, look_up=False)

    async def broken(*_: object, **__: object) -> Any:
        raise KeyError("a fault of ours \0 \ud800")

    if called:
        monkeypatch.setattr(SimulatedGateway, "send", broken)
    else:
        monkeypatch.setattr(dispatch, "compose", broken)
    outcome = await contact.send()
    assert outcome.kind != "replanned"
    if called:
        assert isinstance(outcome, Settled)
        assert outcome.status is MessageStatus.UNCONFIRMED
    else:
        assert isinstance(outcome, Deferred)
        assert (await contact.message())["status"] == "queued"
    assert outcome.reason is not None
    assert "an unexpected error" in outcome.reason
    outcome.model_dump_json()  # it can travel


HOSTILE = {
    "NUL": "it\0is",
    "lone surrogate": "it \ud800 is",
    "both, and long": "\0\udfff" * 5_000,
    "long": "x1" * 5_000,
    "long and wide": "\N{SMILING FACE WITH OPEN MOUTH}" * 3_000,
}


@pytest.mark.parametrize("words", HOSTILE.values(), ids=HOSTILE)
async def test_a_yes_is_a_yes_whatever_its_id_and_receipts_find_it(
    contact: Contact, monkeypatch: pytest.MonkeyPatch, words: str
) -> None:
    await contact.scenario.offer(keys=False, look_up=False)

    async def accepts(self: SimulatedGateway, message: OutgoingMessage, *, timeout: float) -> Accepted:
        return Accepted(gateway_message_id=words)

    monkeypatch.setattr(SimulatedGateway, "send", accepts)
    outcome = await contact.send()
    assert isinstance(outcome, Settled)
    assert outcome.status is MessageStatus.SENT
    receipt = Receipt(status="read", at=NOON, gateway_message_id=words)
    async with contact.scenario.pool.acquire() as connection:
        assert await record_receipts(connection, "simulated", [receipt]) == 1
    assert (await contact.message())["read_at"] == NOON


@pytest.mark.parametrize("words", HOSTILE.values(), ids=HOSTILE)
async def test_a_no_is_a_no_whatever_its_words(
    contact: Contact, monkeypatch: pytest.MonkeyPatch, words: str
) -> None:
    await contact.scenario.offer(keys=False, look_up=False)

    async def refuses(self: SimulatedGateway, message: OutgoingMessage, *, timeout: float) -> Accepted:
        raise Refused(f"not on WhatsApp: {words}")

    monkeypatch.setattr(SimulatedGateway, "send", refuses)
    outcome = await contact.send()
    assert isinstance(outcome, Settled)
    assert outcome.status is MessageStatus.FAILED
    assert outcome.reason is not None
    assert outcome.reason.startswith("not on WhatsApp: ")
    assert len(outcome.reason) <= LONGEST_REASON
    assert (await contact.message())["reason"] == outcome.reason
    outcome.model_dump_json()


@pytest.mark.parametrize("words", HOSTILE.values(), ids=HOSTILE)
async def test_every_text_can_be_stored(pool: Pool, words: str) -> None:
    assert await pool.fetchval("select $1::text", words) == storable(words)
    value = {"a": [words, {words: 1}], "b": "\\u0000"}
    stored = await pool.fetchval("select $1::jsonb", value)
    assert stored == json.loads(json.dumps({"a": [storable(words), {storable(words): 1}], "b": "\\u0000"}))
    await pool.execute("create table texts (one text)")
    async with pool.acquire() as connection:
        await connection.copy_records_to_table("texts", records=[(words,)])
    assert await pool.fetchval("select one from texts") == storable(words)


def test_identifiers_are_told_apart_and_kept_short() -> None:
    real = "wamid.HBgNNjAxMjM0NTY3ODkwFQIAERgSQzE0RjY5MkM1NzQ0RkE0OEE1AA=="
    assert storable_id(real) == real
    made = [
        storable_id(words) for words in (*HOSTILE.values(), "it\0is!", "it \ud801 is", "x1" * 5_000 + "y")
    ]
    assert len(set(made)) == len(made)
    assert all(len(one.encode()) <= LONGEST_ID + 100 and "\0" not in one for one in made)
    assert storable("Aïsha 😀") == "Aïsha 😀"
    assert storable("abcdef", 4) == "abc…"
