"""Who did what: each act is noted by the database, in the transaction that does it."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import asyncpg
import pytest

from cli.contact_page import contact_page
from messaging.campaigns import lifecycle
from messaging.campaigns.audience import freeze_audience
from messaging.campaigns.store import list_campaigns
from messaging.common.database import Connection, Pool
from messaging.common.errors import InvalidInput
from messaging.common.keywords import DEFAULT_KEYWORDS
from messaging.devices.device import DeviceSettings
from messaging.devices.store import add_device, list_devices, set_device_status
from messaging.events.acting import Actor, acting, named
from messaging.events.read import EventFilter, events_of_act, list_acts
from messaging.gateways.webhook_events import InboundMessage
from messaging.leads.consent import Consent
from messaging.leads.device_moves import move_leads, replace_device
from messaging.leads.edits import edit_lead, parse_edits
from messaging.leads.lead import Lead
from messaging.leads.opt_outs import opt_out_owner, withdraw
from messaging.leads.store import upsert_lead
from messaging.replies.record import record_inbound
from messaging.replies.renaming import rename_phone
from messaging.reporting.contact import contact_report
from messaging.reporting.status import status_report
from messaging.reporting.why.report import why_not
from messaging.selection.contacts import pause_contacts, resume_contacts, stop_contacts
from messaging.selection.selection import Selection
from messaging.sending.resolutions import resolve_as_sent, send_again
from messaging.sequences.contacts import pause_contact, resume_contact
from messaging.sequences.contract import EnrollmentEnd
from messaging.sequences.enrollments import Enrollments
from messaging.sequences.store import set_sequence_status, show_sequence
from rig.people import phone
from runtime.database import open_pool
from tests.support.contact import enrolled_contact
from tests.support.scenario import Scenario

SEQUENCE = """
sequence: welcome
steps:
  - id: hello
    day: 1
    text: "Hi"
  - id: more
    after: 1h
    text: "{more}"
