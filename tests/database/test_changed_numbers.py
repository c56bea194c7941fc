"""A recipient's number changes: lead, enrollments, opt-outs and conversation go along, and nothing is sent twice."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from cli.contact_page import contact_page
from messaging.common.database import Pool
from messaging.common.errors import InvalidInput, NotFound
from messaging.common.keywords import DEFAULT_KEYWORDS
from messaging.gateways.webhook_events import InboundMessage
from messaging.leads.csv_import import ImportOptions, import_file
from messaging.leads.lead import Lead
from messaging.leads.opt_outs import opt_out_owner, record_opt_out, record_opt_outs
from messaging.replies.numbers import ChangedNumber
from messaging.replies.record import RecordedInbound, record_inbound
from messaging.replies.renaming import rename_phone
from messaging.reporting.audit import lost_leads, lost_steps, sent_twice, totals
from messaging.reporting.contact import contact_report
from messaging.selection.opt_outs import opt_out_leads
from messaging.selection.selection import Selection
from messaging.sending.outcomes import Settled
from messaging.sequences.contract import Enrolled, EnrollmentRequest, Replanned, StepRef, SweepCursor
from messaging.sequences.enrollments import Enrollments
from messaging.sequences.triggers import due_enrollments
from rig.people import phone
from rig.waiting import until
from tests.support.contact import NOON, Contact
from tests.support.replies import inbound

OLD, NEW, NEWER = phone(1), phone(2), phone(3)


def changed(old: str, new: str, *, after: float = 0, identifier: str = "", **others: Any) -> InboundMessage:
    """What the Cloud API says of a changed number."""
    return inbound(
        identifier or f"from {old} to {new} at {after}",
        old,
        f"User A changed from {old} to {new}",
        kind="number_changed",
        payload=new,
        identities=(f"wa_id:{old[1:]}",),
        after=after,
        **others,
    )


async def record(contact: Contact, *messages: InboundMessage) -> RecordedInbound:
    async with contact.scenario.pool.acquire() as connection:
        return await record_inbound(
            connection, "simulated", contact.scenario.device, messages, DEFAULT_KEYWORDS
        )


async def leads(pool: Pool) -> list[str]:
    return [row["phone"] for row in await pool.fetch("select phone from leads order by id")]


async def send_next(contact: Contact, ref: StepRef | None = None) -> Any:
    """The next step, when it is due, as the contact's workflow would send it: its phone is the one that it began with."""
    ref = ref or contact.ref()
    outcome = await contact.activities.send_step(ref)
    if isinstance(outcome, Replanned) and outcome.next is not None:
        ref = ref.model_copy(update={"step_id": outcome.next.step_id, "revision": outcome.next.revision})
        outcome = await contact.activities.send_step(ref)
    assert isinstance(outcome, Settled), outcome
    if ref.enrollment_id == contact.ref().enrollment_id:
        contact.due = outcome.next
    return outcome


async def arrived(contact: Contact) -> list[tuple[str, str]]:
    return [(row["phone"], row["text"]) for row in await contact.scenario.accepted()]


async def audited(pool: Pool) -> None:
    """What the audit finds in the ledger."""
    assert await sent_twice(pool, "step") == await sent_twice(pool, "campaign") == []
    assert await lost_steps(pool) == await lost_leads(pool) == []
    assert (await totals(pool)).adds_up, await totals(pool)


async def test_a_contact_goes_on_under_the_new_number(contact: Contact) -> None:
    pool = contact.scenario.pool
    await send_next(contact)
    await record(
        contact, inbound("in-1", OLD, "\U0001f44d", after=1, kind="reaction"), changed(OLD, NEW, after=2)
    )
    assert await leads(pool) == [NEW]
    [enrollment] = await pool.fetch("select * from sequence_contacts")
    assert (enrollment["phone"], enrollment["status"]) == (NEW, "active")
    [review] = await pool.fetch("select to_review from inbound_messages where kind = 'number_changed'")
    assert review["to_review"] is None, "nobody has to do anything"
    contact.now += timedelta(hours=1)
    await send_next(contact)
    assert await arrived(contact) == [(OLD, "Hi Aisha"), (NEW, "More")]
    assert {row["recipient_phone"] for row in await contact.scenario.messages()} == {NEW}
    assert [row["phone"] for row in await pool.fetch("select phone from inbound_messages")] == [NEW, NEW]
    await audited(pool)


