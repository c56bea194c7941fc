"""What a command for many says if it would change nobody, and which campaigns go on for those whom it pauses."""

from typing import cast

import pytest

from messaging.common.errors import NotFound
from messaging.selection.campaigns_going_on import campaigns_going_on
from messaging.selection.nobody import ManyCommand, why_nobody
from messaging.selection.selection import Selection
from rig.people import phone
from tests.support.contact import NOON
from tests.support.scenario import Scenario

LONG = "sequence: long\nsteps:\n  - {id: one, after: 1h, text: One}\n"


async def begin(scenario: Scenario) -> None:
    await scenario.add_device()
    await scenario.apply(LONG)
    await scenario.pool.executemany(
        "insert into leads (phone, niches, device_id, attributes) values ($1, '{VITAC}', $2, $3)",
        [(phone(index), scenario.device, {"city": city}) for index, city in enumerate(CITIES)],
    )
    await scenario.enroll("long", phone(0), run="run", now=NOON)


CITIES = ("Boston", "Newark", "Newark", "Newark")


async def test_it_says_why_nobody_is_changed(scenario: Scenario) -> None:
    async with scenario.pool.acquire() as connection:

        async def why(command: str, where: str = "", **more: str) -> str:
            chosen = Selection(where=where, **more)
            return await why_nobody(connection, cast("ManyCommand", command), chosen)

        await scenario.apply(LONG)
        assert "there is no lead yet" in await why("pause", sequence="long")
        await begin(scenario)
        for where, said in (
            ("city = Bostn", "no lead matches city = Bostn: did you mean 'Boston'?"),
            ("city = Newark and (city = Bostn)", "no lead matches city = Bostn: did you mean 'Boston'?"),
            (
                "city in (Bostn) or phone = '+12015550199'",
                "no lead matches city = Bostn: did you mean 'Boston'?",
            ),
            ("niche has VITAS", "no lead matches niche has VITAS: did you mean 'VITAC'?"),
            ("city = Paris", "no lead matches city = Paris: known are Boston, Newark"),
        ):
            for command in ("pause", "resume", "stop", "skip", "move", "opt-out", "lead set", "lead move"):
                with pytest.raises(NotFound) as raised:
                    await why(command, where)
                assert str(raised.value) == said
        assert await why("pause", "city = Boston and niche is empty") == "no lead matches"
        assert await why("pause", "not city = Bostn and niche is empty") == "no lead matches"
        assert await why("pause", "city = Newark") == "3 leads match, none is in a sequence now"
        assert (
            await why("stop", "city = Newark", sequence="long")
            == "3 leads match, none is in sequence long now"
        )
        assert (
            await why("opt-out", "city = Newark", sequence="long")
            == "3 leads match, none is in sequence long now"
        )
        assert await why("resume", "city = Boston") == "1 contact matches, none is paused"
        await scenario.pool.execute("update sequence_contacts set paused_at = now()")
        assert await why("pause", "city = Boston") == "1 contact matches, all are paused already"
        assert await why("stop", "sequence = long and state = active or city = Newark") == (
            "3 leads match, none has an enrollment under way that does"
        )


async def test_a_pause_names_the_campaigns_that_go_on(scenario: Scenario) -> None:
    await begin(scenario)
    pool = scenario.pool
    await pool.execute(
        "insert into campaigns (name, text, status) values ('sale', 'x', 'running'), ('held', 'x', 'paused')"
    )
    for position, (campaign, index, status) in enumerate(
        (
            ("sale", 0, "pending"),
            ("sale", 1, "pending"),
            ("sale", 2, "queued"),
            ("sale", 3, "cancelled"),
            ("held", 1, "pending"),
        )
    ):
        await pool.execute(
            "insert into broadcast_messages (id, campaign_id, lead_id, recipient_phone, device_id, due_at, campaign_shard,"
            " campaign_position, status) select gen_random_uuid(), k.id, l.id, l.phone, l.device_id, now(), 0, $4, $3"
            " from campaigns k, leads l where k.name = $1 and l.phone = $2",
            *(campaign, phone(index), status, position),
        )
    async with pool.acquire() as connection:
        found = [
            await campaigns_going_on(connection, Selection(where=f"city = {city}"))
            for city in ("Newark", "Boston")
        ]
        in_sequence = await campaigns_going_on(connection, Selection(sequence="long"))
        assert await campaigns_going_on(connection, Selection(where=f"phone = '{phone(3)}'")) == []
    begins, ends = "campaigns are not held: ", " for these people; 'campaign pause sale' holds it"
    assert found == [
        [f"{begins}2 messages of campaign sale wait{ends}"],
        [f"{begins}1 message of campaign sale waits{ends}"],
    ]
    assert in_sequence == found[1]
