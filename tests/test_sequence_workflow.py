"""One contact's story, over days, in seconds."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from temporalio.client import WorkflowUpdateFailedError

from tests.scenario import Scenario, phone
from tests.temporal_time import Skipping, skipping

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
    handle = await skipper.enroll("month", phone(1), time_zone="Asia/Kuala_Lumpur", triggers=("MONTH", "OTHER"))
    result = await handle.result()
    assert (result.outcome, result.settled) == ("completed", 30)
    assert await texts(skipper) == [f"Day {day}" for day in range(1, 31)]
    messages = await skipper.scenario.messages()
    due = [message["due_at"] for message in messages]
    assert {b - a for a, b in zip(due, due[1:], strict=False)} == {timedelta(days=1)}
    assert {moment.astimezone(UTC).strftime("%H:%M") for moment in due} == {"02:00"}  # 10:00 in Kuala Lumpur
    assert all(timedelta(0) <= m["sent_at"] - m["due_at"] < timedelta(minutes=1) for m in messages)
    row = await skipper.scenario.pool.fetchrow(
        "select c.status, l.triggers from sequence_contacts c join leads l on l.id = c.lead_id"
    )
    assert row is not None
    assert (row["status"], row["triggers"]) == ("completed", ["OTHER"])