"""
CAMPAIGN = "campaign: sale\ntarget: {niche: VITAC, status: all}\ntext: Half price\n"
ANNA = Actor("anna", "command line")


async def noted(pool: Pool) -> list[dict[str, Any]]:
    """The events since the last look, oldest first."""
    rows = await pool.fetch("delete from events returning *")
    return [dict(row) for row in sorted(rows, key=lambda row: row["id"])]


def kinds(events: list[dict[str, Any]]) -> list[str]:
    return [one["kind"] for one in events]


async def begun(scenario: Scenario, contacts: int = 1) -> list[int]:
    """A device, a sequence, and contacts with the phones from phone(1) on; no events."""
    await scenario.add_device()
    await scenario.apply(SEQUENCE.format(more="More"))
    await scenario.add_leads(contacts, first=1)
    enrolled = [await scenario.enroll("welcome", phone(n)) for n in range(1, contacts + 1)]
    return [one.enrollment_id for one in enrolled]


async def test_the_whole_life_of_a_contact(scenario: Scenario) -> None:
    pool = scenario.pool
    await scenario.add_device()
    await scenario.apply(SEQUENCE.format(more="More"))
    assert kinds(await noted(pool)) == ["device.added", "sequence.created"]
    with acting(ANNA):
        enrollment = (await scenario.enroll("welcome", phone(1))).enrollment_id
        await pause_contact(pool, enrollment, "on holiday")
        await pause_contact(pool, enrollment, "again")
    await resume_contact(pool, enrollment)
    with acting(Actor("Ben", "service")):
        await Enrollments(pool).skip(enrollment, "hello", now=None)
        await Enrollments(pool).skip(enrollment, "hello", now=None)
    end = EnrollmentEnd(enrollment_id=enrollment, status="completed", reason=None)
    await pool.execute("update sequence_contacts set next_step_id = null, next_due_at = null")
    await Enrollments(pool).finish(end, now=None)
    events = await noted(pool)
    assert [(one["kind"], one["actor"], one["via"], one["reason"]) for one in events] == [
        ("contact.enrolled", "anna", "command line", None),
        ("contact.paused", "anna", "command line", "on holiday"),
        ("contact.resumed", "drumbeat", "itself", None),
        ("contact.skipped", "Ben", "service", None),
        ("contact.completed", "drumbeat", "itself", None),
    ]
    assert {(one["phone"], one["sequence"], one["device"]) for one in events} == {
        (phone(1), "welcome", scenario.device)
    }
    assert events[3]["data"] == {"step": "hello"}
    assert [one["act"] for one in events] == [one["id"] for one in events], "each is an act of its own"


async def test_what_is_rolled_back_was_never_done(scenario: Scenario) -> None:
    (enrollment,) = await begun(scenario)
    await noted(scenario.pool)
    async with scenario.pool.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        await pause_contact(connection, enrollment, None)
        await set_device_status(connection, scenario.device, "paused")
        assert await connection.fetchval("select count(*) from events") == 2
        await transaction.rollback()
    assert await noted(scenario.pool) == []


async def test_many_contacts_are_one_act_and_each_has_it(scenario: Scenario) -> None:
    await begun(scenario, 4)
    await noted(scenario.pool)
    some = Selection(where=f"phone != {phone(4)}")
    with acting(ANNA):
        async with scenario.pool.acquire() as connection:
            await pause_contacts(connection, some, "fair")
            await resume_contacts(connection, some)
            await stop_contacts(connection, Selection(sequence="welcome"), "over")
    events = await noted(scenario.pool)
    assert kinds(events) == ["contact.paused"] * 3 + ["contact.resumed"] * 3 + ["contact.stopped"] * 4
    assert len({one["act"] for one in events}) == 3
    assert sorted(one["phone"] for one in events[:3]) == [phone(1), phone(2), phone(3)]
    assert {(one["actor"], one["reason"]) for one in events[:3]} == {("anna", "fair")}
    assert events[0]["data"] == {"chosen": {"where": f"phone != {phone(4)}"}}
    assert events[-1]["data"] == {"chosen": {"sequence": "welcome"}}


async def test_sequences_are_applied_paused_held_and_resumed(scenario: Scenario) -> None:
    pool = scenario.pool
    await scenario.apply(SEQUENCE.format(more="More"))
    await scenario.apply(SEQUENCE.format(more="More"))
    with acting(ANNA):
        await scenario.apply(SEQUENCE.format(more="Other words"))
        async with pool.acquire() as connection:
            await set_sequence_status(connection, "welcome", "paused")
            await set_sequence_status(connection, "welcome", "paused")
            await set_sequence_status(connection, "welcome", "active")
    await pool.execute("update sequences set status = 'paused', status_reason = 'no such template'")
    events = await noted(pool)
    assert [(one["kind"], one["actor"], one["reason"]) for one in events] == [
        ("sequence.created", "drumbeat", None),
        ("sequence.changed", "anna", None),
        ("sequence.paused", "anna", None),
        ("sequence.resumed", "anna", None),
        ("sequence.held", "drumbeat", "no such template"),
    ]
    assert events[1]["data"] == {"revision": 2, "changes": ["step 'more' reworded"]}
    assert events[2]["data"] == {}


async def test_campaigns_from_the_draft_to_the_end(scenario: Scenario) -> None:
    pool = scenario.pool
    await scenario.add_device()
    await scenario.add_leads(2)
    await noted(pool)
    await scenario.apply_campaign(CAMPAIGN)
    await scenario.apply_campaign(CAMPAIGN)
    await scenario.apply_campaign(
        CAMPAIGN.replace("Half price", "Half price!") + "min_delay: 1\nmax_delay: 2\n"
    )
    async with pool.acquire() as connection:
        state = (await lifecycle.begin_campaign(connection, "sale", start_now=True)).state
        await lifecycle.pause_campaign(connection, "sale")
        await lifecycle.resume_campaign(connection, "sale")
        await freeze_audience(connection, state.campaign_id, now=None)
        await connection.execute("update campaigns set status = 'paused', reason = 'no such image'")
        await lifecycle.resume_campaign(connection, "sale")
        await connection.execute("update broadcast_messages set status = 'failed'")
        await lifecycle.finish_campaign(connection, state.campaign_id)
        await lifecycle.retry_failed(connection, "sale")
        await lifecycle.cancel_campaign(connection, "sale")
    events = await noted(pool)
    assert kinds(events) == [
        "campaign.created",
        "campaign.changed",
        "campaign.started",
        "campaign.paused",
        "campaign.resumed",
        "campaign.began",
        "campaign.held",
        "campaign.resumed",
        "campaign.finished",
        "campaign.reopened",
        "campaign.retried",
        "campaign.cancelled",
    ]
    assert events[1]["data"]["changes"] == {
        "text": ["Half price", "Half price!"],
        "min_delay": [None, 1],
        "max_delay": [None, 2],
    }
    assert events[2]["data"] == {"at_once": True}
    assert events[5]["data"] == {"leads": 2}
    assert (events[6]["reason"], events[10]["data"]) == ("no such image", {"messages": 2})


async def test_devices_are_added_changed_paused_parked_and_replaced(scenario: Scenario) -> None:
    pool = scenario.pool
    await scenario.add_device()
    await scenario.add_device()
    other = DeviceSettings(id="other", gateway="simulated", options={"url": "http://127.0.0.1:1"})
    async with pool.acquire() as connection:
        await add_device(connection, other)
        assert kinds(await noted(pool)) == ["device.added", "device.added"]
        await add_device(
            connection, other.model_copy(update={"daily_limit": 9, "options": {"url": "http://127.0.0.1:2"}})
        )
        await set_device_status(connection, "other", "paused", "no SIM card")
        await set_device_status(connection, "other", "active")
    await pool.execute(
        "select device_fault('other', clock_timestamp() + make_interval(secs => n), 'logged out', 3, interval '5 s',"
        " clock_timestamp() + make_interval(secs => n)) from generate_series(1, 3) n"
    )
    await replace_device(pool, "other", scenario.device)
    events = await noted(pool)
    assert kinds(events) == [
        "device.changed",
        "device.paused",
        "device.resumed",
        "device.parked",
        "device.replaced",
    ]
    assert {one["device"] for one in events} == {"other"}
    assert events[0]["data"] == {"changes": {"daily_limit": [None, 9], "gateway_options": []}}
    assert events[3]["reason"] == "parked after 3 failures in a row: logged out"
    assert events[4]["data"] == {"by": scenario.device}


async def test_a_device_with_many_leads_is_replaced_by_one_event_for_all(scenario: Scenario) -> None:
    await begun(scenario, 3)
    for device in ("other", "third"):
        await scenario.add_device(device=device)
    pool = scenario.pool
    await noted(pool)
    await replace_device(pool, scenario.device, "other")
    async with pool.acquire() as connection, connection.transaction():
        await move_leads(connection, [phone(1), phone(2)], "third")
    (act, *_) = (await list_acts(pool)).acts[1:]
    assert act.what == f"put device other in place of {scenario.device}; moved 3 leads to other"
    events = await noted(pool)
    assert [(one["kind"], one["phone"], one["data"]) for one in events] == [
        ("device.replaced", None, {"by": "other"}),
        ("lead.moved", None, {"from": scenario.device, "leads": 3}),
        ("lead.moved", phone(1), {"from": "other"}),
        ("lead.moved", phone(2), {"from": "other"}),
    ]


async def test_opt_outs_and_what_they_end(scenario: Scenario) -> None:
    await begun(scenario)
    pool = scenario.pool
    await noted(pool)
    async with pool.acquire() as connection:
        await opt_out_owner(connection, phone(1), "asked by phone", category="marketing")
        await opt_out_owner(connection, phone(1), "asked by phone", category="marketing")
        await opt_out_owner(connection, phone(1), "opted out")
    await withdraw(pool, phone(1))
    events = await noted(pool)
    assert kinds(events) == ["opt_out.added", "contact.opted_out", "opt_out.added", "opt_out.removed"]
    assert events[0]["act"] == events[1]["act"] != events[2]["act"]
    assert (events[0]["reason"], events[2]["reason"]) == ("asked by phone", None)
    assert events[0]["data"] == {"source": "operator", "category": "marketing"}
    assert {one["phone"] for one in events} == {phone(1)}


async def test_leads_are_changed_moved_and_renamed(scenario: Scenario) -> None:
    await begun(scenario)
    await scenario.add_device(device="other")
    pool = scenario.pool
    await noted(pool)
    async with pool.acquire() as connection:
        await edit_lead(connection, phone(1), parse_edits(["city=Ipoh", "niche+=FAIR"]))
        await edit_lead(connection, phone(1), parse_edits(["city=Ipoh"]))
        await move_leads(connection, [phone(1)], "other")
        await rename_phone(connection, phone(1), phone(9))
        await upsert_lead(
            connection, Lead(phone=phone(9), consent=Consent(note="form 12", source="enrollment"))
        )
        await edit_lead(connection, phone(9), parse_edits(["consent=no"]))
    events = await noted(pool)
    assert [(one["kind"], one["phone"], one["device"]) for one in events] == [
        ("lead.changed", phone(1), None),
        ("lead.moved", phone(1), "other"),
        ("lead.renamed", phone(9), None),
        ("lead.consent_given", phone(9), None),
        ("lead.consent_withdrawn", phone(9), None),
        ("lead.changed", phone(9), None),
    ]
    assert (events[3]["reason"], events[3]["data"]) == ("form 12", {"source": "enrollment"})
    assert events[0]["data"] == {
        "before": {"city": "", "niches": "VITAC"},
        "after": {"city": "Ipoh", "niches": "VITAC, FAIR"},
    }
    assert [one["data"] for one in events[1:3]] == [{"from": scenario.device}, {"from": phone(1)}]


async def test_a_reply_is_the_act_of_the_person(scenario: Scenario) -> None:
    (enrollment,) = await begun(scenario)
    pool = scenario.pool
    await pool.execute(
        "insert into broadcast_messages (id, sequence_stepid, sequence_contact_id, lead_id, recipient_phone, device_id, status,"
        " due_at, sent_at) select gen_random_uuid(), next_step_id, id, lead_id, phone, device_id, 'sent', now(), now()"
        " from sequence_contacts where id = $1",
        enrollment,
    )
    await noted(pool)

    async def write(identifier: str, text: str, **more: Any) -> None:
        message = InboundMessage(
            gateway_message_id=identifier,
            kind="text",
            phone=phone(1),
            text=text,
            at=datetime.now(UTC),
            **more,
        )
        async with pool.acquire() as connection:
            await record_inbound(connection, "simulated", scenario.device, [message], DEFAULT_KEYWORDS)

    await scenario.apply(
        SEQUENCE.format(more="More").replace("sequence: welcome", "sequence: asked\nkeyword: [prices]")
    )
    await noted(pool)
    await write("0", "prices")
    await scenario.enroll("asked", phone(1))
    assert [(one["kind"], one["actor"], one["via"]) for one in await noted(pool)] == [
        ("contact.replied", phone(1), "reply"),
        ("lead.consent_given", phone(1), "reply"),
        ("contact.enrolled", phone(1), "reply"),
    ]
    await pool.execute("delete from sequence_contacts where id <> $1", enrollment)
    await write("1", "how much?")
    await write("2", "STOP")
    await resume_contact(pool, enrollment)
    events = await noted(pool)
    assert kinds(events) == [
        "contact.replied",
        "contact.paused",
        "contact.replied",
        "opt_out.added",
        "contact.opted_out",
    ]
    assert {(one["actor"], one["via"]) for one in events} == {(phone(1), "reply")}
    assert len({one["act"] for one in events}) == 2
    assert events[1]["reason"] == 'answered: "how much?"'


async def test_messages_in_doubt_and_tests(scenario: Scenario) -> None:
    (enrollment,) = await begun(scenario)
    pool = scenario.pool
    await pool.execute(
        "insert into broadcast_messages (id, sequence_stepid, sequence_contact_id, lead_id, recipient_phone, device_id, due_at)"
        " select gen_random_uuid(), next_step_id, id, lead_id, phone, device_id, now() from sequence_contacts where id = $1",
        enrollment,
    )
    await noted(pool)
    identifier = await pool.fetchval("update broadcast_messages set status = 'unconfirmed' returning id")
    with acting(ANNA):
        await pool.execute("select send_again(array[$1::uuid], 'operator', null)", identifier)
    await pool.execute("update broadcast_messages set status = 'unconfirmed'")
    await pool.execute("update broadcast_messages set status = 'sent', sent_at = now()")
    await pool.execute(
        "insert into broadcast_messages (id, purpose, contents, recipient_phone, device_id, due_at)"
        " values (gen_random_uuid(), 'test', '{}', $1, $2, now())",
        phone(7),
        scenario.device,
    )
    events = await noted(pool)
    assert [(one["kind"], one["actor"], one["data"]) for one in events] == [
        ("message.unconfirmed", "drumbeat", {"step": "hello"}),
        ("message.resolved", "anna", {"step": "hello", "status": "pending"}),
        ("message.unconfirmed", "drumbeat", {"step": "hello"}),
        ("message.resolved", "drumbeat", {"step": "hello", "status": "sent"}),
        ("message.tested", "drumbeat", {}),
    ]
    assert {one["message_id"] for one in events[:4]} == {identifier}
    assert events[0]["sequence"] == "welcome"


async def test_an_operator_resolves_what_an_attempt_has_left(scenario: Scenario) -> None:
    (enrollment,) = await begun(scenario)
    pool = scenario.pool
    identifier = await pool.fetchval(
        "insert into broadcast_messages (id, sequence_stepid, sequence_contact_id, lead_id, recipient_phone, device_id, due_at,"
        " status, processing_worker_id, claimed_at, expires_at)"
        " select gen_random_uuid(), next_step_id, id, lead_id, phone, device_id, now(), 'processing', 'dead', '-infinity', now()"
        " from sequence_contacts where id = $1 returning id",
        enrollment,
    )
    for resolve, status in ((resolve_as_sent, "sent"), (send_again, "expired")):
        await pool.execute("update broadcast_messages set status = 'processing', sent_at = null")
        await noted(pool)
        with acting(ANNA):
            async with pool.acquire() as connection:
                await resolve(connection, identifier)
        (event,) = await noted(pool)
        assert (event["kind"], event["actor"], event["message_id"]) == (
            "message.resolved",
            "anna",
            identifier,
        )
        assert event["data"] == {"step": "hello", "status": status}


async def test_an_operator_takes_back_that_it_is_sent_again(scenario: Scenario) -> None:
    (enrollment,) = await begun(scenario)
    pool = scenario.pool
    identifier = await pool.fetchval(
        "insert into broadcast_messages (id, sequence_stepid, sequence_contact_id, lead_id, recipient_phone, device_id, due_at,"
        " status) select gen_random_uuid(), next_step_id, id, lead_id, phone, device_id, now(), 'unconfirmed'"
        " from sequence_contacts where id = $1 returning id",
        enrollment,
    )
    await noted(pool)
    with acting(ANNA):
        async with pool.acquire() as connection:
            for resolve in (send_again, resolve_as_sent, resolve_as_sent):
                await resolve(connection, identifier)
    said = [(one["kind"], one["actor"], one["data"]["status"]) for one in await noted(pool)]
    assert said == [("message.resolved", "anna", "pending"), ("message.resolved", "anna", "sent")]


async def test_claims_and_receipts_note_nothing(scenario: Scenario) -> None:
    async with enrolled_contact(scenario) as contact:
        await noted(scenario.pool)
        await contact.send()
        await scenario.pool.execute(
            "select record_receipt('simulated', id, null, 'read', clock_timestamp(), null) from broadcast_messages"
        )
        assert (await contact.message())["read_at"] is not None
        assert await noted(scenario.pool) == []


async def test_a_session_that_says_nothing_is_unknown(database_url: str, pool: Pool) -> None:
    connection: Connection = await asyncpg.connect(database_url)
    try:
        await connection.execute("insert into sequences (name) values ('a')")
        await connection.execute("set application_name = 'psql'")
        await connection.execute("insert into sequences (name) values ('b')")
    finally:
        await connection.close()
    assert [(one["actor"], one["via"]) for one in await noted(pool)] == [
        ("unknown", "unknown"),
        ("unknown", "psql"),
    ]


async def test_a_connection_is_given_back_without_the_name(database_url: str) -> None:
    async with await open_pool(database_url, size=1, actor=Actor("shop", "service")) as pool:
        insert = "insert into sequences (name) values ($1)"
        await pool.execute(insert, "a")
        with acting(ANNA):
            await pool.execute(insert, "b")
            await asyncio.create_task(pool.execute(insert, "c"))
            with acting(Actor("Ben", "web ui")):
                await pool.execute(insert, "d")
        await pool.execute(insert, "e")
        actors = [one["actor"] for one in await noted(pool)]
    assert actors == ["shop", "anna", "anna", "Ben", "shop"]


def test_names_of_people() -> None:
    assert named("  Anna  Lim ", "service") == Actor("Anna Lim", "service")
    for name in ("", " ", "a" * 81, "Drumbeat", "a\x1bb", "unknown"):
        with pytest.raises(InvalidInput):
            named(name, "service")


# The list.


async def listed(pool: Pool, limit: int = 50, before: int | None = None, **wanted: Any) -> list[str]:
    page = await list_acts(pool, EventFilter(**wanted), limit=limit, before=before)
    return [f"{one.who} {one.what}" for one in page.acts]


async def test_acts_are_listed_the_newest_first_and_filtered(scenario: Scenario) -> None:
    pool = scenario.pool
    await begun(scenario, 3)
    assert await listed(pool) == [
        "drumbeat created sequence welcome",
        f"drumbeat added device {scenario.device}",
    ]
    assert (await listed(pool, everything=True))[0] == "drumbeat enrolled 3 contacts in welcome"
    with acting(Actor("Anna Lim", "command line")):
        async with pool.acquire() as connection:
            await pause_contacts(connection, Selection(where="niche has VITAC", sequence="welcome"), "fair")
            await set_device_status(connection, scenario.device, "paused", "no SIM")
    with acting(Actor("shop", "service")):
        await scenario.add_leads(2, first=5)
        await scenario.enroll("welcome", phone(5))
        await scenario.enroll("welcome", phone(6))
    paused = "Anna Lim paused 3 contacts (niche has VITAC, sequence welcome): fair"
    device = f"Anna Lim paused device {scenario.device}: no SIM"
    enrolled = "shop (service) enrolled 2 contacts in welcome"
    assert (await listed(pool))[:3] == [enrolled, device, paused]
    assert await listed(pool, actor="anna") == [device, paused]
    assert await listed(pool, actor="ann") == []
    assert await listed(pool, kind="paused") == [device, paused]
    assert await listed(pool, kind="device.paused") == [device]
    assert (await listed(pool, sequence="welcome"))[:2] == [enrolled, paused]
    assert await listed(pool, phones=(phone(2),)) == [
        f"Anna Lim paused {phone(2)} in welcome: fair",
        f"drumbeat enrolled {phone(2)} in welcome",
    ]
    assert await listed(pool, since=datetime(2100, 1, 1, tzinfo=UTC)) == []
    with pytest.raises(InvalidInput, match=r"no kind of event 'pasued': did you mean 'paused'\?"):
        await listed(pool, kind="pasued")
    page = await list_acts(pool, EventFilter(), limit=2)
    assert page.before is not None
    assert (await listed(pool, limit=1, before=page.before)) == [paused]
    assert [one.phone for one in await events_of_act(pool, page.before - 3)] == [phone(1), phone(2), phone(3)]


async def test_what_differs_within_an_act_is_said_of_each(scenario: Scenario) -> None:
    await begun(scenario)
    with acting(ANNA):
        async with scenario.pool.acquire() as connection:
            await opt_out_owner(connection, phone(1), "by phone", category="all")
    assert (await listed(scenario.pool))[0] == (
        f"anna opted out {phone(1)}: by phone; ended welcome for {phone(1)}: the recipient opted out"
    )


# Who did what is so now, where it is shown.


async def test_reports_say_who_paused_and_stopped(scenario: Scenario) -> None:
    pool = scenario.pool
    first, second = await begun(scenario, 2)
    await scenario.apply_campaign(CAMPAIGN)
    with acting(ANNA):
        async with pool.acquire() as connection:
            await set_device_status(connection, scenario.device, "paused", "no SIM")
            await set_sequence_status(connection, "welcome", "paused", "the fair")
            await lifecycle.begin_campaign(connection, "sale", start_now=True)
            await lifecycle.pause_campaign(connection, "sale", "wrong price")
            await pause_contact(connection, first, "on holiday")
            await opt_out_owner(connection, phone(2), "by phone", category="marketing")
    # A later pause that has ended, and one of another thing, count for nothing.
    with acting(Actor("ben", "service")):
        async with pool.acquire() as connection:
            await set_sequence_status(connection, "welcome", "active")
            await set_sequence_status(connection, "welcome", "paused")
        await scenario.apply(SEQUENCE.format(more="More").replace("sequence: welcome", "sequence: other"))
        await scenario.enroll("other", phone(1))
        await pool.execute(
            "update sequence_contacts set paused_at = now() where id not in ($1, $2)", first, second
        )

    lines = [line.partition(" on ")[0] for line in (await status_report(pool)).attention]
    assert lines[:3] == [
        f"device {scenario.device} is paused: no SIM (by anna",
        "sequence welcome is paused (by the service ben",
        "campaign sale is paused: wrong price (by anna",
    ]
    async with pool.acquire() as connection:
        (device,) = await list_devices(connection)
        (sale,) = await list_campaigns(connection, "sale")
        welcome = await show_sequence(connection, "welcome")
    assert [one.paused_by and one.paused_by.actor for one in (device, sale, welcome)] == [
        "anna",
        "anna",
        "ben",
    ]
    why = await why_not(pool, phone(1), phone(1))
    said = " ".join(sentence for subject in why.subjects for sentence in subject.sentences)
    assert "The contact is paused by anna since " in said
    assert f"Device {scenario.device} is paused: no SIM (by anna on " in said
    assert "The sequence is paused (by the service ben on " in said
    assert "The campaign is paused before its start: wrong price (by anna on " in said
    (opted_out,) = (await why_not(pool, phone(2), phone(2))).sentences
    assert opted_out.endswith("by anna (by phone), and gets no marketing messages.")

    with acting(ANNA):
        end = EnrollmentEnd(enrollment_id=first, status="stopped", reason="moved away")
        await Enrollments(pool).finish(end, now=None)
    why = await why_not(pool, phone(1), phone(1), "welcome")
    assert "and was stopped by anna on " in why.subjects[0].sentences[0]
    report = await contact_report(pool, phone(1), phone(1))
    assert [one.ended_by and one.ended_by.actor for one in report.enrollments] == ["anna", None]
    assert [one.paused_by and one.paused_by.actor for one in report.enrollments] == [None, "ben"]
    page = contact_page(report)
    assert f"paused {phone(1)} in welcome: on holiday" in page
    assert "moved away (by anna)" in page
    assert page.index("by anna ") < page.index("by ben (service) ")
    assert "by anna: gets no more of it" in contact_page(await contact_report(pool, phone(2), phone(2)))
