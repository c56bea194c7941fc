"""What meets what: receipts, operators and attempts at the same message, in every order that somebody could think of."""

import asyncio
from datetime import timedelta
from typing import Any, ClassVar
from uuid import UUID

import aiohttp
import asyncpg
import pytest
from yarl import URL

from messaging.campaigns import feed as campaign_feed
from messaging.campaigns import lifecycle as campaigns
from messaging.campaigns.audience import freeze_audience
from messaging.gateways import KINDS, Gateways
from messaging.gateways.base import Capabilities, Images, WrongContent
from messaging.gateways.simulated import SimulatedGateway
from messaging.gateways.webhook_events import Receipt
from messaging.leads.lead import Lead
from messaging.leads.opt_outs import record_opt_out
from messaging.reporting import audit
from messaging.sending import dispatch
from messaging.sending.message_status import MessageStatus
from messaging.sending.outcomes import Held, MessageOutcome, Settled
from messaging.sending.receipts import record_receipts
from messaging.sending.resolutions import resolve_as_sent, send_again
from messaging.sending.send import Sender
from messaging.sequences.contract import Enrolled, EnrollmentEnd, EnrollmentRequest, Replanned
from messaging.sequences.enrollments import Enrollments
from messaging.sequences.store import set_sequence_status
from operations import campaigns as operated
from operations import messages
from operations.audit import audit as held_against_temporal
from rig.people import phone
from rig.waiting import until
from tests.support.campaigns import ready
from tests.support.contact import NOON, Contact
from tests.support.live import Live
from tests.support.replies import no_workflows
from tests.support.unconfirmed import SEQUENCE, settled_as, unconfirmed
from webhooks.endpoint import webhooks
from worker import make_worker


async def in_doubt(contact: Contact) -> UUID:
    """The contact's first message, of which nobody knows; and nothing arrived."""
    await contact.scenario.offer(keys=False, look_up=False)
    await contact.scenario.faults({"kind": "drop"})
    outcome = await contact.send()
    assert isinstance(outcome, Settled)
    assert outcome.status is MessageStatus.UNCONFIRMED
    await contact.scenario.faults()
    return outcome.message_id


async def resend(contact: Contact, message: UUID) -> None:
    async with contact.scenario.pool.acquire() as connection:
        await send_again(connection, message)


async def sent_again(contact: Contact, message: UUID) -> MessageOutcome:
    """What the workflow of a resent message does."""
    return await contact.sender.send_stored(message)


async def campaign_message(contact: Contact) -> UUID:
    """A campaign with one lead, frozen and running."""
    scenario = contact.scenario
    await scenario.pool.execute(
        "insert into leads (phone, name, niches, device_id) values ($1, 'Lina', '{VITAC}', $2)",
        phone(50),
        scenario.device,
    )
    await scenario.apply_campaign('campaign: sale\ntarget: {niche: vitac}\ntext: "Hi {{ name }}"\n')
    async with scenario.pool.acquire() as connection:
        await campaigns.begin_campaign(connection, "sale", start_now=True, now=contact.now)
        number = await connection.fetchval("select id from campaigns")
        await freeze_audience(connection, number, now=contact.now)
        message = await connection.fetchval("select id from broadcast_messages where campaign_id is not null")
    assert isinstance(message, UUID)
    return message


async def row_of(contact: Contact, message: UUID) -> dict[str, Any]:
    (row,) = [row for row in await contact.scenario.messages() if row["id"] == message]
    return row


async def tell(contact: Contact, *receipts: Receipt) -> int:
    async with contact.scenario.pool.acquire() as connection:
        return await record_receipts(connection, "simulated", receipts)


@pytest.mark.parametrize("ending", ["completed", "stopped"])
async def test_what_is_sent_again_goes_out_after_its_contact_has_ended(contact: Contact, ending: Any) -> None:
    message = await in_doubt(contact)
    await resend(contact, message)
    assert contact.enrolled is not None
    end = EnrollmentEnd(enrollment_id=contact.enrolled.enrollment_id, status=ending)
    await Enrollments(contact.scenario.pool).finish(end, now=contact.now)
    assert isinstance(await sent_again(contact, message), Settled)
    assert (await row_of(contact, message))["status"] == "sent"


