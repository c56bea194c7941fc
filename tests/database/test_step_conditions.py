"""Steps with conditions: checked by the claim, at the moment at which the step would go out."""

from datetime import timedelta

import pytest

from cli.contact_page import contact_page
from messaging.common.errors import Conflict
from messaging.common.keywords import DEFAULT_KEYWORDS
from messaging.gateways.webhook_events import InboundMessage
from messaging.replies.record import record_inbound
from messaging.reporting.audit import lost_steps, totals
from messaging.reporting.contact import contact_report
from messaging.sending.ledger import Ledger
from messaging.sending.message_ids import sequence_message_id
from messaging.sending.message_status import MessageStatus
from messaging.sending.outcomes import Deferred, Held, Settled
from messaging.sending.resolutions import send_again
from messaging.sequences.apply import apply_sequences
from messaging.sequences.contacts import pause_contact, resume_contact
from messaging.sequences.enrollments import Enrollments
from messaging.sequences.file import read_sequence
from messaging.sequences.store import show_sequence
from rig.people import phone
from tests.support.contact import NOON, Contact
from tests.support.replies import inbound

PHONE = phone(2)
HOUR = timedelta(hours=1)


def asking(conditions: str, more: str = "") -> str:
    return (
        "sequence: asking\non_reply: continue\nsteps:\n  - {id: one, day: 1, text: One}\n"
        f"  - {{id: two, after: 1h, if: {{{conditions}}}, text: Two}}\n"
        f"{more}  - {{id: three, after: 1h, text: Three}}\n"
    )


async def begin(contact: Contact, source: str) -> None:
    """Enrolls, and sends the first step; the second one is due."""
    await contact.scenario.apply(source)
    await contact.enroll(PHONE, "asking")
    await step(contact)


async def step(contact: Contact) -> Settled:
    """The step that is due, and the time moves on to the next one."""
    settled = await contact.send()
    assert isinstance(settled, Settled), settled
    contact.due = settled.next
    if settled.next is not None:
        contact.now = max(contact.now, settled.next.due_at)
    return settled


async def wrote(contact: Contact, *messages: InboundMessage) -> None:
    async with contact.scenario.pool.acquire() as connection:
        await record_inbound(connection, "simulated", contact.scenario.device, messages, DEFAULT_KEYWORDS)


async def texts(contact: Contact) -> list[str]:
    return [row["text"] for row in await contact.scenario.accepted() if row["phone"] == PHONE]


ATTRIBUTES = {"city": "Kuala  Lumpur", "vip": "TRUE"}


@pytest.mark.parametrize(
    ("conditions", "why"),
    [
        ("replied: false", None),
        ("replied: true", "replied: true, but no reply has come"),
        ("delivered: false, read: false", None),
        ("delivered: true", "delivered: true, but the message before (one) was not delivered"),
        ("read: true", "read: true, but the message before (one) was not read"),
        ("attribute: {City: kuala lumpur}", None),
        ("attribute: {city: [KL, ' KUALA LUMPUR ']}", None),
        ("attribute: {vip: true, city: KL}", "city: KL, but it is Kuala  Lumpur"),
        ("attribute: {shop: ''}", None),
        ("attribute: {shop: [A, '']}", None),
        ("attribute: {shop: A}", "shop: A, but it is empty"),
        ("attribute: {city: ['', KL]}", 'city: "" or KL, but it is Kuala  Lumpur'),
        ("niche: vitac", None),
        ("niche: [tea, vitac]", None),
        ("niche: [tea, honey]", "niche: TEA or HONEY, which the lead does not have"),
        ("status: customer", None),
        ("status: prospect", "status: prospect, but the lead is a customer"),
        ("replied: false, status: prospect", "status: prospect, but the lead is a customer"),
    ],
)
async def test_a_step_goes_out_if_all_of_its_conditions_hold(
    contact: Contact, conditions: str, why: str | None
) -> None:
    await begin(contact, asking(conditions))
    await contact.scenario.pool.execute(
        "update leads set attributes = $1, niches = '{VITAC}', target_status = 'customer' where phone = $2",
        *(ATTRIBUTES, PHONE),
    )
    settled = await step(contact)
    if why is None:
        assert (settled.status, settled.reason) == (MessageStatus.SENT, None)
    else:
        assert (settled.status, settled.reason) == (MessageStatus.CANCELLED, f"condition: {why}")
    assert settled.next is not None
    assert settled.next.step == "three"
    assert await texts(contact) == (["One", "Two"] if why is None else ["One"])


