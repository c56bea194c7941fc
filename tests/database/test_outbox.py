"""Events and alerts, from the transaction of the fact to the receiver that takes them."""

import asyncio
import re
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from temporalio.testing import ActivityEnvironment

from activities.outbox import OutboxActivities
from messaging.common.database import Pool
from messaging.common.keywords import DEFAULT_KEYWORDS
from messaging.devices.store import set_device_status
from messaging.gateways.webhook_events import Receipt
from messaging.leads.opt_outs import record_opt_out, withdraw
from messaging.outbox.alerts import fold_reports, list_alerts, report, report_over
from messaging.outbox.courier import Courier
from messaging.outbox.deliveries import give_up_old, hold, retry_undelivered, undelivered
from messaging.outbox.kinds import ALERTS, EVENTS, read_types
from messaging.outbox.options import read_options
from messaging.outbox.receivers import add_receiver, attention_of_receivers, list_receivers, remove_receiver
from messaging.replies.record import record_inbound
from messaging.reporting.status import status_report
from messaging.sending.receipts import record_receipts
from messaging.sequences.refused import note_refused
from rig.people import phone
from tests.support.contact import Contact
from tests.support.receivers import SCHEMA, received, secret_in
from tests.support.replies import inbound
from tests.support.wire import Fault, Reply, Wire, refusing, serving

ALL = ("alerts", "events")
BECAME = ("sent", "delivered", "read", "failed", "expired")
"""What becomes of messages, which are no acts."""


async def listen(pool: Pool, url: str, secret: Path, *kinds: str, name: str = "crm") -> None:
    options = read_options("webhook", {"url": url, "secret": {"file": str(secret)}})
    await add_receiver(pool, name, "webhook", options, read_types(kinds or ALL))


async def deliver(pool: Pool, gather: timedelta = timedelta(minutes=10)) -> None:
    """One look at the outbox, as if some time had passed since the last one."""
    await pool.execute("update alert_reports set reported_at = reported_at - interval '1 minute'")
    await pool.execute(
        "update alerts set announced_at = announced_at - interval '1 minute', since = since - interval '1 minute'"
    )
    await Courier(pool, gather=gather).work(0)


def seen(server: Wire, secret: Path) -> list[dict[str, Any]]:
    return [received(request, secret.read_text()) for request in server.requests]


def types(events: list[dict[str, Any]]) -> list[str]:
    return [event["type"] for event in events]


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    return secret_in(tmp_path)


async def test_a_receiver_gets_each_fact_once_signed_and_in_order(contact: Contact, secret: Path) -> None:
    pool, device = contact.scenario.pool, contact.scenario.device
    async with serving(Wire()) as server:
        server.does(Reply(204))
        await listen(pool, server.url + "/hook?token=x", secret)
        await contact.send()
        message: dict[str, Any] = await contact.message()
        at = message["sent_at"]
        receipts = [
            Receipt(message_id=message["id"], gateway_message_id=None, status=status, at=at)
            for status in ("delivered", "read")
        ]
        async with pool.acquire() as connection:
            await record_receipts(connection, "simulated", receipts)
            await record_inbound(
                connection,
                "simulated",
                device,
                [inbound("in-1", contact.phone, "Is it red?")],
                DEFAULT_KEYWORDS,
            )
        await contact.enroll(phone(2))
        async with pool.acquire() as connection:
            await record_opt_out(connection, phone(2), "asked by phone")
        await withdraw(pool, phone(2))
        await deliver(pool)
        events = seen(server, secret)
        assert events.pop(0)["type"] == "receiver.added"
        assert [one for one in types(events) if one != "contact.paused"] == [
            *("message.sent", "message.delivered", "message.read", "contact.replied"),
            *("contact.enrolled", "opt_out.added", "contact.opted_out", "opt_out.removed"),
        ]
        sent = events[0]["data"]
        assert (sent["phone"], sent["device"], sent["sequence"], sent["step"]) == (
            *(phone(1), device),
            *("welcome", "hello"),
        )
        assert "Hi" not in str(sent), "no words of messages"
        replied = next(one for one in events if one["type"] == "contact.replied")["data"]
        assert (replied["phone"], replied["text"]) == (phone(1), "Is it red?")
        await deliver(pool)
        assert len(server.requests) == len(events) + 1, "each is delivered once"
        (crm,) = await list_receivers(pool)
        assert (crm.delivered, crm.waiting, crm.failing_since) == (len(events) + 1, 0, None)
        assert crm.address.endswith("/hook?…")


