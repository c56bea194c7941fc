"""A dead number's place is taken by another: what has not gone out moves, and nothing goes out twice."""

import asyncio
from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest

from messaging.campaigns.audience import freeze_audience
from messaging.common.errors import InvalidInput, NotFound
from messaging.gateways.base import OutgoingMessage
from messaging.leads.csv_import import ImportOptions, import_file
from messaging.leads.device_moves import Moved, check_device, move_leads, replace_device
from messaging.sending.claim_answers import Claim
from messaging.sending.claim_lifetimes import CLAIM_LIFETIME
from messaging.sending.ledger import Ledger
from messaging.sending.message_ids import sequence_message_id
from messaging.sending.message_status import MessageStatus
from messaging.sending.outcomes import Deferred, Held, Settled
from messaging.sending.recovery import abandoned
from operations import campaigns, devices, enrollment
from operations.audit import audit
from operations.moves import move_lead
from operations.moves import replace_device as replace
from rig.people import phone
from rig.waiting import until
from tests.support.contact import NOON, Contact
from tests.support.live import Live
from tests.support.scenario import Scenario

ONE_OF_EACH = {"leads": 1, "contacts": 1, "messages": 1, "in_flight": 0}


async def second(scenario: Scenario) -> str:
    return await scenario.add_device(device=f"{scenario.device}-new")


def counts(moved: Moved) -> dict[str, int]:
    return moved.model_dump(include=set(ONE_OF_EACH))


async def test_what_waits_goes_by_the_new_device_and_stays_the_same_message(contact: Contact) -> None:
    scenario = contact.scenario
    new = await second(scenario)
    await scenario.pool.execute(
        "update devices set min_delay = 60, max_delay = 60, next_slot_at = $1", NOON + timedelta(hours=1)
    )
    assert isinstance(await contact.send(), Deferred)
    before = await contact.message()
    changed, moved = await replace_device(scenario.pool, scenario.device, new)
    assert (changed, counts(moved)) == (True, ONE_OF_EACH)
    changed, moved = await replace_device(scenario.pool, scenario.device, new)
    assert (changed, counts(moved)) == (False, dict.fromkeys(ONE_OF_EACH, 0))
    row = await contact.message()
    assert (row["id"], row["device_id"], row["slot_at"]) == (before["id"], new, None)
    assert row["reason"] == f"device {scenario.device} was replaced by {new}"
    await scenario.pool.execute("update devices set min_delay = 0, max_delay = 0, next_slot_at = '-infinity'")
    outcome = await contact.send()
    assert isinstance(outcome, Settled)
    assert outcome.status is MessageStatus.SENT
    assert outcome.next is not None
    assert outcome.next.device_id == new
    contact.due, contact.now = outcome.next, outcome.next.due_at
    assert isinstance(await contact.send(), Settled)
    assert [m["text"] for m in await scenario.accepted(new)] == ["Hi Aisha", "More"]
    assert await scenario.accepted() == []


async def test_what_is_being_sent_is_settled_where_it_is(contact: Contact) -> None:
    scenario = contact.scenario
    new = await second(scenario)
    claim = await contact.claim(token="alive")
    _, moved = await replace_device(scenario.pool, scenario.device, new)
    assert counts(moved) == {"leads": 1, "contacts": 1, "messages": 0, "in_flight": 1}
    ref = contact.ref()
    message_id = sequence_message_id(ref.step_id, ref.phone)
    assert (await contact.message())["device_id"] == scenario.device == claim.device_id
    assert await Ledger(scenario.pool).settle(message_id, "alive", MessageStatus.SENT, contact.now)
    row = await contact.message()
    assert (row["status"], row["device_id"]) == ("sent", scenario.device)


async def test_what_was_given_back_follows(contact: Contact) -> None:
    scenario = contact.scenario
    new = await second(scenario)
    await contact.claim(token="alive")
    await replace_device(scenario.pool, scenario.device, new)
    ref = contact.ref()
    assert await Ledger(scenario.pool).release(
        sequence_message_id(ref.step_id, ref.phone), "alive", "connection refused"
    )
    assert isinstance(await contact.send(), Settled)
    assert len(await scenario.accepted(new)) == 1
    assert await scenario.accepted() == []


