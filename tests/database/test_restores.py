"""A ledger that was restored to an earlier moment: it is found out, and sends nothing that may have been sent."""

from datetime import timedelta
from pathlib import Path
from uuid import UUID

from messaging.leads.lead import Lead
from messaging.reporting.status import status_report
from messaging.reporting.why.report import why_not
from messaging.sending.outcomes import Held, Settled
from messaging.sending.restores import (
    DOUBT,
    Restore,
    confirm_restore,
    doubt_messages,
    find_restore,
    find_restored,
    next_mark,
    note_restore,
    settle_message,
)
from messaging.sequences.contract import EnrollmentRequest, Replanned
from messaging.sequences.doubts import contacts_in_doubt, doubt_steps, enroll_again, go_past_settled
from messaging.sequences.enrollments import Enrollments
from rig.people import phone
from tests.support.backups import dump, put_back
from tests.support.contact import Contact


async def test_a_restored_ledger_holds_everything_until_it_is_confirmed(
    contact: Contact, database_url: str, tmp_path: Path
) -> None:
    pool = contact.scenario.pool
    await pool.execute("select note_ledger_home()")
    await pool.execute("vacuum (full, freeze) ledger_home")
    assert not (await find_restored(pool)).moved
    backup = await dump(database_url, tmp_path / "backup")
    assert isinstance(await contact.send(), Settled)
    assert contact.due is not None
    await pool.expire_connections()
    await put_back(database_url, backup)
    assert (await find_restored(pool)).moved

    outcome = await contact.send()  # by the claim alone: no process has noticed yet
    assert isinstance(outcome, Held)
    assert "restored" in outcome.reason
    assert len(await contact.scenario.accepted()) == 1

    assert await note_restore(pool, "a test")
    assert not await note_restore(pool, "a test")
    assert isinstance(await contact.send(), Held)
    assert "restored" in (await status_report(pool)).attention[0]
    assert "restored" in (await why_not(pool, contact.phone, contact.phone)).sentences[0]
    restore = await find_restore(pool)
    assert restore is not None
    restore = restore._replace(found_at=contact.now)
    (enrollment,) = await contacts_in_doubt(pool, restore)
    await doubt_messages(pool, restore)
    await doubt_steps(pool, enrollment, restore)
    async with pool.acquire() as connection:
        assert await confirm_restore(connection, 41)
    assert await next_mark(pool) == 43

    outcome = await contact.send()
    assert isinstance(outcome, Settled)
    assert (outcome.status.value, outcome.reason) == ("unconfirmed", DOUBT)
    assert outcome.next is not None
    assert outcome.next.step == "more"
    assert len(await contact.scenario.accepted()) == 1, "what may have been sent is not sent again"
    contact.due, contact.now = outcome.next, outcome.next.due_at
    assert isinstance(await contact.send(), Settled)
    assert [row["text"] for row in await contact.scenario.accepted()] == ["Hi Aisha", "More"]


async def test_another_timeline_is_a_restore(contact: Contact) -> None:
    pool = contact.scenario.pool
    await pool.execute("delete from ledger_home")
    await pool.execute(
        "insert into ledger_home (written_by, in_table, timeline)"
        " values (pg_current_xact_id()::text::bigint, 'ledger_home'::regclass, '0000FFFF')"
    )
    assert (await find_restored(pool)).moved
    assert isinstance(await contact.send(), Held)


async def test_new_rows_take_no_number_that_a_restore_has_undone(contact: Contact) -> None:
    pool = contact.scenario.pool
    before = contact.ref()
    await note_restore(pool, "a test")
    after = await contact.scenario.enroll("welcome", phone(2), now=contact.now)
    assert after.enrollment_id > before.enrollment_id + 999_999


async def test_what_was_not_due_is_no_doubt(contact: Contact) -> None:
    pool = contact.scenario.pool
    restore = Restore(1, "a test", None, contact.now - timedelta(seconds=1), None)
    assert await contacts_in_doubt(pool, restore) == []
    assert await doubt_messages(pool, restore) == []


async def test_an_enrollment_that_is_gone_is_stored_under_its_number_and_goes_past_what_was_sent(
    contact: Contact,
) -> None:
    pool = contact.scenario.pool
    ref = contact.ref()
    first = await contact.send()
    assert isinstance(first, Settled)
    await pool.execute("delete from broadcast_messages")
    await pool.execute("delete from sequence_contacts")
    why = await enroll_again(
        pool,
        EnrollmentRequest(
            sequence="welcome", lead=Lead(phone=contact.phone, device_id=contact.scenario.device)
        ),
        enrollment_id=ref.enrollment_id,
        workflow_id=f"sequence:welcome:{contact.phone}",
        run_id="run-1",
        now=contact.now,
    )
    assert why is None
    assert await settle_message(
        pool, UUID(str(first.message_id)), "sent", contact.now, enrollment=ref.enrollment_id, step=ref.step_id
    )
    await go_past_settled(pool, ref.enrollment_id)
    state = await Enrollments(pool).load(ref.enrollment_id, now=contact.now)
    assert (state.step, state.due_at) == ("more", contact.now + timedelta(hours=1))
    assert isinstance(await contact.send(), Settled | Replanned)
    assert len(await contact.scenario.accepted()) == 1