async def test_the_same_report_again_and_by_another_of_our_numbers_changes_nothing(contact: Contact) -> None:
    pool = contact.scenario.pool
    await record(contact, inbound("stop", OLD, "STOP"), changed(OLD, NEW, after=1))
    assert await pool.fetchval("select count(*) from suppressions where phone = $1", NEW) == 1
    await record(contact, inbound("start", NEW, "START", after=5))
    before = await state(pool)
    await record(contact, changed(OLD, NEW, after=1), changed(OLD, NEW, after=3, identifier="another"))
    assert await state(pool) == before
    assert await pool.fetchval("select count(*) from suppressions where phone = $1", NEW) == 0
    assert await pool.fetchval("select count(*) from inbound_messages where to_review is not null") == 0


async def state(pool: Pool) -> list[Any]:
    queries = (
        "select id, phone, name from leads order by id",
        "select id, phone, key_phone, status from sequence_contacts order by id",
        "select id, recipient_phone, status from broadcast_messages order by id",
        "select phone, source from suppressions order by 1, 2",
        "select old_phone, new_phone from phone_changes order by 1",
    )
    return [[tuple(row) for row in await pool.fetch(query)] for query in queries]


async def test_changes_that_follow_each_other_lead_to_the_last_in_any_order(contact: Contact) -> None:
    pool = contact.scenario.pool
    await send_next(contact)
    reports = [
        changed(OLD, NEW, after=10),
        changed(NEW, NEWER, after=20),
        inbound("stop", OLD, "STOP", after=5),
    ]
    for order in itertools.permutations(reports):
        await pool.execute("truncate inbound_messages, suppressions, identities, phone_changes")
        await pool.execute("update leads set phone = $1", OLD)
        await pool.execute(
            "update sequence_contacts set phone = $1, key_phone = null, status = 'active', ended_at = null",
            OLD,
        )
        await pool.execute("update broadcast_messages set recipient_phone = $1, key_phone = null", OLD)
        await record(contact, *order)
        assert await leads(pool) == [NEWER], [one.text for one in order]
        assert await pool.fetchval("select phone from sequence_contacts") == NEWER
        assert await pool.fetchval("select status from sequence_contacts") == "opted_out"
        assert await pool.fetchval("select recipient_phone from broadcast_messages") == NEWER
        opted_out = {row["phone"] for row in await pool.fetch("select phone from suppressions")}
        assert {OLD, NEWER} <= opted_out


async def test_back_to_the_old_number(contact: Contact) -> None:
    pool = contact.scenario.pool
    reports = [changed(OLD, NEW, after=10), changed(NEW, OLD, after=20)]
    for order in (reports, reports[::-1]):
        await pool.execute("truncate inbound_messages, suppressions, phone_changes")
        await record(contact, *order)
        assert await leads(pool) == [OLD]
        assert await pool.fetchval("select present_phone($1)", NEW) == OLD


@pytest.mark.parametrize("sent", [0, 1])
async def test_an_enrollment_under_the_new_number_was_there_before(contact: Contact, sent: int) -> None:
    """Temporal may have forgotten the workflow; both numbers find the enrollment."""
    pool = contact.scenario.pool
    for _ in range(sent):
        await send_next(contact)
    await record(contact, changed(OLD, NEW))
    for number in (NEW, OLD):
        again = await contact.scenario.enroll("welcome", number, run="another", now=contact.now)
        assert again.duplicate
    assert await leads(pool) == [NEW]
    assert await pool.fetchval("select count(*) from sequence_contacts") == 1


