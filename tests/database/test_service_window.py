"""The 24 hours after a person's last message, in which a device of the Cloud API may send free text."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from messaging.campaigns.apply import apply_campaigns
from messaging.campaigns.audience import freeze_audience
from messaging.campaigns.contract import FeedRequest
from messaging.campaigns.feed import feed_page
from messaging.campaigns.file import read_campaign
from messaging.common.errors import InvalidInput
from messaging.common.keywords import DEFAULT_KEYWORDS
from messaging.devices.device import DeviceSettings
from messaging.devices.store import add_device
from messaging.gateways.webhook_events import Receipt
from messaging.replies.recipients import learn_from_receipts, record_answer
from messaging.replies.record import RecordedInbound, record_inbound
from messaging.reporting.contact import contact_report
from messaging.reporting.messages import messages_to
from messaging.sending.claim_answers import Claim, SettledAlready
from messaging.sending.durable_writes import DurableWrites
from messaging.sending.ledger import Ledger
from messaging.sending.message_status import MessageStatus
from messaging.sending.outcomes import Deferred, Held, Settled
from messaging.sending.send import Sender
from messaging.sending.telling import awaiting
from rig.people import phone
from tests.support.contact import NOON, SEQUENCE, Contact
from tests.support.replies import inbound
from tests.support.scenario import Scenario
from tests.support.wire import Reply, Wire, wire

PHONE = phone(1)
TEMPLATE = '    template: {name: hello, language: en, parameters: ["{{ name }}"]}\n'
WITH_TEMPLATE = SEQUENCE.replace("friend' }}\"\n", "friend' }}\"\n" + TEMPLATE)
DAY = timedelta(hours=24)


async def with_window(scenario: Scenario) -> None:
    """The scenario's device becomes like one of the Cloud API."""
    async with scenario.pool.acquire() as connection:
        added = await add_device(
            connection, DeviceSettings(id=scenario.device, options={"service_window": "true"})
        )
    assert added.result == "changed"


@pytest.fixture
async def windowed(contact: Contact) -> Contact:
    """A contact whose device has a service window."""
    await with_window(contact.scenario)
    return contact


async def apply(contact: Contact, source: str) -> None:
    await contact.scenario.apply(source)
    assert contact.enrolled is not None
    contact.due = await contact.activities.replan(contact.enrolled.enrollment_id)


async def hear(contact: Contact, identifier: str = "in-1", **others: Any) -> RecordedInbound:
    said = inbound(identifier, others.pop("phone", PHONE), "Hello", **others)
    async with contact.scenario.pool.acquire() as connection:
        return await record_inbound(
            connection, "simulated", contact.scenario.device, [said], DEFAULT_KEYWORDS
        )


async def texts(contact: Contact) -> list[str]:
    return [row["text"] for row in await contact.scenario.accepted()]


# With a template beside the text.


@pytest.mark.parametrize(
    ("written", "since", "text"),
    [
        (False, timedelta(0), "[hello en] Aisha"),
        (True, timedelta(0), "Hi Aisha"),
        (True, DAY - timedelta(seconds=4), "Hi Aisha"),
        (True, DAY - timedelta(seconds=2), "[hello en] Aisha"),  # the call might come a moment too late
        (True, DAY + timedelta(days=1), "[hello en] Aisha"),
    ],
)
async def test_free_text_within_the_window_and_the_template_outside(
    windowed: Contact, written: bool, since: timedelta, text: str
) -> None:
    await apply(windowed, WITH_TEMPLATE)
    if written:
        await hear(windowed)
    windowed.now = NOON + since
    settled = await windowed.send()
    assert isinstance(settled, Settled)
    assert (settled.status, await texts(windowed)) == (MessageStatus.SENT, [text])
    assert (await windowed.message())["content"] == text


async def test_without_a_window_the_text_goes_out(contact: Contact) -> None:
    await apply(contact, WITH_TEMPLATE)
    await contact.send()
    assert await texts(contact) == ["Hi Aisha"]


async def test_an_image_without_a_text_goes_out_by_its_template(windowed: Contact) -> None:
    image = WITH_TEMPLATE.replace(
        "text: \"Hi {{ name | default: 'friend' }}\"", "image: https://example.com/a.png"
    )
    await apply(windowed, image)
    await hear(windowed)
    await windowed.send()
    assert await texts(windowed) == ["[hello en] Aisha"]


