"""What is the device's fault parks the device, and nobody's message is lost or moved; what is the contents' holds them."""

import asyncio
from datetime import timedelta
from typing import Any, ClassVar
from uuid import UUID

import pytest

from messaging.devices.store import list_devices, set_device_status
from messaging.devices.waits import FAULT_WAIT, FAULTS_IN_A_ROW, lift_wait
from messaging.gateways import KINDS, http
from messaging.gateways.base import Capabilities, Images
from messaging.gateways.simulated import SimulatedGateway
from messaging.gateways.webhook_events import Receipt
from messaging.leads.opt_outs import record_opt_out
from messaging.reporting import audit
from messaging.reporting.status import status_report
from messaging.sending import telling
from messaging.sending.ledger import Ledger
from messaging.sending.message_status import MessageStatus
from messaging.sending.outcomes import Deferred, Held, Settled
from messaging.sending.receipts import record_receipts
from messaging.sending.telling import Tell
from rig.people import phone
from tests.support.contact import Contact


async def device(contact: Contact) -> dict[str, Any]:
    row = await contact.scenario.pool.fetchrow("select * from devices where id = $1", contact.scenario.device)
    assert row is not None
    return dict(row)


async def fail_until_parked(contact: Contact) -> Held:
    for _ in range(FAULTS_IN_A_ROW + 1):
        outcome = await contact.send()
        if isinstance(outcome, Held):
            return outcome
        assert isinstance(outcome, Deferred)
        contact.now = outcome.until + timedelta(seconds=1)
    raise AssertionError("it was not parked")


async def test_a_device_that_fails_again_and_again_is_parked_and_goes_on_when_it_is_resumed(
    contact: Contact,
) -> None:
    await contact.scenario.faults(
        {"kind": "refuse", "status": 401, "code": "logged_out", "reason": "the session has ended"}
    )
    held = await fail_until_parked(contact)
    assert "the session has ended" in held.reason
    parked = await device(contact)
    assert parked["status"] == "paused"
    assert parked["status_reason"].startswith("parked after 3 failures in a row: ")
    (line,) = (await status_report(contact.scenario.pool)).attention
    assert "is parked after 3 failures" in line
    assert "the session has ended" in line
    asked = len(await contact.scenario.requests())
    assert asked == FAULTS_IN_A_ROW
    assert isinstance(await contact.send(), Held)
    assert len(await contact.scenario.requests()) == asked, "a parked device is left alone"
    assert (await contact.message())["status"] == "queued", "the contact lost nothing"
    await contact.scenario.faults()
    async with contact.scenario.pool.acquire() as connection:
        assert await set_device_status(connection, contact.scenario.device, "active")
    outcome = await contact.send()
    if isinstance(outcome, Deferred):
        contact.now = outcome.until
        outcome = await contact.send()
    assert isinstance(outcome, Settled)
    assert outcome.status is MessageStatus.SENT
    assert len(await contact.scenario.accepted()) == 1


async def test_the_whole_device_waits_longer_after_each_failure(contact: Contact) -> None:
    await contact.scenario.faults({"kind": "refuse", "status": 403, "code": "blocked"})
    waits = []
    for _ in range(FAULTS_IN_A_ROW - 1):
        outcome = await contact.send()
        assert isinstance(outcome, Deferred)
        waits.append((await device(contact))["waits_until"] - contact.now)
        contact.now = outcome.until + timedelta(seconds=1)
    assert [round(wait / FAULT_WAIT) for wait in waits] == [1, 3]


async def test_many_at_once_are_one_failure(contact: Contact) -> None:
    await contact.scenario.faults(
        {"kind": "latency", "seconds": 0.3}, {"kind": "refuse", "status": 401, "code": "logged_out"}
    )
    others = [Contact(contact.scenario, contact.gateways) for _ in range(7)]
    for index, other in enumerate(others):
        await other.enroll(phone(10 + index))
    outcomes = await asyncio.gather(*(one.send() for one in (contact, *others)))
    assert all(isinstance(outcome, Deferred) for outcome in outcomes)
    assert len(await contact.scenario.requests()) == 8, "all of them were on their way"
    assert ((await device(contact))["status"], (await device(contact))["faults"]) == ("active", 1)


async def test_a_message_that_gets_through_ends_the_row(contact: Contact) -> None:
    await contact.scenario.faults({"kind": "refuse", "status": 401, "code": "logged_out", "count": 2})
    for _ in range(2):
        outcome = await contact.send()
        assert isinstance(outcome, Deferred)
        contact.now = outcome.until + timedelta(seconds=1)
    assert (await device(contact))["faults"] == 2
    assert isinstance(await contact.send(), Settled)
    assert (await device(contact))["faults"] == 0


