"""The text that confirms an opt-out by keyword: once, and the last that the person gets."""

import itertools
from datetime import datetime, timedelta
from typing import Any

import pytest

from messaging.common.errors import InvalidInput
from messaging.common.keywords import DEFAULT_KEYWORDS
from messaging.devices.device import DeviceSettings
from messaging.devices.store import add_device
from messaging.gateways.webhook_events import InboundMessage
from messaging.leads.opt_outs import record_opt_out, suppress_waiting, withdraw
from messaging.replies.confirmations import check_confirmation
from messaging.replies.record import record_inbound
from messaging.reporting.audit import totals
from messaging.reporting.contact import contact_report
from messaging.reporting.status import status_report
from messaging.sending.claim_answers import Claim
from messaging.sending.ledger import Ledger
from messaging.sending.message_status import MessageStatus
from messaging.sending.outcomes import Deferred, MessageOutcome, Settled
from messaging.sending.recovery import abandoned, close_unwanted, to_one_phone
from rig.people import phone
from tests.support.contact import Contact
from tests.support.replies import inbound

PHONE = phone(1)
BYE = "Bye {{ name | default: 'friend' }}, START brings you back"


async def hear(contact: Contact, *messages: InboundMessage, text: str = BYE) -> None:
    async with contact.scenario.pool.acquire() as connection:
        await record_inbound(
            *(connection, "simulated", contact.scenario.device, messages, DEFAULT_KEYWORDS),
            confirmation=text,
        )


async def confirmations(contact: Contact) -> list[dict[str, Any]]:
    return [row for row in await contact.scenario.messages() if row["purpose"] == "opt-out confirmation"]


async def send(contact: Contact, message: dict[str, Any] | None = None) -> MessageOutcome:
    [message] = [message] if message is not None else await confirmations(contact)
    return await contact.sender.send_stored(message["id"])


async def texts(contact: Contact) -> list[str]:
    return [row["text"] for row in await contact.scenario.accepted()]


async def test_it_goes_out_once_and_is_the_last(contact: Contact) -> None:
    pool = contact.scenario.pool
    stop = inbound("in-1", PHONE, "STOP")
    await hear(contact, stop, stop, inbound("in-2", PHONE, "stop", after=60))
    await hear(contact, stop, inbound("in-3", PHONE, "STOP", after=86_400))
    [row] = await confirmations(contact)
    assert (row["recipient_phone"], row["device_id"]) == (PHONE, contact.scenario.device)
    [ref] = await to_one_phone(pool, PHONE)
    assert (ref.message_id, ref.what) == (row["id"], "opt-out confirmation")
    for _ in range(2):
        settled = await send(contact)
        assert isinstance(settled, Settled)
        assert settled.status is MessageStatus.SENT
    assert not isinstance(await contact.send(), Settled), "the sequence has ended"
    assert await texts(contact) == ["Bye Aisha, START brings you back"]
    report = await contact_report(pool, PHONE, PHONE)
    assert [one.what for one in report.messages if one.status == "sent"] == ["opt-out confirmation"]
    assert (await totals(pool)).adds_up


async def test_it_passes_what_closes_everything_else(contact: Contact) -> None:
    await hear(contact, inbound("in-1", PHONE, "STOP"))
    await suppress_waiting(contact.scenario.pool, PHONE)
    assert await close_unwanted(contact.scenario.pool) == 0
    assert [row["status"] for row in await confirmations(contact)] == ["pending"]


async def test_it_is_not_sent_once_they_have_come_back(contact: Contact) -> None:
    await hear(contact, inbound("in-1", PHONE, "STOP"), inbound("in-2", PHONE, "START", after=60))
    settled = await send(contact)
    assert isinstance(settled, Settled)
    assert (settled.status, settled.reason) == (MessageStatus.CANCELLED, "the opt-out was taken back")
    await hear(contact, inbound("in-3", PHONE, "STOP", after=120))
    first, second = await confirmations(contact)
    assert (first["status"], second["status"]) == ("cancelled", "pending")
    assert isinstance(await send(contact, second), Settled)
    assert len(await texts(contact)) == 1


async def test_of_two_opt_outs_only_the_one_that_stands_is_confirmed(contact: Contact) -> None:
    said = [inbound("in-1", PHONE, "STOP"), inbound("in-2", PHONE, "START", after=60)]
    said.append(inbound("in-3", PHONE, "STOP", after=120))
    for order in itertools.permutations(said):
        await contact.scenario.pool.execute("truncate inbound_messages, suppressions, broadcast_messages")
        await hear(contact, *order)
        for row in await confirmations(contact):
            await send(contact, row)
        statuses = sorted(row["status"] for row in await confirmations(contact))
        assert statuses in (["sent"], ["cancelled", "sent"]), [one.text for one in order]