@pytest.mark.parametrize(
    ("keys", "look_up", "accepted", "away", "status"),
    [
        (False, False, True, False, MessageStatus.UNCONFIRMED),
        (True, False, True, False, MessageStatus.UNCONFIRMED),
        (True, True, True, False, MessageStatus.SENT),
        (True, True, False, False, None),
        (False, True, False, False, None),
        (False, True, True, True, MessageStatus.UNCONFIRMED),
    ],
)
async def test_what_is_in_doubt_is_found_out_at_the_old_device_and_not_sent_blindly(
    contact: Contact, keys: bool, look_up: bool, accepted: bool, away: bool, status: MessageStatus | None
) -> None:
    """``status`` is None where the gateway knows that it has not arrived: it goes by the new device then."""
    scenario = contact.scenario
    await scenario.offer(keys=keys, look_up=look_up)
    new = await second(scenario)
    claim = await contact.claim()
    ref = contact.ref()
    if accepted:
        gateway = await contact.gateways.of(claim.gateway, claim.options)
        message_id = sequence_message_id(ref.step_id, ref.phone)
        message = OutgoingMessage(
            message_id=message_id, device_id=ref.device_id, phone=ref.phone, text="Hi Aisha"
        )
        await gateway.send(message, timeout=5)
    await replace_device(scenario.pool, scenario.device, new)
    if away:
        url = {"url": "http://127.0.0.1:9"}
        await scenario.pool.execute(
            "update devices set gateway_options = $2 where id = $1", scenario.device, url
        )
    contact.now += CLAIM_LIFETIME + timedelta(seconds=1)
    outcome = await contact.send()
    if status is None:
        assert isinstance(outcome, Deferred)
        contact.now = outcome.until + timedelta(seconds=1)
        outcome = await contact.send()
    assert isinstance(outcome, Settled)
    assert outcome.status is (status or MessageStatus.SENT)
    assert len(await scenario.accepted()) == (1 if accepted else 0)
    assert len(await scenario.accepted(new)) == (1 if status is None else 0)
    assert outcome.next is not None, "the contact goes on"
    assert outcome.next.device_id == new


async def test_a_replaced_device_holds_nobody_up_though_it_is_paused(contact: Contact) -> None:
    scenario = contact.scenario
    new = await second(scenario)
    await scenario.pool.execute("update devices set status = 'paused' where id = $1", scenario.device)
    assert isinstance(await contact.send(), Held)
    await replace_device(scenario.pool, scenario.device, new)
    assert isinstance(await contact.send(), Settled)
    assert len(await scenario.accepted(new)) == 1


async def test_many_are_claimed_while_their_device_is_replaced(contact: Contact) -> None:
    scenario, people = contact.scenario, 40
    new = await second(scenario)
    refs = []
    for index in range(people):
        await contact.enroll(phone(index))
        refs.append(contact.ref())

    async def send(position: int) -> None:
        await asyncio.sleep(position / 400)
        while not isinstance(await contact.activities.send_step(refs[position]), Settled):
            await asyncio.sleep(0.01)

    async def swap() -> None:
        for old, by in ((scenario.device, new), (new, scenario.device), (scenario.device, new)):
            await asyncio.sleep(0.03)
            await replace_device(scenario.pool, old, by)

    await asyncio.gather(swap(), *(send(position) for position in range(people)))
    sent = [*await scenario.accepted(), *await scenario.accepted(new)]
    assert Counter(message["phone"] for message in sent) == {phone(index): 1 for index in range(people)}
    rows = await scenario.messages()
    assert Counter(row["status"] for row in rows) == {"sent": people}
    by_ledger = {row["recipient_phone"]: row["device_id"] for row in rows}
    assert by_ledger == {message["phone"]: message["device"] for message in sent}


async def test_what_names_the_old_device_means_the_new_one(scenario: Scenario, tmp_path: Path) -> None:
    old = await scenario.add_device()
    new = await second(scenario)
    pool = scenario.pool
    await scenario.apply(f"sequence: named\ndevice: {old}\nsteps:\n  - {{id: a, day: 1, text: One}}\n")
    await scenario.apply_campaign(f"campaign: named\ntarget: {{devices: [{old}]}}\ntext: Hi\n")
    await replace_device(pool, old, new)
    assert (await scenario.enroll("named", phone(1))).device_id == new
    await pool.execute("insert into leads (phone) values ($1)", phone(2))
    file = tmp_path / "leads.csv"
    file.write_text(f"phone,device\n{phone(3)},{old}\n")
    assert (await import_file(pool, file)).kept_device == 0
    assert [row["device_id"] for row in await pool.fetch("select device_id from leads order by phone")] == [
        new,
        None,
        new,
    ]
    audience = await pool.fetch("select phone, device_id from campaign_audience((select id from campaigns))")
    assert {row["phone"]: row["device_id"] for row in audience} == {
        phone(index): new for index in (1, 2, 3)
    }, "and it is the only one there is"
    async with pool.acquire() as connection:
        await connection.execute("update devices set replaced_by = null")
    assert await pool.fetchval("select only_device()") is None