async def test_the_old_number_means_the_new_one_where_it_is_named_again(contact: Contact) -> None:
    """A file or a service may have the old number for years."""
    await record(contact, changed(OLD, NEW))
    await contact.scenario.apply("sequence: second\nsteps:\n  - {id: one, day: 1, text: One}\n")
    enrolled = await contact.scenario.enroll("second", OLD, run="run-2", now=contact.now)
    assert not enrolled.duplicate
    assert enrolled.next is not None
    assert await leads(contact.scenario.pool) == [NEW]
    ref = StepRef(
        enrollment_id=enrolled.enrollment_id,
        step_id=enrolled.next.step_id,
        revision=enrolled.next.revision,
        phone=OLD,
        device_id=enrolled.device_id,
    )
    await send_next(contact, ref)
    assert await arrived(contact) == [(NEW, "One")]
    again = await contact.scenario.enroll("second", NEW, run="run-3", now=contact.now)
    assert again.duplicate
    await audited(contact.scenario.pool)


async def test_both_numbers_in_one_sequence(contact: Contact) -> None:
    """The old number has had the first step, the new one has not: it does not get it again, and goes on with the second."""
    pool = contact.scenario.pool
    first = contact.ref()
    await send_next(contact)
    other = await contact.scenario.enroll("welcome", NEW, run="run-2", now=contact.now, name="Aisha again")
    assert other.next is not None
    await record(contact, changed(OLD, NEW, after=1))
    assert await leads(pool) == [NEW]
    rows = await pool.fetch("select phone, status, paused_reason from sequence_contacts order by id")
    assert [(row["phone"], row["status"]) for row in rows] == [(OLD, "active"), (NEW, "active")]
    assert rows[0]["paused_reason"] == f"its owner has the phone {NEW} now, which is in the sequence too"
    assert rows[1]["paused_reason"] is None
    [review] = await pool.fetch("select to_review, reviewed_at from inbound_messages")
    assert tuple(review) == ("numbers_joined", None), "a person looks at it"
    await audited(pool)
    ref = first.model_copy(update={"enrollment_id": other.enrollment_id, "phone": NEW})
    outcome = await send_next(contact, ref)
    assert (outcome.status, outcome.next.step) == ("cancelled", "more")
    contact.now += timedelta(hours=2)
    await send_next(contact, ref.model_copy(update={"step_id": outcome.next.step_id}))
    assert await arrived(contact) == [(OLD, "Hi Aisha"), (NEW, "More")]
    await audited(pool)


@pytest.mark.parametrize("somebody_else", [False, True], ids=["", "somebody else has the first number"])
async def test_a_lead_that_became_one_with_another_becomes_one_with_a_third(
    contact: Contact, somebody_else: bool
) -> None:
    """What is kept under its first number goes along, though that is neither of the two, nor perhaps theirs any more."""
    pool = contact.scenario.pool
    await send_next(contact)
    await contact.scenario.enroll("welcome", NEW, run="run-2", now=contact.now)
    await record(contact, changed(OLD, NEW, after=1))
    if somebody_else:
        await record(contact, inbound("in-1", OLD, "Hello", after=5))
    await contact.scenario.enroll("welcome", NEWER, run="run-3", now=contact.now)
    await record(contact, changed(NEW, NEWER, after=10))
    assert await leads(pool) == [NEWER]
    kept = await pool.fetch("select phone, lead_id from sequence_contacts order by id")
    assert [row["phone"] for row in kept] == [OLD, NEW, NEWER]
    sent = await pool.fetch("select recipient_phone, lead_id from broadcast_messages where status = 'sent'")
    assert [row["recipient_phone"] for row in sent] == [OLD]
    lead = await pool.fetchval("select id from leads")
    assert {row["lead_id"] for row in (*kept, *sent)} == {lead}


