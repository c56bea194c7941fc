"""What is said of a message that waits is so now, not when its slot was taken."""

from datetime import UTC, datetime, time, timedelta

from messaging.campaigns.lifecycle import pause_campaign, resume_campaign
from messaging.reporting.messages import MessageReport, list_messages, messages_to
from messaging.sending.message_status import MessageStatus
from messaging.sending.outcomes import Deferred, Held
from rig.people import phone
from tests.support.contact import Contact
from tests.support.frozen import running
from tests.support.scenario import Scenario


async def said(scenario: Scenario) -> MessageReport:
    """What both lists say of the only message."""
    (listed,) = await list_messages(scenario.pool, [MessageStatus.QUEUED], 10)
    assert await messages_to(scenario.pool, phone(0)) == [listed]
    return listed


async def test_a_pause_and_its_end_are_said_at_once(scenario: Scenario) -> None:
    device = await scenario.add_device()
    await scenario.add_leads(1)
    await running(scenario)
    pool = scenario.pool
    now = datetime.now(UTC)
    # Closed for some hours more, whatever the time is.
    opens, closes = ((now + timedelta(hours=hours)).time().replace(microsecond=0) for hours in (3, 9))
    await pool.execute("update devices set opens_at = $1, closes_at = $2", opens, closes)
    closed = f"device {device} sends from {opens:%H:%M} to {closes:%H:%M} UTC"
    slot = now + timedelta(hours=3, minutes=1)
    await pool.execute(
        "update broadcast_messages set status = 'queued', slot_at = $1, reason = $2, waits_for = 'device'",
        slot,
        "waits for its slot",
    )
    await pool.execute("update devices set opens_at = null, closes_at = null")
    assert (await said(scenario)).goes_out_at == slot
    await pool.execute("update devices set status = 'paused', status_reason = 'under review'")
    held = await said(scenario)
    assert (held.reason, held.goes_out_at) == (f"device {device} is paused: under review", None)
    # What an attempt has stored meanwhile is not said once the device is resumed.
    await pool.execute(
        "update broadcast_messages set slot_at = null, reason = $1, waits_for = 'pause'", held.reason
    )
    await pool.execute("update devices set status = 'active', status_reason = null")
    resumed = await said(scenario)
    assert (resumed.reason, resumed.goes_out_at) == (None, None)
    # Other hours, and a pause of the campaign over them.
    await pool.execute("update devices set opens_at = $1, closes_at = $2", opens, closes)
    waits = await said(scenario)
    assert waits.reason == closed
    assert waits.goes_out_at is not None
    assert waits.goes_out_at.timetz() == time(opens.hour, opens.minute, opens.second, tzinfo=UTC)
    async with pool.acquire() as connection:
        await pause_campaign(connection, "sale")
        paused = await said(scenario)
        assert (paused.reason, paused.goes_out_at) == ("campaign sale is paused", None)
        await resume_campaign(connection, "sale")
    assert (await said(scenario)) == waits


async def test_the_last_answer_of_the_gateway_stays_the_reason(scenario: Scenario) -> None:
    await scenario.add_device()
    await scenario.add_leads(1)
    await running(scenario)
    await scenario.pool.execute("update broadcast_messages set status = 'queued', reason = 'HTTP 503'")
    assert (await said(scenario)).reason == "HTTP 503"


async def test_a_message_notes_whether_its_reason_is_what_its_last_claim_found(contact: Contact) -> None:
    pool, gateway_says = contact.scenario.pool, "device kl-1 is paused: quota"
    await pool.execute("update devices set status = 'paused'")
    assert isinstance(await contact.send(), Held)
    held = await contact.message()
    assert (held["waits_for"], held["reason"]) == ("pause", f"device {contact.scenario.device} is paused")
    await pool.execute("update devices set status = 'active'")
    claim = await contact.claim("attempt")
    assert (await contact.message())["waits_for"] is None
    # The gateway's own words stay, even if they read like a hold.
    assert await pool.fetchval(
        "select release_attempt(id, 'attempt', $1, null) from broadcast_messages", gateway_says
    )
    (listed,) = await messages_to(pool, contact.phone)
    assert listed.reason == gateway_says
    # A slot on the device is what the claim found.
    await pool.execute(
        "update devices set min_delay = 60, max_delay = 60, last_send_at = $1, next_slot_at = $1", claim.now
    )
    assert isinstance(await contact.send(), Deferred)
    waits = await contact.message()
    assert (waits["waits_for"], waits["reason"]) == ("device", "waits for its slot")
