"""What an opt-out concerns: everything, or marketing only; in every place where it counts."""

import pytest

from messaging.campaigns.audience import freeze_audience
from messaging.campaigns.empty_audience import why_nobody
from messaging.campaigns.store import list_campaigns
from messaging.common.database import Pool
from messaging.common.keywords import DEFAULT_KEYWORDS
from messaging.files.yaml import FileProblems
from messaging.leads.lead import Lead
from messaging.leads.opt_outs import OptOutCategory, RecordedOptOut, record_opt_out, withdraw
from messaging.replies.record import record_inbound
from messaging.reporting.contact import contact_report
from messaging.reporting.status import status_report
from messaging.sending.claim_answers import SettledAlready, StepClaim
from messaging.sending.ledger import Ledger
from messaging.sending.message_ids import sequence_message_id
from messaging.sending.under_way import nothing_begins_any_more
from messaging.sequences.contacts import find_standing
from messaging.sequences.contract import EnrollmentRequest, NotEnrolled, SweepCursor
from messaging.sequences.enrollments import Enrollments
from messaging.sequences.triggers import due_enrollments
from rig.people import phone
from tests.support.contact import SEQUENCE, Contact
from tests.support.replies import inbound
from tests.support.scenario import Scenario

PHONE = phone(1)
ORDERS = SEQUENCE.replace("welcome", "orders").replace("steps:", "category: utility\nsteps:")


async def opt_out(pool: Pool, category: OptOutCategory = "all", number: str = PHONE) -> RecordedOptOut:
    async with pool.acquire() as connection:
        return await record_opt_out(connection, number, "by phone", category=category)


async def statuses(pool: Pool) -> dict[str, str]:
    rows = await pool.fetch(
        "select s.name, c.status from sequence_contacts c join sequences s on s.id = c.sequence_id"
    )
    return {row["name"]: row["status"] for row in rows}


async def claim(contact: Contact) -> object:
    ref = contact.ref()
    return await Ledger(contact.scenario.pool).claim_step(
        enrollment_id=ref.enrollment_id,
        step_id=ref.step_id,
        revision=ref.revision,
        message_id=sequence_message_id(ref.step_id, ref.phone),
        token="an attempt",
        now=contact.now,
    )


async def test_an_opt_out_of_marketing_ends_marketing_only(contact: Contact) -> None:
    """``contact`` is in the sequence welcome, which is marketing as no category is given."""
    pool = contact.scenario.pool
    await contact.scenario.apply(ORDERS)
    await contact.enroll(sequence="orders")
    # Both wait for a turn.
    await contact.scenario.add_device(min_delay=1000, max_delay=1000)
    await pool.execute("update devices set next_slot_at = $1::timestamptz + interval '1 hour'", contact.now)
    orders = contact.enrolled, contact.due
    assert not isinstance(await claim(contact), StepClaim)
    await contact.enroll()
    assert not isinstance(await claim(contact), StepClaim)

    done = await opt_out(pool, "marketing")
    assert (done.changed, done.category, done.ended) == (True, "marketing", 1)
    assert done.workflows == [f"sequence:welcome:{PHONE}"]
    assert await statuses(pool) == {"welcome": "opted_out", "orders": "active"}
    reason = await pool.fetchval("select reason from sequence_contacts where status = 'opted_out'")
    assert reason == "the recipient opted out of marketing messages"
    messages = {row["status"]: row["reason"] for row in await contact.scenario.messages()}
    assert set(messages) == {"suppressed", "queued"}
    assert messages["suppressed"] == "the recipient opted out of marketing messages"

    await pool.execute("update devices set next_slot_at = '-infinity', min_delay = 0, max_delay = 0")
    contact.enrolled, contact.due = orders
    assert isinstance(await claim(contact), StepClaim), "the utility sequence goes on"

    done = await opt_out(pool)
    assert (done.changed, done.category, done.ended) == (True, "all", 1)
    assert await statuses(pool) == {"welcome": "opted_out", "orders": "opted_out"}