async def test_both_numbers_wait_for_the_same_step(contact: Contact) -> None:
    pool = contact.scenario.pool
    other = await contact.scenario.enroll("welcome", NEW, run="run-2", now=contact.now)
    await pool.execute(
        "update devices set next_slot_at = $1::timestamptz + interval '1 hour', max_delay = 1", NOON
    )
    ref = contact.ref().model_copy(update={"enrollment_id": other.enrollment_id, "phone": NEW})
    await contact.activities.send_step(contact.ref())
    await contact.activities.send_step(ref)
    await record(contact, changed(OLD, NEW))
    contact.now += timedelta(hours=3)
    await contact.activities.send_step(contact.ref())
    await send_next(contact, ref)
    assert await arrived(contact) == [(NEW, "Hi there")] or await arrived(contact) == [(NEW, "Hi Aisha")]
    await audited(pool)


async def test_a_message_that_is_being_sent_during_the_change_is_not_sent_again(contact: Contact) -> None:
    await contact.claim("another-worker")
    await record(contact, changed(OLD, NEW))
    [row] = await contact.scenario.messages()
    assert (row["recipient_phone"], row["status"]) == (NEW, "processing")
    contact.now += timedelta(minutes=1)
    await send_next(contact)
    assert len(await contact.scenario.messages()) == 1
    assert await arrived(contact) == [(NEW, "Hi Aisha")], "the same message, by the same key"


async def test_no_row_for_the_new_number_can_be_made_beside_the_moved_one(contact: Contact) -> None:
    """Even by a message ID that derives from the new number: the unique index compares the phone."""
    pool = contact.scenario.pool
    step = contact.ref().step_id
    await send_next(contact)
    await record(contact, changed(OLD, NEW))
    insert = (
        "insert into broadcast_messages (id, sequence_stepid, sequence_contact_id, lead_id, recipient_phone, device_id, due_at)"
        " select gen_random_uuid(), $1, id, lead_id, phone, $2, now() from sequence_contacts on conflict do nothing"
    )
    other = await contact.scenario.add_device(device="another-device")
    assert await pool.execute(insert, step, other) == "INSERT 0 0"


async def test_an_opt_out_of_either_number_holds_for_the_contact(contact: Contact) -> None:
    pool = contact.scenario.pool
    async with pool.acquire() as connection:
        await record_opt_out(connection, NEW, "called us")
    result = await record(contact, changed(OLD, NEW))
    assert await pool.fetchval("select status from sequence_contacts") == "opted_out"
    assert await Enrollments(pool).replan(contact.ref().enrollment_id, now=None) is None
    del result


async def test_an_operators_opt_out_goes_along_and_is_taken_back_for_good(contact: Contact) -> None:
    pool = contact.scenario.pool
    async with pool.acquire() as connection:
        await record_opt_out(connection, OLD, "called us")
    await record(contact, changed(OLD, NEW))
    assert await pool.fetchval("select reason from suppressions where phone = $1", NEW) == "called us"
    await pool.execute("delete from suppressions where phone = $1", NEW)
    await pool.execute("insert into leads (phone) values ($1)", OLD)  # as an import during the change may
    await record(contact, changed(OLD, NEW, after=9, identifier="again"))
    assert await leads(pool) == [NEW], "what was left behind follows"
    assert await pool.fetchval("select count(*) from suppressions where phone = $1", NEW) == 0


async def test_a_start_from_the_new_number_counts_though_it_comes_first(contact: Contact) -> None:
    await record(
        contact,
        inbound("stop", OLD, "STOP"),
        inbound("start", NEW, "START", after=20),
        changed(OLD, NEW, after=10),
    )
    assert (
        await contact.scenario.pool.fetchval("select count(*) from suppressions where phone = $1", NEW) == 0
    )


async def test_a_stop_from_the_old_number_that_comes_late(contact: Contact) -> None:
    await record(contact, changed(OLD, NEW, after=10), inbound("stop", OLD, "STOP", after=5))
    assert await contact.scenario.pool.fetchval("select status from sequence_contacts") == "opted_out"


