"""The audit is green where all is well, and each kind of damage is caught by the promise that it breaks."""

import json
from collections.abc import Awaitable, Callable
from typing import cast
from uuid import uuid4

from messaging.campaigns.lifecycle import begin_campaign
from messaging.common.database import Pool
from operations import campaigns, enrollment, opt_outs
from operations.audit import AuditReport, audit
from operations.connection import Drumbeat
from rig.people import phone
from rig.waiting import until
from tests.support.live import Live
from tests.support.query_costs import OneConnection

SEQUENCE = """
sequence: story
steps:
  - {id: a, day: 1, text: "One"}
  - {id: b, after: 2h, text: "Two"}
"""


async def lively(live: Live) -> None:
    """Three contacts that had their first message and sleep, and one that has opted out."""
    await live.scenario.add_device()
    await live.scenario.apply(SEQUENCE)
    await live.start_worker()
    for index in range(4):
        await enrollment.enroll(live.connection, "story", phone(index), device=live.scenario.device)

    async def asleep() -> bool:
        return bool(
            await live.scenario.pool.fetchval(
                "select count(*) = 4 from sequence_contacts c join sequence_steps s on s.id = c.next_step_id"
                " where s.key = 'b'"
            )
        )

    await until(asleep)
    await opt_outs.opt_out(live.connection, phone(3))
    await live.all_over(1)


async def twice(pool: Pool) -> None:
    await pool.execute("drop index one_live_sequence_message")
    await pool.execute("insert into devices (id, gateway) values ('other', 'simulated')")
    await pool.execute(
        "insert into broadcast_messages (id, sequence_stepid, sequence_contact_id, lead_id, recipient_phone,"
        " device_id, status, due_at, sent_at) select $1, sequence_stepid, sequence_contact_id, lead_id,"
        " recipient_phone, 'other', status, due_at, sent_at from broadcast_messages limit 1",
        uuid4(),
    )


async def no_constraint(pool: Pool) -> None:
    await pool.execute("alter table broadcast_messages drop constraint unique_sequence_message")


async def invalid_index(pool: Pool) -> None:
    await pool.execute(
        "update pg_index set indisvalid = false where indexrelid = 'one_live_campaign_message'::regclass"
    )


async def row_gone(pool: Pool) -> None:
    await pool.execute(
        "update sequence_contacts set status = 'completed', ended_at = now(), next_step_id = null"
        " where phone = $1",
        phone(0),
    )


async def stuck(pool: Pool) -> None:
    await pool.execute(
        "update broadcast_messages set status = 'processing', processing_worker_id = 'dead', sent_at = null,"
        " claimed_at = now() - interval '1 hour' where recipient_phone = $1",
        phone(0),
    )


async def lost(pool: Pool) -> None:
    await pool.execute("delete from broadcast_messages where recipient_phone = $1", phone(0))


DAMAGE: dict[str, tuple[Callable[[Pool], Awaitable[None]], str]] = {
    "sent twice": (twice, "no step was sent twice to a phone"),
    "constraint dropped": (no_constraint, "every unique constraint is present and valid"),
    "index not valid": (invalid_index, "every unique constraint is present and valid"),
    "enrollment gone": (row_gone, "every running workflow has its enrollment"),
    "stuck": (stuck, "no message is stuck in processing"),
    "lost": (lost, "no step was lost"),
}


async def only_read(pool: Pool) -> None:
    """As with a role that may only read, for which an audit is no less."""
    await pool.execute("set transaction read only")


async def after(live: Live, harm: Callable[[Pool], Awaitable[None]]) -> AuditReport:
    """What the audit says of this damage, which is undone."""
    async with live.scenario.pool.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        damaged = Drumbeat(live.connection.settings, live.connection.addresses, live.connection.temporal)
        damaged._pool = cast("Pool", OneConnection(connection))
        await harm(damaged._pool)
        report = await audit(damaged)
        await transaction.rollback()
        return report


async def test_all_is_well_and_each_damage_is_caught(live: Live) -> None:
    await lively(live)
    await live.stop_workers()
    report = await audit(live.connection)
    assert report.kept, [check for check in report.checks if not check.kept]
    assert (report.totals.should, report.totals.sent, report.totals.waiting) == (7, 4, 3)
    for damage, (harm, promise) in DAMAGE.items():
        broken = [check for check in (await after(live, harm)).checks if not check.kept]
        assert promise in [check.promise for check in broken], damage
        assert all(check.broken for check in broken), damage
    assert (await audit(live.connection)).kept
    assert (await after(live, only_read)).kept


async def test_what_is_wrong_with_a_campaign_is_caught(live: Live) -> None:
    """A lead whose message is gone, an end that came too early, a campaign under way that nobody follows."""
    await live.scenario.add_device()
    await live.scenario.add_leads(3)
    for name in ("sale", "later"):
        await live.scenario.apply_campaign(f"campaign: {name}\ntarget: {{niche: VITAC}}\ntext: Hi\n")
    await live.start_worker()
    await campaigns.start(live.connection, "sale")
    await live.connection.temporal.get_workflow_handle("campaign:sale").result()
    assert (await audit(live.connection)).kept
    await live.scenario.pool.execute("delete from broadcast_messages where recipient_phone = $1", phone(0))
    await live.scenario.pool.execute(
        "update broadcast_messages set status = 'queued', sent_at = null where recipient_phone = $1", phone(1)
    )
    async with live.scenario.pool.acquire() as connection:
        await begin_campaign(connection, "later", start_now=False)
    broken = {check.promise: check.broken for check in (await audit(live.connection)).checks if check.broken}
    assert broken == {
        "no lead of a campaign was lost": (
            "campaign sale: 3 leads, and 2 messages",
            "campaign sale is finished, and 1 message is not settled",
        ),
        "every campaign under way has its workflow": (
            "later: no workflow runs; 'campaign resume later' starts it",
        ),
        "the totals add up": ("the two sides differ",),
    }


async def test_a_workflow_that_was_terminated_leaves_an_orphan(live: Live) -> None:
    await lively(live)
    await live.connection.temporal.get_workflow_handle(f"sequence:story:{phone(0)}").terminate("by accident")
    code, out, _ = await live.run("starter.py", "audit", "--json")
    assert code == 1
    broken = {check["promise"]: check["broken"] for check in json.loads(out)["checks"] if check["count"]}
    assert list(broken) == ["every active enrollment has its workflow"]
    assert phone(0) in broken["every active enrollment has its workflow"][0]
