"""Why a phone did not get its messages: each cause, in sentences, and nothing that only follows from it."""

from datetime import UTC, datetime, timedelta

import pytest

from messaging.campaigns.lifecycle import pause_campaign
from messaging.common.errors import NotFound
from messaging.leads.opt_outs import record_opt_out
from messaging.reporting.why.report import why_not, why_unreadable
from messaging.sequences.contacts import pause_contact
from messaging.sequences.store import set_sequence_status
from rig.people import phone
from tests.support.frozen import running
from tests.support.scenario import Scenario
from tests.support.told import Told

INTRO = "{sequence: intro, trigger: SPRING, steps: [{id: one, day: 1, text: One}, {id: two, after: 2d, text: Two}]}"


async def asked(scenario: Scenario, name: str | None = None, number: int = 0) -> list[str]:
    """All sentences of the answer, those about a sequence or campaign after its name."""
    report = await why_not(scenario.pool, phone(number), phone(number), name)
    return [*report.sentences, *(line for one in report.subjects for line in (one.what, *one.sentences))]


async def changed(scenario: Scenario, statement: str, *arguments: object) -> None:
    await scenario.pool.execute(statement, *arguments)


async def test_a_row_that_was_rejected_and_no_lead(scenario: Scenario) -> None:
    await scenario.apply(INTRO)
    await changed(
        scenario,
        "insert into rejected_rows (phone, digits, written, file, row, reason, rejected_at)"
        " values ($1, '12', '0123', 'leads.csv', 7, 'its niche is too long', '2026-11-30 08:00Z')",
        phone(0),
    )
    assert await asked(scenario, "intro") == [
        "Row 7 below the header of leads.csv ('0123') was rejected on import, 2026-11-30 08:00:00: its niche is too long.",
        f"There is no lead with the phone {phone(0)}, so nothing is sent to it: 'lead import' or 'enroll' makes it one.",
        "sequence intro",
        f"It was never enrolled, since there is no such lead; 'enroll intro {phone(0)}' does it by hand.",
    ]
    unreadable = await why_unreadable(scenario.pool, "12", "too short")
    assert unreadable is not None
    assert unreadable.sentences[0] == "'12' is no phone that can be written to: too short."
    assert await why_unreadable(scenario.pool, "34", "too short") is None


async def test_a_name_that_is_neither_sequence_nor_campaign(scenario: Scenario) -> None:
    await scenario.apply(INTRO)
    with pytest.raises(NotFound, match="there is no sequence or campaign 'intor': did you mean 'intro'"):
        await asked(scenario, "intor")


async def test_why_a_lead_was_never_enrolled(scenario: Scenario) -> None:
    await scenario.add_device()
    await scenario.apply(INTRO)
    await scenario.add_leads(1)

    async def only() -> str:
        sentence: str = (await asked(scenario, "intro"))[-1]
        return sentence

    assert await asked(scenario) == [
        "It is in no sequence and has no trigger of one, and no campaign has written to it or is under way."
    ]
    assert (await only()).startswith(
        "It was never enrolled: the lead does not have the sequence's trigger SPRING (it has none)"
    )
    await changed(scenario, "update leads set triggers = '{SPRING}'")
    assert (
        await only()
        == "It is not enrolled yet: a worker enrolls it by its trigger within a minute, once one runs."
    )
    assert len(await asked(scenario)) == 2, "a sequence whose trigger it has concerns it"
    await scenario.add_device(device="second")
    await changed(scenario, "update leads set device_id = null")
    assert "there is no device to write from" in await only()
    await changed(scenario, "update sequences set status = 'paused', status_reason = 'the template is gone'")
    assert "the sequence is paused: the template is gone; 'sequence resume intro'" in await only()
    await changed(scenario, "update sequences set require_consent = true")
    assert "requires consent" in await only()
    await changed(
        scenario, "insert into refused_enrollments values ('intro', $1, 'there is no device')", phone(0)
    )
    assert await only() == "It was never enrolled: a worker refused the enrollment: there is no device."
    async with scenario.pool.acquire() as connection:
        await record_opt_out(connection, phone(0), "by telephone")
    (opt_out,) = (await why_not(scenario.pool, phone(0), phone(0), "intro")).sentences
    assert opt_out.endswith("by an operator (by telephone), and gets nothing.")