async def test_somebody_else_has_the_old_number_now(contact: Contact) -> None:
    """What they write is not the lead's, and the number does not stand for the lead any more."""
    pool = contact.scenario.pool
    await record(contact, changed(OLD, NEW, after=10), inbound("in-1", OLD, "STOP", after=10**6))
    assert await pool.fetchval("select status from sequence_contacts") == "active"
    row = await pool.fetchrow(
        "select phone, to_review from inbound_messages where gateway_message_id = 'in-1'"
    )
    assert row is not None
    assert tuple(row) == (OLD, "unmatched")
    assert await pool.fetchval("select present_phone($1)", OLD) == OLD
    assert (await contact.scenario.enroll("welcome", OLD, run="another", now=contact.now)).duplicate


async def test_a_later_owner_is_not_wanted_where_the_former_one_was(contact: Contact) -> None:
    """The workflow's ID is used, so nobody could take the enrollment."""
    pool = contact.scenario.pool
    source = "sequence: second\nkeyword: VITAC\ntrigger: VIT\nsteps:\n  - {id: one, day: 1, text: One}\n"
    await contact.scenario.apply(source)
    await contact.scenario.enroll("second", OLD, now=contact.now)
    await record(contact, changed(OLD, NEW, after=10))
    later = await record(contact, inbound("in-1", OLD, "VITAC", after=10**6))
    assert sorted(await leads(pool)) == [OLD, NEW]
    assert later.then.wanted == ()
    assert await pool.fetchval("select count(*) from wanted_enrollments") == 0
    assert (
        await pool.fetchval("select to_review from inbound_messages where meaning = 'enroll'")
        == "not_enrolled"
    )
    await pool.execute("update leads set triggers = '{VIT}'")
    assert (await due_enrollments(pool, SweepCursor())).requests == []


async def test_a_number_that_was_written_from_since_is_left_to_a_person(contact: Contact) -> None:
    pool = contact.scenario.pool
    names = (f"wa_id:{OLD[1:]}",)
    await record(
        contact, inbound("in-1", OLD, "Me again", after=60, identities=names), changed(OLD, NEW, after=10)
    )
    assert await leads(pool) == [OLD]
    assert (
        await pool.fetchval("select to_review from inbound_messages where kind = 'number_changed'")
        == "number_changed"
    )
    assert await pool.fetchval("select count(*) from phone_changes") == 0


@pytest.mark.parametrize("new", ["US.13491208655302741918", "", "12", OLD])
async def test_a_report_without_a_usable_number_is_left_to_a_person(contact: Contact, new: str) -> None:
    await record(contact, changed(OLD, new))
    assert await leads(contact.scenario.pool) == [OLD]
    [row] = await contact.scenario.pool.fetch("select to_review from inbound_messages")
    assert row["to_review"] == ("number_changed" if new != OLD else None)


async def test_a_number_that_is_no_lead_is_unmatched_and_remembered(contact: Contact) -> None:
    pool = contact.scenario.pool
    await record(contact, changed(NEW, NEWER))
    assert await pool.fetchval("select to_review from inbound_messages") == "unmatched"
    assert (await contact.scenario.enroll("welcome", NEW, run="run-9", now=contact.now)).next is not None
    assert await leads(pool) == [OLD, NEWER]


CAMPAIGN = """
campaign: sale
target: {niche: VITAC}
text: Sale
"""


