"""One contact's story, over days, in seconds."""

import itertools
from collections.abc import AsyncIterator
from datetime import UTC, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from temporalio.client import WorkflowFailureError, WorkflowHandle
from temporalio.exceptions import CancelledError

from messaging.common.errors import Conflict
from messaging.sequences.contacts import pause_contact, resume_contact
from messaging.sequences.enrollments import Enrollments
from rig.people import phone
from rig.waiting import until
from tests.support.scenario import Scenario
from tests.support.temporal_time import Skipping, skipping
from workflows.sequence import ContactResult, SequenceContactWorkflow

BERLIN = ZoneInfo("Europe/Berlin")

MONTH = "sequence: month\ntrigger: MONTH\ntimezone: UTC\nsteps:\n" + "".join(
    f"  - {{id: day-{day}, day: {day}, at: '10:00', text: 'Day {day}'}}\n" for day in range(1, 31)
)

TWO_DAYS = """
sequence: two-days
trigger: TWO
timezone: UTC
steps:
  - {id: first, day: 1, text: "First"}
  - {id: second, day: 2, at: "10:00", text: "Second"}
"""


@pytest.fixture
async def skipper(scenario: Scenario) -> AsyncIterator[Skipping]:
    await scenario.add_device()
    async with skipping(scenario) as running:
        yield running


async def texts(skipper: Skipping, number: str | None = None) -> list[str]:
    return [m["text"] for m in await skipper.scenario.accepted() if number in (None, m["phone"])]


async def test_thirty_days_in_seconds(skipper: Skipping) -> None:
    await skipper.scenario.apply(MONTH)
    handle = await skipper.enroll(
        "month", phone(1), time_zone="Asia/Kuala_Lumpur", triggers=("MONTH", "OTHER")
    )
    result = await handle.result()
    assert (result.outcome, result.settled) == ("completed", 30)
    assert await texts(skipper) == [f"Day {day}" for day in range(1, 31)]
    messages = await skipper.scenario.messages()
    due = [message["due_at"] for message in messages]
    assert {b - a for a, b in itertools.pairwise(due)} == {timedelta(days=1)}
    assert {moment.astimezone(UTC).strftime("%H:%M") for moment in due} == {"02:00"}  # 10:00 in Kuala Lumpur
    assert all(timedelta(0) <= m["sent_at"] - m["due_at"] < timedelta(minutes=1) for m in messages)
    row = await skipper.scenario.pool.fetchrow(
        "select c.status, l.triggers from sequence_contacts c join leads l on l.id = c.lead_id"
    )
    assert row is not None
    assert (row["status"], row["triggers"]) == ("completed", ["OTHER"])


async def test_a_second_run_for_the_same_phone_sends_nothing(skipper: Skipping) -> None:
    """As after Temporal's retention has passed: the ID is free again, the row is not."""
    await skipper.scenario.apply(TWO_DAYS)
    first = await (await skipper.enroll("two-days", phone(1))).result()
    second = await (await skipper.enroll("two-days", phone(1), triggers=("TWO",))).result()
    assert (first.outcome, second.outcome) == ("completed", "duplicate")
    assert await texts(skipper) == ["First", "Second"]
    assert await skipper.scenario.pool.fetchval("select triggers from leads") == []