async def test_a_device_with_options_that_cannot_be_used_is_parked(contact: Contact) -> None:
    await contact.scenario.pool.execute("update devices set gateway_options = '{}'")
    held = await fail_until_parked(contact)
    assert "give the device the option 'url'" in held.reason


async def test_a_message_in_doubt_that_is_held_is_woken_with_the_others_and_is_not_stuck(
    contact: Contact,
) -> None:
    pool = contact.scenario.pool
    await contact.scenario.faults({"kind": "drop", "after_accepting": True, "count": 1})
    outcome = await contact.send()
    assert isinstance(outcome, Deferred)
    await pool.execute("update devices set status = 'paused'")
    contact.now = outcome.until + timedelta(minutes=1)
    assert isinstance(await contact.send(), Held)
    assert (await contact.message())["status"] == "processing"
    held = await telling.page(pool, Tell(kind="device", name=contact.scenario.device))
    assert [one.workflow_id for one in held.next] == [f"sequence:welcome:{contact.phone}"]
    await pool.execute("update broadcast_messages set updated_at = now() - interval '1 hour'")
    assert await audit.stuck(pool) == []
    await pool.execute("update devices set status = 'active'")
    assert len(await audit.stuck(pool)) == 1, "now nothing holds it, and somebody should have it"
    assert isinstance(await contact.send(), Settled)
    assert len(await contact.scenario.accepted()) == 1


async def test_a_wish_to_wait_for_a_day_is_cut_said_and_lifted(
    contact: Contact, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "LONGEST_RETRY_AFTER", 1e6)  # as if a gateway of one's own did not cut it
    pool, name = contact.scenario.pool, contact.scenario.device
    await pool.execute("update devices set min_delay = 5, max_delay = 6, time_zone = 'Asia/Kuala_Lumpur'")
    contact.now = await pool.fetchval("select clock_timestamp()")
    later = Contact(contact.scenario, contact.gateways, now=contact.now)
    await later.enroll(phone(20))
    await contact.scenario.faults({"kind": "rate_limit", "retry_after": 86_400, "count": 1})
    first = await contact.send()
    second = await later.send()
    for outcome in (first, second):
        assert isinstance(outcome, Deferred)
        assert timedelta(minutes=14) < outcome.until - contact.now < timedelta(minutes=16)
    why = await pool.fetchval("select reason from broadcast_messages where recipient_phone = $1", later.phone)
    assert "asked device" in why
    assert "429" in why
    (line,) = (await status_report(pool)).attention
    assert line.startswith(f"device {name} waits until ")
    assert " Asia/Kuala_Lumpur: the gateway asked for it: the simulated gateway" in line
    async with pool.acquire() as connection:
        (listed,) = await list_devices(connection)
        assert listed.waits_until is not None
        assert not await set_device_status(connection, name, "active"), "it was not paused"
        assert await lift_wait(connection, name) == listed.waits_until
        assert await lift_wait(connection, name) is None, "once more there is nothing to lift"
        (listed,) = await list_devices(connection)
        assert (listed.waits_until, listed.waits_because) == (None, None)
    assert (await status_report(pool)).attention == ()
    woken = {one.workflow_id for one in (await telling.page(pool, Tell(kind="device", name=name))).next}
    assert woken == {f"sequence:welcome:{contact.phone}", f"sequence:welcome:{later.phone}"}
    contact.now = later.now = await pool.fetchval("select clock_timestamp()") + timedelta(seconds=10)
    assert isinstance(await contact.send(), Settled)
    outcome = await later.send()
    assert isinstance(outcome, Deferred), "at the device's pace"
    assert outcome.until - later.now < timedelta(seconds=10)


async def test_after_a_failure_of_its_own_a_device_says_so(contact: Contact) -> None:
    contact.now = await contact.scenario.pool.fetchval("select clock_timestamp()")
    await contact.scenario.faults({"kind": "refuse", "status": 401, "code": "logged_out"})
    await contact.send()
    (line,) = (await status_report(contact.scenario.pool)).attention
    assert "failure of its own in a row (the simulated gateway" in line


async def refused_in_turn(contact: Contact, faults: list[dict[str, Any] | None]) -> list[str]:
    """What became of one message after the other, each with what the gateway does to it; None: it accepts."""
    became = []
    for index, fault in enumerate(faults):
        await contact.scenario.faults(*([{"kind": "refuse", **fault}] if fault is not None else []))
        contact.now += timedelta(minutes=1)
        other = Contact(contact.scenario, contact.gateways, now=contact.now)
        await other.enroll(phone(40 + index))
        outcome = await other.send()
        became.append(outcome.status.value if isinstance(outcome, Settled) else outcome.kind)
    return became