async def test_campaigns_reach_a_person_once(contact: Contact) -> None:
    pool = contact.scenario.pool
    await pool.execute("update leads set niches = '{VITAC}'")
    await pool.execute(
        "insert into leads (phone, niches, device_id) values ($1, '{VITAC}', $2)",
        NEW,
        contact.scenario.device,
    )
    await contact.scenario.apply_campaign(CAMPAIGN)
    campaign = await pool.fetchval(
        "update campaigns set status = 'running', shards = 1, frozen_at = now(), audience = jsonb_build_object($1::text, 2) returning id",
        contact.scenario.device,
    )
    await pool.execute(
        "insert into broadcast_messages (id, campaign_id, lead_id, recipient_phone, device_id, due_at, campaign_shard, campaign_position)"
        " select campaign_message_id($1, phone), $1, id, phone, device_id, now(), 0, id from leads",
        campaign,
    )
    ids = {row["recipient_phone"]: row["id"] for row in await contact.scenario.messages()}
    await contact.sender.send_stored(ids[OLD])
    await record(contact, changed(OLD, NEW, after=1))
    await contact.sender.send_stored(ids[NEW])
    assert await arrived(contact) == [(OLD, "Sale")]
    statuses = {row["id"]: row["status"] for row in await contact.scenario.messages()}
    assert statuses == {ids[OLD]: "sent", ids[NEW]: "cancelled"}
    await audited(pool)


async def test_a_campaigns_message_that_waits_goes_to_the_new_number(contact: Contact) -> None:
    pool = contact.scenario.pool
    await contact.scenario.apply_campaign(CAMPAIGN)
    campaign = await pool.fetchval(
        "update campaigns set status = 'running', shards = 1, frozen_at = now(), audience = jsonb_build_object($1::text, 1) returning id",
        contact.scenario.device,
    )
    await pool.execute(
        "insert into broadcast_messages (id, campaign_id, lead_id, recipient_phone, device_id, due_at, campaign_shard, campaign_position)"
        " select campaign_message_id($1, phone), $1, id, phone, device_id, now(), 0, id from leads",
        campaign,
    )
    [row] = await contact.scenario.messages()
    await record(contact, changed(OLD, NEW))
    await contact.sender.send_stored(row["id"])
    assert await arrived(contact) == [(NEW, "Sale")]
    [after] = await contact.scenario.messages()
    assert (after["recipient_phone"], after["key_phone"]) == (NEW, OLD), "its workflow is campaign:sale:OLD"
    await pool.execute("update broadcast_messages set status = 'queued', sent_at = null")
    async with pool.acquire() as connection, connection.transaction():
        done = await record_opt_outs(connection, [NEW], "asked by phone")
    assert done.workflows == [f"campaign:sale:{OLD}"], "which waits for its slot"


async def rename(pool: Pool, old: str, new: str) -> ChangedNumber:
    """As an operator does."""
    async with pool.acquire() as connection:
        changed, _ = await rename_phone(connection, old, new)
    return changed


async def test_an_operator_does_the_same_by_hand(contact: Contact) -> None:
    pool = contact.scenario.pool
    await send_next(contact)
    await record(contact, changed(OLD, "unknown", after=1))
    assert await pool.fetchval("select count(*) from inbound_messages where reviewed_at is null") == 1
    with pytest.raises(NotFound, match=f"there is no lead with the phone \\{NEWER}"):
        await rename(pool, NEWER, NEW)
    with pytest.raises(InvalidInput, match="both are"):
        await rename(pool, OLD, OLD)
    done = await rename(pool, OLD, NEW)
    assert (done.news, done.lead, done.joined, done.contacts, done.messages) == (True, True, False, 1, 1)
    assert await pool.fetchval("select count(*) from inbound_messages where reviewed_at is null") == 0
    assert not (await rename(pool, OLD, NEW)).news, "again, it changes nothing"
    assert (await rename(pool, OLD, NEWER)).new == NEWER, "the old number stands for the lead"
    assert await leads(pool) == [NEWER]
    assert (await rename(pool, NEWER, OLD)).new == OLD, "and back to the first one"
    assert await leads(pool) == [OLD]
    assert await pool.fetchval("select present_phone($1)", NEW) == OLD
    contact.now += timedelta(hours=1)
    await send_next(contact)
    assert await arrived(contact) == [(OLD, "Hi Aisha"), (OLD, "More")]
    await audited(pool)