@pytest.mark.parametrize("told", [True, False])
async def test_pause_over_a_due_time_loses_nothing_and_makes_no_burst(skipper: Skipping, told: bool) -> None:
    """Also where the workflow never hears of it: the row holds what is due, and the claim has it look."""
    await skipper.scenario.apply(MONTH)
    handle = await skipper.enroll("month", phone(1))
    await skipper.sleep(timedelta(days=3))
    sent = len(await texts(skipper))
    pool = skipper.scenario.pool
    contact = await pool.fetchval("select id from sequence_contacts")
    assert await pause_contact(pool, contact, "on holiday")
    assert not await pause_contact(pool, contact, "twice")
    if told:
        await handle.signal("plan_changed")

        async def paused() -> bool:
            progress = await handle.query("progress", result_type=dict)
            return (progress["state"], progress["why"]) == ("paused", "on holiday")

        await until(paused)
    await skipper.sleep(timedelta(days=5))
    progress = await handle.query("progress", result_type=dict)
    assert (progress["state"], progress["why"]) == ("paused", "on holiday")
    assert len(await texts(skipper)) == sent
    assert await resume_contact(pool, contact)
    assert not await resume_contact(pool, contact)
    if told:
        await handle.signal("plan_changed")
    assert (await handle.result()).outcome == "completed"
    assert await texts(skipper) == [f"Day {day}" for day in range(1, 31)]
    messages = await skipper.scenario.messages()
    moments = [message["sent_at"] for message in messages]
    gaps = [b - a for a, b in itertools.pairwise(moments)]
    assert min(gaps) >= timedelta(hours=12), "no two messages of one day's distance closer than half of it"
    assert max(gaps) >= timedelta(days=5)


async def test_stop_ends_it_and_says_why(skipper: Skipping) -> None:
    await skipper.scenario.apply(TWO_DAYS)
    handle = await skipper.enroll("two-days", phone(1))
    await until(lambda: _count(skipper, 1))
    await handle.signal("stop", "asked by phone")
    result = await handle.result()
    assert (result.outcome, result.reason) == ("stopped", "asked by phone")
    row = await skipper.scenario.pool.fetchrow("select status, reason, next_due_at from sequence_contacts")
    assert row is not None
    assert tuple(row) == ("stopped", "asked by phone", None)
    assert await texts(skipper) == ["First"]


async def _count(skipper: Skipping, number: int) -> bool:
    return len(await texts(skipper)) >= number


async def test_skip_leaves_out_the_named_step_only(skipper: Skipping) -> None:
    await skipper.scenario.apply(MONTH)
    handle = await skipper.enroll("month", phone(1))
    await until(lambda: _at(handle, "day-1"))
    assert await skip(skipper, handle, "day-1")
    await until(lambda: _at(handle, "day-2"))
    assert not await skip(skipper, handle, "day-1")
    with pytest.raises(Conflict, match="the current step is 'day-2', not 'day-3'"):
        await skip(skipper, handle, "day-3")
    await handle.result()
    assert await texts(skipper) == [f"Day {day}" for day in range(2, 31)]
    messages = await skipper.scenario.messages()
    assert (messages[0]["status"], messages[0]["reason"]) == ("cancelled", "skipped by an operator")


async def _at(handle: object, step: str) -> bool:
    progress = await handle.query("progress", result_type=dict)  # type: ignore[attr-defined]
    return bool(progress["step"] == step)


async def test_opt_out_while_asleep(skipper: Skipping) -> None:
    await skipper.scenario.apply(TWO_DAYS)
    handle = await skipper.enroll("two-days", phone(1))
    await until(lambda: _count(skipper, 1))
    await skipper.scenario.pool.execute("insert into suppressions (phone) values ($1)", phone(1))
    result = await handle.result()
    assert result.outcome == "opted_out"
    assert await texts(skipper) == ["First"]
    assert [m["status"] for m in await skipper.scenario.messages()] == ["sent", "suppressed"]


async def test_who_had_opted_out_before_is_not_written_to(skipper: Skipping) -> None:
    await skipper.scenario.apply(TWO_DAYS.replace("trigger: TWO", "trigger: TWO\nnext_trigger: MONTH"))
    await skipper.scenario.apply(MONTH)
    await skipper.scenario.pool.execute("insert into suppressions (phone) values ($1)", phone(1))
    handle = await skipper.enroll("two-days", phone(1), triggers=("TWO",))
    assert (await handle.result()).outcome == "not_enrolled"
    assert await texts(skipper) == []
    assert await skipper.scenario.pool.fetchval("select count(*) from sequence_contacts") == 0
    assert (await handle.query(SequenceContactWorkflow.progress)).state == "not enrolled"


