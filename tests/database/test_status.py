"""What 'status' and 'campaign status' say of what waits, and the order of 'messages'."""

import asyncio
import json
import os
import resource
import sys
from datetime import UTC, datetime, timedelta

import pytest

from cli.contact_page import contact_page
from cli.device import _format_added
from cli.message import _format_messages
from messaging.campaigns.store import list_campaigns
from messaging.common.errors import NotFound
from messaging.devices.store import set_device_status
from messaging.leads.without_device import count_without_device
from messaging.reporting.contact import contact_report
from messaging.reporting.messages import list_messages
from messaging.reporting.status import status_report
from messaging.sending.message_status import MessageStatus
from operations.devices import DeviceAdded
from rig.people import phone
from tests.support.frozen import running
from tests.support.live import ROOT
from tests.support.scenario import Scenario
from tests.support.told import Told

CLOSED = """
update devices set opens_at = $1, closes_at = $2, time_zone = 'Asia/Kuala_Lumpur'
"""


async def test_until_when_sending_hours_keep_a_queue_waiting(scenario: Scenario) -> None:
    device = await scenario.add_device()
    await scenario.add_leads(3)
    await running(scenario)
    assert (await status_report(scenario.pool)).waits == ()
    # Closed for two hours more in Kuala Lumpur, whatever the time is.
    there = datetime.now(UTC).replace(tzinfo=None) + timedelta(hours=8)
    opens, closes = ((there + timedelta(hours=hours)).replace(second=0, microsecond=0) for hours in (2, 4))
    await scenario.pool.execute(CLOSED, opens.time(), closes.time())
    said = (
        f"3 messages wait until {opens:%Y-%m-%d %H:%M:%S} Asia/Kuala_Lumpur: device {device} sends from"
        f" {opens:%H:%M} to {closes:%H:%M} Asia/Kuala_Lumpur"
    )
    assert (await status_report(scenario.pool)).waits == (said,)
    async with scenario.pool.acquire() as connection:
        (campaign,) = await list_campaigns(connection, "sale")
        assert campaign.waits == (said,)
        assert [one.waits for one in await list_campaigns(connection)] == [()]
    await scenario.pool.execute("update broadcast_messages set status = 'cancelled'")
    assert (await status_report(scenario.pool)).waits == ()


async def test_a_daily_limit_that_is_used_up_is_said_too(scenario: Scenario) -> None:
    await scenario.add_device(daily_limit=1)
    await scenario.add_leads(2)
    await running(scenario)
    await scenario.pool.execute("update devices set limit_day = current_date, limit_used = 1")
    (line,) = (await status_report(scenario.pool)).waits
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).date()
    assert (
        line
        == f"2 messages wait until {tomorrow} 00:00:00 UTC: device {scenario.device} has sent its 1 of the day"
    )


async def test_leads_with_a_trigger_and_no_device_are_said(scenario: Scenario) -> None:
    await scenario.add_device()
    await scenario.add_device(device="second")
    await scenario.apply("{sequence: intro, trigger: SPRING, steps: [{id: one, day: 1, text: Hi}]}")
    await scenario.add_leads(3)
    await scenario.pool.execute("update leads set triggers = '{SPRING}'")
    assert (await status_report(scenario.pool)).attention == ()
    await scenario.pool.execute("update leads set device_id = null where phone <> $1", phone(0))
    (line,) = (await status_report(scenario.pool)).attention
    assert line.startswith("2 leads have the trigger of a sequence and no device to write from")
    # Neither is for the sweep.
    await scenario.pool.execute("insert into suppressions (phone) values ($1)", phone(1))
    await scenario.pool.execute("update leads set triggers = '{OTHER}' where phone = $1", phone(2))
    assert (await status_report(scenario.pool)).attention == ()


async def test_delivered_read_and_replied_are_in_the_totals(scenario: Scenario) -> None:
    told = Told(scenario)
    await told.begin(2)
    await told.sent("one", 0, read=True)
    await told.sent("one", 1, delivered=True)
    await told.said(0, "Hi", 60)
    await told.said(0, "Hello?", 90)
    report = await status_report(scenario.pool)
    assert (report.delivered, report.read, report.replied) == (2, 1, 1)


async def test_messages_come_in_the_order_in_which_they_were_sent(scenario: Scenario) -> None:
    told = Told(scenario)
    await told.begin(2)
    first = await told.sent("one", 0, 10)
    await told.sent("one", 1, 20)
    # A receipt of the first, which came last.
    await scenario.pool.execute(
        "update broadcast_messages set read_at = now(), updated_at = now() + interval '1 hour' where id = $1",
        first,
    )
    listed = await list_messages(scenario.pool, [MessageStatus.SENT], 10)
    assert [one.phone for one in listed] == [phone(1), phone(0)]
    assert [one.phone for one in await list_messages(scenario.pool, [MessageStatus.SENT], 1)] == [phone(1)]


