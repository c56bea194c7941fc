"""A campaign's time that has passed for some, and its end: who gets it, when, and what is said of the others."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from messaging.campaigns import feed as campaign_feed
from messaging.campaigns.apply import apply_campaigns
from messaging.campaigns.audience import freeze_audience
from messaging.campaigns.contract import FeedRequest, Frozen
from messaging.campaigns.feed import close_over, feed_page, progress
from messaging.campaigns.file import read_campaign
from messaging.campaigns.lifecycle import (
    begin_campaign,
    failed_and_over,
    finish_campaign,
    forecast_campaign,
    pause_campaign,
    resume_campaign,
    retry_failed,
)
from messaging.campaigns.start_times import IfPassed, Timing, has_passed, turns
from messaging.campaigns.store import list_campaigns
from messaging.common.database import Pool, Record
from messaging.common.errors import Conflict
from messaging.reporting.messages import list_messages
from messaging.sending.claim_answers import Claim, StoredAnswer
from messaging.sending.ledger import Ledger
from messaging.sending.message_status import MessageStatus
from messaging.sending.outcomes import Deferred
from rig.people import phone
from tests.support.scenario import Scenario

AUCKLAND, KUALA_LUMPUR, NEW_YORK, LONDON = (
    "Pacific/Auckland", "Asia/Kuala_Lumpur", "America/New_York", "Europe/London",
)  # fmt: skip
NOW = datetime(2026, 11, 30, 11, 21, tzinfo=UTC)
"""Half past midnight in Auckland, 19:21 in Kuala Lumpur, 06:21 in New York."""
TEN = "scheduled_at: 2026-11-30 10:00"
OWN = "timezone: recipient"
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def timing(if_passed: IfPassed = "next_day", until: str | None = None, zone: str = "recipient") -> Timing:
    return Timing(
        scheduled_at=datetime(2026, 11, 30, 10),  # noqa: DTZ001 - local
        time_zone=zone,
        until=until,
        if_passed=if_passed,
        asked_at=NOW,
    )


def there(zone: str, moment: datetime | None) -> str | None:
    return f"{moment.astimezone(ZoneInfo(zone)):%d %H:%M}" if moment else None


@pytest.mark.parametrize(
    ("if_passed", "zone", "due", "left_out"),
    [
        ("next_day", AUCKLAND, "01 10:00", False),
        ("next_day", KUALA_LUMPUR, "01 10:00", False),
        ("next_day", NEW_YORK, "30 10:00", False),
        ("leave_out", AUCKLAND, "30 10:00", True),
        ("leave_out", NEW_YORK, "30 10:00", False),
        ("send", AUCKLAND, "30 10:00", False),
    ],
)
def test_where_the_time_has_passed(if_passed: IfPassed, zone: str, due: str, left_out: bool) -> None:
    turn = turns(timing(if_passed))[zone]
    assert (there(zone, turn.due_at), turn.left_out) == (due, left_out)
    assert turn.passed == (zone != NEW_YORK)


def test_the_next_day_is_the_next_on_which_clocks_show_the_time() -> None:
    late = timing().model_copy(update={"asked_at": NOW + 3 * DAY})
    assert there(AUCKLAND, turns(late)[AUCKLAND].due_at) == "04 10:00"
    assert there(NEW_YORK, turns(late)[NEW_YORK].due_at) == "03 10:00"
    skipped = late.model_copy(
        update={
            "scheduled_at": datetime(2027, 3, 13, 2, 30),  # noqa: DTZ001
            "asked_at": datetime(2027, 3, 13, 20, tzinfo=UTC),
        }
    )
    assert there(NEW_YORK, turns(skipped)[NEW_YORK].due_at) == "14 03:30", "clocks skip 02:30 there"


@pytest.mark.parametrize(
    ("until", "zone", "name", "expires"),
    [
        ("18:00", "recipient", AUCKLAND, "30 18:00"),
        ("18:00", "recipient", NEW_YORK, "30 18:00"),
        ("2026-12-02 08:30", "recipient", LONDON, "02 08:30"),
        ("18:00", KUALA_LUMPUR, KUALA_LUMPUR, "30 18:00"),
        ("18:00", KUALA_LUMPUR, NEW_YORK, "30 05:00"),
    ],
)
def test_the_end_is_local_too(until: str, zone: str, name: str, expires: str) -> None:
    assert there(name, turns(timing(until=until, zone=zone))[name].expires_at) == expires


def test_an_end_without_a_date_is_of_the_day_of_the_start() -> None:
    start_now = timing(until="18:00").model_copy(update={"scheduled_at": None})
    assert there(AUCKLAND, turns(start_now)[AUCKLAND].expires_at) == "01 18:00", (
        "it is the first there already"
    )
    assert there(NEW_YORK, turns(start_now)[NEW_YORK].expires_at) == "30 18:00"


def test_the_calendar_of_the_tests() -> None:
    assert NOW.date() == date(2026, 11, 30)
    assert not has_passed(timing().scheduled_at, "recipient", NOW)


# In the database.


async def world(
    scenario: Scenario, *zones: str | None, hours: str | None = None, time_zone: str = KUALA_LUMPUR
) -> None:
    """A device in Kuala Lumpur, and a lead in each of these zones."""
    await scenario.add_device(hours=hours, time_zone=time_zone)
    await scenario.pool.executemany(
        "insert into leads (phone, device_id, time_zone) values ($1, $2, $3)",
        [(phone(index), scenario.device, zone) for index, zone in enumerate(zones)],
    )


async def applied(scenario: Scenario, *fields: str) -> tuple[str, ...]:
    """The warnings of a campaign with these fields."""
    source = "".join(
        f"{field}\n" for field in ("campaign: sale", "target: {status: all}", "text: Hello", *fields)
    )
    async with scenario.pool.acquire() as connection:
        (one,) = await apply_campaigns(connection, [read_campaign(source, "sale.yaml")], now=NOW)
    return one.warnings


async def started(scenario: Scenario, *fields: str, at: datetime = NOW, start_now: bool = False) -> int:
    await applied(scenario, *fields)
    async with scenario.pool.acquire() as connection:
        _, plan = await begin_campaign(connection, "sale", start_now=start_now, now=at)
    return plan.campaign_id


async def freeze(pool: Pool, campaign: int, at: datetime = NOW) -> Frozen:
    async with pool.acquire() as connection:
        return await freeze_audience(connection, campaign, now=at)


async def rows(pool: Pool) -> list[Record]:
    return await pool.fetch("select * from broadcast_messages order by recipient_phone")


async def claim(pool: Pool, index: int, at: datetime) -> StoredAnswer:
    message = await pool.fetchval(
        "select id from broadcast_messages where recipient_phone = $1", phone(index)
    )
    return await Ledger(pool).claim_stored(message, "worker/1", now=at)


async def status_of(pool: Pool, index: int = 0) -> tuple[str, str | None]:
    row = await pool.fetchrow(
        "select status, reason from broadcast_messages where recipient_phone = $1", phone(index)
    )
    assert row is not None
    return row["status"], row["reason"]


@pytest.mark.parametrize(
    ("fields", "due"),
    [
        ((), {0: "01 10:00", 1: "30 10:00", 2: "01 10:00"}),
        (("if_passed: next_day",), {0: "01 10:00", 1: "30 10:00", 2: "01 10:00"}),
        (("if_passed: leave_out",), {1: "30 10:00"}),
        (("if_passed: send",), {0: "30 10:00", 1: "30 10:00", 2: "30 10:00"}),
    ],
)
async def test_what_becomes_of_whom_it_has_passed_for(
    scenario: Scenario, fields: tuple[str, ...], due: dict[int, str]
) -> None:
    zones = [AUCKLAND, NEW_YORK, None]
    await world(scenario, *zones)
    campaign = await started(scenario, TEN, OWN, *fields)
    frozen = await freeze(scenario.pool, campaign)
    found = await rows(scenario.pool)
    assert {
        int(row["recipient_phone"] == phone(1)) or 2 * int(row["recipient_phone"] == phone(2)): there(
            zones[int(row["recipient_phone"][-1])] or KUALA_LUMPUR, row["due_at"]
        )
        for row in found
    } == due
    assert (frozen.leads, frozen.passed) == (len(due), 3 - len(due))
    async with scenario.pool.acquire() as connection:
        (summary,) = await list_campaigns(connection, "sale")
    assert (summary.passed, summary.messages.pending) == (3 - len(due), len(due))


async def test_apply_and_start_say_for_how_many_and_where(scenario: Scenario) -> None:
    await world(scenario, AUCKLAND, NEW_YORK, None)
    words = (
        "2026-11-30 10:00 has passed for 2 of 3 leads (Asia/Kuala_Lumpur, where it is Mon 19:21; Pacific/Auckland,"
        " where it is Tue 00:21): they get it on the next day (if_passed: next_day)"
    )
    assert f"sale.yaml:4: scheduled_at: warning: {words}" in await applied(scenario, TEN, OWN)
    await started(scenario, TEN, OWN)
    async with scenario.pool.acquire() as connection:
        found = await forecast_campaign(connection, "sale", now=NOW)
    assert found is not None
    assert (found.leads, found.passed, found.night, found.lines) == (3, 2, 0, (words,))


@pytest.mark.parametrize(
    ("fields", "start_now", "expected"),
    [
        (("if_passed: send", TEN), False, 2),  # Auckland at once, and New York at its ten o'clock
        ((TEN,), True, 3),
        ((), False, 3),
    ],
)
async def test_a_start_says_for_how_many_it_is_night(
    scenario: Scenario, fields: tuple[str, ...], start_now: bool, expected: int
) -> None:
    await world(scenario, AUCKLAND, AUCKLAND, NEW_YORK, KUALA_LUMPUR)
    await started(scenario, OWN, *fields, start_now=start_now)
    async with scenario.pool.acquire() as connection:
        found = await forecast_campaign(connection, "sale", now=NOW)
    assert found is not None
    assert found.night == expected
    assert found.lines[-1].startswith(
        f"it is night for {expected} of 4 leads (Pacific/Auckland, where it is Tue 00:21"
    )


async def test_late_but_asked_for_in_time_it_has_not_passed(scenario: Scenario) -> None:
    """The worker was away at the first ten o'clock: that is no reason to wait for another day."""
    await world(scenario, AUCKLAND)
    campaign = await started(scenario, TEN, OWN, at=NOW - 3 * DAY)
    await freeze(scenario.pool, campaign, at=NOW - 13 * HOUR)  # 11:21 there
    assert there(AUCKLAND, (await rows(scenario.pool))[0]["due_at"]) == "30 10:00"
    assert isinstance(await claim(scenario.pool, 0, NOW - 13 * HOUR), Claim)


