"""What the Web UI shows on the pages of workflows: read from the ledger when somebody looks."""

from datetime import UTC, datetime, timedelta

from messaging.campaigns.audience import freeze_audience
from messaging.campaigns.lifecycle import begin_campaign, pause_campaign
from messaging.common.markdown import escape_markdown, markdown_list, markdown_table
from messaging.reporting.details.look_up import details_of
from messaging.reporting.shown import forget_shown, not_shown, note_shown
from messaging.sequences.contacts import pause_contact
from rig.people import phone
from tests.support.scenario import Scenario

SEQUENCE = """
sequence: story
trigger: STORY
timezone: Asia/Kuala_Lumpur
steps:
  - {id: hello, day: 1, text: "Hello"}
  - {id: more, day: 3, at: "10:00", text: "More"}
"""
CAMPAIGN = 'campaign: sale\ntitle: "*Half* price"\ntarget: {status: all}\ntext: "Hi"\n'
NOON = datetime(2026, 11, 30, 4, tzinfo=UTC)
"""In Kuala Lumpur."""


async def shown(scenario: Scenario, workflow_id: str) -> str:
    details = await details_of(scenario.pool, workflow_id)
    assert details is not None
    return details


async def test_a_contact_with_what_was_sent_and_what_comes_next_in_its_own_time(scenario: Scenario) -> None:
    await scenario.add_device()
    await scenario.apply(SEQUENCE)
    number = phone(1)
    enrolled = await scenario.enroll("story", number, name="Aisha *B*", time_zone="Europe/Berlin", now=NOON)
    page = await shown(scenario, f"sequence:story:{number}")
    assert page.startswith(rf"**Aisha \*B\*** · {number} · sequence **story** · device {scenario.device}")
    assert r"hello comes next, due on 2026-11-30 05:00:00." in page
    assert page.endswith("Times of Europe/Berlin.")
    await scenario.pool.execute(
        "insert into broadcast_messages (id, sequence_stepid, sequence_contact_id, lead_id, recipient_phone, device_id,"
        " status, due_at, sent_at, accepted_at, delivered_at, read_at)"
        " select gen_random_uuid(), c.next_step_id, c.id, c.lead_id, c.phone, c.device_id, 'sent', $1, $1, $1, $2, $3"
        " from sequence_contacts c",
        NOON,
        NOON + timedelta(minutes=1),
        NOON + timedelta(hours=20),
    )
    said = "**hello**: sent 2026-11-30 05:00:00, delivered 05:01:00, read 2026-12-01 01:00:00"
    assert said in await shown(scenario, f"sequence:story:{number}"), "a receipt shows at once"
    await pause_contact(scenario.pool, enrolled.enrollment_id, "on holiday")
    page = await shown(scenario, f"sequence:story:{number}")
    assert "The contact is paused" in page
    assert "on holiday" in page
    assert await details_of(scenario.pool, f"sequence:story:{phone(2)}") is None
    assert await details_of(scenario.pool, "telling") is None


async def test_a_campaign_with_outcomes_by_device_and_its_expected_end(scenario: Scenario) -> None:
    await scenario.add_device(min_delay=20, max_delay=40)
    other = await scenario.add_device(device=f"{scenario.device}-2", min_delay=1, max_delay=1)
    await scenario.add_leads(4)
    await scenario.add_leads(2, device=other, first=10)
    await scenario.pool.execute("insert into suppressions (phone) values ($1)", phone(0))
    await scenario.apply_campaign(CAMPAIGN)
    draft = await shown(scenario, "campaign:sale")
    assert r"**\*Half\* price** · campaign sale" in draft
    assert "As things are, 5 leads would get it; left out: 1 opted out." in draft
    async with scenario.pool.acquire() as connection:
        _, state = await begin_campaign(connection, "sale", start_now=True)
        await freeze_audience(connection, state.campaign_id, now=None)
    await scenario.pool.execute(
        "update broadcast_messages set status = 'sent', sent_at = now(), accepted_at = now() where recipient_phone = $1",
        phone(1),
    )
    await scenario.pool.execute(
        "update broadcast_messages set status = 'failed', reason = 'no' where recipient_phone = $1", phone(10)
    )
    page = await shown(scenario, "campaign:sale")
    gap = "\N{NO-BREAK SPACE}" * 2
    assert "**running**: 2 of 5 settled" in page
    assert "1 sent in the last minute" in page
    assert f"| **failed** | {gap}1 |" in page
    row = f"| **{scenario.device}** | {gap}2 | {gap}1 | {gap}0 | {gap}30 s | {gap}"
    assert any(f"{row}{left}s |" in page for left in (28, 29, 30)), "two to go, one in half a minute"
    assert "Expected to end" in page
    assert "Left out at the start: 1 opted out." in page
    assert "the update *retry_failed* sends what failed again" in page
    await scenario.pool.execute("update devices set status = 'paused' where id = $1", scenario.device)
    page = await shown(scenario, "campaign:sale")
    assert f"| {gap}paused |" in page
    assert f"without what waits for {scenario.device}" in page
    lead = await shown(scenario, f"campaign:sale:{phone(10)}")
    assert "The message failed on" in lead
    async with scenario.pool.acquire() as connection:
        await pause_campaign(connection, "sale")
    assert "Expected" not in await shown(scenario, "campaign:sale")
    assert await details_of(scenario.pool, "campaign:none") is None
    assert await details_of(scenario.pool, "campaign:sale:shard-0") is None