# Free text only.


async def test_free_text_outside_the_window_fails_and_the_contact_goes_on(windowed: Contact) -> None:
    settled = await windowed.send()
    assert isinstance(settled, Settled)
    device = windowed.scenario.device
    assert settled.status is MessageStatus.FAILED
    assert settled.reason == (
        f"outside the 24-hour window: they have not written to device {device} in the last 24 hours;"
        " give it a template for such recipients"
    )
    assert settled.next is not None
    assert settled.next.step == "more"
    assert await texts(windowed) == []
    await hear(windowed)
    windowed.due, windowed.now = settled.next, NOON + DAY - timedelta(seconds=2)  # too late for a call
    again = await windowed.send()
    assert isinstance(again, Settled)
    assert again.reason == settled.reason, "so that 'status' counts them together"


NO_MESSAGES: list[dict[str, Any]] = [
    {"kind": "reaction"},
    {"kind": "preference", "payload": "resume"},
    {"kind": "user_id_changed", "payload": "MY.2"},
    {"from_me": True},
    {"phone": phone(2)},
]


async def test_free_text_waits_until_they_write_if_the_file_says_so(windowed: Contact) -> None:
    pool = windowed.scenario.pool
    expiring = SEQUENCE.replace("    day: 1\n", "    day: 1\n    expires_after: 2h\n")
    await apply(windowed, expiring.replace("steps:", "outside_window: wait\nsteps:"))
    for number, nothing in enumerate([{}, *NO_MESSAGES]):
        if number:
            await hear(windowed, f"nothing-{number}", **nothing)
        held = await windowed.send()
        assert isinstance(held, Held), nothing
        assert held.until == NOON + timedelta(hours=2)
        assert held.reason == (
            f"outside the 24-hour window: they have not written to device {windowed.scenario.device}"
            " in the last 24 hours; it waits until they write"
        )
    await windowed.scenario.add_device(device="another")
    async with pool.acquire() as connection:
        await record_inbound(
            connection, "simulated", "another", [inbound("in-0", PHONE, "Hi")], DEFAULT_KEYWORDS
        )
    assert isinstance(await windowed.send(), Held), "they wrote to another number"
    [listed] = await messages_to(pool, PHONE)
    assert listed.goes_out_at is None
    assert (listed.reason or "").endswith("it waits until they write")
    assert await awaiting(pool, PHONE) == [f"sequence:welcome:{PHONE}"]

    heard = await hear(windowed)
    assert heard.then.wrote == (PHONE,), "whose workflows are to be woken"
    assert isinstance(await windowed.send(), Settled)
    assert await texts(windowed) == ["Hi Aisha"]
    assert await awaiting(pool, PHONE) == []


@pytest.mark.parametrize("by", ["a receipt", "what was typed on the device's phone"])
async def test_what_they_wrote_before_they_were_known_wakes_what_waits_for_it(
    windowed: Contact, by: str
) -> None:
    pool, hidden = windowed.scenario.pool, "user_id:MY.1"
    await apply(windowed, WITH_TEMPLATE.replace("steps:", "outside_window: wait\nsteps:"))
    settled = await windowed.send()
    assert isinstance(settled, Settled)
    windowed.due, windowed.now = settled.next, NOON + timedelta(hours=1)
    assert isinstance(await windowed.send(), Held)
    wrote = await hear(windowed, phone=None, identities=(hidden,), after=3600)
    assert wrote.then.wrote == (), "nobody knows who it was"
    assert isinstance(await windowed.send(), Held)
    sent = await pool.fetchval("select id from broadcast_messages where status = 'sent'")
    if by == "a receipt":
        receipt = Receipt(status="read", at=windowed.now, message_id=sent, recipient=(hidden,))
        async with pool.acquire() as connection:
            then = await learn_from_receipts(connection, "simulated", [receipt])
    else:
        then = (await hear(windowed, "out-1", identities=(hidden,), from_me=True, after=3601)).then
    assert then.wrote == (PHONE,)
    assert await awaiting(pool, PHONE) == [f"sequence:welcome:{PHONE}"]