async def test_resumed_after_its_time_it_has_passed(scenario: Scenario) -> None:
    await world(scenario, AUCKLAND, NEW_YORK)
    campaign = await started(scenario, TEN, OWN, at=NOW - 3 * DAY)
    async with scenario.pool.acquire() as connection:
        await pause_campaign(connection, "sale")
        await resume_campaign(connection, "sale")
        await connection.execute("update campaigns set asked_at = $1", NOW)
    await freeze(scenario.pool, campaign)
    assert [there(zone, row["due_at"]) for zone, row in zip((AUCKLAND, NEW_YORK), await rows(scenario.pool), strict=True)] == [
        "01 10:00", "30 10:00",
    ]  # fmt: skip


async def test_a_resume_is_a_word_on_the_time_of_what_has_not_started(scenario: Scenario) -> None:
    await world(scenario, AUCKLAND)
    await started(scenario, TEN, OWN, at=NOW - 3 * DAY)
    async with scenario.pool.acquire() as connection:
        await pause_campaign(connection, "sale")
        await resume_campaign(connection, "sale")
        assert await connection.fetchval("select asked_at = updated_at from campaigns")


async def test_moved_to_a_time_that_has_passed_for_some(scenario: Scenario) -> None:
    await world(scenario, AUCKLAND)
    campaign = await started(scenario, "scheduled_at: 2026-12-05 10:00", OWN, at=NOW - 3 * DAY)
    warnings = await applied(scenario, TEN, OWN)
    assert any("has passed for 1 of 1 lead" in line for line in warnings)
    await freeze(scenario.pool, campaign)
    assert there(AUCKLAND, (await rows(scenario.pool))[0]["due_at"]) == "01 10:00"


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        (
            (TEN, OWN, "if_passed: leave_out"),
            "no lead would get campaign 'sale': 2026-11-30 10:00 has passed for 1 of 1",
        ),
        (
            (TEN, OWN, "until: 18:00"),
            "no lead would get campaign 'sale': .*it is over \\(until 18:00\\) before the turn comes",
        ),
        ((f"timezone: {KUALA_LUMPUR}", "until: 19:00"), "is over \\(until 19:00 Asia/Kuala_Lumpur\\)"),
        ((TEN, f"timezone: {KUALA_LUMPUR}"), "has passed \\(2026-11-30 10:00 Asia/Kuala_Lumpur\\)"),
    ],
)
async def test_what_nobody_would_get_does_not_start(
    scenario: Scenario, fields: tuple[str, ...], why: str
) -> None:
    await world(scenario, AUCKLAND)
    with pytest.raises(Conflict, match=why):
        await started(scenario, *fields)
    assert await scenario.pool.fetchval("select status from campaigns") == "draft"


