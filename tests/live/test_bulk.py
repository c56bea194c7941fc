"""Many sleeping contacts are paused, resumed, moved on and ended at once, by a filter; and their workflows know."""

import asyncio
import json
from typing import Any

import pytest

from messaging.common.errors import NotFound
from operations import bulk, contacts, enrollment, moves, opt_outs
from operations.leads import Selection
from rig.people import phone
from rig.waiting import until
from tests.support.live import Live

LONG = """
sequence: long
trigger: GO
steps:
  - {id: a, day: 1, text: "One"}
  - {id: b, after: 2h, text: "Two"}
  - {id: c, after: 2h, text: "Three"}
"""

SHORT = """
sequence: short
steps:
  - {id: later, after: 2h, text: "One"}
"""

COUNT = 50
KL = 30
"""Leads 0 to 29 live in KL, the others in Ipoh."""
MOVED = 3
"""Leads 2 to 4 move to the other sequence."""


async def test_sleeping_contacts_are_steered_by_a_filter(live: Live) -> None:
    here, pool, scenario = live.connection, live.scenario.pool, live.scenario
    await scenario.add_device()
    await scenario.add_device(device="second")
    await scenario.apply(LONG)
    await pool.executemany(
        "insert into leads (phone, name, triggers, device_id, attributes) values ($1, $2, '{GO}', $3, $4)",
        [
            (
                phone(index),
                f"Lead {index}",
                scenario.device,
                {"city": "KL" if index < KL else "Ipoh", "age": str(index)},
            )
            for index in range(COUNT)
        ],
    )
    await live.start_worker()
    assert (await enrollment.enroll_by_trigger(here, "GO")).enrolled == COUNT

    async def asleep() -> bool:
        sent = await pool.fetchval("select count(*) from broadcast_messages where status = 'sent'")
        return bool(sent == COUNT)

    await until(asleep, 60)

    async def states(*indices: int) -> list[str]:
        found = await asyncio.gather(*(contacts.progress(here, "long", phone(index)) for index in indices))
        return [one.state for one in found]

    # Without a yes: how many, five of them, and nothing is done.
    code, out, error = await live.run("starter.py", "pause", "--where", "city = KL")
    assert (code, out) == (1, "")
    lines = [line.removeprefix("drumbeat: ") for line in error.splitlines()]
    assert lines[0] == f"pause {KL} contacts:"
    assert {line.split()[0] for line in lines[1:6]} < {phone(index) for index in range(KL)}
    assert all("  long (active)  next b, " in line for line in lines[1:6])
    assert lines[6:] == ["  …", "nothing was changed; with --yes it is done"]
    code, out, _ = await live.run("starter.py", "stop", "long", "--where", "city = KL", "--dry-run", "--json")
    assert (code, json.loads(out)["count"]) == (0, KL)
    code, out, error = await live.run("starter.py", "pause", "--where", "ctiy = KL", "--yes")
    assert (code, out) == (1, "")
    assert error == (
        "drumbeat: the filter, column 1: there is no field of that name, and no lead has a column 'ctiy': did you mean"
        " 'city'?\n"
    )
    assert await states(0, KL) == ["scheduled"] * 2

    # It answers when all workflows know.
    code, out, error = await live.run(
        *("starter.py", "pause", "--where", "city = KL", "--reason", "flood", "--yes", "--json")
    )
    assert (code, error) == (0, "")
    assert json.loads(out) == {
        "command": "pause", "changed": KL, "ended": 0, "to_signal": 0, "to_begin": 0, "stay_paused": 0, "refused": [],
        "under_way": [],
    }  # fmt: skip
    assert await states(0, KL - 1, KL, COUNT - 1) == ["paused"] * 2 + ["scheduled"] * 2
    assert (await contacts.progress(here, "long", phone(3))).why == "flood"

    seen: list[tuple[str, int, int]] = []

    def progress(*step: Any) -> None:
        seen.append(step)

    resumed = await bulk.resume(here, Selection(where="age < 10", sequence="long"), progress=progress)
    assert (resumed.changed, resumed.to_signal) == (10, 0)
    assert {(what, total) for what, _, total in seen} == {("In effect; signalling workflows", 10)}
    assert seen[-1] == ("In effect; signalling workflows", 10, 10)
    assert await states(9, 10) == ["scheduled", "paused"]

    # Each goes on by its own calendar: b is left out, and c comes two hours after it.
    skipped = await bulk.skip(here, Selection(where="age < 5"), "b")
    assert (skipped.changed, skipped.to_signal, skipped.refused) == (5, 0, ())
    moved = [await contacts.progress(here, "long", phone(index)) for index in (4, 5)]
    assert [one.step for one in moved] == ["c", "b"]
    again = await bulk.skip(here, Selection(where="age < 5"), "b")
    assert again.changed == 0
    with pytest.raises(NotFound, match="sequence long has no step 'bb': did you mean 'b'"):
        await bulk.skip(here, Selection(sequence="long"), "bb")

    # What is unsent goes by the other device.
    everyone_in_ipoh = Selection(where="city = Ipoh")
    assert (await moves.find_leads_to_move(here, everyone_in_ipoh, "second")).count == COUNT - KL
    there = await moves.move_leads(here, everyone_in_ipoh, "second")
    assert (there.leads, there.contacts) == (COUNT - KL, COUNT - KL)
    assert (await moves.find_leads_to_move(here, everyone_in_ipoh, "second")).count == 0

    # They enter the other sequence instead; one has been in it, and one has opted out of marketing.
    await live.scenario.apply(SHORT)
    await enrollment.enroll(here, "short", phone(0))
    await opt_outs.opt_out(here, phone(1), category="marketing")
    code, out, error = await live.run(
        "starter.py", "move", "long", "--where", "age < 5", "--to", "short", "--reason", "too long", "--yes"
    )
    assert (code, error) == (0, "")
    assert out.splitlines() == [
        f"{MOVED} contacts moved to short; all workflows know",
        "1 stay where they are: in that sequence before",
    ]
    assert await states(2) == ["stopped"]
    rows = await live.scenario.pool.fetch(
        "select s.name, c.status, c.reason from sequence_contacts c join sequences s on s.id = c.sequence_id"
        " where c.phone = $1 order by c.id",
        phone(2),
    )
    assert [tuple(row) for row in rows] == [
        ("long", "stopped", "moved to short: too long"),
        ("short", "active", None),
    ]
    assert (await contacts.progress(here, "short", phone(4))).step == "later"
    code, _, error = await live.run("starter.py", "move", "long", phone(0), "--to", "short")
    assert (code, error.strip()) == (
        1,
        f"drumbeat: {phone(0)} was not moved to short: in that sequence before",
    )
    await contacts.stop(here, "long", phone(0))
    for index in (0, 2, 3, 4):
        await contacts.stop(here, "short", phone(index))

    code, out, error = await live.run(
        "starter.py", "stop", "--device", "second", "--reason", "moved away", "--yes"
    )
    assert (code, error) == (0, "")
    assert out == f"{COUNT - KL} contacts stopped; all workflows know\n"
    code, out, error = await live.run("starter.py", "opt-out", "--sequence", "long", "--yes")
    assert (code, error) == (0, "")
    left = KL - MOVED - 2
    assert out == f"{left} leads opted out; {left} enrollments end; all workflows know\n"

    async def ended() -> bool:
        return {"stopped", "opted_out"} == set(await states(*range(COUNT)))

    await until(ended)
    rows = await pool.fetch("select status, count(*) from sequence_contacts group by status")
    assert {row["status"]: row["count"] for row in rows} == {
        "opted_out": left + 1,
        "stopped": COUNT - KL + 2 * (MOVED + 1),
    }
    assert len(await scenario.accepted()) == COUNT, "nobody got a second message"