async def test_what_a_message_waits_for_does_not_pause_its_sequence(windowed: Contact) -> None:
    """Other replies do, where the file says nothing else."""
    await apply(windowed, WITH_TEMPLATE.replace("steps:", "outside_window: wait\nsteps:"))
    settled = await windowed.send()
    assert isinstance(settled, Settled)
    windowed.due, windowed.now = settled.next, NOON + timedelta(hours=1)
    assert isinstance(await windowed.send(), Held)
    pool = windowed.scenario.pool
    await pool.execute(
        "update broadcast_messages set sent_at = $1, begun_at = $1 where status = 'sent'", NOON
    )
    await hear(windowed, after=3600)
    assert await pool.fetchval("select paused_reason from sequence_contacts") is None
    assert isinstance(await windowed.send(), Settled)
    assert await texts(windowed) == ["[hello en] Aisha", "More"]
    await pool.execute(
        "update broadcast_messages set sent_at = $1, begun_at = $1 where status = 'sent'", NOON
    )
    await pool.execute(
        "update sequence_contacts set status = 'active', ended_at = null,"
        " next_step_id = (select max(id) from sequence_steps)"
    )
    await hear(windowed, "in-2", after=3700)
    assert await pool.fetchval("select paused_reason from sequence_contacts") == 'answered: "Hello"'


async def test_what_waits_for_them_expires(windowed: Contact) -> None:
    expiring = SEQUENCE.replace("    day: 1\n", "    day: 1\n    expires_after: 2h\n")
    await apply(windowed, expiring.replace("steps:", "outside_window: wait\nsteps:"))
    assert isinstance(await windowed.send(), Held)
    windowed.now = NOON + timedelta(hours=2)
    settled = await windowed.send()
    assert isinstance(settled, Settled)
    assert settled.status is MessageStatus.EXPIRED


@pytest.mark.parametrize("rule", ["fail", "wait"])
async def test_a_message_in_doubt_is_not_sent_again_outside_the_window(windowed: Contact, rule: str) -> None:
    await apply(windowed, SEQUENCE.replace("steps:", f"outside_window: {rule}\nsteps:"))
    await hear(windowed)
    await windowed.scenario.offer(keys=True, look_up=False)
    windowed.now = NOON + DAY - timedelta(seconds=5)
    await windowed.claim()  # and dies
    windowed.now += timedelta(minutes=1)
    settled = await windowed.send()
    assert isinstance(settled, Settled)
    assert (settled.status, await texts(windowed)) == (MessageStatus.UNCONFIRMED, [])


async def test_a_hold_and_the_message_that_ends_it_do_not_miss_each_other(windowed: Contact) -> None:
    pool = windowed.scenario.pool
    await apply(windowed, SEQUENCE.replace("steps:", "outside_window: wait\nsteps:"))
    async with pool.acquire() as connection:
        async with connection.transaction():
            said = inbound("in-1", PHONE, "Hello")
            await record_inbound(connection, "simulated", windowed.scenario.device, [said], DEFAULT_KEYWORDS)
            again = await windowed.send()
        assert isinstance(again, Deferred), "not held, as what they write is being recorded"
        assert again.until == windowed.now + timedelta(milliseconds=250), "not at once: it takes a while"
    # The other way round, the recording waits for the claim, and then finds what it holds.
    await pool.execute("truncate inbound_messages cascade")
    async with pool.acquire() as connection, connection.transaction():
        ref = windowed.ref()
        message = (await windowed.message())["id"]
        answer = await connection.fetchval(
            "select claim_step_message($1, $2, $3, $4, 'one', '15 s', '{}', '3 s', $5)",
            *(ref.enrollment_id, ref.step_id, ref.revision, message, windowed.now),
        )
        assert answer["outcome"] == "held"
        recording = asyncio.create_task(hear(windowed))
        _, waits = await asyncio.wait([recording], timeout=0.3)
        assert waits == {recording}
    assert (await recording).then.wrote == (PHONE,)
    assert await awaiting(pool, PHONE) == [f"sequence:welcome:{PHONE}"]