async def test_a_stop_and_an_operators_opt_out_while_the_number_is_changed_by_hand(contact: Contact) -> None:
    """They wait for the change, and count for the number that the lead has then."""
    pool = contact.scenario.pool
    stop = inbound("in-1", OLD, "STOP", after=1)
    await beside_a_change(pool, lambda: record(contact, stop), lambda: opt_out(pool))
    rows = await pool.fetch("select phone, source from suppressions where phone = $1 order by source", NEW)
    assert [row["source"] for row in rows] == ["operator", "reply"]
    assert await pool.fetchval("select status from sequence_contacts") == "opted_out"


async def test_an_opt_out_of_many_while_a_number_is_changed(contact: Contact) -> None:
    pool = contact.scenario.pool

    async def opt_out_everybody() -> None:
        async with pool.acquire() as connection:
            done = await opt_out_leads(connection, Selection(sequence="welcome"), "asked by phone")
        assert done.phones == [NEW]

    await beside_a_change(pool, opt_out_everybody)
    assert await pool.fetchval("select phone from suppressions") == NEW
    assert await pool.fetchval("select status from sequence_contacts") == "opted_out"


async def beside_a_change(pool: Pool, *work: Callable[[], Awaitable[object]]) -> None:
    """Begins the work while the number is being changed, and ends the change when all of it waits for that."""
    async with pool.acquire() as connection:
        async with connection.transaction():
            await rename_phone(connection, OLD, NEW)
            all_of_it = asyncio.gather(*(one() for one in work))

            async def wait() -> bool:
                waiting = await pool.fetchval(
                    "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
                )
                return all_of_it.done() or waiting == len(work)

            await until(wait)
        await all_of_it


async def opt_out(pool: Pool) -> None:
    async with pool.acquire() as connection:
        assert (await opt_out_owner(connection, OLD, "asked by phone"))[0] == NEW


async def test_contact_shows_both_numbers_as_one_conversation(contact: Contact) -> None:
    pool = contact.scenario.pool
    await send_next(contact)
    await contact.scenario.enroll("welcome", NEW, run="run-2", now=contact.now)
    await record(contact, inbound("in-1", OLD, "Hello", after=1), changed(OLD, NEW, after=2))
    of_new, of_old = await contact_report(pool, NEW, NEW), await contact_report(pool, OLD, OLD)
    assert of_new == of_old
    assert of_new.phone == NEW
    assert [one.phone for one in of_new.former_phones] == [OLD]
    assert [(one.status, one.paused_at is not None) for one in of_new.enrollments] == [
        ("active", True),
        ("active", False),
    ]
    assert [(one.phone, one.status) for one in of_new.messages] == [(OLD, "sent"), (NEW, "cancelled")]
    assert of_new.inbound[0].text == "Hello"
    assert f"Had the number {OLD} until" in contact_page(of_old)


async def test_a_file_with_the_old_number_is_about_the_lead(contact: Contact, tmp_path: Path) -> None:
    pool = contact.scenario.pool
    await contact.scenario.apply(
        "sequence: second\ntrigger: AGAIN\nsteps:\n  - {id: one, day: 1, text: One}\n"
    )
    await record(contact, changed(OLD, NEW))
    file = tmp_path / "leads.csv"
    file.write_text(f"phone,name,triggers\n{OLD},Aisha Tan,AGAIN\n{NEW},,\n{NEWER},Ben,\n")
    summary = await import_file(pool, file, ImportOptions(device=contact.scenario.device))
    assert (summary.imported, summary.updated, summary.repeats) == (1, 1, 1)
    assert await leads(pool) == [NEW, NEWER]
    assert await pool.fetchval("select name from leads where phone = $1", NEW) == "Aisha Tan"
    [note] = [note for note in summary.notes if note.kind == "changed_number"]
    assert (note.count, note.examples) == (1, (f"row 1: '{OLD}' is {NEW} now",))