async def test_a_chain_and_a_way_back(scenario: Scenario) -> None:
    first, pool = await scenario.add_device(), scenario.pool
    other, third = await second(scenario), await scenario.add_device(device=f"{scenario.device}-3")
    await scenario.add_leads(2)
    await replace_device(pool, first, other)
    await replace_device(pool, other, third)
    rows = await pool.fetch("select id, replaced_by from devices order by id")
    assert {row["id"]: row["replaced_by"] for row in rows} == {first: third, other: third, third: None}
    await replace_device(pool, third, first)
    rows = await pool.fetch("select id, replaced_by from devices order by id")
    assert {row["id"]: row["replaced_by"] for row in rows} == {first: None, other: first, third: first}
    assert await pool.fetchval("select array_agg(distinct device_id) from leads") == [first]
    with pytest.raises(InvalidInput, match="cannot take its own place"):
        await replace_device(pool, first, first)
    with pytest.raises(NotFound, match="there is no device 'nope'"):
        await replace_device(pool, first, "nope")
    with pytest.raises(NotFound):
        await check_device(pool, "nope")


async def test_an_audience_that_is_frozen_meanwhile_goes_by_the_new_device(scenario: Scenario) -> None:
    old, pool = await scenario.add_device(), scenario.pool
    new = await second(scenario)
    await scenario.add_leads(3)
    await scenario.apply_campaign("campaign: sale\ntarget: {status: all}\ntext: Hi\n")
    await pool.execute("update campaigns set status = 'scheduled'")
    campaign = await pool.fetchval("select id from campaigns")
    async with pool.acquire() as connection, pool.acquire() as other:
        async with connection.transaction():
            await connection.fetchval("select replace_device($1, $2)", old, new)
            freezing = asyncio.create_task(freeze_audience(other, campaign, now=None))

            async def waits() -> bool:
                count: int = await pool.fetchval(
                    "select count(*) from pg_locks where locktype = 'advisory' and not granted"
                )
                return count == 1

            await until(waits)
        assert (await freezing).leads == 3
    assert {row["device_id"] for row in await scenario.messages()} == {new}
    assert await pool.fetchval("select audience from campaigns") == {new: 3}


async def test_one_person_is_moved_with_all_that_is_to_come(contact: Contact, tmp_path: Path) -> None:
    scenario, pool = contact.scenario, contact.scenario.pool
    new = await second(scenario)
    await scenario.apply_campaign("campaign: sale\ntarget: {status: all}\ntext: Hi\n")
    await pool.execute("update campaigns set status = 'scheduled'")
    await contact.enroll(phone(2))
    async with pool.acquire() as connection:
        await freeze_audience(connection, await pool.fetchval("select id from campaigns"), now=NOON)
        file = tmp_path / "leads.csv"
        file.write_text(f"phone\n{phone(1)}\n")
        assert (await import_file(pool, file, ImportOptions(device=new))).kept_device == 1
        summary = await import_file(pool, file, ImportOptions(device=new, move=True))
        assert summary.moved is not None
        assert counts(summary.moved) == ONE_OF_EACH
        assert (summary.kept_device, summary.moved.campaigns) == (0, ("sale",))
        assert counts(await move_leads(connection, [phone(1)], new)) == dict.fromkeys(ONE_OF_EACH, 0)
    assert await pool.fetchval("select audience from campaigns") == {scenario.device: 1, new: 1}
    rows = await pool.fetch("select phone, device_id from sequence_contacts order by phone")
    assert [row["device_id"] for row in rows] == [new, scenario.device]


SHORT = "sequence: short\nsteps:\n  - {id: a, day: 1, text: One}\n  - {id: b, after: 1s, text: Two}\n"


