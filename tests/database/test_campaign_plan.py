"""What the start of a campaign means, before it starts and while it runs."""

from datetime import timedelta

from messaging.campaigns.audience import freeze_audience
from messaging.campaigns.lifecycle import begin_campaign
from messaging.campaigns.plan import campaign_details, plan_campaign
from messaging.common.transactions import rehearsed
from messaging.devices.pace import load_paces
from messaging.sending.ledger import Ledger
from rig.people import phone
from tests.support.scenario import Scenario

SALE = "campaign: sale\ntarget: {niche: VITAC}\nmin_delay: 10\nmax_delay: 30\ntext: Hello\n"


async def test_leads_devices_pace_and_end_before_the_start_and_after_it(scenario: Scenario) -> None:
    await scenario.add_device(min_delay=1, max_delay=2)
    await scenario.add_device(device="slow", min_delay=60, max_delay=60, daily_limit=5)
    await scenario.add_leads(31)
    await scenario.add_leads(4, first=31, device="slow")
    await scenario.pool.execute("insert into suppressions (phone) values ($1)", phone(0))
    await scenario.apply_campaign(SALE)
    async with scenario.pool.acquire() as connection:
        plan = await plan_campaign(connection, "sale")
        assert (plan.leads, plan.left_out) == (34, {"opted_out": 1})
        quick, slow = plan.devices
        assert (quick.device, quick.leads, quick.min_delay, quick.max_delay) == (scenario.device, 30, 10, 30)
        assert (slow.device, slow.leads, slow.min_delay, slow.daily_limit) == ("slow", 4, 60, 5)
        assert plan.begins_at is not None
        assert quick.ends_at is not None
        assert abs(quick.ends_at - plan.begins_at - timedelta(seconds=29 * 20)) < timedelta(seconds=1)
        assert plan.ends_at == quick.ends_at

        # A rehearsed start changes nothing.
        changed, state = await rehearsed(
            connection, lambda: begin_campaign(connection, "sale", start_now=True)
        )
        assert (changed, state.status) == (True, "scheduled")
        assert await connection.fetchval("select status from campaigns") == "draft"

        _, state = await begin_campaign(connection, "sale", start_now=True)
        await freeze_audience(connection, state.campaign_id, now=None)
        await connection.execute(
            "update broadcast_messages set status = 'sent', sent_at = now() where device_id = $1",
            scenario.device,
        )
        found = await campaign_details(connection, "sale")
        assert found.plan is not None
        assert [(one.device, one.leads) for one in found.plan.devices] == [("slow", 4)]
        await connection.execute("update devices set status = 'paused', status_reason = 'broken'")
        held = await plan_campaign(connection, "sale")
        assert (held.ends_at, held.devices[0].holds) == (None, "it is paused: broken")


async def test_messages_that_have_a_slot_are_not_counted_twice(scenario: Scenario) -> None:
    await scenario.add_device(min_delay=100, max_delay=100)
    await scenario.add_leads(10)
    await scenario.apply_campaign("campaign: sale\ntarget: {niche: VITAC}\ntext: Hello\n")
    ledger, between = Ledger(scenario.pool), timedelta(seconds=100)
    async with scenario.pool.acquire() as connection:
        _, state = await begin_campaign(connection, "sale", start_now=True)
        await freeze_audience(connection, state.campaign_id, now=None)
        ends = []
        # One is being sent, and eight get their slots behind it; each may be drawn up to a tenth of a second later.
        for rank, row in enumerate(await connection.fetch("select id from broadcast_messages order by id")):
            if rank in (0, 1, 5, 9):
                plan = await plan_campaign(connection, "sale")
                assert plan.ends_at is not None
                ends.append(plan.ends_at)
            await ledger.claim_stored(row["id"], f"attempt {rank}")
        plan = await plan_campaign(connection, "sale")
        assert plan.ends_at is not None
        first, *later = (*ends, plan.ends_at)
        assert [abs(end - first) < timedelta(seconds=10) for end in later] == [True] * 4
        # Nine of them follow each other behind the first.
        pace = (await load_paces(connection))[scenario.device]
        assert abs(first - pace.now - 9 * between) < timedelta(seconds=10)
        assert abs(pace.free_at - pace.now - 10 * between) < timedelta(seconds=10)
        assert pace.ready_at == pace.now