ANSWER = inbound("in-1", PHONE, "Yes please", after=60)


@pytest.mark.parametrize(
    ("message", "counts"),
    [
        (ANSWER, True),
        (inbound("in-1", PHONE, "Start", after=60), True),
        (inbound("in-1", PHONE, None, after=60, kind="image"), True),
        (inbound("in-1", PHONE, "Yes", after=60, kind="button", payload="yes"), True),
        (inbound("in-1", PHONE, "👍", after=60, kind="reaction"), False),
        (inbound("in-1", PHONE, "I am here", after=60, from_me=True), False),
        (inbound("in-1", PHONE, None, after=60, kind="preference", payload="resume"), False),
        (inbound("in-1", phone(3), "Yes", after=60), False),
        (inbound("in-1", PHONE, "Vitac!", after=60), False),  # asks for another sequence
        (inbound("in-1", PHONE, "asking", after=-1), False),  # before the enrollment
    ],
    ids=lambda one: f"{one.kind} {one.text}" if isinstance(one, InboundMessage) else "",
)
async def test_what_is_a_reply(contact: Contact, message: InboundMessage, counts: bool) -> None:
    await begin(contact, asking("replied: true"))
    await contact.scenario.apply(
        "sequence: vitac\nkeyword: VITAC\nsteps:\n  - {id: a, day: 1, text: About VITAC}\n"
    )
    await wrote(contact, message)
    # What is typed on the device's phone pauses the contact.
    await contact.scenario.pool.execute(
        "update sequence_contacts set paused_at = null, plan_changed_at = null"
    )
    settled = await step(contact)
    assert (settled.status is MessageStatus.SENT) is counts


async def test_what_was_received_before_the_enrollment_is_no_reply(contact: Contact) -> None:
    """A keyword that enrolls: it may have been sent in the same second."""
    await begin(contact, asking("replied: false"))
    await wrote(contact, inbound("in-1", PHONE, "VITAC"))
    pool = contact.scenario.pool
    await pool.execute("update inbound_messages set received_at = $1", NOON - timedelta(milliseconds=1))
    assert (await step(contact)).status is MessageStatus.SENT


async def test_what_quotes_a_message_is_a_reply_whatever_phone_it_is_from(contact: Contact) -> None:
    await begin(contact, asking("replied: true"))
    (one,) = await contact.scenario.messages()
    await contact.scenario.add_leads(1, first=3)
    await wrote(contact, inbound("in-1", phone(3), "Yes", after=60, answers=one["gateway_message_id"]))
    assert await contact.scenario.pool.fetchval("select phone from inbound_messages") == phone(3)
    assert (await step(contact)).status is MessageStatus.SENT


async def test_a_reply_to_a_device_that_was_replaced_counts(contact: Contact) -> None:
    pool = contact.scenario.pool
    await begin(contact, asking("replied: false"))
    await wrote(contact, ANSWER)
    await contact.scenario.add_device(device=f"{contact.scenario.device}-new")
    await pool.fetchval("select replace_device($1, $1 || '-new')", contact.scenario.device)
    assert (
        await step(contact)
    ).reason == "condition: replied: false, but a reply came on 2026-03-02 12:01:00 UTC"
    # One to a device that has nothing to do with the contact does not.
    await pool.execute("delete from inbound_messages")
    other = await contact.scenario.add_device(device=f"{contact.scenario.device}-other")
    async with pool.acquire() as connection:
        await record_inbound(connection, "simulated", other, [ANSWER], DEFAULT_KEYWORDS)
    assert await pool.fetchval("select count(*) from inbound_messages") == 1
    assert await pool.fetchval("select count(*) from sequence_contacts c, replies_of(c)") == 0