@pytest.mark.long
async def test_a_dead_number_is_replaced_under_way(live: Live) -> None:
    """A campaign and contacts are under way, the worker is killed in the middle: everybody gets everything once."""
    scenario, people = live.scenario, 24
    old = await scenario.add_device(min_delay=0.3, max_delay=0.3)
    new = await second(scenario)
    await scenario.add_leads(people)
    await scenario.apply(SHORT)
    await scenario.apply_campaign("campaign: sale\ntarget: {status: all}\ntext: Sale\n")
    worker = await live.start_worker()
    for index in range(5):
        await enrollment.enroll(live.connection, "short", phone(index))
    await campaigns.start(live.connection, "sale")

    async def some() -> bool:
        sent = "select count(*) from broadcast_messages where campaign_id is not null and status = 'sent'"
        return bool(await scenario.pool.fetchval(sent) >= 3)

    await until(some)
    await live.kill(worker)
    done = await replace(live.connection, old, new)
    assert done.changed
    assert done.moved.messages > 12
    await live.start_worker()
    await live.all_over(5)

    async def over() -> bool:
        return (await campaigns.campaign_status(live.connection, "sale")).ended_at is not None

    await until(over, 60)
    sent = Counter(
        (m["phone"], m["text"]) for m in [*await scenario.accepted(old), *await scenario.accepted(new)]
    )
    wanted = {(phone(index), "Sale") for index in range(people)}
    wanted |= {(phone(index), text) for index in range(5) for text in ("One", "Two")}
    assert sent == dict.fromkeys(wanted, 1)
    report = await audit(live.connection)
    assert report.kept, [check for check in report.checks if not check.kept]


async def test_enrolled_for_another_device_it_is_said_or_done(live: Live) -> None:
    scenario = live.scenario
    old = await scenario.add_device()
    new = await second(scenario)
    await scenario.apply(SHORT)
    await scenario.add_leads(2)
    await live.start_worker()
    code, out, _ = await live.run("starter.py", "enroll", "short", phone(0), "--device", new)
    assert code == 0
    assert out.startswith(
        f"{phone(0)} enrolled in short; by {old}, to which the lead belongs already: --move"
    )
    done = await enrollment.enroll(live.connection, "short", phone(0), device=new)
    assert (done.result, done.device, done.kept_device) == ("already_enrolled", old, True)
    code, out, _ = await live.run("starter.py", "enroll", "short", phone(1), "--device", new, "--move")
    assert (code, out) == (0, f"{phone(1)} enrolled in short\n")
    await live.all_over(2)
    assert Counter(m["phone"] for m in await scenario.accepted(new)) == {phone(1): 2}
    assert (await move_lead(live.connection, phone(0), new)).leads == 1
    code, out, _ = await live.run("starter.py", "device", "replace", old, new)
    assert (code, out.splitlines()[0]) == (0, f"{old}: replaced by {new}")
    code, out, _ = await live.run("starter.py", "device", "replace", old, new)
    assert (code, out.splitlines()[0]) == (0, f"{old}: already replaced by {new}")
    assert (await devices.resume(live.connection, old)).changed


async def test_a_campaigns_message_that_was_given_back_follows(scenario: Scenario) -> None:
    old, pool = await scenario.add_device(), scenario.pool
    new = await second(scenario)
    await scenario.add_leads(1)
    await scenario.apply_campaign("campaign: sale\ntarget: {status: all}\ntext: Hi\n")
    await pool.execute("update campaigns set status = 'scheduled'")
    async with pool.acquire() as connection:
        await freeze_audience(connection, await pool.fetchval("select id from campaigns"), now=None)
    (row,) = await scenario.messages()
    ledger = Ledger(pool)
    claim = await ledger.claim_stored(row["id"], "alive")
    assert isinstance(claim, Claim)
    await replace_device(pool, old, new)
    assert await ledger.release(row["id"], "alive", "connection refused")
    claim = await ledger.claim_stored(row["id"], "next")
    assert isinstance(claim, Claim)
    assert (claim.outcome, claim.device_id) == ("claimed", new)


async def test_what_nobody_is_at_any_more_is_found_though_its_device_is_paused(contact: Contact) -> None:
    scenario = contact.scenario
    new = await second(scenario)
    await contact.claim()
    await scenario.pool.execute("update devices set status = 'paused' where id = $1", scenario.device)
    later = contact.now + timedelta(hours=1)
    assert await abandoned(scenario.pool, now=later) == [], "it waits for its device"
    await replace_device(scenario.pool, scenario.device, new)
    assert [one.device_id for one in await abandoned(scenario.pool, now=later)] == [scenario.device]