async def test_an_old_number_that_was_stored_meanwhile_is_in_no_audience(contact: Contact) -> None:
    """An import that ran while the number changed."""
    pool = contact.scenario.pool
    await record(contact, changed(OLD, NEW))
    await pool.execute("insert into leads (phone, device_id) values ($1, $2)", OLD, contact.scenario.device)
    await contact.scenario.apply_campaign("campaign: sale\ntarget: {status: all}\ntext: Sale\n")
    rows = await pool.fetch("select phone from campaigns c, campaign_audience(c.id)")
    assert [row["phone"] for row in rows] == [NEW]
    await rename(pool, OLD, NEWER)
    assert await leads(pool) == [NEWER]


async def test_reports_sends_and_enrollments_at_the_same_moment(contact: Contact) -> None:
    """Whatever comes first, the person is one lead and gets each step once."""
    pool = contact.scenario.pool
    await contact.scenario.apply("sequence: second\nsteps:\n  - {id: one, day: 1, text: One}\n")

    async def enroll(number: str, run: str) -> None:
        request = EnrollmentRequest(
            sequence="second", lead=Lead(phone=number, device_id=contact.scenario.device)
        )
        enrolled = await Enrollments(pool).enroll(
            request, workflow_id=f"sequence:second:{number}", run_id=run, now=contact.now
        )
        assert isinstance(enrolled, Enrolled)
        if not enrolled.duplicate and enrolled.next is not None:
            ref = StepRef(
                enrollment_id=enrolled.enrollment_id,
                step_id=enrolled.next.step_id,
                revision=enrolled.next.revision,
                phone=number,
                device_id=enrolled.device_id,
            )
            await contact.activities.send_step(ref)

    await asyncio.gather(
        send_next(contact),
        *(record(contact, changed(OLD, NEW, identifier=f"report-{index}")) for index in range(4)),
        enroll(OLD, "run-2"),
        enroll(OLD, "run-3"),
        enroll(OLD, "run-4"),
    )
    await enroll(NEW, "run-5")
    assert await leads(pool) == [NEW]
    assert sorted(text for _, text in await arrived(contact)) == ["Hi Aisha", "One"]
    assert await pool.fetchval("select count(*) from phone_changes") == 1
    await audited(pool)


async def test_a_row_is_not_made_for_the_number_that_the_contact_had(contact: Contact) -> None:
    """A claim has read the contact before the change, and makes the row after it."""
    pool, ref = contact.scenario.pool, contact.ref()
    async with pool.acquire() as connection:
        await connection.execute("create temporary table read_before as select * from sequence_contacts")
        await record(contact, changed(OLD, NEW))
        told = await connection.fetchval(
            "select create_step_message(jsonb_populate_record(null::sequence_contacts, to_jsonb(c)), $1, $2, gen_random_uuid())"
            " from read_before c",
            ref.step_id,
            ref.revision,
        )
    assert told == {"outcome": "replanned"}
    assert await contact.scenario.messages() == []
    await send_next(contact)
    assert await arrived(contact) == [(NEW, "Hi Aisha")]


async def test_an_older_report_that_comes_late_changes_nothing(contact: Contact) -> None:
    await record(contact, changed(OLD, NEWER, after=20), changed(OLD, NEW, after=10))
    assert await leads(contact.scenario.pool) == [NEWER]


async def test_a_change_waits_for_an_enrollment_that_has_begun(contact: Contact) -> None:
    """The enrollment would be stored under the old number otherwise, after everything else has moved."""
    pool = contact.scenario.pool
    async with pool.acquire() as connection, connection.transaction():
        assert await connection.fetchval("select hold_phone($1)", OLD) == OLD
        change = asyncio.create_task(record(contact, changed(OLD, NEW)))

        async def waits() -> bool:
            return bool(
                await pool.fetchval(
                    "select exists (select from pg_locks where locktype = 'advisory' and not granted)"
                )
            )

        await until(waits)
        assert not change.done()
    await change
    assert await leads(pool) == [NEW]