async def test_what_is_rolled_back_or_wanted_by_nobody_is_not_written(contact: Contact, secret: Path) -> None:
    pool = contact.scenario.pool
    await contact.send()
    assert await pool.fetchval("select count(*) from outbox") == 0
    await listen(pool, "http://127.0.0.1:9", secret, "message.failed")
    await contact.enroll(phone(2))
    assert await pool.fetchval("select count(*) from outbox") == 0
    await listen(pool, "http://127.0.0.1:9", secret, "contact.enrolled")
    async with pool.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute(
            "update sequence_contacts set status = 'stopped', ended_at = now() where status = 'active'"
        )
        await connection.execute("select note_event('contact.enrolled', '+12015550177')")
        assert await connection.fetchval("select count(*) from outbox") == 1
        await transaction.rollback()
    assert await pool.fetchval("select count(*) from outbox") == 0


async def test_a_transaction_that_commits_late_is_not_jumped_over(contact: Contact, secret: Path) -> None:
    pool = contact.scenario.pool
    async with serving(Wire()) as server:
        server.does(Reply(200))
        await listen(pool, server.url, secret, "campaign.*")
        async with pool.acquire() as connection, connection.transaction():
            await connection.execute(
                'select emit(\'campaign.began\', now(), \'{"actor": "late", "via": "x"}\')'
            )
            await pool.execute('select emit(\'campaign.began\', now(), \'{"actor": "early", "via": "x"}\')')
            await deliver(pool)
        await deliver(pool)
        assert [one["data"]["actor"] for one in seen(server, secret)] == ["early", "late"]


async def test_a_receiver_that_is_away_gets_everything_later_in_order_under_the_same_ids(
    contact: Contact, secret: Path
) -> None:
    pool = contact.scenario.pool
    async with serving(Wire()) as server, serving(Wire()) as other:
        server.does(Fault.CLOSE, Fault.RESET, Reply(503), Reply(200))
        other.does(Reply(200))
        await listen(pool, server.url, secret, "contact.*")
        await listen(pool, other.url, secret, "contact.*", name="other")
        for number in range(2, 5):
            await contact.enroll(phone(number))
        for failures in range(1, 4):
            await pool.execute("update receivers set next_try_at = '-infinity'")
            await deliver(pool)
            crm, _ = await list_receivers(pool)
            assert crm.failing_since is not None
            assert crm.next_try_at is not None, "it is left alone for a while"
            assert (crm.waiting, len(server.requests)) == (3, failures), "one try, and no other overtakes"
        assert len(other.requests) == 3, "nobody else waits for it"
        (line,) = [one for one in (await status_report(pool)).attention if "crm" in one]
        assert "it answered 503; 3 events wait, 'alert test crm' tries it" in line
        await pool.execute("update receivers set next_try_at = '-infinity'")
        await deliver(pool)
        events = seen(server, secret)
        assert [one["data"]["phone"] for one in events] == [phone(2)] * 3 + [phone(2), phone(3), phone(4)]
        assert len({one["id"] for one in events}) == 3
        assert {one["id"] for one in events} == {one["id"] for one in seen(other, secret)}
        assert await attention_of_receivers(pool) == []


async def test_an_event_that_is_refused_is_set_aside_and_listed_after_days(
    contact: Contact, secret: Path
) -> None:
    pool = contact.scenario.pool
    async with serving(Wire()) as server:
        server.does(Reply(400, {"error": "no such\nphone"}), Reply(200))
        await listen(pool, server.url, secret, "contact.*")
        for number in range(2, 5):
            await contact.enroll(phone(number))
        await deliver(pool)
        assert len(server.requests) == 3, "the others are delivered at once"
        (crm,) = await list_receivers(pool)
        assert (crm.delivered, crm.waiting) == (2, 1)
        server.does(Reply(400))
        await pool.execute(
            "update outbox set next_try_at = '-infinity', created_at = created_at - interval '73 hours'"
        )
        await deliver(pool)
        await give_up_old(pool)
        await deliver(pool)
        await deliver(pool)
        assert len(server.requests) == 4, "it is not tried for ever"
        (lost,) = await undelivered(pool, "crm", 10)
        assert (lost.type, lost.attempts, lost.error) == ("contact.enrolled", 2, "it answered 400")
        assert [one.title for one in await list_alerts(pool) if one.subject == "crm"] == [
            "an event was given up for crm"
        ]
        assert any("1 event was given up for crm" in line for line in (await status_report(pool)).attention)
        server.does(Reply(200))
        assert await retry_undelivered(pool, "crm") == 1
        await deliver(pool)
        assert seen(server, secret)[-1]["id"] == lost.id
        assert await undelivered(pool, "crm", 10) == []