async def test_it_is_closed_by_the_recovery_if_its_workflow_is_gone(contact: Contact) -> None:
    pool = contact.scenario.pool
    await hear(contact, inbound("in-1", PHONE, "STOP"))
    now: datetime = await pool.fetchval("select now()")
    assert await abandoned(pool, now=now) == []
    [ref] = await abandoned(pool, now=now + timedelta(minutes=3))
    assert (ref.what, ref.phone) == ("opt-out confirmation", PHONE)
    await hear(contact, inbound("in-2", PHONE, "START", after=60))
    assert await close_unwanted(pool) == 1
    assert [row["status"] for row in await confirmations(contact)] == ["cancelled"]


async def test_an_operators_opt_out_keeps_it_back(contact: Contact) -> None:
    pool = contact.scenario.pool
    await hear(contact, inbound("in-1", PHONE, "STOP"))
    async with pool.acquire() as connection:
        await record_opt_out(connection, PHONE, "asked by phone")
    settled = await send(contact)
    assert isinstance(settled, Settled)
    assert settled.status is MessageStatus.SUPPRESSED
    await hear(contact, inbound("in-2", PHONE, "START", after=60), inbound("in-3", PHONE, "STOP", after=120))
    assert len(await confirmations(contact)) == 1, "none is made while an operator's opt-out stands"
    await withdraw(pool, PHONE)
    async with pool.acquire() as connection:
        await record_opt_out(connection, PHONE, "no advertising", category="marketing")
    await hear(contact, inbound("in-4", PHONE, "STOP", after=180))
    _, row = await confirmations(contact)
    settled = await send(contact, row)
    assert isinstance(settled, Settled)
    assert settled.status is MessageStatus.SENT, "it is no marketing"


async def test_only_a_keyword_is_confirmed_and_only_with_a_text(contact: Contact) -> None:
    pool = contact.scenario.pool
    nothing = (
        (inbound("p-1", PHONE, None, kind="preference", payload="stop"), BYE),
        (inbound("in-1", PHONE, "please don't stop"), BYE),
        (inbound("in-2", PHONE, "STOP"), ""),
        (inbound("in-3", PHONE, "STOP"), "  "),
    )
    for message, text in nothing:
        await pool.execute("truncate inbound_messages, suppressions")
        await hear(contact, message, text=text)
        assert await confirmations(contact) == [], message


@pytest.mark.parametrize(
    ("own", "text"), [("Ciao", "Ciao"), ("none", None), ("", "Bye Aisha, START brings you back")]
)
async def test_a_device_may_have_a_text_of_its_own(contact: Contact, own: str, text: str | None) -> None:
    async with contact.scenario.pool.acquire() as connection:
        for words in ("Hello", own):
            await add_device(
                connection, DeviceSettings(id=contact.scenario.device, opt_out_confirmation=words)
            )
    await hear(contact, inbound("in-1", PHONE, "STOP"))
    for row in await confirmations(contact):
        await send(contact, row)
    assert await texts(contact) == ([text] if text else [])


async def test_a_phone_that_is_no_lead_gets_it_too(contact: Contact) -> None:
    await hear(contact, inbound("in-1", phone(7), "STOP"))
    [row] = await confirmations(contact)
    assert (row["recipient_phone"], row["lead_id"]) == (phone(7), None)
    await send(contact)
    assert await texts(contact) == ["Bye friend, START brings you back"]


async def test_a_keyword_for_two_phones_is_confirmed_to_its_sender_only(contact: Contact) -> None:
    await contact.send()
    sent = (await contact.message())["gateway_message_id"]
    await hear(contact, inbound("in-1", phone(7), "STOP", answers=sent))
    assert await contact.scenario.pool.fetchval("select count(*) from suppressions") == 2
    [row] = await confirmations(contact)
    assert row["recipient_phone"] == PHONE, "who has answered our message to this phone"


async def test_whose_phone_is_found_out_later_gets_it_then(contact: Contact) -> None:
    user = ("user_id:MY.1",)
    await hear(contact, inbound("in-1", None, "STOP", identities=user))
    assert await confirmations(contact) == []
    await hear(contact, inbound("in-2", PHONE, "Hello?", after=60, identities=user), text="")
    [row] = await confirmations(contact)
    assert (row["recipient_phone"], row["contents"]) == (PHONE, {"text": BYE})