# The recipient's night.


@pytest.mark.parametrize(
    ("late", "goes", "until"),
    [
        (timedelta(0), True, None),
        (10 * HOUR, True, None),  # 20:00
        (11 * HOUR, False, "01 10:00"),
        (20 * HOUR, False, "01 10:00"),  # 06:00 of the next day
        (24 * HOUR, True, None),
    ],
)
async def test_late_it_goes_out_by_day_and_never_at_night(
    scenario: Scenario, late: timedelta, goes: bool, until: str | None
) -> None:
    await world(scenario, NEW_YORK)
    ten = datetime(2026, 11, 30, 15, tzinfo=UTC)
    await freeze(scenario.pool, await started(scenario, TEN, OWN), at=ten)
    answer = await claim(scenario.pool, 0, ten + late)
    if goes:
        assert isinstance(answer, Claim)
        return
    assert isinstance(answer, Deferred)
    assert there(NEW_YORK, answer.until) == until
    (row,) = await rows(scenario.pool)
    assert (row["status"], row["due_at"], row["slot_at"]) == ("pending", answer.until, None)
    assert isinstance(await claim(scenario.pool, 0, answer.until), Claim)


@pytest.mark.parametrize(("fields", "start_now"), [(("if_passed: send",), False), ((), True)])
async def test_who_asks_for_it_gets_it_at_night_too(
    scenario: Scenario, fields: tuple[str, ...], start_now: bool
) -> None:
    await world(scenario, AUCKLAND)
    await freeze(scenario.pool, await started(scenario, TEN, OWN, *fields, start_now=start_now))
    assert isinstance(await claim(scenario.pool, 0, NOW), Claim)