ODD: dict[str, Any] = {"code": "account_under_review", "reason": "case 4711"}
NOBODY: dict[str, Any] = {}


async def test_a_device_that_gets_the_same_unknown_answer_again_and_again_is_held(contact: Contact) -> None:
    pool = contact.scenario.pool
    became = await refused_in_turn(contact, [{**ODD, "reason": f"case {index}"} for index in range(7)])
    assert became == ["failed"] * 4 + ["deferred", "held", "held"]
    parked = await device(contact)
    assert parked["status"] == "paused"
    assert parked["status_reason"].startswith("parked after 5 answers in a row that were all alike: ")
    assert "case 4" in parked["status_reason"]
    assert len(await contact.scenario.requests()) == 5
    counts = await pool.fetch("select status, count(*) from broadcast_messages group by status")
    assert {row["status"]: row["count"] for row in counts} == {"failed": 4, "queued": 1, "pending": 2}
    async with pool.acquire() as connection:
        assert await set_device_status(connection, contact.scenario.device, "active")
    assert (await device(contact))["refusals"] == 0
    await contact.scenario.faults()
    contact.now += timedelta(minutes=1)
    assert isinstance(await contact.send(), Settled)


@pytest.mark.parametrize("between", [None, NOBODY, {"code": "another"}], ids=["a yes", "nobody", "another"])
async def test_an_answer_of_another_kind_ends_the_row(
    contact: Contact, between: dict[str, Any] | None
) -> None:
    assert "deferred" not in await refused_in_turn(contact, [*[ODD] * 4, between, *[ODD] * 4])
    assert (await device(contact))["refusals"] == 4


async def test_recipients_who_are_not_on_whatsapp_hold_nobody(contact: Contact) -> None:
    assert await refused_in_turn(contact, [NOBODY] * 8) == ["failed"] * 8
    assert (await device(contact))["status"] == "active"


async def test_those_who_are_at_the_gateway_together_wait_as_well(contact: Contact) -> None:
    """However many are under way when the device is held."""
    await contact.scenario.faults({"kind": "latency", "seconds": 0.3}, {"kind": "refuse", **ODD})
    others = [Contact(contact.scenario, contact.gateways) for _ in range(12)]
    for index, other in enumerate(others):
        await other.enroll(phone(60 + index))
    outcomes = await asyncio.gather(*(one.send() for one in others))
    assert sum(isinstance(outcome, Settled) for outcome in outcomes) == 4
    rows = [row["status"] for row in await contact.scenario.messages()]
    assert (rows.count("failed"), rows.count("queued")) == (4, 8)


class Slow(SimulatedGateway):
    capabilities: ClassVar[Capabilities] = Capabilities(images=Images.UNSEEN, answers_within=40)