async def test_an_answer_that_only_one_event_gets_does_not_hold_the_others_for_ever(
    contact: Contact, secret: Path
) -> None:
    """A receiver that crashes over one event answers 500, as one does that is broken altogether."""
    pool = contact.scenario.pool
    async with serving(Wire()) as server:
        server.does(*[Reply(500)] * 5, Reply(200))
        await listen(pool, server.url, secret, "contact.*")
        await contact.enroll(phone(2))
        await contact.enroll(phone(3))
        for _ in range(6):
            await pool.execute("update receivers set next_try_at = '-infinity'")
            await deliver(pool)
        phones = [one["data"]["phone"] for one in seen(server, secret)]
        assert phones == [phone(2)] * 5 + [phone(3), phone(2)], "after a success, it is tried at once"


async def test_a_receiver_is_served_by_one_process_and_a_dead_one_is_followed(
    contact: Contact, secret: Path
) -> None:
    pool = contact.scenario.pool
    await listen(pool, "http://127.0.0.1:9", secret, "contact.*")
    await contact.enroll(phone(2))
    receiver = await pool.fetchval("select id from receivers")
    held = await hold(pool, receiver, "one")
    assert held is not None
    assert types([one.event.model_dump() for one in held.due]) == ["contact.enrolled"]
    assert await hold(pool, receiver, "two") is None
    assert await hold(pool, receiver, "one") is not None
    await pool.execute("update receivers set held_until = clock_timestamp() - interval '1 second'")
    assert await hold(pool, receiver, "two") is not None


async def test_a_thousand_reports_are_one_alert_and_then_one_more_and_it_is_over_once(
    contact: Contact, secret: Path
) -> None:
    pool, device = contact.scenario.pool, contact.scenario.device
    await contact.scenario.add_leads(1000, first=100)
    await contact.scenario.apply_campaign("campaign: sale\ntarget: {status: all}\ntext: Hi")
    async with serving(Wire()) as server:
        server.does(Reply(200))
        await listen(pool, server.url, secret, "alerts")
        await pool.execute(
            "insert into broadcast_messages (id, campaign_id, lead_id, recipient_phone, device_id, due_at, campaign_shard,"
            " campaign_position) select gen_random_uuid(), (select id from campaigns), id, phone, device_id, now(), 0, id from leads"
            " where device_id = $1 and phone >= $2",
            device,
            phone(100),
        )
        count = await pool.fetchval("select count(*) from broadcast_messages")
        assert count == 1000
        await pool.execute(
            "update broadcast_messages set status = 'unconfirmed' where id = (select id from broadcast_messages limit 1)"
        )
        await deliver(pool)
        (first,) = seen(server, secret)
        assert first["type"] == "alert.message_unconfirmed"
        assert first["data"]["title"] == f"a message is unconfirmed on {device}"
        await pool.execute("update broadcast_messages set status = 'unconfirmed' where status = 'pending'")
        await deliver(pool)
        assert len(server.requests) == 1, "further ones are gathered"
        await deliver(pool, gather=timedelta(seconds=30))
        await deliver(pool)
        _, second = seen(server, secret)
        assert second["data"]["title"].startswith(f"1,000 messages are unconfirmed on {device} since ")
        assert (second["data"]["count"], second["data"]["new"]) == (1000, 999)
        (alert,) = await list_alerts(pool)
        assert alert.count == 1000
        await pool.execute(
            "update broadcast_messages set status = 'sent', sent_at = now() where recipient_phone <> $1",
            phone(100),
        )
        (alert,) = await list_alerts(pool)
        assert (alert.count, alert.title) == (1, f"a message is unconfirmed on {device}"), "999 are resolved"
        assert alert.detail.startswith(phone(100)), "one that is unconfirmed still"
        await pool.execute("update broadcast_messages set status = 'failed' where status = 'unconfirmed'")
        assert await list_alerts(pool) == [], "it is over at this moment"
        await deliver(pool)
        await deliver(pool)
        *_, last = seen(server, secret)
        assert (last["data"]["state"], last["data"]["title"]) == (
            *("resolved",),
            f"no message is unconfirmed on {device} any more",
        )
        assert len(server.requests) == 3