async def test_messages_of_one_campaign_or_one_sequence(scenario: Scenario) -> None:
    told = Told(scenario)
    await told.begin(1)
    await told.sent("one", 0, 10)
    sequence, campaign = await scenario.pool.fetchval("select name from sequences limit 1"), "sale"
    await scenario.apply_campaign("campaign: sale\ntarget: {status: all}\ntext: Sale\n")
    await scenario.pool.execute(
        "insert into broadcast_messages (id, campaign_id, lead_id, recipient_phone, device_id, due_at, campaign_shard, campaign_position)"
        " select gen_random_uuid(), k.id, l.id, l.phone, l.device_id, now(), 0, 0 from campaigns k, leads l where k.name = 'sale'"
    )
    every = list(MessageStatus)
    [one] = await list_messages(scenario.pool, every, 10, campaign=campaign)
    assert one.what == "campaign sale"
    [one] = await list_messages(scenario.pool, every, 10, sequence=sequence)
    assert one.what == f"{sequence} / one"
    assert await list_messages(scenario.pool, [MessageStatus.SENT], 10, campaign=campaign) == []
    with pytest.raises(NotFound, match="no campaign 'sail'"):
        await list_messages(scenario.pool, every, 10, campaign="sail")
    with pytest.raises(NotFound, match="no sequence 'nothing'"):
        await list_messages(scenario.pool, every, 10, sequence="nothing")


async def test_the_command_is_quick(scenario: Scenario, database_url: str) -> None:
    """Of its second, most is the start of Python and its libraries: measured is what this process tree computes."""
    await scenario.add_device()
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "starter.py", "status", "--json"),
        cwd=ROOT,
        env={**os.environ, "DATABASE_URL": database_url, "TEMPORAL_ADDRESS": "127.0.0.1:1"},
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert json.loads(out)["leads"] == 0
    assert (after.ru_utime + after.ru_stime) - (before.ru_utime + before.ru_stime) < 1.0


async def test_each_line_names_what_to_do(scenario: Scenario) -> None:
    told = Told(scenario)
    await told.begin(2)
    await told.sent("one", 0)
    await told.sent("one", 1)
    await scenario.pool.execute(
        "update broadcast_messages set status = 'failed', sent_at = null, reason = 'blocked' where recipient_phone = $1",
        phone(0),
    )
    await scenario.pool.execute(
        "update broadcast_messages set status = 'unconfirmed', sent_at = null where recipient_phone = $1",
        phone(1),
    )
    async with scenario.pool.acquire() as connection:
        await set_device_status(connection, scenario.device, "paused", "no SIM")
    device, unconfirmed, failed = (await status_report(scenario.pool)).attention
    assert device.endswith(f"; 'device resume {scenario.device}' goes on")
    assert unconfirmed.endswith("add --sent (it arrived) or --resend (it did not)")
    assert failed == "1 message failed: blocked; 'messages --status failed' lists it"
    await scenario.apply_campaign("campaign: sale\ntarget: {status: all}\ntext: Sale\n")
    await scenario.pool.execute(
        "update broadcast_messages set sequence_stepid = null, sequence_contact_id = null, campaign_shard = 0, campaign_position = 0,"
        " campaign_id = (select id from campaigns where name = 'sale')"
    )
    assert "'campaign retry-failed sale' sends again" in (await status_report(scenario.pool)).attention[2]
    page = _format_messages(
        await list_messages(scenario.pool, [MessageStatus.FAILED, MessageStatus.UNCONFIRMED], 10)
    )
    assert "'campaign retry-failed sale'" in page
    assert "'message resolve ID' asks the gateway" in page


async def test_the_only_device_and_leads_without_one(scenario: Scenario) -> None:
    await scenario.add_device()
    await scenario.add_leads(2)
    await scenario.pool.execute("update leads set device_id = null")
    page = contact_page(await contact_report(scenario.pool, phone(0), phone(0)))
    assert f"Device: {scenario.device} (the only one)." in page
    assert await count_without_device(scenario.pool) == 0
    await scenario.add_device(device="second")
    assert await count_without_device(scenario.pool) == 2
    added = DeviceAdded(device="second", result="created", leads_without_device=2)
    assert "2 leads have no device of their own: 'lead move --where FILTER --to second'" in _format_added(
        added
    )