async def test_what_is_left_out_when_it_is_late_is_expired(scenario: Scenario) -> None:
    await world(scenario, NEW_YORK)
    campaign = await started(scenario, TEN, OWN, "if_passed: leave_out")
    await freeze(scenario.pool, campaign)
    await claim(scenario.pool, 0, datetime(2026, 12, 1, 3, tzinfo=UTC))
    assert await status_of(scenario.pool) == ("expired", "the local time of the recipient had passed")


async def test_a_time_at_night_that_was_asked_for_holds_for_an_hour(scenario: Scenario) -> None:
    await world(scenario, NEW_YORK, NEW_YORK)
    await freeze(scenario.pool, await started(scenario, "scheduled_at: 2026-11-30 23:30", OWN))
    half_past = datetime(2026, 12, 1, 4, 30, tzinfo=UTC)
    assert isinstance(await claim(scenario.pool, 0, half_past + 0.9 * HOUR), Claim)
    answer = await claim(scenario.pool, 1, half_past + HOUR)
    assert isinstance(answer, Deferred)
    assert there(NEW_YORK, answer.until) == "01 23:30"


async def test_a_device_that_is_closed_all_the_recipients_day_ends_it(scenario: Scenario) -> None:
    await world(scenario, NEW_YORK, hours="11:00-16:00")  # 22:00 to 03:00 there
    await freeze(scenario.pool, await started(scenario, TEN, OWN), at=datetime(2026, 11, 30, 15, tzinfo=UTC))
    await claim(scenario.pool, 0, datetime(2026, 11, 30, 15, tzinfo=UTC))
    status, reason = await status_of(scenario.pool)
    assert (status, reason) == (
        "expired",
        f"the local time of the recipient had passed, and device {scenario.device} does not send in its day",
    )


async def test_a_device_that_opens_in_the_recipients_day_is_waited_for(scenario: Scenario) -> None:
    await world(scenario, NEW_YORK, hours="20:00-23:00", time_zone=NEW_YORK)
    ten = datetime(2026, 11, 30, 15, tzinfo=UTC)
    await freeze(scenario.pool, await started(scenario, TEN, OWN), at=ten)
    answer = await claim(scenario.pool, 0, ten)
    assert isinstance(answer, Deferred)
    assert there(NEW_YORK, answer.until) == "30 20:00"
    answer = await claim(scenario.pool, 0, ten + 11 * HOUR)
    assert isinstance(answer, Deferred)
    assert there(NEW_YORK, answer.until) == "01 20:00"