async def test_what_an_enrolled_contact_waits_for(scenario: Scenario) -> None:
    await scenario.add_device()
    await scenario.apply(INTRO)
    now = datetime.now(UTC)
    enrolled = await scenario.enroll("intro", phone(0), now=now)
    first = await asked(scenario, "intro")
    assert first[1].endswith("and is in the sequence.")
    assert first[2].startswith("one comes next, due on ")
    pool = scenario.pool
    await pause_contact(pool, enrolled.enrollment_id, "on holiday")
    async with pool.acquire() as connection:
        await set_sequence_status(connection, "intro", "paused")
    await changed(scenario, "update devices set status = 'paused', status_reason = 'logged out'")
    held = await asked(scenario, "intro")
    assert held[2].startswith("The contact is paused by an operator since ")
    assert held[2].endswith(f": on holiday; 'resume intro {phone(0)}' goes on.")
    assert held[3].startswith("The sequence is paused (by Drumbeat itself on ")
    assert held[3].endswith("); 'sequence resume intro' goes on.")
    device = scenario.device
    assert held[4].startswith(f"Device {device} is paused: logged out (by Drumbeat itself on ")
    assert held[4].endswith(f"); 'device resume {device}' goes on.")
    assert held[5].startswith("one comes next")
    await changed(
        scenario, "update sequence_contacts set paused_reason = 'answered: \"Call me\"', answered_at = now()"
    )
    assert (await asked(scenario, "intro"))[2].startswith("The contact is paused by a reply since ")
    await changed(
        scenario,
        "update sequence_contacts set status = 'stopped', reason = 'moved away', ended_at = now(), next_step_id = null",
    )
    (_, last) = await asked(scenario, "intro")
    assert last.endswith(": moved away: no contact goes through a sequence twice.")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("delivered_at = null", "one was sent on "),
        (
            "delivered_at = '2026-03-02 12:01Z'",
            "and delivered on 2026-03-02 12:01:00; that it was read is not reported.",
        ),
        ("read_at = '2026-03-02 12:02Z'", "and read on 2026-03-02 12:02:00."),
        ("status = 'failed', sent_at = null, reason = 'blocked'", "one failed on "),
        (
            "status = 'unconfirmed', sent_at = null, reason = 'no answer'",
            "one is unconfirmed: no answer. Ask the recipient",
        ),
        (
            "status = 'suppressed', sent_at = null, reason = 'the recipient opted out'",
            "it is suppressed: the recipient opted out.",
        ),
        (
            "status = 'expired', sent_at = null, reason = 'it was to go out before noon'",
            "it is expired: it was to go out before noon.",
        ),
        (
            "status = 'processing', sent_at = null, processing_worker_id = 'w', claimed_at = now()",
            "an attempt is under way",
        ),
    ],
)
async def test_what_became_of_a_message(scenario: Scenario, change: str, said: str) -> None:
    told = Told(scenario)
    await told.begin(1)
    await told.sent("one", 0)
    await changed(scenario, f"update broadcast_messages set {change}")
    assert said in next(line for line in await asked(scenario, "intro") if line.startswith("one "))


async def test_a_message_that_was_not_delivered(scenario: Scenario) -> None:
    told = Told(scenario)
    await told.begin(1)
    await told.sent("sale", 0)
    await told.sent("one", 0)
    said = await asked(scenario)
    assert [line for line in said if "for certain" in line] == [
        "Whether a sent message arrived is not known, as simulated does not report it for certain."
    ], "once"
    await changed(scenario, "update devices set gateway = 'cloud-api'")
    (_, sentence) = await asked(scenario, "sale")
    assert sentence.endswith(
        "has not reported that it was delivered: the phone may be off, or have blocked the number."
    )