async def test_what_needs_a_person_is_told_and_so_is_its_end(contact: Contact, secret: Path) -> None:
    pool, device = contact.scenario.pool, contact.scenario.device
    await contact.scenario.apply_campaign("campaign: sale\ntarget: {status: all}\ntext: Hi")
    await contact.scenario.apply_campaign("campaign: other\ntarget: {status: all}\ntext: Hi")
    await contact.scenario.add_device(device="spare")
    async with serving(Wire()) as server:
        server.does(Reply(200))
        await listen(pool, server.url, secret, "alerts")
        async with pool.acquire() as connection:
            await set_device_status(connection, device, "paused", "over lunch")
            await set_device_status(connection, device, "active")
        await pool.execute("update campaigns set status = 'paused'")
        await pool.execute("update campaigns set status = 'running'")
        await deliver(pool)
        assert server.requests == [], "operators know what they have done"
        await pool.execute(
            "update devices set status = 'paused', status_reason = 'parked after 3 failures in a row: logged out'"
            " where id = $1",
            device,
        )
        await pool.execute(
            "update campaigns set status = 'paused', reason = 'no such template' where name = 'sale'"
        )
        await pool.execute("update sequences set status = 'paused', status_reason = 'no such image'")
        await note_refused(pool, "missing", phone(7), "no sequence is named missing")
        await pool.execute(
            "insert into workers (id, task_queue, started_at, seen_at) values"
            " ('host:1/a', 'q', now() - interval '1 hour', now() - interval '1 minute'),"
            " ('host:2/b', 'q', now() - interval '1 hour', now()),"
            " ('host:3/c', 'q2', now() - interval '1 hour', now() - interval '1 minute'),"
            " ('host:4/d', 'q2', now() - interval '10 seconds', now())"
        )
        await pool.execute(
            "insert into broadcast_messages (id, campaign_id, lead_id, recipient_phone, device_id, due_at, status, updated_at,"
            " campaign_shard, campaign_position) select gen_random_uuid(), campaigns.id, leads.id, leads.phone, 'spare',"
            " now() - interval '1 hour', 'queued', now() - interval '1 hour', 0, 1 from campaigns, leads"
            " where campaigns.name = 'other' limit 1"
        )
        await deliver(pool)
        await pool.execute("update alerts set since = clock_timestamp() - interval '10 seconds'")
        await Courier(pool).work(0)
        assert all(one["type"] != "alert.worker_gone" for one in seen(server, secret)), (
            "not before it is sure"
        )
        await report(pool, "audit_broken", "audit", "a step was sent twice")
        await deliver(pool)
        await deliver(pool)
        kinds = {event["data"]["kind"]: event["data"] for event in seen(server, secret)}
        assert len(server.requests) == len(kinds) == 7
        assert set(kinds) == {
            *(
                "message_overdue",
                "device_parked",
                "campaign_held",
                "sequence_held",
                "enrollment_refused",
                "worker_gone",
                "audit_broken",
            ),
        }
        assert (kinds["message_overdue"]["subject"], kinds["message_overdue"]["detail"]) == (
            "spare",
            "1 message",
        )
        assert "logged out" in kinds["device_parked"]["detail"]
        assert kinds["device_parked"]["remedy"].endswith(f"device resume {device}")
        assert kinds["worker_gone"]["subject"] == "host:1/a", "the other one has been replaced"
        assert phone(7) in kinds["enrollment_refused"]["detail"]
        async with pool.acquire() as connection:
            await set_device_status(connection, device, "active")
        await report_over(pool, "audit_broken", "audit")
        await pool.execute("update campaigns set status = 'running', reason = null")
        await pool.execute("update sequences set status = 'active', status_reason = null")
        await pool.execute("delete from refused_enrollments")
        await pool.execute("delete from broadcast_messages")
        await pool.execute(
            "insert into workers (id, task_queue, roles) values ('host:6/f', 'q', '{workflows}')"
        )
        assert await pool.fetchval("select alert_stands('worker_gone', 'host:1/a')"), "that one had all roles"
        await pool.execute("insert into workers (id, task_queue) values ('host:5/e', 'q')")
        await deliver(pool)
        await deliver(pool)
        over = seen(server, secret)[7:]
        assert Counter(one["data"]["kind"] for one in over) == Counter(kinds.keys())
        assert {one["data"]["state"] for one in over} == {"resolved"}
        assert await pool.fetchval("select count(*) from alerts") == 0