async def test_who_waits_for_the_next_day_holds_up_nobody_on_the_device(scenario: Scenario) -> None:
    """Not in its queue, and not in what the campaign has under way there."""
    await world(scenario, *[KUALA_LUMPUR] * 6, LONDON, LONDON)
    await scenario.add_device(min_delay=600, max_delay=900, time_zone=KUALA_LUMPUR)
    begins = datetime(2026, 11, 30, 2, tzinfo=UTC)
    campaign = await started(scenario, TEN, OWN, at=begins - DAY)
    await freeze(scenario.pool, campaign, at=begins)

    async def page(
        positions: dict[str, int], at: datetime
    ) -> tuple[list[str], dict[str, int], datetime | None]:
        request = FeedRequest(campaign_id=campaign, campaign="sale", shard=0, shards=1, positions=positions)
        fed = await feed_page(scenario.pool, request, now=at)
        return [lead.phone for lead in fed.messages], fed.positions, fed.next_due_at

    begun, positions, _ = await page({}, begins)
    assert begun == [phone(index) for index in range(4)]
    night = datetime(2026, 11, 30, 13, tzinfo=UTC)  # 21:00 in Kuala Lumpur, 13:00 in London
    for index in range(4):
        assert isinstance(await claim(scenario.pool, index, night), Deferred)
    assert await scenario.pool.fetchval("select not isfinite(next_slot_at) from devices")
    begun, positions, following = await page(positions, night)
    assert begun == [phone(6), phone(7)]
    assert following is None or following == begins + DAY
    assert (await page({}, night))[0] == [phone(6), phone(7)], "nor when the feeding begins anew"
    morning = begins + DAY
    await scenario.pool.execute(
        "update broadcast_messages set status = 'sent', sent_at = due_at where recipient_phone <> all ($1)",
        [phone(4), phone(5)],
    )
    begun, _, _ = await page(positions, morning)
    assert sorted(begun) == [phone(4), phone(5)], "who was not begun is on the next day, once"
    assert len({row["id"] for row in await rows(scenario.pool)}) == 8


# The end.


async def test_from_its_end_on_nothing_is_sent_whoever_is_late(scenario: Scenario) -> None:
    await world(scenario, AUCKLAND, AUCKLAND, AUCKLAND)
    campaign = await started(
        scenario, "scheduled_at: 2026-11-30 20:00", f"timezone: {KUALA_LUMPUR}", "until: 21:00"
    )
    end = datetime(2026, 11, 30, 13, tzinfo=UTC)
    await freeze(scenario.pool, campaign, at=end - HOUR)
    assert isinstance(await claim(scenario.pool, 0, end - timedelta(seconds=1)), Claim)
    await claim(scenario.pool, 1, end)
    assert await status_of(scenario.pool, 1) == ("expired", "it was to go out before 2026-11-30 13:00:00 UTC")
    await close_over(scenario.pool, campaign, now=end - timedelta(seconds=1))
    assert (await status_of(scenario.pool, 2))[0] == "pending"
    assert (await progress(scenario.pool, campaign, now=end - timedelta(seconds=1))).over_at == end
    assert (await progress(scenario.pool, campaign, now=end)).over_at is None, (
        "nothing is to be waited for any more"
    )
    await close_over(scenario.pool, campaign, now=end)
    assert await status_of(scenario.pool, 2) == ("expired", "it was to go out before 2026-11-30 13:00:00 UTC")
    assert (await progress(scenario.pool, campaign, now=end)).counts == {"processing": 1, "expired": 2}


