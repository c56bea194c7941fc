"""What a worker shows to Prometheus: the ledger's numbers, what it has counted, and the document about both."""

import re
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from messaging.campaigns.lifecycle import pause_campaign
from messaging.common.database import Pool
from messaging.common.keywords import DEFAULT_KEYWORDS
from messaging.devices.store import set_device_status
from messaging.replies.record import record_inbound
from monitoring.metrics import Metrics
from rig.people import phone
from rig.waiting import until
from tests.support.contact import Contact
from tests.support.frozen import running
from tests.support.replies import inbound
from tests.support.scenario import Scenario

DOCUMENT = (Path(__file__).parents[2] / "docs" / "monitoring.md").read_text()
ABOUT_THE_LEDGER = {"drumbeat_ledger_up", "drumbeat_ledger_age_seconds", "drumbeat_ledger_read_seconds"}
"""Each worker has its own."""
RECEIVER = (
    "insert into receivers (name, channel, options, types) values ('ops', 'webhook', '{}', '{alert.*}')"
)
LIBRARIES = ("process_", "python_")


async def families(metrics: Metrics) -> dict[str, Metric]:
    text = (await metrics.text()).decode()
    return {family.name: family for family in text_string_to_metric_families(text)}


async def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    """The one sample of that name and these labels."""
    found = [
        sample.value
        for family in (await families(metrics)).values()
        for sample in family.samples
        if sample.name == name and sample.labels == labels
    ]
    return found[0] if found else None


async def test_what_attempts_have_settled_adds_up_to_the_ledger(contact: Contact) -> None:
    device = contact.scenario.device
    one, other = (Metrics("1", contact.scenario.pool) for _ in range(2))
    sent = {"device": device, "kind": "sequence", "outcome": "sent"}
    assert await value(one, "drumbeat_messages_total", **sent) == 0  # it is there before it counts

    contact.sender._observer = one
    await contact.scenario.faults({"kind": "offline", "count": 1})
    await contact.send()
    assert await value(one, "drumbeat_attempts_put_off_total", device=device) == 1
    assert await value(one, "drumbeat_messages_total", **sent) == 0

    # The next attempt is another worker's.
    contact.sender._observer = other
    contact.now += timedelta(minutes=7)
    await contact.send()
    await contact.send()  # finds it settled
    assert await value(one, "drumbeat_messages_total", **sent) == 0
    assert await value(other, "drumbeat_messages_total", **sent) == 1
    labels = {"device": device, "kind": "sequence"}
    assert await value(other, "drumbeat_lateness_seconds_count", **labels) == 1
    late = await value(other, "drumbeat_lateness_seconds_sum", **labels)
    assert late is not None
    assert 7 * 60 <= late < 8 * 60
    assert await value(other, "drumbeat_lateness_seconds_bucket", **labels, le="300.0") == 0
    assert await value(other, "drumbeat_lateness_seconds_bucket", **labels, le="900.0") == 1
    assert await value(other, "drumbeat_attempt_seconds_count", gateway="simulated") == 1
    assert [row["status"] for row in await contact.scenario.messages()] == ["sent"]

    # A test message is nobody's.
    other.attempt_ended(
        device="test", gateway="test", kind="test", status="sent", took=timedelta(1), late=timedelta(1)
    )
    assert b'"test"' not in await other.text()