async def test_the_claim_goes_by_the_category_that_the_file_has_now(contact: Contact) -> None:
    pool = contact.scenario.pool
    await pool.execute("update sequences set category = 'utility'")
    await opt_out(pool, "marketing")
    assert isinstance(await claim(contact), StepClaim)
    await pool.execute("truncate broadcast_messages")
    await contact.scenario.apply(SEQUENCE)
    contact.due = await Enrollments(pool).replan(contact.enrolled.enrollment_id, now=contact.now)  # type: ignore[union-attr]
    answer = await claim(contact)
    assert isinstance(answer, SettledAlready)
    assert (answer.status, answer.reason) == ("suppressed", "the recipient opted out of marketing messages")


async def test_only_what_the_opt_out_concerns_is_waited_for(contact: Contact) -> None:
    pool = contact.scenario.pool
    await pool.execute("update sequences set category = 'utility'")
    assert isinstance(await claim(contact), StepClaim)
    await pool.execute("update broadcast_messages set claimed_at = clock_timestamp() - interval '4 seconds'")
    await opt_out(pool, "marketing")
    assert await nothing_begins_any_more(pool, phones=[PHONE]) == ()
    await opt_out(pool)
    [one] = await nothing_begins_any_more(pool, phones=[PHONE])
    assert one.what == "welcome / hello"


async def test_who_may_still_be_enrolled(contact: Contact) -> None:
    pool, number = contact.scenario.pool, phone(2)
    await contact.scenario.apply(SEQUENCE.replace("steps:", "trigger: WELCOME\nsteps:"))
    await contact.scenario.apply(ORDERS.replace("steps:", "trigger: ORDERS\nsteps:"))
    await contact.scenario.add_leads(1, first=2)
    await pool.execute("update leads set triggers = '{WELCOME,ORDERS}' where phone = $1", number)
    for category, refused in (("marketing", {"welcome"}), ("all", {"welcome", "orders"})):
        await opt_out(pool, category, number)  # type: ignore[arg-type]
        due = await due_enrollments(pool, SweepCursor())
        assert {one.sequence for one in due.requests} == {"welcome", "orders"} - refused
        assert due.left_out.opted_out == len(refused)
        async with pool.acquire() as connection:
            for sequence in ("welcome", "orders"):
                standing = await find_standing(connection, sequence, number)
                assert standing.opted_out == (sequence in refused)
    for sequence, stored in (("welcome", False), ("orders", True)):
        await withdraw(pool, number)
        await opt_out(pool, "marketing", number)
        request = EnrollmentRequest(sequence=sequence, lead=Lead(phone=number))
        outcome = await Enrollments(pool).enroll(request, workflow_id=f"w-{sequence}", run_id="r", now=None)
        assert isinstance(outcome, NotEnrolled) != stored


async def test_audiences_leave_out_whom_the_opt_out_concerns(scenario: Scenario) -> None:
    pool = scenario.pool
    await scenario.add_device()
    await scenario.add_leads(3)
    await opt_out(pool, "marketing", phone(0))
    await opt_out(pool, "all", phone(1))
    for name, category, left_out in (("sale", "marketing", 2), ("notice", "utility", 1)):
        campaign = f"campaign: {name}\ncategory: {category}\ntarget: {{status: all}}\ntext: Hi\n"
        await scenario.apply_campaign(campaign)
        identifier = await pool.fetchval(
            "update campaigns set status = 'scheduled' where name = $1 returning id", name
        )
        async with pool.acquire() as connection:
            frozen = await freeze_audience(connection, identifier, now=None)
            assert (frozen.leads, frozen.opted_out) == (3 - left_out, left_out)
            [summary] = await list_campaigns(connection, name)
            assert summary.category == category
            with pytest.raises(FileProblems, match="category cannot change any more"):
                await scenario.apply_campaign(
                    campaign.replace(category, {"marketing": "utility"}.get(category, "marketing"))
                )
    for number in (0, 1, 2):
        await opt_out(pool, "marketing", phone(number))
    await scenario.apply_campaign("campaign: spring\ntarget: {status: all}\ntext: Hi\n")
    async with pool.acquire() as connection:
        why = await why_nobody(
            connection, await pool.fetchval("select id from campaigns where name = 'spring'")
        )
    assert why == "3 leads match its target, of them 3 opted out"