EDITS = {
    "earlier": (TWO_DAYS.replace('day: 2, at: "10:00"', "after: 1h"), ["First", "Second"]),
    "later": (TWO_DAYS.replace("day: 2", "day: 9"), ["First", "Second"]),
    "reworded": (TWO_DAYS.replace('text: "Second"', 'text: "2nd"'), ["First", "2nd"]),
    "added": (TWO_DAYS + '  - {id: third, day: 5, text: "Third"}\n', ["First", "Second", "Third"]),
    "removed": (TWO_DAYS[: TWO_DAYS.index("  - {id: second")], ["First"]),
    "put between": (
        TWO_DAYS.replace("  - {id: second", '  - {id: between, after: 1m, text: "Between"}\n  - {id: second'),
        ["First", "Between", "Second"],
    ),
}


@pytest.mark.parametrize("told", [True, False])
@pytest.mark.parametrize("edit", EDITS)
async def test_edits_reach_contacts_who_are_asleep(skipper: Skipping, edit: str, told: bool) -> None:
    """Whether the signal arrives or not: without it, only what moved earlier comes as late as the old plan."""
    edited, expected = EDITS[edit]
    await skipper.scenario.apply(TWO_DAYS)
    handle = await skipper.enroll("two-days", phone(1))
    await until(lambda: _count(skipper, 1))
    await skipper.scenario.apply(edited)
    if told:
        await handle.signal("plan_changed")
    await handle.result()
    assert await texts(skipper) == expected
    first, *rest = await skipper.scenario.messages()
    waited = rest[-1]["sent_at"] - first["sent_at"] if rest else timedelta(0)
    if edit == "later":
        assert waited > timedelta(days=7)
    if edit == "earlier" and told:
        assert timedelta(hours=1) <= waited < timedelta(hours=1, minutes=1)


async def test_a_hold_is_waited_out_and_ended_by_a_signal(skipper: Skipping) -> None:
    await skipper.scenario.apply(TWO_DAYS)
    pool = skipper.scenario.pool
    await pool.execute("update sequences set status = 'paused'")
    handle = await skipper.enroll("two-days", phone(1))

    async def held() -> bool:
        return bool((await handle.query("progress", result_type=dict))["state"] == "held")

    await until(held)
    assert await texts(skipper) == []
    await pool.execute("update sequences set status = 'active'")
    await handle.signal("wake")
    await until(lambda: _count(skipper, 1))
    assert (await handle.result()).outcome == "completed"


async def test_daily_limit_hours_and_pace_of_a_device_over_days(skipper: Skipping) -> None:
    """Thirty contacts at once on a device that sends ten a day, from nine to five, a minute apart."""
    await skipper.scenario.add_device(
        min_delay=60, max_delay=90, daily_limit=10, hours="09:00-17:00", time_zone="Europe/Berlin"
    )
    await skipper.scenario.apply('sequence: one\nsteps:\n  - {id: a, day: 1, text: "Hello"}\n')
    handles = [await skipper.enroll("one", phone(index)) for index in range(30)]
    for handle in handles:
        assert (await handle.result()).outcome == "completed"
    assert len(await texts(skipper)) == 30
    sent = sorted(message["sent_at"] for message in await skipper.scenario.messages())
    assert min(b - a for a, b in itertools.pairwise(sent)) >= timedelta(seconds=60)
    local = [moment.astimezone(BERLIN) for moment in sent]
    assert all(9 <= moment.hour < 17 for moment in local)
    days = [moment.date() for moment in local]
    assert max(days.count(day) for day in days) <= 10