async def test_the_ledger_in_numbers(scenario: Scenario) -> None:
    device = await scenario.add_device(daily_limit=50)
    await scenario.add_leads(4)
    await running(scenario)
    await scenario.apply("{sequence: story, steps: [{id: one, day: 1, text: Hi}]}")
    for index in (8, 9):
        await scenario.enroll("story", phone(index))
    pool = scenario.pool
    await pool.execute("update sequence_contacts set paused_at = now() where phone = $1", phone(9))
    await pool.execute("update devices set limit_day = current_date, limit_used = 3, faults = 2")
    await pool.execute("update devices set next_slot_at = now() + interval '1 hour'")
    await pool.execute(
        "update broadcast_messages set status = 'expired' where id = (select min(id::text)::uuid from broadcast_messages)"
    )
    await pool.execute(
        "update sequence_contacts set next_due_at = now() - interval '1 hour' where phone = $1", phone(8)
    )

    async def ledger(name: str, **labels: str) -> float | None:
        return await value(Metrics("1", pool), f"drumbeat_{name}", **labels)

    assert await ledger("ledger_up") == 1
    assert await ledger("ledger_messages", device=device, status="pending") == 3
    assert await ledger("ledger_messages", device=device, status="expired") == 1
    assert await ledger("ledger_messages", device=device, status="unconfirmed") == 0
    assert await ledger("campaign_messages_left", campaign="sale") == 3
    assert await ledger("campaigns", status="running") == 1
    assert await ledger("contacts", sequence="story", state="sleeping") == 1
    assert await ledger("contacts", sequence="story", state="paused") == 1
    assert await ledger("contacts", sequence="story", state="overdue") == 1
    assert await ledger("device_daily_used", device=device) == 3
    assert await ledger("device_daily_limit", device=device) == 50
    assert await ledger("device_faults", device=device) == 2
    backlog = await ledger("device_backlog_seconds", device=device)
    assert backlog is not None
    assert 3590 < backlog <= 3600
    assert (await ledger("messages_held", device=device), await ledger("device_paused", device=device)) == (
        0,
        0,
    )
    async with pool.acquire() as connection:
        await pause_campaign(connection, "sale")
    assert await ledger("messages_held", device=device) == 3
    async with pool.acquire() as connection:
        await set_device_status(connection, device, "paused", reason="flood")
    assert await ledger("device_paused", device=device) == 1
    assert await ledger("contacts", sequence="story", state="overdue") == 0


async def test_alerts_and_what_is_to_be_delivered(scenario: Scenario) -> None:
    await scenario.pool.execute(RECEIVER)
    await scenario.pool.execute(
        "insert into alerts (kind, subject, detail, since, count) values"
        " ('device_parked', 'a', '', now(), 1), ('device_parked', 'b', '', now(), 3)"
    )
    await scenario.pool.execute(
        "insert into outbox (receiver_id, event_id, type, happened_at, data, created_at, given_up_at)"
        " select id, gen_random_uuid(), 'alert.raised', now(), '{}', now() - make_interval(mins => m),"
        "        case when m = 30 then now() end from receivers, unnest(array[10, 20, 30]) m"
    )
    metrics = Metrics("1", scenario.pool)
    assert await value(metrics, "drumbeat_alerts", kind="device_parked") == 2
    assert await value(metrics, "drumbeat_alerts", kind="worker_gone") == 0
    assert await value(metrics, "drumbeat_outbox_waiting", receiver="ops") == 2
    assert await value(metrics, "drumbeat_outbox_given_up", receiver="ops") == 1
    oldest = await value(metrics, "drumbeat_outbox_oldest_seconds", receiver="ops")
    assert oldest is not None
    assert 1200 <= oldest < 1260


async def test_messages_that_no_worker_tries_are_overdue(scenario: Scenario) -> None:
    device = await scenario.add_device()
    await scenario.add_leads(2)
    await running(scenario)
    old = "slot_at = now() - interval '16 minutes', updated_at = now() - interval '16 minutes'"
    await scenario.pool.execute(f"update broadcast_messages set status = 'queued', {old}")
    assert await value(Metrics("1", scenario.pool), "drumbeat_messages_overdue", device=device) == 2
    await scenario.pool.execute("update broadcast_messages set updated_at = now()")
    assert await value(Metrics("1", scenario.pool), "drumbeat_messages_overdue", device=device) == 0


async def test_a_ledger_that_is_away_is_said_and_old_numbers_go(scenario: Scenario) -> None:
    device = await scenario.add_device()
    metrics = Metrics("1", scenario.pool)
    labels = {"device": device, "status": "pending"}
    assert await value(metrics, "drumbeat_ledger_messages", **labels) == 0
    reads = metrics._ledger._read_at
    await metrics.text()
    assert metrics._ledger._read_at == reads, "read once for many scrapes"
    await scenario.pool.close()
    metrics._ledger._read_at -= 11
    assert await value(metrics, "drumbeat_ledger_up") == 0
    assert await value(metrics, "drumbeat_ledger_messages", **labels) == 0
    metrics._ledger._read_at -= 60
    assert await value(metrics, "drumbeat_ledger_messages", **labels) is None
    assert await value(metrics, "drumbeat_device_paused", device=device) is None
    assert await value(metrics, "drumbeat_database_connections_max") == 10