async def test_a_campaign_fails_or_waits_for_each_recipient(scenario: Scenario) -> None:
    pool = scenario.pool
    await scenario.add_device()
    await with_window(scenario)
    await scenario.add_leads(300)
    campaigns = {}
    for rule in ("fail", "wait"):
        await scenario.apply_campaign(
            f"campaign: {rule}\noutside_window: {rule}\ntarget: {{status: all}}\ntext: Hi\n"
        )
        async with pool.acquire() as connection:
            campaigns[rule] = await connection.fetchval(
                "update campaigns set status = 'scheduled' where name = $1 returning id", rule
            )
            await freeze_audience(connection, campaigns[rule], now=NOON)
    said = inbound("in-1", phone(250), "Hello")
    async with pool.acquire() as connection:
        await record_inbound(connection, "simulated", scenario.device, [said], DEFAULT_KEYWORDS)
    ledger = Ledger(pool)
    begun = []
    request = FeedRequest(campaign_id=campaigns["wait"], campaign="wait", shard=0, shards=1, positions={})
    while True:
        page = await feed_page(pool, request, now=NOON)
        assert not page.settled
        if not page.messages:
            break
        for ref in page.messages:
            answer = await ledger.claim_stored(ref.message_id, f"attempt {ref.phone}", now=NOON)
            assert isinstance(answer, Claim if ref.phone == phone(250) else Held), answer
            begun.append(ref.phone)
        request = request.model_copy(update={"positions": page.positions})
    assert len(set(begun)) == 300, "those who wait take no place of those who come after"
    await pool.execute(
        "update broadcast_messages set status = 'sent', sent_at = now() where status = 'processing'"
    )
    assert not (await feed_page(pool, request, now=NOON)).settled, "as they wait"
    rows = await pool.fetch(
        "select id from broadcast_messages where campaign_id = $1 limit 3", campaigns["fail"]
    )
    for row in rows:
        answer = await ledger.claim_stored(row["id"], "one", now=NOON)
        assert isinstance(answer, SettledAlready)
        assert answer.status is MessageStatus.FAILED
        assert (answer.reason or "").startswith("outside the 24-hour window: they have not written")
    assert await awaiting(pool, phone(0)) == [f"campaign:wait:{phone(0)}"]


# What is shown, and which devices have a window.


async def test_a_contact_shows_its_windows(windowed: Contact) -> None:
    pool, device = windowed.scenario.pool, windowed.scenario.device
    [window] = (await contact_report(pool, PHONE, PHONE)).windows
    assert (window.device, window.until, window.open) == (device, None, False)
    await hear(windowed)
    [window] = (await contact_report(pool, PHONE, PHONE)).windows
    assert (window.device, window.until, window.open) == (device, NOON + DAY, False)
    at: Any = await pool.fetchval("update inbound_messages set sent_at = now() returning sent_at")
    [window] = (await contact_report(pool, PHONE, PHONE)).windows
    assert (window.until, window.open) == (at + DAY, True)
    await pool.execute("update devices set service_window = false")
    assert (await contact_report(pool, PHONE, PHONE)).windows == ()


async def test_which_devices_have_a_window(scenario: Scenario) -> None:
    options: dict[str, dict[str, str]] = {
        "cloud-api": {"phone_number_id": "1", "token_env": "TOKEN"},
        "gowa": {"url": "http://127.0.0.1:9"},
        "wablas": {"token_env": "TOKEN"},
        "whacenter": {"device_id_env": "DEVICE"},
        "simulated": {},
    }
    async with scenario.pool.acquire() as connection:
        for gateway, some in options.items():
            await add_device(connection, DeviceSettings(id="one", gateway=gateway, options=some))
            window = await connection.fetchval("select service_window from devices")
            assert window == (gateway == "cloud-api"), gateway
        with pytest.raises(InvalidInput, match="service_window: 'perhaps' is neither true nor false"):
            await add_device(connection, DeviceSettings(id="one", options={"service_window": "perhaps"}))


# What the Cloud API itself says.


ACCEPTED = Reply(200, {"messaging_product": "whatsapp", "messages": [{"id": "wamid.1"}]})


def refusal(code: int) -> Reply:
    return Reply(400, {"error": {"message": f"(#{code}) Its title", "type": "OAuthException", "code": code}})


@asynccontextmanager
async def meta(contact: Contact, monkeypatch: pytest.MonkeyPatch, *replies: Reply) -> AsyncIterator[Wire]:
    """The contact's device at the Cloud API, whose server gives these answers."""
    monkeypatch.setenv("META_TOKEN", "secret-token")
    async with wire(*replies) as server:
        options = {"phone_number_id": "1", "token_env": "META_TOKEN", "url": server.url}
        settings = DeviceSettings(id=contact.scenario.device, gateway="cloud-api", options=options)
        async with contact.scenario.pool.acquire() as connection:
            await add_device(connection, settings)
        yield server


