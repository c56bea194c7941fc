"""``message resolve``, on real servers: what is sent again, what is looked up, and what is left alone."""

import json

from operations import campaigns
from operations.audit import audit
from rig.people import phone
from temporal import search_attributes as attributes
from tests.support.campaigns import finished, ready
from tests.support.live import Live
from tests.support.unconfirmed import SEQUENCE, settled_as, unconfirmed


async def test_unconfirmed_messages_are_found_resolved_and_sent_again_only_on_demand(live: Live) -> None:
    await live.scenario.add_device()
    await live.scenario.apply(SEQUENCE)
    await live.scenario.offer(keys=False, look_up=False)
    await live.scenario.faults({"kind": "drop"})  # it never arrives, and the gateway does not say so
    await live.start_worker()
    for index in range(2):
        code, _, error = await live.run(
            "starter.py", "enroll", "story", phone(index), "--device", live.scenario.device
        )
        assert code == 0, error
    await settled_as(live, "unconfirmed", 2)
    await live.all_over(2)
    await live.scenario.faults()

    code, listed, _ = await live.run("starter.py", "messages", "--status", "unconfirmed", "--json")
    first, second = sorted(json.loads(listed), key=lambda row: row["phone"])
    code, out, _ = await live.run("starter.py", "status")
    assert "2 messages are unconfirmed" in out

    code, _, error = await live.run("starter.py", "message", "resolve", first["id"])
    assert (code, error.count("\n")) == (1, 1)
    assert "cannot be asked" in error
    code, _, error = await live.run("starter.py", "message", "resolve", first["id"], "--sent", "--resend")
    assert code == 2
    code, out, error = await live.run("starter.py", "message", "resolve", first["id"], "--sent")
    assert (code, out.strip()) == (0, f"story / a to {phone(0)}: counts as sent"), error
    for way in ((), ("--sent",)):  # it is resolved already
        code, out, error = await live.run("starter.py", "message", "resolve", first["id"], *way)
        assert (code, out.strip()) == (
            0,
            f"story / a to {phone(0)}: counts as sent already: nothing was changed",
        ), error
    code, _, error = await live.run("starter.py", "message", "resolve", first["id"], "--resend")
    assert code == 1
    assert "is sent, and only an unconfirmed one is sent again" in error
    code, out, error = await live.run("starter.py", "message", "resolve", second["id"], "--resend")
    assert (code, out.strip()) == (0, f"story / a to {phone(1)}: is sent again"), error
    await settled_as(live, "sent", 2)
    code, out, error = await live.run("starter.py", "message", "resolve", second["id"], "--resend")
    assert (code, out.strip()) == (
        0,
        f"story / a to {phone(1)}: counts as sent already: nothing was changed",
    ), error
    assert [row["phone"] for row in await live.scenario.accepted()] == [phone(1)]
    resent = live.connection.temporal.get_workflow_handle(f"message:{second['id']}")
    assert (await resent.result())["status"] == "sent"
    listed_as = await resent.describe()
    assert (listed_as.workflow_type, await listed_as.static_summary()) == (
        "MessageWorkflow",
        f"{phone(1)} · story / a",
    )
    found = [listed_as.typed_search_attributes.get(one) for one in (attributes.SEQUENCE, attributes.PHONE)]
    assert found == ["story", phone(1)]
    events = (await resent.fetch_history()).events
    assert not any(event.HasField("activity_task_scheduled_event_attributes") for event in events)
    report = await audit(live.connection)
    assert report.kept, [check for check in report.checks if not check.kept]


async def test_a_campaigns_unconfirmed_message_goes_out_again_and_the_campaign_ends_anew(live: Live) -> None:
    await ready(live, 5)
    await live.scenario.offer(keys=False, look_up=False)
    await live.scenario.faults({"kind": "drop", "phone": phone(2)})
    await live.start_worker()
    await campaigns.start(live.connection, "sale")
    done = await finished(live)
    assert (done.messages.sent, done.messages.unconfirmed) == (4, 1)
    await live.scenario.faults()
    (doubtful,) = await unconfirmed(live)
    code, out, error = await live.run(
        "starter.py", "message", "resolve", str(doubtful["id"]), "--resend", "--json"
    )
    assert code == 0, error
    assert json.loads(out)["campaign"] == "sale"
    done = await finished(live)
    assert (done.status, done.messages.sent, done.messages.unconfirmed) == ("finished", 5, 0)
    assert len(await live.scenario.accepted()) == 5


async def test_a_gateway_that_can_be_asked_is_asked(live: Live) -> None:
    await ready(live, 2)
    await live.scenario.offer(keys=False, look_up=False)
    # One arrives and one does not; the gateway says nothing of either.
    await live.scenario.faults(
        {"kind": "drop", "phone": phone(0), "after_accepting": True}, {"kind": "drop", "phone": phone(1)}
    )
    await live.start_worker()
    await campaigns.start(live.connection, "sale")
    await finished(live)
    await live.scenario.faults()
    await live.scenario.offer(keys=False, look_up=True)
    answers = {}
    for row in await unconfirmed(live):
        code, out, error = await live.run("starter.py", "message", "resolve", str(row["id"]), "--json")
        assert code == 0, error
        answers[row["recipient_phone"]] = json.loads(out)["result"]
    assert answers == {phone(0): "sent", phone(1): "still unconfirmed"}
    assert len(await live.scenario.accepted()) == 1