async def test_a_keyword_stops_everything_and_a_setting_in_whatsapp_marketing(contact: Contact) -> None:
    pool = contact.scenario.pool
    said = [
        inbound("p-1", PHONE, None, kind="preference", payload="stop"),
        inbound("in-1", PHONE, "STOP", after=60),
    ]
    async with pool.acquire() as connection:
        await record_inbound(connection, "simulated", contact.scenario.device, said[:1], DEFAULT_KEYWORDS)
        assert await statuses(pool) == {"welcome": "opted_out"}
        report = await contact_report(pool, PHONE, PHONE)
        assert [(one.source, one.category) for one in report.opt_outs] == [("preference", "marketing")]
        totals = await status_report(pool)
        assert (totals.opted_out, totals.opted_out_of_marketing) == (0, 1)
        await record_inbound(connection, "simulated", contact.scenario.device, said[1:], DEFAULT_KEYWORDS)
    report = await contact_report(pool, PHONE, PHONE)
    told = [one.id for one in report.inbound]
    assert [(one.source, one.category, one.inbound_message) for one in report.opt_outs] == [
        ("preference", "marketing", told[0]),
        ("reply", "all", told[1]),
    ]
    totals = await status_report(pool)
    assert (totals.opted_out, totals.opted_out_of_marketing) == (1, 0)


async def test_an_opt_out_of_everything_takes_the_place_of_one_of_marketing(contact: Contact) -> None:
    pool = contact.scenario.pool
    first = await opt_out(pool, "marketing")
    await pool.execute("update suppressions set signalled_at = now()")
    again = await opt_out(pool, "marketing")
    more = await opt_out(pool, "all")
    less = await opt_out(pool, "marketing")
    assert [one.changed for one in (first, again, more, less)] == [True, False, True, False]
    assert [one.category for one in (first, again, more, less)] == ["marketing", "marketing", "all", "all"]
    [row] = await pool.fetch("select category, signalled_at from suppressions")
    assert tuple(row) == ("all", None), "what it closed is still to be told"


async def test_undo_takes_back_one_category_or_both(contact: Contact) -> None:
    pool = contact.scenario.pool
    await opt_out(pool)
    await pool.execute(
        "insert into inbound_messages (device_id, gateway_message_id, kind, meaning, sent_at)"
        " values ($1, 'p', 'preference', 'stop', now())",
        contact.scenario.device,
    )
    await pool.execute(
        "insert into suppressions (phone, source, category, inbound_message_id)"
        " select $1, 'preference', 'marketing', id from inbound_messages",
        PHONE,
    )
    assert await withdraw(pool, PHONE, "all") == (True, "marketing")
    assert await withdraw(pool, PHONE, "all") == (False, "marketing")
    assert await withdraw(pool, PHONE, "marketing") == (True, None)
    await opt_out(pool)
    assert await withdraw(pool, PHONE, "marketing") == (False, "all")
    assert await withdraw(pool, PHONE) == (True, None)


async def test_a_category_is_one_of_two(scenario: Scenario) -> None:
    for apply, source in (
        (scenario.apply, SEQUENCE.replace("steps:", "category: utilty\nsteps:")),
        (scenario.apply_campaign, "campaign: a\ncategory: utilty\ntarget: {status: all}\ntext: Hi\n"),
    ):
        with pytest.raises(
            FileProblems, match=r"category: 'utilty' is not known here; did you mean 'utility'\?"
        ):
            await apply(source)