async def test_what_is_over_is_closed_by_pages_each_of_which_lasts(
    scenario: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(campaign_feed, "CLOSED_TOGETHER", 2)
    await world(scenario, *[AUCKLAND] * 5)
    campaign = await started(scenario, "timezone: UTC", "until: 18:00")
    await freeze(scenario.pool, campaign)
    await close_over(scenario.pool, campaign, now=NOW + 12 * HOUR)
    transactions = await scenario.pool.fetch(
        "select count(*) as messages from broadcast_messages where status = 'expired' group by xmin order by 1"
    )
    assert [row["messages"] for row in transactions] == [1, 2, 2]


async def test_nothing_that_is_over_is_begun(scenario: Scenario) -> None:
    await world(scenario, AUCKLAND, AUCKLAND)
    campaign = await started(scenario, "timezone: UTC", "until: 18:00")
    await freeze(scenario.pool, campaign)
    request = FeedRequest(campaign_id=campaign, campaign="sale", shard=0, shards=1)
    page = await feed_page(scenario.pool, request, now=NOW + 12 * HOUR)
    assert (page.messages, page.exhausted, page.settled) == ((), True, True)
    async with scenario.pool.acquire() as connection:
        assert await finish_campaign(connection, campaign)
        (summary,) = await list_campaigns(connection, "sale")
    assert summary.messages.expired == 2


async def test_whose_turn_comes_after_the_end_is_expired_from_the_start(scenario: Scenario) -> None:
    await world(scenario, AUCKLAND, NEW_YORK)
    warnings = await applied(scenario, TEN, OWN, "until: 18:00")
    assert any("it is over (until 18:00) before the turn comes for 1 of 2 leads" in line for line in warnings)
    campaign = await started(scenario, TEN, OWN, "until: 18:00")
    frozen = await freeze(scenario.pool, campaign)
    assert frozen.leads == 2
    assert [row["status"] for row in await rows(scenario.pool)] == ["expired", "pending"]


async def test_what_failed_is_not_sent_again_after_the_end(scenario: Scenario) -> None:
    await world(scenario, AUCKLAND, AUCKLAND)
    await freeze(scenario.pool, await started(scenario, "timezone: UTC", "until: 18:00"))
    await scenario.pool.execute(
        "update broadcast_messages set status = 'failed',"
        " expires_at = clock_timestamp() + case when recipient_phone = $1 then interval '1 h' else interval '-1 h' end",
        phone(0),
    )
    async with scenario.pool.acquire() as connection:
        assert await retry_failed(connection, "sale") == 1
        assert await failed_and_over(connection, "sale") == 1
    assert [row["status"] for row in await rows(scenario.pool)] == ["pending", "failed"]


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        (("until: 18:00",), "timezone: is missing, and until is a local time"),
        (
            (TEN, OWN, "until: 09:00"),
            "until: 09:00 is not after scheduled_at, 2026-11-30 10:00, give it with its date, e.g. 2026-12-01 09:00",
        ),
        (
            (TEN, OWN, "until: 2026-11-30 10:00"),
            "until: 2026-11-30 10:00 is not after scheduled_at, 2026-11-30 10:00",
        ),
        ((TEN, OWN, "until: tomorrow"), "until: 'tomorrow' is not a time, nor a date with a time"),
        ((TEN, OWN, "until: 2026-11-30 18:00+08:00"), "has an offset"),
        ((TEN, OWN, "until: 25:00"), "until: '25:00' is not a time of day"),
        ((TEN, OWN, "if_passed: tomorrow"), "if_passed: 'tomorrow' is not known here"),
        (
            (TEN, "timezone: UTC", "if_passed: send"),
            "if_passed: goes with 'scheduled_at' and 'timezone: recipient'",
        ),
    ],
)
def test_files(fields: tuple[str, ...], problem: str) -> None:
    source = "".join(
        f"{field}\n" for field in ("campaign: sale", "target: {status: all}", "text: Hello", *fields)
    )
    draft = read_campaign(source, "sale.yaml")
    assert any(problem in str(one) for one in draft.document.problems), draft.document.problems


@pytest.mark.parametrize(
    ("written", "stored"),
    [
        ("18:00", "18:00"),
        ('"8:30"', "08:30"),
        ("18:00:30", "18:00:30"),
        ("2026-12-01T18:00", "2026-12-01 18:00"),
    ],
)
def test_ends_are_stored_alike(written: str, stored: str) -> None:
    draft = read_campaign(
        f"campaign: s\ntarget: {{status: all}}\ntext: a\ntimezone: UTC\nuntil: {written}\n", "s.yaml"
    )
    assert draft.campaign is not None
    assert draft.campaign.until == stored


async def test_where_the_zone_was_corrected_after_the_start_it_says_the_hour_at_which_it_goes_out(
    scenario: Scenario,
) -> None:
    """Its moment stays as it was frozen, which is at night where the lead really is."""
    await world(scenario, NEW_YORK)
    campaign = await started(scenario, "scheduled_at: 2035-11-30 10:00", OWN)
    await freeze(scenario.pool, campaign)
    await scenario.pool.execute("update leads set time_zone = $1", AUCKLAND)
    (message,) = await list_messages(scenario.pool, [MessageStatus.PENDING], 10)
    assert there(NEW_YORK, message.due_at) == "30 10:00"
    assert there(AUCKLAND, message.due_at) == "01 04:00"
    assert there(AUCKLAND, message.goes_out_at) == "01 10:00"
    await scenario.pool.execute("update devices set opens_at = '08:00', closes_at = '20:00'")
    (message,) = await list_messages(scenario.pool, [MessageStatus.PENDING], 10)
    assert there(KUALA_LUMPUR, message.goes_out_at) == "01 08:00"