async def test_a_ledger_that_is_slow_to_read_delays_no_scrape_and_is_not_read_again_and_again(
    scenario: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("monitoring.ledger.WITHIN", 0.2)
    device = await scenario.add_device()
    metrics = Metrics("1", scenario.pool)
    labels = {"device": device, "status": "pending"}
    async with scenario.pool.acquire() as connection, connection.transaction():
        await connection.execute("lock table broadcast_messages in access exclusive mode")
        began = time.monotonic()
        assert await value(metrics, "drumbeat_ledger_messages", **labels) is None
        assert time.monotonic() - began < 1
        assert await value(metrics, "drumbeat_ledger_up") == 1  # not known yet, and no alert
        metrics._ledger._began -= 6
        assert await value(metrics, "drumbeat_ledger_up") == 0
    await until(lambda: metrics._ledger._read_at > 0)
    reads = metrics._ledger._read_at
    assert await value(metrics, "drumbeat_ledger_messages", **labels) == 0
    assert await value(metrics, "drumbeat_ledger_up") == 1
    assert metrics._ledger._read_at == reads


async def test_inbound_messages_count_by_what_they_have_done(contact: Contact) -> None:
    await contact.send()
    metrics = Metrics("1", contact.scenario.pool)
    device = contact.scenario.device
    said = {"a": "Is it red?", "b": "hm", "c": "STOP", "d": "START"}
    sent_at: Any = (await contact.message())["sent_at"]
    for number, (identifier, text) in enumerate(said.items(), start=1):
        message = inbound(identifier, contact.phone, text, at=sent_at + timedelta(seconds=number))
        for _ in range(2):  # the second time it is known
            async with contact.scenario.pool.acquire() as connection:
                done = await record_inbound(connection, "simulated", device, [message], DEFAULT_KEYWORDS)
            metrics.inbound_recorded(done.effects)
    found = (await families(metrics))["drumbeat_inbound_messages"]
    counted = {sample.labels["effect"]: sample.value for sample in found.samples if sample.value}
    assert counted == {"paused": 2, "opted_out": 1, "opted_in": 1}


async def test_the_document_has_each_metric_with_its_labels(contact: Contact, pool: Pool) -> None:
    metrics = Metrics("1", pool)
    metrics.watch_writes(contact.sender._writes)
    contact.sender._observer = metrics
    await contact.send()
    metrics.webhook_answered(gateway="gowa", answer=200, took=timedelta(seconds=1))
    metrics.receipts_recorded("gowa", ["read"])
    await pool.execute("update devices set daily_limit = 10")
    await pool.execute("insert into workers (id, task_queue) values ('one', 'drumbeat')")
    await pool.execute(RECEIVER)
    await contact.scenario.add_leads(1, first=5)
    await running(contact.scenario)
    metrics._ledger._read_at -= 11
    shown = {
        (family.name + ("_total" if family.type == "counter" else ""), label)
        for name, family in (await families(metrics)).items()
        if not name.startswith(LIBRARIES)
        for sample in family.samples
        for label in (*(set(sample.labels) - {"le"}), "")
    }
    of_ledger = {one.name for one in metrics._ledger.collect()} - ABOUT_THE_LEDGER
    documented = set()
    for line in DOCUMENT.splitlines():
        if line.startswith("| `drumbeat_"):
            name, _, _, labels, of_the_ledger = (cell.strip() for cell in line.strip("|").split("|"))
            family = name.strip("`").removesuffix("_total")
            documented |= {(name.strip("`"), label) for label in (*re.findall(r"`(\w+)`", labels), "")}
            assert (of_the_ledger == "yes") == (family in of_ledger), name
    assert documented == shown


async def test_a_scrape_of_a_big_number_of_devices_is_quick(scenario: Scenario) -> None:
    await scenario.pool.execute(
        "insert into devices (id, gateway) select 'd' || n, 'simulated' from generate_series(1, 40) n"
    )
    metrics = Metrics("1", scenario.pool)
    await metrics.text()
    began = time.process_time()
    text = await metrics.text()
    assert time.process_time() - began < 0.5
    assert text.count(b"\n") < 5000