async def test_but_not_to_somebody_who_opted_out(contact: Contact) -> None:
    message = await in_doubt(contact)
    await resend(contact, message)
    await contact.scenario.pool.execute("insert into suppressions (phone) values ($1)", contact.phone)
    await sent_again(contact, message)
    assert (await row_of(contact, message))["status"] == "suppressed"
    assert await contact.scenario.accepted() == []


async def test_the_contacts_own_attempt_does_not_send_what_is_sent_again(contact: Contact) -> None:
    """Its word was lost on the way to Temporal, and it comes once more: the contact must not be moved a second time."""
    late = contact.ref()
    message = await in_doubt(contact)
    position = "select next_due_at, timeline, next_step_id from sequence_contacts"
    before = await contact.scenario.pool.fetchrow(position)
    await resend(contact, message)
    contact.now += timedelta(minutes=30)
    assert isinstance(await contact.activities.send_step(late), Settled)
    assert await contact.scenario.pool.fetchrow(position) == before
    assert await contact.scenario.accepted() == []


@pytest.mark.parametrize("leaves", ["stopped", "opted out", "moved on"])
async def test_who_left_before_the_step_was_claimed_is_through(contact: Contact, leaves: str) -> None:
    """An attempt that never came to its claim, as PostgreSQL was away, is repeated; it must not fail for ever."""
    assert contact.enrolled is not None
    pool, enrollments = contact.scenario.pool, Enrollments(contact.scenario.pool)
    if leaves == "stopped":
        end = EnrollmentEnd(enrollment_id=contact.enrolled.enrollment_id, status="stopped")
        await enrollments.finish(end, now=contact.now)
    elif leaves == "opted out":
        async with pool.acquire() as connection:
            await record_opt_out(connection, contact.phone, "wants nothing")
    else:
        await enrollments.move_past(contact.enrolled.enrollment_id, contact.ref().step_id, None, now=NOON)
    outcome = await contact.send()
    assert isinstance(outcome, Replanned)
    assert (outcome.next and outcome.next.step) == ("more" if leaves == "moved on" else None)
    assert await contact.scenario.messages() == []


class TwoParts(SimulatedGateway):
    capabilities: ClassVar[Capabilities] = Capabilities(images=Images.UNSEEN, caption_limit=0)