async def test_a_device_and_a_sequence(scenario: Scenario) -> None:
    await scenario.add_device(
        min_delay=10, max_delay=20, daily_limit=300, hours="08:00-22:00", time_zone="Asia/Tokyo"
    )
    await scenario.apply(SEQUENCE)
    await scenario.enroll("story", phone(1))
    device, story = f"device:{scenario.device}", "sequence:story"
    page = await shown(scenario, device)
    gap = "\N{NO-BREAK SPACE}" * 2
    assert "One message in 10 to 20 s; sends from 08:00 to 22:00 Asia/Tokyo" in page
    assert f"| sent today | {gap}0 of 300 |" in page
    assert f"| contacts under way | {gap}1 |" in page
    assert "Last sent" not in page
    await scenario.pool.execute(
        "insert into broadcast_messages (id, sequence_stepid, sequence_contact_id, lead_id, recipient_phone, device_id,"
        " status, due_at) select gen_random_uuid(), c.next_step_id, c.id, c.lead_id, c.phone, c.device_id, 'queued', $1"
        " from sequence_contacts c",
        NOON,
    )
    await scenario.pool.execute(
        "update devices set last_send_at = now()"
    )  # an attempt, which the gateway refused
    page = await shown(scenario, device)
    assert (f"| due, and waiting | {gap}1 |" in page, "Last sent" in page) == (True, False)
    await scenario.pool.execute("update sequence_contacts set paused_at = now()")
    page = await shown(scenario, device)
    assert f"| due, and waiting | {gap}0 |" in page
    assert f"| held, not by the device | {gap}1 |" in page
    assert "is through" not in page, "it is not the device that it waits for"
    await scenario.pool.execute("update sequence_contacts set paused_at = null")
    await scenario.pool.execute("update broadcast_messages set status = 'sent', sent_at = $1", NOON)
    assert "Last sent 2026-11-30 13:00:00" in await shown(scenario, device)
    await scenario.pool.execute(
        "update devices set faults = 2, status = 'paused', status_reason = 'logged out'"
    )
    page = await shown(scenario, device)
    assert "- **paused**: logged out" in page
    assert "2 failures of its own in a row; the third parks it" in page
    page = await shown(scenario, story)
    assert f"| **hello** day 1 | {gap}1 |" in page
    assert "- 1 contact under way" in page
    states = {(one.kind, one.name): one.state for one in await not_shown(scenario.pool)}
    assert states == {("device", scenario.device): "paused", ("sequence", "story"): "active"}
    for one in await not_shown(scenario.pool):
        await note_shown(scenario.pool, one)
    assert await not_shown(scenario.pool) == []
    await scenario.pool.execute("update devices set replaced_by = null, status = 'active'")
    assert [one.state for one in await not_shown(scenario.pool)] == ["active"]
    await forget_shown(scenario.pool)
    assert len(await not_shown(scenario.pool)) == 2


def test_markdown_has_no_markup_of_others_and_a_gap_between_columns() -> None:
    assert escape_markdown("a|b\n*c*") == r"a\|b\*c\*"
    gap = "\N{NO-BREAK SPACE}" * 2
    assert markdown_table(("A", "B"), [("x", "1")]) == f"| A | {gap}B |\n| :-- | --: |\n| x | {gap}1 |"
    assert markdown_list("a", "", "b") == "- a\n- b"
