"""Forgetting a person while they are under way: in the ledger and in Temporal, by the command."""

import json

import pytest

from rig.people import phone
from rig.waiting import until
from tests.support.live import Live

SEQUENCE = """
sequence: welcome
steps:
  - {id: hello, day: 1, text: "Hi {{ name }}"}
  - {id: later, after: 20d, text: "Later"}
"""
CAMPAIGN = "campaign: sale\ntarget: {niche: VITAC, status: all}\ntext: Half price\n"
WHO, OTHER = phone(1), phone(2)


@pytest.mark.long
async def test_a_person_under_way_is_forgotten_everywhere(live: Live) -> None:
    await live.scenario.add_device()
    await live.scenario.apply(SEQUENCE)
    await live.scenario.apply_campaign(CAMPAIGN)
    await live.scenario.add_leads(2, first=1)
    await live.start_worker()
    for number in (WHO, OTHER):
        await live.run("starter.py", "enroll", "welcome", number, "--name", f"Zuleika {number[-1]}")
    await live.run("starter.py", "campaign", "start", "sale", "--now", "--yes")

    async def all_sent() -> bool:
        return len(await live.scenario.accepted()) == 4 and bool(
            await live.scenario.pool.fetchval("select ended_at is not null from campaigns")
        )

    await until(all_sent)
    code, out, error = await live.run("starter.py", "contact", "export", WHO, "--json")
    assert code == 0, error
    assert "Zuleika" in out
    code, out, error = await live.run("starter.py", "contact", "forget", WHO)
    assert (code, "Enrollments: 1" in out + error, "--yes" in error) == (1, True, True)
    code, out, error = await live.run("starter.py", "contact", "forget", WHO, "--yes", "--json")
    assert code == 0, error
    done = json.loads(out)
    assert (done["erased"], done["already"]) == (True, False)

    async def through() -> bool:
        _, out, _ = await live.run("starter.py", "contact", "forget", WHO, "--yes", "--json")
        done = json.loads(out)
        assert done["already"]
        return not done["workflows_left"] and not done["campaigns_left"]

    await until(through)
    assert await live.scenario.pool.fetchval("select count(*) from erasures") == 0
    temporal = live.connection.temporal

    async def runs() -> list[str]:
        return [
            run.id
            async for run in temporal.list_workflows()
            if live.connection.settings.task_queue in run.task_queue
        ]

    async def gone() -> bool:
        return not any(WHO in one for one in await runs())

    await until(gone)
    assert any(OTHER in one for one in await runs())
    code, _, error = await live.run("starter.py", "enroll", "welcome", WHO)
    assert (code, "asked to be forgotten" in error) == (1, True)
    code, _, error = await live.run("starter.py", "contact", WHO)
    assert (code, "was forgotten" in error) == (1, True)
    code, out, error = await live.run("starter.py", "audit")
    assert code == 0, out + error
    assert len(await live.scenario.accepted()) == 4