async def test_a_changed_number_is_no_reason_to_confirm_again(contact: Contact) -> None:
    await hear(contact, inbound("in-1", PHONE, "STOP"))
    await send(contact)
    await hear(contact, inbound("in-2", PHONE, None, after=60, kind="number_changed", payload=phone(9)))
    assert await contact.scenario.pool.fetchval("select phone from leads") == phone(9)
    [row] = await confirmations(contact)
    assert row["status"] == "sent"


@pytest.mark.parametrize(
    ("keys", "look_up", "copies"), [(True, False, 1), (False, True, 1), (False, False, 0)]
)
async def test_an_attempt_that_dies_makes_no_second(
    contact: Contact, keys: bool, look_up: bool, copies: int
) -> None:
    await contact.scenario.offer(keys=keys, look_up=look_up)
    await hear(contact, inbound("in-1", PHONE, "STOP"))
    [row] = await confirmations(contact)
    claim = await Ledger(contact.scenario.pool).claim_stored(row["id"], "dies", now=contact.now)
    assert isinstance(claim, Claim)
    assert isinstance(await send(contact), Deferred), "the dead attempt may still be at the gateway"
    contact.now += timedelta(minutes=1)
    settled = await send(contact)
    assert isinstance(settled, Settled)
    assert settled.status is (MessageStatus.SENT if copies else MessageStatus.UNCONFIRMED)
    await send(contact)
    assert len(await texts(contact)) == copies


async def test_it_keeps_the_pace_of_the_device_and_ends_after_a_day(contact: Contact) -> None:
    pool = contact.scenario.pool
    await contact.scenario.add_device(min_delay=100, max_delay=100)
    contact.now = await pool.fetchval("update devices set last_send_at = now() returning now()")
    await hear(contact, inbound("in-1", PHONE, "STOP"))
    waits = await send(contact)
    assert isinstance(waits, Deferred)
    assert waits.until >= contact.now + timedelta(seconds=100)
    contact.now += timedelta(hours=24, minutes=1)
    settled = await send(contact)
    assert isinstance(settled, Settled)
    assert settled.status is MessageStatus.EXPIRED


async def test_what_no_gateway_takes_fails_as_nobody_can_mend_it(contact: Contact) -> None:
    ledger = Ledger(contact.scenario.pool)
    await hear(contact, inbound("in-1", PHONE, "STOP"))
    [row] = await confirmations(contact)
    claim = await ledger.claim_stored(row["id"], "one", now=contact.now)
    assert isinstance(claim, Claim)
    assert await ledger.release(row["id"], "one", "too long")
    await ledger.hold_contents(row["id"], claim.now, "too long")
    settled = await send(contact)
    assert isinstance(settled, Settled)
    assert (settled.status, settled.reason) == (MessageStatus.FAILED, "too long")


async def test_a_test_message_is_sent_by_the_same_way_and_not_counted(contact: Contact) -> None:
    pool = contact.scenario.pool
    row = await pool.fetchrow(
        "insert into broadcast_messages (id, purpose, contents, recipient_phone, device_id, due_at)"
        " values (gen_random_uuid(), 'test', $1, $2, $3, now()) returning *",
        {"text": "Hi {{ name | default: 'you' }}"},
        phone(7),
        contact.scenario.device,
    )
    assert row is not None
    assert isinstance(await send(contact, dict(row)), Settled)
    assert await texts(contact) == ["Hi you"]
    async with pool.acquire() as connection:
        options = {"service_window": "true"}
        await add_device(connection, DeviceSettings(id=contact.scenario.device, options=options))
    template = {"name": "hello", "language": "en", "parameters": ["you"]}
    await pool.execute(
        "update broadcast_messages set status = 'pending', sent_at = null, contents = contents || $1",
        {"template": template},
    )
    assert isinstance(await send(contact, dict(row)), Settled)
    assert (await texts(contact))[1:] == [], "under the same key it is the same message"
    assert await pool.fetchval("select content from broadcast_messages") == "[hello en] you"
    assert (await status_report(pool)).messages == {}
    assert (await totals(pool)).adds_up


def test_a_text_that_cannot_be_sent_is_refused() -> None:
    assert check_confirmation(BYE) == BYE
    for text, why in (
        ("{{ nam }}", "nam"),
        ("{{ name", "never closed|unexpected|closed|}}"),
        ("x" * 4097, "has 4,097 characters"),
    ):
        with pytest.raises(InvalidInput, match=why):
            check_confirmation(text)