async def test_a_text_refused_as_outside_the_window_goes_out_by_its_template(
    contact: Contact, monkeypatch: pytest.MonkeyPatch
) -> None:
    await apply(contact, WITH_TEMPLATE)
    async with meta(contact, monkeypatch, refusal(131047), ACCEPTED) as server:
        await hear(contact)
        contact.now += timedelta(hours=1)
        assert isinstance(await contact.send(), Deferred)
        settled = await contact.send()
        assert isinstance(settled, Settled)
        assert settled.status is MessageStatus.SENT
        assert [request.json()["type"] for request in server.requests] == ["text", "template"]


async def test_a_template_that_is_refused_fails(contact: Contact, monkeypatch: pytest.MonkeyPatch) -> None:
    await apply(contact, WITH_TEMPLATE)
    async with meta(contact, monkeypatch, refusal(131047)) as server:
        settled = await contact.send()
        assert isinstance(settled, Settled)
        assert settled.status is MessageStatus.FAILED
        assert [request.json()["type"] for request in server.requests] == ["template"]


async def test_a_campaign_that_may_wait_for_ever_is_warned_of(scenario: Scenario) -> None:
    await scenario.add_device()
    await with_window(scenario)
    source = "campaign: one\noutside_window: wait\ntarget: {status: all}\ntext: Hi\n"
    async with scenario.pool.acquire() as connection:
        for until in ("", "timezone: UTC\nuntil: 2036-01-01 10:00\n"):
            [applied] = await apply_campaigns(connection, [read_campaign(source + until, "one.yaml")])
            warned = any("runs for as long as a message waits" in line for line in applied.warnings)
            assert warned == (not until)


async def test_a_text_alone_refused_as_outside_the_window_fails_or_waits_until_they_write_again(
    contact: Contact, monkeypatch: pytest.MonkeyPatch
) -> None:
    await apply(contact, SEQUENCE.replace("steps:", "outside_window: wait\nsteps:"))
    async with meta(contact, monkeypatch, refusal(131047), ACCEPTED) as server:
        await hear(contact)
        contact.now += timedelta(hours=1)
        assert isinstance(await contact.send(), Deferred)
        held = await contact.send()
        assert isinstance(held, Held)
        assert "in the last 24 hours, as Meta says; it waits" in held.reason
        await contact.scenario.pool.execute("update sequences set outside_window = 'fail'")
        async with contact.scenario.pool.acquire() as connection, connection.transaction():
            answer = await connection.fetchval(
                "select claim_stored_message(id, 'one', '15 s', '{}', '3 s', $1) from broadcast_messages",
                contact.now,
            )
            assert answer["status"] == "failed"
            await connection.execute("update broadcast_messages set status = 'pending'")
        await hear(contact, "in-2", after=7200)
        contact.now += timedelta(hours=1, minutes=1)
        settled = await contact.send()
        assert isinstance(settled, Settled)
        assert settled.status is MessageStatus.SENT
        assert [request.json()["type"] for request in server.requests] == ["text", "text"]


async def test_who_has_stopped_marketing_messages_is_opted_out_of_them(
    contact: Contact, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = contact.scenario.pool
    contact.sender = Sender(
        pool, contact.gateways, writes=(writes := DurableWrites()), record=partial(record_answer, pool)
    )
    await apply(contact, WITH_TEMPLATE)
    async with meta(contact, monkeypatch, refusal(131050)):
        message = (await contact.claim()) and (await contact.message())["id"]
        await pool.execute("update broadcast_messages set status = 'queued'")
        settled = await contact.sender.send_stored(message)  # type: ignore[arg-type]
        await writes.finish(5)
    assert isinstance(settled, Settled)
    assert settled.status is MessageStatus.FAILED
    [opt_out] = (await contact_report(pool, PHONE, PHONE)).opt_outs
    assert (opt_out.source, opt_out.category) == ("preference", "marketing")
    assert await pool.fetchval("select status from sequence_contacts") == "opted_out"