async def test_late_after_days_comes_one_by_one_and_keeps_the_gaps(skipper: Skipping) -> None:
    """A device is off for three days: what was due goes out at its pace then, and what follows moves along."""
    await skipper.scenario.add_device(min_delay=10, max_delay=20)
    await skipper.scenario.apply(
        'sequence: daily\nsteps:\n  - {id: a, day: 1, text: "1"}\n  - {id: b, after: 24h, text: "2"}\n'
        '  - {id: c, after: 24h, text: "3"}\n'
    )
    pool = skipper.scenario.pool
    numbers = [phone(index) for index in range(10)]
    handles = [await skipper.enroll("daily", number) for number in numbers]
    await skipper.sleep(timedelta(minutes=10))
    assert len(await texts(skipper)) == 10
    await pool.execute("update devices set status = 'paused'")
    await skipper.sleep(timedelta(days=3))
    assert len(await texts(skipper)) == 10
    await pool.execute("update devices set status = 'active'")
    for handle in handles:
        await handle.signal("wake")
    for handle in handles:
        assert (await handle.result()).outcome == "completed"
    messages = await skipper.scenario.messages()
    sent = sorted(message["sent_at"] for message in messages)
    assert min(b - a for a, b in itertools.pairwise(sent)) >= timedelta(seconds=10)
    for number in numbers:
        own = [m["sent_at"] for m in messages if m["recipient_phone"] == number]
        assert own[1] - own[0] > timedelta(days=2)
        assert own[2] - own[1] >= timedelta(hours=24)


async def test_a_sequence_that_does_not_exist_is_refused_in_one_line_and_nothing_fails(
    skipper: Skipping,
) -> None:
    handle = await skipper.enroll("nowhere", phone(1))
    result = await handle.result()
    assert result.outcome == "not_enrolled"
    assert "there is no sequence 'nowhere'" in (result.reason or "")
    assert (await handle.query(SequenceContactWorkflow.progress)).state == "refused"
    assert await by_the_server(handle) == [], "a refusal is an answer"


async def test_cancelling_the_workflow_stops_the_contact(skipper: Skipping) -> None:
    """As an operator may do in the Web UI, whose most visible button it is."""
    await skipper.scenario.apply(TWO_DAYS)
    handle = await skipper.enroll("two-days", phone(1))
    await until(lambda: _count(skipper, 1))
    await handle.cancel()
    with pytest.raises(WorkflowFailureError) as ended:
        await handle.result()
    assert isinstance(ended.value.cause, CancelledError)
    row = await skipper.scenario.pool.fetchrow("select status, reason from sequence_contacts")
    assert row is not None
    assert tuple(row) == ("stopped", "its workflow was cancelled")


async def test_what_fails_in_the_task_is_repeated_by_the_server_where_operators_see_it(
    skipper: Skipping,
) -> None:
    await skipper.scenario.apply(TWO_DAYS)
    await skipper.scenario.pool.execute("alter table sequence_contacts rename to gone")
    handle = await skipper.enroll("two-days", phone(1))

    async def pending() -> bool:
        pending = (await handle.describe()).raw_description.pending_activities
        return any('"sequence_contacts" does not exist' in one.last_failure.message for one in pending)

    await until(pending)
    await skipper.scenario.pool.execute("alter table gone rename to sequence_contacts")
    assert (await handle.result()).outcome == "completed"
    assert await by_the_server(handle) == ["enroll", "send_step", "send_step", "finish"]
    assert await texts(skipper) == ["First", "Second"]


async def skip(skipper: Skipping, handle: WorkflowHandle[Any, Any], step: str) -> bool:
    """As operations.contacts has it, in the test's time."""
    contact = await skipper.scenario.pool.fetchval("select id from sequence_contacts")
    skipped = await Enrollments(skipper.scenario.pool).skip(contact, step, now=await skipper.now())
    await handle.signal("plan_changed")
    return skipped


async def by_the_server(handle: WorkflowHandle[SequenceContactWorkflow, ContactResult]) -> list[str]:
    """The activities that were the server's, in their order."""
    history = await handle.fetch_history()
    return [
        event.activity_task_scheduled_event_attributes.activity_type.name
        for event in history.events
        if event.HasField("activity_task_scheduled_event_attributes")
    ]
