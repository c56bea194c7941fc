"""Dry runs of edits: they say what would change, and for whom, and change nothing."""

from datetime import timedelta

import pytest

from messaging.campaigns.apply import apply_campaigns
from messaging.campaigns.file import read_campaign
from messaging.common.file_problems import FileProblems
from messaging.common.transactions import rehearsed
from messaging.sequences.apply import apply_sequences
from messaging.sequences.concerned import concerned_by
from messaging.sequences.file import read_sequence
from messaging.sequences.replanning import replan
from messaging.sequences.store import load_plan_of
from messaging.times.calendar import Plan
from rig.people import phone
from tests.support.scenario import Scenario

INTRO = """
sequence: intro
timezone: UTC
steps:
  - {id: hello, day: 2, at: "00:01", text: Hello}
  - {id: story, day: 2, at: "10:00", text: Once}
  - {id: offer, day: 3, at: "10:00", text: Now}
"""
EDITED = INTRO.replace("Once", "Twice").replace("00:01", "01:01")


async def test_whom_an_edit_concerns_is_what_it_then_changes(scenario: Scenario) -> None:
    await scenario.add_device()
    await scenario.apply(INTRO)
    for index in range(6):
        await scenario.enroll("intro", phone(index), run=f"run-{index}")
    pool = scenario.pool
    before = await pool.fetch("select *, xmin::text from sequence_contacts order by id")
    stored = await pool.fetch("select *, xmin::text from sequence_steps order by id")

    async with pool.acquire() as connection:

        async def work() -> tuple[list[str], Plan]:
            (one,) = await apply_sequences(connection, [read_sequence(EDITED, "intro.yaml")])
            return list(one.changes), await load_plan_of(connection, "intro")

        changes, plan = await rehearsed(connection, work)
        found = await concerned_by(connection, plan)
    assert changes == ["step 'hello' moved: day 2 00:01 → day 2 01:01", "step 'story' reworded"]
    assert (found.contacts, found.moved, len(found.examples)) == (6, 6, 5)
    assert found.to_come == {"hello": 6, "story": 6, "offer": 6}
    for one in found.examples:
        assert (one.step, one.then_step) == ("hello", "hello")
        assert one.due_at is not None
        assert one.then_due_at == one.due_at + timedelta(hours=1)
    assert await pool.fetch("select *, xmin::text from sequence_contacts order by id") == before
    assert await pool.fetch("select *, xmin::text from sequence_steps order by id") == stored

    await scenario.apply(EDITED)
    assert await replan(pool, await pool.fetchval("select id from sequences")) == found.moved


async def test_a_rehearsal_finds_the_same_problems_and_leaves_nothing(scenario: Scenario) -> None:
    await scenario.add_device()
    sale = "campaign: sale\ntarget: {niche: VITAC}\ntext: Hello\n"
    async with scenario.pool.acquire() as connection:
        (one,) = await rehearsed(
            connection, lambda: apply_campaigns(connection, [read_campaign(sale, "sale.yaml")])
        )
        assert (one.result, one.status) == ("created", "draft")
        with pytest.raises(FileProblems, match="unknown variable"):
            await rehearsed(
                connection,
                lambda: apply_campaigns(
                    connection, [read_campaign(sale.replace("Hello", '"{{ nmae }}"'), "sale.yaml")]
                ),
            )
    assert await scenario.pool.fetchval("select count(*) from campaigns") == 0
