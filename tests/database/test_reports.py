"""Reports beside the ledger: every figure of them, to the last one."""

import random
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

from messaging.campaigns.audience import freeze_audience
from messaging.campaigns.lifecycle import begin_campaign
from messaging.common.database import Pool
from messaging.common.errors import InvalidInput, NotFound
from messaging.reporting.report.compute import make_report
from messaging.reporting.report.model import Report
from messaging.reporting.report.scope import campaign_scope, device_scope, sequence_scope, week_scope
from rig.people import phone
from tests.support.replies import NOON
from tests.support.reports import adds_up
from tests.support.scenario import Scenario
from tests.support.told import Told

PEOPLE = 30

# A message of each step and of the campaign for everybody, of every status, over ten days. $1: what chance decides.
FILL = """
insert into broadcast_messages (id, sequence_stepid, sequence_contact_id, campaign_id, campaign_shard, campaign_position,
                                lead_id, recipient_phone, device_id, status, due_at, sent_at, delivered_at, read_at,
                                processing_worker_id, claimed_at)
select gen_random_uuid(), t.id, t.contact, c.id, c.shard, case when c.id is not null then row_number() over () end,
       l.id, l.phone, (array['other', $2])[1 + r.n % 2], s.status, d.due,
       case when s.status = 'sent' then d.due + r.late end,
       case when s.status = 'sent' and r.n % 3 > 0 then d.due + r.late + interval '1 min' end,
       case when s.status = 'sent' and r.n % 3 = 2 then d.due + r.late + interval '2 min' end,
       case when s.status = 'processing' then 'worker' end, case when s.status = 'processing' then d.due end
  from leads l
 cross join (values (0), (1), (2)) w (what)
  left join lateral (select t.id, c.id as contact from sequence_steps t join sequence_contacts c on c.sequence_id = t.sequence_id
                      where c.phone = l.phone and t.position = w.what - 1) t on true
  left join lateral (select id, 0 as shard from campaigns where w.what = 0) c on true
 cross join lateral (select (l.id * 7919 + w.what * 104729 + $1) % 1009 as n) i
 cross join lateral (select i.n::int as n, make_interval(secs => (i.n * i.n * i.n) % 200000 - 5) as late) r
 cross join lateral (select (array['sent','sent','sent','sent','failed','pending','queued','processing','unconfirmed','suppressed',
                                   'cancelled','expired'])[1 + r.n % 12] as status) s
 cross join lateral (select $3::timestamptz + make_interval(hours => r.n % 240) as due) d
 where t.id is not null or c.id is not null
"""

# They are never counted.
ADD_OTHERS = """
insert into broadcast_messages (id, purpose, contents, inbound_message_id, recipient_phone, device_id, status, due_at, sent_at)
select gen_random_uuid(), 'test', '{"text": "Hi"}'::jsonb, null::bigint, $1, $2, 'sent', $3::timestamptz, $3::timestamptz
union all
select gen_random_uuid(), 'opt-out confirmation', '{"text": "Bye"}'::jsonb, min(id), $1, $2, 'sent', $3, $3
  from inbound_messages
"""


async def campaign_report(pool: Pool, zone: str | None = None, now: datetime | None = None) -> Report:
    return await make_report(pool, zone, lambda on, at: campaign_scope(on, "sale", zone, at), now=now)


async def sequence_report(pool: Pool, week: str | None = None, now: datetime | None = None) -> Report:
    return await make_report(pool, None, lambda on, at: sequence_scope(on, "intro", None, week, at), now=now)


async def device_report(
    pool: Pool, device: str, week: str | None = None, now: datetime | None = None
) -> Report:
    return await make_report(pool, None, lambda on, at: device_scope(on, device, None, week, at), now=now)


async def week_report(
    pool: Pool, week: str | None = None, zone: str | None = None, now: datetime | None = None
) -> Report:
    return await make_report(pool, zone, lambda on, at: week_scope(on, week, zone, at), now=now)