async def test_delivered_and_read_are_those_of_the_last_message_that_went_out(contact: Contact) -> None:
    """Not those of a step that was passed over, nor of one that the gateway refused."""
    more = (
        "  - {id: lost, after: 1h, text: Lost}\n"
        "  - {id: seen, after: 1h, if: {delivered: true, read: true}, text: Seen}\n"
        "  - {id: unseen, after: 1h, if: {delivered: true, read: false}, text: Unseen}\n"
        "  - {id: again, after: 1h, if: {read: false}, text: Again}\n"
    )
    pool = contact.scenario.pool
    await begin(contact, asking("replied: true", more))
    await pool.execute(
        "update broadcast_messages set delivered_at = sent_at, read_at = sent_at where sequence_stepid ="
        " (select id from sequence_steps where key = 'one')"
    )
    assert (await step(contact)).status is MessageStatus.CANCELLED
    await contact.scenario.faults({"kind": "refuse", "count": 1})
    assert (await step(contact)).status is MessageStatus.FAILED
    assert (await step(contact)).status is MessageStatus.SENT
    passed = await step(contact)
    assert passed.reason == "condition: delivered: true, but the message before (seen) was not delivered"
    assert (await step(contact)).status is MessageStatus.SENT
    assert await texts(contact) == ["One", "Seen", "Again"]


async def test_what_is_passed_over_is_said_and_the_contact_moves_on_as_planned(contact: Contact) -> None:
    pool = contact.scenario.pool
    await begin(contact, asking("read: true"))
    report = await contact_report(pool, PHONE, PHONE)
    assert report.enrollments[0].condition == "read: true"
    assert "two is sent only if read: true" in contact_page(report)
    contact.now += timedelta(minutes=30)  # a busy worker
    passed = await step(contact)
    assert passed.status is MessageStatus.CANCELLED
    assert passed.next is not None
    assert passed.next.due_at - NOON < 2 * HOUR + timedelta(minutes=1), (
        "as if it had gone out when it was due"
    )
    assert await contact.send() != passed  # the next one
    report = await contact_report(pool, PHONE, PHONE)
    why = "condition: read: true, but the message before (one) was not read"
    assert [(one.status, one.reason) for one in report.messages] == [
        ("sent", None),
        ("cancelled", why),
        ("sent", None),
    ]
    assert why in contact_page(report)
    async with pool.acquire() as connection:
        shown = await show_sequence(connection, "asking")
    assert [(one.key, one.conditions, one.passed_over, one.sent) for one in shown.steps] == [
        ("one", None, 0, 1),
        ("two", {"read": True}, 1, 0),
        ("three", None, 0, 1),
    ]
    assert await lost_steps(pool) == []
    assert (await totals(pool)).adds_up
    assert contact.enrolled is not None
    with pytest.raises(Conflict):  # and not "skipped before"
        await Enrollments(pool).skip(contact.enrolled.enrollment_id, "two", now=contact.now)


async def test_a_sequence_of_which_all_is_passed_over_completes(contact: Contact) -> None:
    await contact.scenario.apply(
        "sequence: asking\nsteps:\n"
        "  - {id: one, day: 1, if: {status: customer}, text: One}\n"
        "  - {id: two, day: 2, if: {replied: true}, text: Two}\n"
    )
    await contact.enroll(PHONE, "asking")
    assert (await step(contact)).reason == "condition: status: customer, but the lead is a prospect"
    assert contact.now - NOON < timedelta(hours=24, minutes=1)
    last = await step(contact)
    assert (last.status, last.next) == (MessageStatus.CANCELLED, None)
    assert await texts(contact) == []


async def test_a_condition_is_checked_again_when_the_message_has_its_turn(contact: Contact) -> None:
    """A reply, or another value of an attribute, between the plan and the slot counts."""
    pool = contact.scenario.pool
    await begin(contact, asking("replied: false, attribute: {city: ''}"))
    await pool.execute("update devices set min_delay = 60, max_delay = 60, last_send_at = $1", contact.now)
    deferred = await contact.send()
    assert isinstance(deferred, Deferred)
    contact.now = deferred.until
    await wrote(contact, ANSWER)
    assert (
        await step(contact)
    ).reason == "condition: replied: false, but a reply came on 2026-03-02 12:01:00 UTC"


async def test_what_is_held_is_not_passed_over_before_it_is_resumed(contact: Contact) -> None:
    pool = contact.scenario.pool
    await begin(contact, asking("replied: true"))
    assert contact.enrolled is not None
    await pause_contact(pool, contact.enrolled.enrollment_id, "on holiday")
    await pool.execute("update sequence_contacts set plan_changed_at = null")
    assert isinstance(await contact.send(), Held)
    await wrote(contact, ANSWER)
    await resume_contact(pool, contact.enrolled.enrollment_id)
    await pool.execute("update sequence_contacts set plan_changed_at = null")
    assert (await step(contact)).status is MessageStatus.SENT


