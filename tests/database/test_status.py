"""What 'status' and 'campaign status' say of what waits, and the order of 'messages'."""

import asyncio
import json
import os
import resource
import sys
from datetime import UTC, datetime, timedelta

import pytest

from messaging.campaigns.store import list_campaigns
from messaging.common.errors import NotFound
from messaging.reporting.messages import list_messages
from messaging.reporting.status import status_report
from messaging.sending.message_status import MessageStatus
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