async def test_every_figure_is_the_ledgers(scenario: Scenario) -> None:
    told = Told(scenario)
    await told.begin(PEOPLE)
    chance = random.Random(8)
    await scenario.pool.execute(FILL, chance.randrange(1009), scenario.device, NOON)
    for _ in range(60):
        text = "STOP" if chance.random() < 0.15 else "Hello"
        through = chance.choice(["other", scenario.device])
        await told.said(chance.randrange(PEOPLE), text, chance.randrange(12 * 86_400), device=through)
    await scenario.pool.execute(ADD_OTHERS, phone(1), scenario.device, NOON)
    before = await scenario.pool.fetch("select * from broadcast_messages order by id")

    pool, now = scenario.pool, NOON + timedelta(days=7)
    campaign = await campaign_report(pool, "Asia/Kuala_Lumpur", now)
    sequence = await sequence_report(pool, None, now)
    device = await device_report(pool, scenario.device, None, now)
    week = await week_report(pool, "2026-W10", None, now)
    empty = await week_report(pool, "2026-W30", None, now)
    more = [
        await sequence_report(pool, "last", now),
        await device_report(pool, "other", "2026-W10", now),
        await week_report(pool, None, "Asia/Kuala_Lumpur", now),
    ]
    for report in (campaign, sequence, device, week, empty, *more):
        await adds_up(pool, report)
    # It must have had something to add up.
    assert campaign.total.messages == PEOPLE
    assert sequence.total.messages == 2 * PEOPLE
    assert min(sequence.total.replied, campaign.total.replied, device.total.replied, week.total.replied) > 2
    assert sequence.total.opted_out + campaign.total.opted_out > 2
    assert 0 < sequence.total.due < sequence.total.messages
    assert [line.name for line in sequence.lines] == ["one", "two"]
    assert {line.name for line in week.lines} == {"intro", "sale"}
    assert (device.test_messages, device.confirmations) == (1, 1)
    assert (campaign.test_messages, empty.total.messages, empty.times) == (None, 0, ())
    assert before == await scenario.pool.fetch("select * from broadcast_messages order by id")
    # Why they are not sent.
    await pool.execute(
        "update devices set status = 'paused', status_reason = 'parked after 3 failures' where id = 'other'"
    )
    await pool.execute(
        "update broadcast_messages set reason = 'blocked ' || right(recipient_phone, 2) where status = 'failed'"
    )
    parked = await week_report(pool, "2026-W10", None, now)
    await adds_up(pool, parked)
    why = {(one.outcome, one.reason): one.messages for one in parked.reasons}
    assert why["waiting", "device other is paused: parked after 3 failures"] == sum(
        one.outcomes.waiting for one in parked.devices if one.name == "other"
    )
    assert (
        sum(messages for (outcome, _), messages in why.items() if outcome == "failed")
        == parked.total.outcomes.failed
    )
    assert max(Counter(one.outcome for one in parked.reasons).values()) <= 6
    await pool.execute("update devices set status = 'active', status_reason = null where id = 'other'")
    await pool.execute("update broadcast_messages set reason = null where status = 'failed'")
    # What 'campaign status' and 'sequence show' say is the same.
    results = await told.results()
    for report, name in ((campaign, "sale"), (sequence, "intro")):
        of = results[name]
        total = report.total
        assert (total.delivered, total.read, total.replied, total.opted_out) == (
            *(of.delivered, of.read, of.replied, of.opted_out),
        )
    for line in sequence.lines:
        assert (line.replied, line.opted_out) == (results[line.name].replied, results[line.name].opted_out)
    # The weeks together are everything.
    weeks = [await week_report(pool, f"2026-W{number}") for number in range(9, 16)]
    assert sum(one.total.messages for one in weeks) == 3 * PEOPLE
    assert len(before) == await scenario.pool.fetchval("select count(*) from broadcast_messages")


async def test_hours_and_days_are_those_of_the_time_zone(scenario: Scenario) -> None:
    told = Told(scenario)
    await told.begin(2)
    await told.sent("sale", 0)
    await told.said(0, "Hi", 3600)
    await told.said(0, "Hi again", 7200)
    for zone, hour in (("UTC", 13), ("Asia/Kuala_Lumpur", 21), ("Asia/Kathmandu", 18)):
        report = await campaign_report(scenario.pool, zone)
        assert [one.hour for one in report.hours if one.replied] == [hour]
        assert (report.replies, report.total.replied) == (2, 1)
        assert report.times[0].start.astimezone(UTC) == NOON


async def test_names_and_zones_that_are_unknown(scenario: Scenario) -> None:
    await Told(scenario).begin(0)
    pool = scenario.pool
    with pytest.raises(NotFound, match=r"there is no campaign 'sal': did you mean 'sale'"):
        await make_report(pool, None, lambda on, at: campaign_scope(on, "sal", None, at))
    with pytest.raises(NotFound, match=r"there is no sequence 'into': did you mean 'intro'"):
        await make_report(pool, None, lambda on, at: sequence_scope(on, "into", None, None, at))
    with pytest.raises(NotFound, match=r"there is no device 'othr': did you mean 'other'"):
        await device_report(pool, "othr")
    with pytest.raises(InvalidInput, match=r"time-zone: .*Mars"):
        await campaign_report(pool, "Mars/Base")


async def test_a_paused_device_keeps_the_end_from_being_said_and_the_others_end(scenario: Scenario) -> None:
    await scenario.add_device(min_delay=20, max_delay=40)
    other = await scenario.add_device(device=f"{scenario.device}-2", min_delay=1, max_delay=1)
    await scenario.add_leads(4)
    await scenario.add_leads(2, device=other, first=10)
    await scenario.apply_campaign("campaign: sale\ntarget: {status: all}\ntext: Hi\n")
    async with scenario.pool.acquire() as connection:
        _, state = await begin_campaign(connection, "sale", start_now=True)
        await freeze_audience(connection, state.campaign_id, now=None)
    report = await campaign_report(scenario.pool)
    assert (report.expected_end is not None, report.held_by, report.others_end) == (True, (), None)
    await scenario.pool.execute("update devices set status = 'paused' where id = $1", other)
    report = await campaign_report(scenario.pool)
    assert (report.expected_end, report.held_by) == (None, (other,))
    assert report.others_end is not None
    await scenario.pool.execute("update devices set status = 'paused'")
    report = await campaign_report(scenario.pool)
    assert (set(report.held_by), report.others_end) == ({scenario.device, other}, None)
