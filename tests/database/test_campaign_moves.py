"""A campaign that has not started gets another time, by a command or in the Web UI."""

from datetime import datetime

import pytest

from messaging.campaigns.lifecycle import begin_campaign, cancel_campaign, pause_campaign
from messaging.campaigns.moving import move_campaign, parse_time_and_zone
from messaging.common.errors import Conflict, InvalidInput
from tests.support.scenario import Scenario

TIMED = """
campaign: sale
target: {status: all}
scheduled_at: 2035-11-23 10:00
timezone: Asia/Kuala_Lumpur
until: 2035-11-25 18:00
text: "Hi"
"""
UNTIMED = 'campaign: plain\ntarget: {status: all}\ntext: "Hi"\n'


@pytest.mark.parametrize(
    ("text", "wall", "zone"),
    [
        ("2035-11-23 10:00", "2035-11-23 10:00:00", None),
        ("2035-11-23T10:00:30", "2035-11-23 10:00:30", None),
        (" 2035-11-23  9:05 recipient ", "2035-11-23 09:05:00", "recipient"),
        ("2035-11-23T10:00 Europe/Berlin", "2035-11-23 10:00:00", "Europe/Berlin"),
    ],
)
def test_a_time_is_read_with_or_without_its_zone(text: str, wall: str, zone: str | None) -> None:
    assert parse_time_and_zone(text) == (datetime.fromisoformat(wall), zone)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "give the new time"),
        ("10:00", "is not a date with a time"),
        ("2035-11-31 10:00", "a day that does not exist"),
        ("2035-11-23 10:00 +08:00", "Asia/Singapore"),
        ("2035-11-23 10:00 Asia/Kuala_Lumpur please", "is not a time and a zone"),
    ],
)
def test_what_is_no_time_is_refused(text: str, problem: str) -> None:
    with pytest.raises(InvalidInput, match=problem):
        parse_time_and_zone(text)


async def test_it_moves_until_it_has_started(scenario: Scenario) -> None:
    await scenario.add_device()
    await scenario.add_leads(1)
    await scenario.apply_campaign(TIMED)
    await scenario.apply_campaign(UNTIMED)
    async with scenario.pool.acquire() as connection:

        async def move(name: str, text: str) -> tuple[bool, str]:
            changed, state = await move_campaign(connection, name, parse_time_and_zone(text))
            return changed, state.when

        assert await move("sale", "2035-11-24 09:30") == (
            True,
            "2035-11-24 09:30, until 2035-11-25 18:00 Asia/Kuala_Lumpur",
        )
        assert (await move("sale", "2035-11-24 09:30"))[0] is False
        with pytest.raises(Conflict, match="ends at 2035-11-25 18:00, which is not after 2035-11-25 18:00"):
            await move("sale", "2035-11-25 18:00")
        with pytest.raises(Conflict, match="2020-01-01 10:00 Asia/Kuala_Lumpur has passed"):
            await move("sale", "2020-01-01 10:00")
        with pytest.raises(InvalidInput, match="say whose time"):
            await move("plain", "2035-11-24 09:30")
        assert await move("plain", "2035-11-24 09:30 Europe/Berlin") == (
            True,
            "2035-11-24 09:30 Europe/Berlin",
        )
        await begin_campaign(connection, "sale", start_now=False)
        await pause_campaign(connection, "sale")
        assert (await move("sale", "2035-11-24 11:00"))[0]
        await begin_campaign(connection, "plain", start_now=True)
        assert (await move("plain", "2035-11-24 09:30"))[0], "a new time takes back a start at once"
        await connection.execute("update campaigns set frozen_at = now(), shards = 1 where name = 'plain'")
        with pytest.raises(Conflict, match="has started on"):
            await move("plain", "2035-11-26 09:30")
        await cancel_campaign(connection, "sale")
        with pytest.raises(Conflict, match="was cancelled"):
            await move("sale", "2035-11-24 12:00")