async def test_a_message_that_waits(scenario: Scenario) -> None:
    await scenario.add_device()
    await scenario.add_leads(1)
    await running(scenario)
    (_, waits) = await asked(scenario, "sale")
    assert waits.endswith("and waits: the campaign has not come to it yet, as each device sends at its pace.")
    opens = (datetime.now(UTC) + timedelta(hours=2)).replace(second=0, microsecond=0)
    await changed(
        scenario,
        "update devices set opens_at = $1, closes_at = $2",
        opens.time(),
        (opens + timedelta(hours=2)).time(),
    )
    (_, waits) = await asked(scenario, "sale")
    assert f"sends from {opens:%H:%M}" in waits
    assert waits.endswith(f"and goes out on {opens:%Y-%m-%d %H:%M:%S}.")
    async with scenario.pool.acquire() as connection:
        await pause_campaign(connection, "sale")
    _, waits, paused = await asked(scenario, "sale")
    assert waits.endswith("and waits."), "the next sentence says why"
    assert paused.startswith("The campaign is paused (by Drumbeat itself on ")
    assert paused.endswith("); 'campaign resume sale' goes on.")


async def test_which_condition_of_the_target_fails(scenario: Scenario) -> None:
    await scenario.add_device()
    await scenario.add_device(device="second")
    await scenario.add_leads(1, niche="NICHE1")
    source = "{campaign: sale, target: {niche: VITAC, status: customer, devices: [second]}, require_consent: true, text: Hi}"
    await scenario.apply_campaign(source)
    draft = await asked(scenario, "sale")
    assert draft[1:] == [
        "The campaign has not been started: 'campaign start sale' starts it.",
        "As things are, it will not get the message:",
        "The campaign is for the niche VITAC, and the lead has NICHE1.",
        "The campaign is for the status customer, and the lead is a prospect.",
        f"The campaign is for leads of the devices second, and the lead's is {scenario.device}.",
        "The campaign requires consent, and the lead has given none.",
    ]
    await changed(scenario, "update campaigns set status = 'running', frozen_at = now(), shards = 1")
    frozen = await asked(scenario)
    assert frozen[1].startswith(
        "It is not among the leads of the campaign, whose audience was taken when it started, "
    )
    assert frozen[2:] == draft[3:]
    await changed(
        scenario,
        "update leads set niches = '{VITAC}', target_status = 'customer', device_id = 'second', consent_at = now(),"
        " consent_source = 'import'",
    )
    assert (await asked(scenario, "sale"))[2].startswith("It matches the target now, so it did not then")
    await changed(scenario, "update campaigns set frozen_at = now() - interval '1 day'")
    assert (await asked(scenario, "sale"))[2].startswith("The lead was stored only afterwards, ")
    await changed(scenario, "update campaigns set status = 'draft', frozen_at = null, shards = null")
    assert (await asked(scenario, "sale"))[2] == "As things are, it will get the message."


async def test_one_zone_and_each_cause_once(scenario: Scenario) -> None:
    await scenario.add_device()
    await scenario.apply(INTRO)
    await scenario.add_leads(1)
    await changed(scenario, "update leads set time_zone = 'Asia/Kuala_Lumpur'")
    enrolled = await scenario.enroll("intro", phone(0), now=datetime.now(UTC))
    await pause_contact(scenario.pool, enrolled.enrollment_id, "on holiday")
    await changed(
        scenario,
        "insert into broadcast_messages (id, sequence_stepid, sequence_contact_id, lead_id, recipient_phone, device_id, due_at, status)"
        " select gen_random_uuid(), c.next_step_id, c.id, c.lead_id, c.phone, c.device_id, '2026-03-02 12:00Z', 'queued'"
        " from sequence_contacts c",
    )
    await changed(
        scenario, "insert into suppressions (phone, created_at) values ($1, '2026-03-02 18:00Z')", phone(0)
    )
    report = await why_not(scenario.pool, phone(0), phone(0))
    assert report.zone == "Asia/Kuala_Lumpur"
    assert report.sentences[0].startswith("The phone opted out on 2026-03-03 02:00:00 by")
    said = await asked(scenario)
    assert "one was due on 2026-03-02 20:00:00 and waits." in said
    assert sum("on holiday" in line for line in said) == 1
    assert not any("UTC" in line or "Kuala" in line for line in said)
    await changed(scenario, "update sequence_contacts set paused_at = null, paused_reason = null")
    await changed(
        scenario, "update broadcast_messages set waits_for = 'device', slot_at = now() + interval '1 hour'"
    )
    assert any("and waits for its slot, and goes out on " in line for line in await asked(scenario))