async def test_what_waits_for_the_service_window_is_passed_over_while_its_condition_is_false(
    contact: Contact,
) -> None:
    """Held, it would wait for a reply that may never come."""
    pool = contact.scenario.pool
    await begin(contact, asking("read: true").replace("steps:", "outside_window: wait\nsteps:"))
    await pool.execute("update devices set service_window = true")
    assert (await step(contact)).status is MessageStatus.CANCELLED
    assert isinstance(await contact.send(), Held), "the third step, which has no condition"


async def test_in_doubt_it_is_looked_up_and_not_sent_once_a_condition_is_false(contact: Contact) -> None:
    await contact.scenario.offer(keys=True, look_up=True)
    await begin(contact, asking("replied: false"))
    await contact.claim()
    await wrote(contact, ANSWER)
    contact.now += timedelta(minutes=5)
    assert isinstance(await contact.send(), Deferred)  # it had not arrived, and is given back
    passed = await step(contact)
    assert passed.status is MessageStatus.CANCELLED
    assert await texts(contact) == ["One"]


async def test_an_attempt_that_took_its_time_checks_once_more(contact: Contact) -> None:
    pool = contact.scenario.pool
    await begin(contact, asking("replied: false"))
    await contact.claim("slow")
    ledger, message = Ledger(pool), sequence_message_id(contact.ref().step_id, PHONE)
    assert await ledger.may_go_out(message, "slow")
    await wrote(contact, ANSWER)
    assert not await ledger.may_go_out(message, "slow")
    await ledger.note_parts(message, "slow", 1, now=contact.now)
    assert await ledger.may_go_out(message, "slow"), "half a message is never left"


async def test_an_edit_changes_a_condition_and_says_so(contact: Contact) -> None:
    pool = contact.scenario.pool
    await begin(contact, asking("replied: true"))
    async with pool.acquire() as connection:
        source = asking("replied: false, attribute: {ctiy: KL}").replace("after: 1h, text", "day: 2, text")
        (applied,) = await apply_sequences(connection, [read_sequence(source, "a.yaml")])
        (again,) = await apply_sequences(connection, [read_sequence(source, "a.yaml")])
        await pool.execute('update leads set attributes = \'{"city": "KL"}\'')
        (waits,) = await apply_sequences(
            connection,
            [
                read_sequence(
                    asking("status: prospect").replace("after: 1h, if", "wait_for: {reply: 2d}, if"), "a.yaml"
                )
            ],
        )
        (late,) = await apply_sequences(
            connection, [read_sequence(asking("attribute: {ctiy: KL}"), "a.yaml")]
        )
    assert applied.changes == (
        "step 'two' if: replied: true → replied: false, ctiy: KL",
        "step 'three' moved: after 1h → day 2",
    )
    assert applied.warnings == (
        (
            "a.yaml:5: steps[1].if.attribute: warning: no lead has the attribute 'ctiy';"
            " import leads that have it"
        ),
    )
    assert again.result == "unchanged"
    assert waits.changes == (
        "step 'two' moved: after 1h → on a reply, or after 2d",
        "step 'two' if: replied: false, ctiy: KL → status: prospect",
        "step 'three' moved: day 2 → after 1h",
    )
    assert late.warnings == (
        "a.yaml:5: steps[1].if.attribute: warning: no lead has the attribute 'ctiy'; did you mean 'city'?",
    )


async def test_what_an_operator_sends_again_goes_out_whatever_its_condition_says(contact: Contact) -> None:
    scenario = contact.scenario
    await scenario.offer(keys=False, look_up=False)
    await begin(contact, asking("replied: false"))
    await scenario.faults({"kind": "drop", "count": 1})
    unconfirmed = await step(contact)
    assert unconfirmed.status is MessageStatus.UNCONFIRMED
    await wrote(contact, ANSWER)
    async with scenario.pool.acquire() as connection:
        await send_again(connection, unconfirmed.message_id)
    again = await contact.sender.send_stored(unconfirmed.message_id)
    assert isinstance(again, Settled)
    assert again.status is MessageStatus.SENT
    assert await texts(contact) == ["One", "Two"]