async def test_a_gateway_that_is_known_to_be_slow_is_waited_for(
    contact: Contact, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its claims live longer, so that nobody takes over what is being answered."""
    monkeypatch.setitem(KINDS, "simulated", Slow)
    await contact.claim()
    later = Contact(contact.scenario, contact.gateways, now=contact.now + timedelta(seconds=30))
    later.enrolled, later.due = contact.enrolled, contact.due
    early = await later.send()
    assert isinstance(early, Deferred)
    assert (early.until - later.now, early.reason) == (
        timedelta(seconds=15),
        "an earlier attempt may still be sending it",
    )
    seen: list[float] = []
    original = SimulatedGateway.send

    async def noted(self: SimulatedGateway, message: Any, *, timeout: float) -> Any:
        seen.append(timeout)
        return await original(self, message, timeout=timeout)

    monkeypatch.setattr(SimulatedGateway, "send", noted)
    other = Contact(contact.scenario, contact.gateways)
    await other.enroll(phone(30))
    assert isinstance(await other.send(), Settled)
    assert len(seen) == 1
    assert 39 < seen[0] <= 40


class NoImages(SimulatedGateway):
    capabilities: ClassVar[Capabilities] = Capabilities(idempotency=True, images=Images.NONE)


async def test_contents_that_nobody_can_get_hold_the_sequence_until_they_are_mended(
    contact: Contact, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(KINDS, "simulated", NoImages)
    await contact.scenario.pool.execute("update sequence_steps set image_url = 'https://example.com/a.jpg'")
    contact.now = await contact.scenario.pool.fetchval("select clock_timestamp()")
    assert isinstance(await contact.send(), Deferred)
    held = await contact.send()
    assert isinstance(held, Held)
    assert held.reason.startswith("sequence welcome is paused: the gateway simulated sends no images")
    assert await contact.scenario.requests() == []
    (line,) = (await status_report(contact.scenario.pool)).attention
    assert line.startswith(f"{held.reason} (by Drumbeat itself on ")
    await contact.scenario.pool.execute("update sequence_steps set image_url = null")
    await contact.scenario.pool.execute("update sequences set status = 'active'")
    assert isinstance(await contact.send(), Settled)


class TwoParts(SimulatedGateway):
    capabilities: ClassVar[Capabilities] = Capabilities(
        idempotency=True, look_up=True, images=Images.UNSEEN, caption_limit=0
    )


@pytest.fixture
async def in_two_parts(contact: Contact, monkeypatch: pytest.MonkeyPatch) -> Contact:
    monkeypatch.setitem(KINDS, "simulated", TwoParts)
    await contact.scenario.pool.execute("update sequence_steps set image_url = 'https://example.com/a.jpg'")
    return contact


def parts(rows: list[dict[str, Any]]) -> list[tuple[str, str | None]]:
    return [(row["text"], row["image_url"]) for row in rows]


BOTH = [("", "https://example.com/a.jpg"), ("Hi Aisha", None)]


async def test_an_image_without_caption_goes_before_its_text_as_one_message(in_two_parts: Contact) -> None:
    outcome = await in_two_parts.send()
    assert isinstance(outcome, Settled)
    assert parts(await in_two_parts.scenario.accepted()) == BOTH
    row = await in_two_parts.message()
    assert (row["status"], row["content"], row["image_url"]) == ("sent", "Hi Aisha", BOTH[0][1])


@pytest.mark.parametrize(("keys", "look_up"), [(True, False), (False, True), (False, False)])
@pytest.mark.parametrize("noted", [True, False])
async def test_killed_between_two_parts(
    in_two_parts: Contact, keys: bool, look_up: bool, noted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither part twice, and both where the gateway has a way to tell."""
    contact = in_two_parts
    await contact.scenario.offer(keys=keys, look_up=look_up)
    sent = SimulatedGateway.send
    died = asyncio.CancelledError()

    async def dies(self: SimulatedGateway, message: Any, *, timeout: float) -> Any:
        if noted and message.image_url is None:
            raise died
        accepted = await sent(self, message, timeout=timeout)
        if not noted:
            raise died
        return accepted

    with monkeypatch.context() as patched:
        patched.setattr(SimulatedGateway, "send", dies)
        with pytest.raises(asyncio.CancelledError):
            await contact.send()
    assert parts(await contact.scenario.accepted()) == BOTH[:1]
    contact.now += timedelta(minutes=1)
    outcome = await contact.send()
    assert isinstance(outcome, Settled)
    got = parts(await contact.scenario.accepted())
    if keys or look_up:
        assert (outcome.status, got) == (MessageStatus.SENT, BOTH)
    else:
        assert (outcome.status, got) == (MessageStatus.UNCONFIRMED, BOTH[:1])


async def test_the_second_part_waits_for_a_gateway_that_is_busy(in_two_parts: Contact) -> None:
    contact = in_two_parts
    await contact.scenario.offer(keys=False, look_up=False)  # only the ledger knows of the first part
    sends = 0
    original = SimulatedGateway.send

    async def counted(self: SimulatedGateway, message: Any, *, timeout: float) -> Any:
        nonlocal sends
        sends += 1
        if sends == 2:
            await contact.scenario.faults({"kind": "rate_limit", "retry_after": 7, "count": 1})
        return await original(self, message, timeout=timeout)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(SimulatedGateway, "send", counted)
        outcome = await contact.send()
        assert isinstance(outcome, Deferred)
        assert parts(await contact.scenario.accepted()) == BOTH[:1]
        contact.now = outcome.until + timedelta(seconds=1)
        assert isinstance(await contact.send(), Settled)
    assert parts(await contact.scenario.accepted()) == BOTH


@pytest.mark.parametrize(
    ("keys", "status"), [(True, MessageStatus.UNCONFIRMED), (False, MessageStatus.FAILED)]
)
async def test_refused_after_an_attempt_in_doubt(contact: Contact, keys: bool, status: MessageStatus) -> None:
    """Under the same key, the refusal says nothing of what the first attempt did; a look-up before it does."""
    await contact.scenario.offer(keys=keys, look_up=not keys)
    await contact.scenario.faults({"kind": "drop", "after_accepting": keys, "count": 1})
    outcome = await contact.send()
    assert isinstance(outcome, Deferred)
    await contact.scenario.faults({"kind": "refuse"})
    contact.now = outcome.until + timedelta(minutes=1)
    outcome = await contact.send()
    assert isinstance(outcome, Settled)
    assert outcome.status is status
    assert len(await contact.scenario.accepted()) == (1 if keys else 0)


async def test_an_attempt_that_was_suspended_does_not_speak_for_a_later_one(contact: Contact) -> None:
    """The device's pace counts from the attempt that may still arrive."""
    pool = contact.scenario.pool
    await pool.execute("update devices set min_delay = 5, max_delay = 6")
    ledger = Ledger(pool)
    await contact.claim("suspended")
    message = (await contact.message())["id"]
    assert isinstance(message, UUID)
    later = Contact(contact.scenario, contact.gateways, now=contact.now + timedelta(seconds=9))
    await later.enroll(phone(20))
    await later.claim("later")
    arrives_until = (await device(contact))["in_flight_until"]
    assert arrives_until > later.now
    at = later.now + timedelta(seconds=1)
    assert await ledger.settle(message, "suspended", MessageStatus.SENT, at)
    assert (await device(contact))["in_flight_until"] == arrives_until


async def told_late(contact: Contact, index: int, **fields: Any) -> None:
    """What a receipt says of a message that the gateway had accepted."""
    contact.now += timedelta(minutes=1)
    other = Contact(contact.scenario, contact.gateways, now=contact.now)
    await other.enroll(phone(80 + index))
    outcome = await other.send()
    assert isinstance(outcome, Settled)
    receipt = Receipt(at=contact.now, message_id=outcome.message_id, **fields)
    async with contact.scenario.pool.acquire() as connection:
        assert await record_receipts(connection, "simulated", [receipt]) == 1


PAYMENT: dict[str, Any] = {"status": "failed", "reason": "payment issue (131042)", "sign": "code 131042"}


async def test_a_device_whose_accepted_messages_all_fail_alike_is_held(contact: Contact) -> None:
    between: tuple[dict[str, Any], ...] = (
        {"status": "delivered"},
        {"status": "failed", "reason": "not on WhatsApp (131026)"},
        {**PAYMENT, "sign": "code 131031"},
    )
    for index, fields in enumerate(between):
        for turn in range(4):
            await told_late(contact, 5 * index + turn, **PAYMENT)
        await told_late(contact, 5 * index + 4, **fields)
    assert (await device(contact))["status"] == "active"
    for turn in range(5):
        await told_late(contact, 15 + turn, **PAYMENT)
    parked = await device(contact)
    assert parked["status"] == "paused"
    assert parked["status_reason"] == (
        "parked after 5 accepted messages in a row that failed alike: payment issue (131042)"
    )


async def test_contents_that_fail_late_hold_the_sequence(contact: Contact) -> None:
    contact.now = await contact.scenario.pool.fetchval("select clock_timestamp()")
    reason = "the template is paused (132015)"
    await told_late(contact, 0, status="failed", reason=reason, sign="code 132015", wrong_content=True)
    held = await contact.scenario.pool.fetchrow("select status, status_reason from sequences")
    assert held is not None
    assert tuple(held) == ("paused", reason)
    assert (await device(contact))["late_refusals"] == 0


@pytest.mark.parametrize("stops", ["opted out", "paused"])
async def test_a_stop_between_two_parts_keeps_the_second_back(
    in_two_parts: Contact, stops: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    contact = in_two_parts
    pool = contact.scenario.pool
    sent = SimulatedGateway.send

    async def stopped_meanwhile(self: SimulatedGateway, message: Any, *, timeout: float) -> Any:
        accepted = await sent(self, message, timeout=timeout)
        if stops == "paused":
            await pool.execute("update sequences set status = 'paused'")
        else:
            async with pool.acquire() as connection:
                await record_opt_out(connection, contact.phone, "wants nothing")
        return accepted

    with monkeypatch.context() as patched:
        patched.setattr(SimulatedGateway, "send", stopped_meanwhile)
        outcome = await contact.send()
    assert isinstance(outcome, Deferred)
    assert outcome.reason == "it was stopped between its two parts"
    contact.now += timedelta(hours=1)
    after = await contact.send()
    assert parts(await contact.scenario.accepted()) == BOTH[:1]
    row = await contact.message()
    assert row["parts_sent"] == 1
    if stops == "opted out":
        assert isinstance(after, Settled)
        assert row["status"] == "suppressed"
    else:
        assert isinstance(after, Held)
        await pool.execute("update sequences set status = 'active'")
        assert isinstance(await contact.send(), Settled)
        assert parts(await contact.scenario.accepted()) == BOTH, "the second only"
