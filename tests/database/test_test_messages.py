"""Tests of one text for real: they are sent like every message, count for nothing, and are in nobody's way."""

import re
from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from messaging.common.errors import Conflict, NotFound
from messaging.gateways import Gateways
from messaging.outbox.alerts import fold_reports, list_alerts, report_overdue
from messaging.reporting.audit import sent_twice, stuck, totals
from messaging.reporting.details.device import device_details
from messaging.reporting.gauges import read_gauges
from messaging.reporting.messages import count_in_doubt
from messaging.reporting.status import status_report
from messaging.sending.message_status import MessageStatus
from messaging.sending.outcomes import Settled
from messaging.sending.send import Sender
from messaging.sending.test_messages import find_subject, insert_test, look_at_test
from rig.people import phone
from tests.support.contact import Contact
from tests.support.scenario import Scenario


async def store(
    scenario: Scenario,
    name: str,
    to: str,
    *,
    lead: str | None = None,
    device: str | None = None,
    message_id: UUID | None = None,
) -> UUID:
    async with scenario.pool.acquire() as connection:
        subject = await find_subject(connection, name)
        ref, _ = await insert_test(
            connection,
            subject,
            to,
            lead=lead,
            device=device,
            within=timedelta(minutes=10),
            message_id=message_id,
        )
    return ref.message_id


async def sent(scenario: Scenario, message_id: UUID) -> MessageStatus:
    gateways = Gateways()
    try:
        outcome = await Sender(scenario.pool, gateways).send_stored(message_id)
    finally:
        await gateways.close()
    assert isinstance(outcome, Settled), outcome
    return outcome.status


async def test_it_goes_out_with_a_leads_values_and_the_real_message_afterwards(contact: Contact) -> None:
    scenario, pool = contact.scenario, contact.scenario.pool
    await pool.execute("insert into leads (phone, name) values ($1, 'Somebody')", phone(77))
    # To the very phone whose real message of this step is still to come, and with another lead's values.
    first = await store(scenario, "welcome/hello", contact.phone, lead=phone(77))
    assert await store(scenario, "welcome/hello", contact.phone, message_id=first) == first
    assert await sent(scenario, first) is MessageStatus.SENT
    assert await sent(scenario, first) is MessageStatus.SENT, "asking again sends nothing"
    own = await store(scenario, "welcome", contact.phone)
    await sent(scenario, own)
    assert [row["text"] for row in await scenario.accepted()] == ["Hi Somebody", "Hi Aisha"]
    found = await look_at_test(pool, first)
    assert (found.of, found.status, found.text) == ("welcome / hello", "sent", "Hi Somebody")

    # Nothing counts them.
    status = await status_report(pool)
    assert (status.messages, status.attention) == ({}, ())
    before = await pool.fetchval("select next_step_id from sequence_contacts")
    real = await contact.send()
    assert isinstance(real, Settled)
    assert real.status is MessageStatus.SENT
    assert (await status_report(pool)).messages == {"sent": 1}
    assert before != await pool.fetchval("select next_step_id from sequence_contacts")
    assert len(await scenario.accepted()) == 3
    names = await pool.fetch("select message_name(m) as name from broadcast_messages m order by created_at")
    assert [row["name"] for row in names] == [
        "test of welcome / hello",
        "test of welcome / hello",
        "welcome / hello",
    ]
    assert (await totals(pool)).adds_up
    assert await sent_twice(pool, "step") == []


async def test_not_to_a_phone_that_has_opted_out_before_or_meanwhile(scenario: Scenario) -> None:
    await scenario.add_device()
    await scenario.apply_campaign("campaign: sale\ntarget: {status: all}\ntext: Hello\n")
    await scenario.pool.execute(
        "insert into suppressions (phone, category) values ($1, 'marketing')", phone(0)
    )
    with pytest.raises(Conflict, match=r"opted out: no test is sent to it"):
        await store(scenario, "sale", phone(0))
    waiting = await store(scenario, "sale", phone(1))
    await scenario.pool.execute(
        "insert into suppressions (phone, category) values ($1, 'marketing')", phone(1)
    )
    assert await sent(scenario, waiting) is MessageStatus.SUPPRESSED
    assert await scenario.accepted() == []


async def test_what_it_is_of_whom_and_from_which_device(scenario: Scenario) -> None:
    await scenario.add_device()
    await scenario.apply(
        "sequence: intro\nsteps:\n  - {id: a, day: 1, text: Hi}\n  - {id: story, day: 2, text: Once}\n"
    )
    for name, error in (
        ("intor", "did you mean 'intro'"),
        ("intro/stroy", "did you mean 'story'"),
    ):
        with pytest.raises(NotFound, match=error):
            await store(scenario, name, phone(0))
    await sent(scenario, await store(scenario, "intro/story", phone(0)))
    assert [row["text"] for row in await scenario.accepted()] == ["Once"]
    with pytest.raises(NotFound, match="no lead with the phone"):
        await store(scenario, "intro", phone(0), lead=phone(1))
    with pytest.raises(NotFound, match=f"did you mean '{scenario.device}'"):
        await store(scenario, "intro", phone(0), device=f"{scenario.device}x")
    await scenario.add_device(device="other")
    with pytest.raises(Conflict, match="name the device to send from"):
        await store(scenario, "intro", phone(0))
    await scenario.pool.execute(
        "update devices set status = 'paused', status_reason = 'broken' where id = 'other'"
    )
    with pytest.raises(Conflict, match="device other is paused: broken"):
        await store(scenario, "intro", phone(0), device="other")
    with pytest.raises(NotFound):
        await look_at_test(scenario.pool, uuid4())


async def test_one_in_doubt_is_no_alert_and_counts_nowhere(contact: Contact) -> None:
    scenario, pool = contact.scenario, contact.scenario.pool
    for status in ("processing", "expired", "pending", "unconfirmed"):
        message = await store(scenario, "welcome", contact.phone)
        await pool.execute(
            "update broadcast_messages set status = $2, claimed_at = case $2 when 'processing' then '-infinity'::timestamptz end,"
            " processing_worker_id = case $2 when 'processing' then 'gone' end,"
            " due_at = now() - interval '1 hour', updated_at = now() - interval '1 hour' where id = $1",
            message,
            status,
        )
    assert await pool.fetchval("select count(*) from events where kind = 'message.unconfirmed'") == 0
    await report_overdue(pool)
    await pool.execute("update alert_reports set reported_at = reported_at - interval '1 minute'")
    await fold_reports(pool)
    assert await list_alerts(pool) == []
    assert await pool.fetchval("select alert_stands('message_unconfirmed', $1)", scenario.device) is False
    assert await pool.fetchval("select alert_stands('message_overdue', $1)", scenario.device) is False
    report = await status_report(pool)
    assert (report.messages, report.attention) == ({}, ())
    assert await count_in_doubt(pool, 10) == 0
    assert await stuck(pool) == []
    gauges = await read_gauges(pool)
    assert gauges.in_doubt == 0
    assert not any(gauges.messages.values())
    assert re.search(r"unconfirmed \|\W+0 \|", await device_details(pool, scenario.device) or "")