async def test_a_part_that_was_accepted_is_not_sent_again(
    contact: Contact, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(KINDS, "simulated", TwoParts)
    await contact.scenario.pool.execute("update sequence_steps set image_url = 'https://example.com/a.jpg'")
    await contact.scenario.offer(keys=False, look_up=False)
    sends = 0
    original = SimulatedGateway.send

    async def counted(self: SimulatedGateway, part: Any, *, timeout: float) -> Any:
        nonlocal sends
        sends += 1
        if sends == 2:
            await contact.scenario.faults({"kind": "drop", "count": 1})
        return await original(self, part, timeout=timeout)

    monkeypatch.setattr(SimulatedGateway, "send", counted)
    outcome = await contact.send()
    assert isinstance(outcome, Settled)
    await resend(contact, outcome.message_id)
    monkeypatch.setattr(
        TwoParts, "capabilities", TwoParts.capabilities.model_copy(update={"caption_limit": 1024})
    )
    await sent_again(contact, outcome.message_id)
    got = [(row["text"], row["image_url"]) for row in await contact.scenario.accepted()]
    assert got == [("", "https://example.com/a.jpg"), ("Hi Aisha", None)]


async def test_a_receipt_of_an_earlier_sending_does_not_have_it_sent_a_third_time(contact: Contact) -> None:
    message = await campaign_message(contact)
    await contact.scenario.offer(keys=False, look_up=False)
    await contact.sender.send_stored(message)
    first = (await row_of(contact, message))["gateway_message_id"]
    failed = Receipt(status="failed", at=NOON, message_id=message, gateway_message_id=first, reason="131049")
    assert await tell(contact, failed) == 1
    async with contact.scenario.pool.acquire() as connection:
        assert await campaigns.retry_failed(connection, "sale") == 1
    assert await tell(contact, failed) == 0, "while it waits"
    await contact.sender.send_stored(message)
    assert await tell(contact, failed) == 0, "after it was sent again"
    assert await tell(contact, failed.model_copy(update={"gateway_message_id": None})) == 0
    row = await row_of(contact, message)
    assert (row["status"], row["earlier_gateway_ids"]) == ("sent", [first])
    now = failed.model_copy(update={"gateway_message_id": row["gateway_message_id"]})
    assert await tell(contact, now) == 1, "its own failure counts"


async def test_sent_is_no_news_of_what_failed_and_delivered_is(contact: Contact) -> None:
    message = await in_doubt(contact)
    about: dict[str, Any] = {"message_id": message, "gateway_message_id": "wamid.1"}
    assert await tell(contact, Receipt(status="failed", at=NOON, reason="131049", **about)) == 1
    assert await tell(contact, Receipt(status="sent", at=NOON, **about)) == 0
    assert (await row_of(contact, message))["reason"] == "131049"
    assert await tell(contact, Receipt(status="delivered", at=NOON, **about)) == 1
    assert (await row_of(contact, message))["status"] == "sent"


async def test_a_device_of_another_gateway_cannot_tell_of_it(contact: Contact) -> None:
    message = await in_doubt(contact)
    async with contact.scenario.pool.acquire() as connection:
        receipt = Receipt(status="delivered", at=NOON, message_id=message)
        assert await record_receipts(connection, "cloud-api", [receipt]) == 0


async def test_a_campaign_that_ends_at_this_moment_is_opened_again(contact: Contact) -> None:
    message = await campaign_message(contact)
    pool = contact.scenario.pool
    await pool.execute("update broadcast_messages set status = 'unconfirmed' where id = $1", message)
    async with pool.acquire() as ending, pool.acquire() as operator:
        transaction = ending.transaction()
        await transaction.start()
        assert await campaigns.finish_campaign(ending, await ending.fetchval("select id from campaigns"))
        wish = asyncio.create_task(send_again(operator, message))

        async def waits() -> bool:
            return bool(await pool.fetchval("select count(*) from pg_locks where not granted"))

        await until(waits)
        await transaction.commit()
        await wish
    assert await pool.fetchval("select status from campaigns") == "running"
    # Should it have been missed all the same, the same wish mends it.
    await pool.execute("update campaigns set status = 'finished', ended_at = now()")
    await resend(contact, message)
    assert await pool.fetchval("select status from campaigns") == "running"


async def test_contents_that_are_refused_while_the_campaign_is_cancelled_hold_nobody(
    contact: Contact, monkeypatch: pytest.MonkeyPatch
) -> None:
    message = await campaign_message(contact)
    pool = contact.scenario.pool

    async def refused(*_: object) -> None:
        async with pool.acquire() as connection:
            await campaigns.cancel_campaign(connection, "sale")
            number = await connection.fetchval("select id from campaigns")
        while await campaign_feed.close_page(pool, number):
            pass
        raise WrongContent("there is no such template")

    monkeypatch.setattr(dispatch, "compose", refused)
    assert not isinstance(await contact.sender.send_stored(message), Held)
    await contact.sender.send_stored(message)
    assert (await row_of(contact, message))["status"] == "cancelled"


async def test_contents_that_were_mended_meanwhile_are_not_held_again(
    contact: Contact, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = contact.scenario.pool
    contact.now = await pool.fetchval("select clock_timestamp()")

    async def refused(*_: object) -> None:
        async with pool.acquire() as connection:
            await set_sequence_status(connection, "welcome", "paused")
            await set_sequence_status(connection, "welcome", "active")
        raise WrongContent("there is no such template")

    with monkeypatch.context() as patched:
        patched.setattr(dispatch, "compose", refused)
        await contact.send()
    assert await pool.fetchval("select status from sequences") == "active"


async def test_an_edit_and_a_claim_of_a_held_sequence_do_not_block_each_other(contact: Contact) -> None:
    pool = contact.scenario.pool
    await pool.execute("update sequences set status = 'paused'")
    async with pool.acquire() as editor, editor.transaction():
        await editor.execute("select from sequences where name = 'welcome' for update")
        claim = asyncio.create_task(contact.send())

        async def waits() -> bool:
            return bool(await pool.fetchval("select count(*) from pg_locks where not granted"))

        await until(waits)
        try:
            await editor.execute("select from sequence_steps for update")
        except asyncpg.DeadlockDetectedError:
            pytest.fail("they block each other")
    assert isinstance(await claim, Held)


async def test_an_edit_that_could_not_see_the_contact_yet_is_followed_all_the_same(contact: Contact) -> None:
    scenario = contact.scenario
    later = 'sequence: later\nsteps:\n  - {{id: a, after: {hours}h, text: "Later"}}\n'
    await scenario.apply(later.format(hours=24))
    enrollments = Enrollments(scenario.pool)

    async def enroll(number: str) -> Enrolled:
        request = EnrollmentRequest(sequence="later", lead=Lead(phone=number, device_id=scenario.device))
        enrolled = await enrollments.enroll(request, workflow_id=number, run_id="run", now=contact.now)
        assert isinstance(enrolled, Enrolled)
        return enrolled

    await enroll(phone(7))  # so that the plan is known
    async with scenario.pool.acquire() as other, other.transaction():
        await other.execute("select from leads for update")

        async def waits() -> bool:
            return bool(await scenario.pool.fetchval("select count(*) from pg_locks where not granted"))

        # It knows the sequence already, and waits for its lead.
        enrolling = asyncio.create_task(enroll(contact.phone))
        await until(waits)
        await scenario.apply(later.format(hours=1))
    enrolled = await enrolling
    assert enrolled.next is not None
    assert enrolled.next.due_at == contact.now + timedelta(hours=1)
    row = await scenario.pool.fetchrow(
        "select next_due_at, plan_revision from sequence_contacts where id = $1", enrolled.enrollment_id
    )
    assert tuple(row or ()) == (enrolled.next.due_at, enrolled.next.revision)


async def test_one_that_is_in_doubt_again_counts_as_sent_at_a_moment(contact: Contact) -> None:
    message = await in_doubt(contact)
    await resend(contact, message)
    await contact.scenario.offer(keys=True, look_up=False)
    await contact.scenario.faults({"kind": "drop"})
    await sent_again(contact, message)
    async with contact.scenario.pool.acquire() as connection:
        await resolve_as_sent(connection, message)
    assert (await row_of(contact, message))["sent_at"].year >= 2026


async def test_opted_out_while_in_doubt_and_not_known_to_the_gateway(contact: Contact) -> None:
    """The look-up proves that nothing was sent: then it is suppressed, and not in doubt."""
    await contact.scenario.offer(keys=False, look_up=True)
    await contact.claim()
    await contact.scenario.pool.execute("insert into suppressions (phone) values ($1)", contact.phone)
    for _ in range(2):
        contact.now += timedelta(minutes=1)
        await contact.send()
    assert (await contact.message())["status"] == "suppressed"


async def test_the_audit_knows_of_what_is_sent_again(contact: Contact) -> None:
    message = await in_doubt(contact)
    await resend(contact, message)
    assert await audit.lost_steps(contact.scenario.pool) == []
    assert await audit.resends_under_way(contact.scenario.pool) == [str(message)]


async def test_webhooks_of_names_that_no_device_can_have(contact: Contact) -> None:
    gateways = Gateways()
    async with (
        webhooks(
            contact.scenario.pool, gateways, host="127.0.0.1", port=0, carry_out=no_workflows
        ) as listener,
        aiohttp.ClientSession() as http,
    ):
        url = f"http://127.0.0.1:{listener.port}/webhooks"
        for name in ("%00", "a%0Ab", "%FF", "x" * 200):
            async with http.post(URL(f"{url}/{name}", encoded=True), data=b"{}") as answer:
                assert answer.status == 404
    await gateways.close()


async def test_sent_again_while_its_workflow_is_about_to_end(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    await live.scenario.add_device()
    await live.scenario.apply(SEQUENCE)
    await live.scenario.offer(keys=False, look_up=False)
    await live.scenario.faults({"kind": "drop"})
    gateways = Gateways(live.scenario.simulator_url)
    original = Sender.send_stored
    asked = False

    async def once(self: Sender, message: UUID, **given: Any) -> Any:
        nonlocal asked
        outcome = await original(self, message, **given)
        if not asked and isinstance(outcome, Settled) and outcome.status is MessageStatus.UNCONFIRMED:
            asked = True
            await live.scenario.faults()
            await messages.resolve(live.connection, message, "resend")
        return outcome

    monkeypatch.setattr(Sender, "send_stored", once)
    queue = live.connection.settings.task_queue
    async with make_worker(live.connection.temporal, live.scenario.pool, gateways, task_queue=queue):
        code, _, error = await live.run(
            "starter.py", "enroll", "story", phone(0), "--device", live.scenario.device
        )
        assert code == 0, error
        await settled_as(live, "unconfirmed", 1)
        (row,) = await unconfirmed(live)
        await messages.resolve(live.connection, row["id"], "resend")
        await settled_as(live, "sent", 1)
    await gateways.close()
    assert len(await live.scenario.accepted()) == 1
    assert (await held_against_temporal(live.connection)).kept


async def test_a_campaign_that_is_opened_again_while_its_workflow_looks_how_it_ended(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    await ready(live, 3)
    await live.scenario.offer(keys=False, look_up=False)
    await live.scenario.faults({"kind": "drop", "phone": phone(2)})
    gateways = Gateways(live.scenario.simulator_url)
    original = campaign_feed.progress
    asked = False

    async def progress(pool: Any, campaign: int, *, now: Any) -> Any:
        nonlocal asked
        seen = await original(pool, campaign, now=now)
        if not asked and seen.status == "finished":
            asked = True
            await live.scenario.faults()
            (row,) = await unconfirmed(live)
            await messages.resolve(live.connection, row["id"], "resend")
        return seen

    monkeypatch.setattr(campaign_feed, "progress", progress)
    queue = live.connection.settings.task_queue
    async with make_worker(live.connection.temporal, live.scenario.pool, gateways, task_queue=queue):
        await operated.start(live.connection, "sale")
        await settled_as(live, "sent", 3)

        async def over() -> bool:
            return (await operated.campaign_status(live.connection, "sale")).status == "finished"

        await until(over)
        await live.connection.temporal.get_workflow_handle("campaign:sale").result()
    await gateways.close()


async def test_a_campaign_that_is_opened_again_when_it_has_just_finished_is_fed_at_once(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    await ready(live, 3)
    await live.scenario.faults({"kind": "refuse", "phone": phone(2)})
    gateways = Gateways(live.scenario.simulator_url)
    page_of, finish_of = campaign_feed.feed_page, campaigns.finish_campaign
    finishing, asked = asyncio.Event(), False

    async def page(pool: Any, request: Any, *, now: Any) -> Any:
        seen = await page_of(pool, request, now=now)
        if seen.settled:
            await asyncio.wait_for(finishing.wait(), 15)
        return seen

    async def finish(connection: asyncpg.Connection, campaign: int) -> bool:
        nonlocal asked
        finished = await finish_of(connection, campaign)
        if finished and not asked:
            asked = True
            finishing.set()
            await asyncio.sleep(0.5)  # meanwhile the feeding ends
            await live.scenario.faults()
            assert (await operated.retry_failed(live.connection, "sale")).messages == 1
        return finished

    monkeypatch.setattr(campaign_feed, "feed_page", page)
    monkeypatch.setattr(campaigns, "finish_campaign", finish)
    queue = live.connection.settings.task_queue
    async with make_worker(live.connection.temporal, live.scenario.pool, gateways, task_queue=queue):
        await operated.start(live.connection, "sale")
        await settled_as(live, "sent", 3)
        await live.connection.temporal.get_workflow_handle("campaign:sale").result()
    await gateways.close()


async def test_a_plan_that_is_made_while_a_step_is_skipped_does_not_undo_that(contact: Contact) -> None:
    pool = contact.scenario.pool
    assert contact.enrolled is not None
    contact_id = contact.enrolled.enrollment_id
    enrollments = Enrollments(pool)
    assert await enrollments.replan(contact_id, now=contact.now) is not None  # so that the plan is known

    async def waits() -> bool:
        return bool(await pool.fetchval("select count(*) from pg_locks where not granted"))

    async with pool.acquire() as other, other.transaction():
        await other.execute(
            "update sequence_contacts set timeline = jsonb_set(timeline, '{done}', '[\"hello\"]'),"
            " next_step_id = (select id from sequence_steps where key = 'more') where id = $1",
            contact_id,
        )
        planning = asyncio.create_task(enrollments.replan(contact_id, now=contact.now))
        await until(waits)
    due = await planning
    assert due is not None
    assert due.step == "more"
    assert await pool.fetchval("select timeline -> 'done' from sequence_contacts") == ["hello"]