async def test_a_receiver_that_takes_nothing_is_told_of_to_the_others(contact: Contact, secret: Path) -> None:
    pool = contact.scenario.pool
    with refusing() as nobody:
        async with serving(Wire()) as server:
            server.does(Reply(200))
            await listen(pool, nobody, secret, "contact.*")
            await listen(pool, server.url, secret, "alerts", name="ops")
            await contact.enroll(phone(2))
            await deliver(pool)
            await pool.execute(
                "update receivers set failing_since = failing_since - interval '6 minutes' where failures > 0"
            )
            await deliver(pool)
            await deliver(pool)
            (event,) = seen(server, secret)
            assert event["data"]["title"] == "nothing can be delivered to crm"
            assert "it refuses connections" in event["data"]["detail"]


async def test_a_receiver_with_options_that_cannot_be_read_fails_like_any_other(
    contact: Contact, secret: Path
) -> None:
    pool = contact.scenario.pool
    await listen(pool, "http://127.0.0.1:9", secret, "contact.*")
    await pool.execute("update receivers set options = '{}'")
    await contact.enroll(phone(2))
    await deliver(pool)
    (crm,) = await list_receivers(pool)
    assert (crm.waiting, crm.failing_since is not None) == (1, True)
    assert crm.error is not None
    assert crm.error.startswith("its options cannot be used: webhook url")
    await pool.execute("update receivers set failing_since = failing_since - interval '6 minutes'")
    await deliver(pool)
    assert "nothing can be delivered to crm" in [one.title for one in await list_alerts(pool)]
    assert any("its options cannot be used" in line for line in (await status_report(pool)).attention)
    await pool.execute(
        "update outbox set next_try_at = '-infinity', created_at = created_at - interval '73 hours'"
    )
    await give_up_old(pool)
    assert [one.type for one in await undelivered(pool, "crm", 10)] == ["contact.enrolled"]


async def test_a_removed_receiver_gets_nothing_more(contact: Contact, secret: Path) -> None:
    pool = contact.scenario.pool
    await listen(pool, "http://127.0.0.1:9", secret, "contact.*")
    await contact.enroll(phone(2))
    assert await remove_receiver(pool, "crm") == 1
    await contact.enroll(phone(3))
    assert await pool.fetchval("select count(*) from outbox") == 0


async def test_two_workers_at_once_tell_an_alert_once(contact: Contact, secret: Path) -> None:
    pool = contact.scenario.pool
    await listen(pool, "http://127.0.0.1:9", secret, "alerts")
    await pool.execute("select report_alert('audit_broken', 'audit', 'x')")
    await pool.execute("update alert_reports set reported_at = reported_at - interval '1 minute'")
    await asyncio.gather(*(fold_reports(pool) for _ in range(4)))
    assert await pool.fetchval("select count(*) from outbox") == 1


async def test_the_kinds_are_those_that_the_database_writes(pool: Pool) -> None:
    """Each kind that a function of the database names is known, and each known one is written somewhere."""
    source = "\n".join(
        row["prosrc"]
        for row in await pool.fetch("select prosrc from pg_proc where pronamespace = 'public'::regnamespace")
    )
    written = set(
        re.findall(r"'((?:message|contact|campaign|sequence|device|opt_out|lead|inbox)\.[a-z_]+)'", source)
    )
    assert written <= set(EVENTS), "each has its line in the list"
    (first,) = re.findall(r"types && '{(message[^}]*)}'", source)
    assert set(first.split(",")) == {"message.*", *(f"message.{one}" for one in BECAME)}
    docs = Path(__file__).parents[2] / "docs"
    acts = set(re.findall(r"`([a-z_]+[.][a-z_]+)`", (docs / "events.md").read_text()))
    assert set(EVENTS) - acts == {
        f"message.{one}" for one in ("sent", "delivered", "read", "failed", "expired")
    }
    listed = set(re.findall(r"^[|] `alert[.]([a-z_]+)`", (docs / "alerts.md").read_text(), re.MULTILINE))
    assert listed == set(ALERTS), "and what to do about each"
    reported = set(re.findall(r"report_alert\('([a-z_]+)'", source))
    assert reported <= set(ALERTS)
    looked_up = set(re.findall(r"when '([a-z_]+)' then exists", source))
    assert looked_up == set(ALERTS) - {"audit_broken"}
    assert SCHEMA["$defs"]["message"]["properties"].keys() >= {"message_id", "status"}


async def test_a_process_that_ends_does_not_wait_for_the_outbox(pool: Pool) -> None:
    """Also when the activity begins only then."""
    outbox = OutboxActivities(Courier(pool), ends=lambda: True)
    async with asyncio.timeout(10):
        await ActivityEnvironment().run(outbox.deliver_outbox)
