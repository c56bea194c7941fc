"""A step that waits for a reply, from the simulated gateway's inbox through a real worker, and without its signal."""

from datetime import datetime, timedelta

from messaging.common.keywords import DEFAULT_KEYWORDS
from messaging.devices.device import DeviceSettings
from messaging.devices.store import add_device
from messaging.gateways.webhook_events import InboundMessage
from messaging.replies.record import record_inbound
from operations import enrollment
from operations.audit import audit
from operations.schedule import RECOVERY
from rig.gateway_control import listen, write
from rig.people import phone
from rig.waiting import until
from tests.support.live import Live
from tests.support.ports import free_port

SECRET = "a-secret-of-the-tests"
SAMPLE = """
sequence: sample
steps:
  - {id: offer, day: 1, text: "May I send you a sample?"}
  - {id: thanks, wait_for: {reply: 24h}, if: {replied: true}, text: "Great!"}
  - {id: nudge, after: 0s, if: {replied: false}, text: "Shall I?"}
"""


async def test_the_step_goes_out_right_after_the_reply(live: Live) -> None:
    scenario, port = live.scenario, free_port()
    await scenario.add_device()
    async with scenario.pool.acquire() as connection:
        await add_device(
            connection, DeviceSettings(id=scenario.device, options={"webhook_secret_env": "SIMULATED_SECRET"})
        )
    await scenario.apply(SAMPLE)
    await live.start_worker(DRUMBEAT_WEBHOOKS_PORT=str(port), SIMULATED_SECRET=SECRET)
    await listen(scenario.simulator_url, f"http://127.0.0.1:{port}/webhooks", SECRET)
    for index in range(3):
        await enrollment.enroll(live.connection, "sample", phone(index), device=scenario.device)

    async def offered() -> bool:
        return bool(
            await scenario.pool.fetchval(
                "select count(*) = 3 from sequence_contacts c join sequence_steps t on t.id = c.next_step_id"
                " where t.key = 'thanks'"
            )
        )

    await until(offered)
    handle = live.connection.temporal.get_workflow_handle(f"sequence:sample:{phone(0)}")
    progress = await handle.query("progress", result_type=dict)
    assert progress["when"].startswith("a reply, or 24h after offer")
    reply = {"device": scenario.device, "from": phone(0), "text": "Yes please"}
    assert await write(scenario.simulator_url, reply, times=2) == [200, 200]
    await live.all_over(1, seconds=10)
    row = await scenario.pool.fetchrow(
        "select m.sent_at - i.received_at as took from broadcast_messages m join sequence_steps t on t.id = m.sequence_stepid,"
        " inbound_messages i where t.key = 'thanks' and m.recipient_phone = i.phone"
    )
    assert row is not None
    assert timedelta(0) < row["took"] < timedelta(seconds=2)
    reasons = [
        (m["step"], m["status"]) for m in await scenario.messages() if m["recipient_phone"] == phone(0)
    ]
    assert reasons == [("offer", "sent"), ("thanks", "sent"), ("nudge", "cancelled")]
    # A reply whose signal is lost: the process that recorded it dies. The recovery signals what stands in the row.
    message = InboundMessage(
        gateway_message_id="in-lost", kind="text", text="Yes", phone=phone(1), at=datetime.now().astimezone()
    )
    async with scenario.pool.acquire() as connection:
        await record_inbound(connection, "simulated", scenario.device, [message], DEFAULT_KEYWORDS)
    await live.connection.temporal.get_schedule_handle(RECOVERY).trigger()
    await live.all_over(2)
    assert [row["text"] for row in await scenario.accepted() if row["phone"] == phone(1)] == [
        "May I send you a sample?",
        "Great!",
    ]
    assert [row["text"] for row in await scenario.accepted() if row["phone"] == phone(2)] == [
        "May I send you a sample?"
    ]
    report = await audit(live.connection)
    assert report.kept, [check for check in report.checks if not check.kept]
