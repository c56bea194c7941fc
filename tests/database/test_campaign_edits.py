"""Applying the files of campaigns to a real database: created, edited, refused, and warned of."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from messaging.campaigns.apply import AppliedCampaign, apply_campaigns
from messaging.campaigns.audience import freeze_audience
from messaging.campaigns.file import CampaignDraft, read_campaign
from messaging.campaigns.lifecycle import begin_campaign, cancel_campaign, pause_campaign
from messaging.common.database import Pool
from messaging.files.yaml import FileProblems

EXAMPLES = Path(__file__).parents[2] / "examples"
NOW = datetime(2026, 11, 27, 2, 0, tzinfo=UTC)
ALL = "target: {status: all}"
TEXT = "text: Hello"


def draft_of(*fields: str, name: str = "launch", file: str = "launch.yaml") -> CampaignDraft:
    """A file with these fields, the first of them on line 2."""
    return read_campaign("".join(f"{field}\n" for field in (f"campaign: {name}", *fields)), file)


async def apply(pool: Pool, *drafts: CampaignDraft) -> list[AppliedCampaign]:
    """Applies the files."""
    async with pool.acquire() as connection:
        return await apply_campaigns(connection, drafts, now=NOW)


async def refused(pool: Pool, *drafts: CampaignDraft) -> list[str]:
    """Applies the files, which must not work; the lines that say why."""
    before = await stored(pool)
    with pytest.raises(FileProblems) as raised:
        await apply(pool, *drafts)
    lines = str(raised.value).splitlines()
    assert lines == [str(problem) for problem in raised.value.problems]
    assert await stored(pool) == before
    return lines


async def stored(pool: Pool) -> list[dict[str, object]]:
    """Every row as it is, with the transaction that wrote it last."""
    return [dict(row) for row in await pool.fetch("select *, xmin::text from campaigns order by id")]


async def add_devices(pool: Pool, *names: str) -> None:
    """Devices in UTC."""
    await pool.executemany(
        "insert into devices (id, gateway) values ($1, 'simulated')", [(name,) for name in names]
    )


async def add_lead(
    pool: Pool,
    number: int = 23,
    *,
    niche: str = "VITAC",
    device: str | None = "main",
    zone: str | None = None,
    opted_out: bool = False,
    **fields: str,
) -> None:
    """A lead with the phone 555-01xx."""
    phone = f"+120155501{number:02}"
    await pool.execute(
        "insert into leads (phone, name, niches, device_id, time_zone, target_status) values ($1, $2, $3, $4, $5, $6)",
        *(phone, fields.get("name", "Aina"), [niche], device, zone, fields.get("status", "prospect")),
    )
    if opted_out:
        await pool.execute("insert into suppressions (phone) values ($1)", phone)


async def start(pool: Pool) -> None:
    """Starts the campaign as its workflow does, at 02:00 UTC."""
    async with pool.acquire() as connection:
        _, plan = await begin_campaign(connection, "launch", start_now=True, now=NOW)
        assert (await freeze_audience(connection, plan.campaign_id, now=NOW)).frozen


@pytest.fixture
async def somebody(pool: Pool) -> None:
    """A device and a lead of it, so that nothing is to be warned of."""
    await add_devices(pool, "main")
    await add_lead(pool)


@pytest.mark.usefixtures("somebody")
async def test_creates(pool: Pool) -> None:
    await add_devices(pool, "kl-1")
    draft = draft_of(
        *("title: The launch", "target: {niche: vitac, status: prospect, devices: [main, kl-1]}"),
        *("scheduled_at: 2026-11-28 10:00", "timezone: Asia/Kuala_Lumpur", "min_delay: 2.5", "max_delay: 9"),
        *("image: https://example.com/a.jpg", TEXT),
    )
    (applied,) = await apply(pool, draft)
    assert applied == AppliedCampaign(campaign="launch", result="created", status="draft")
    (row,) = await stored(pool)
    assert (
        row.items()
        >= {
            "name": "launch",
            "title": "The launch",
            "niche": "VITAC",
            "target_status": "prospect",
            "device_ids": ["main", "kl-1"],
            "scheduled_at": datetime(2026, 11, 28, 10),  # noqa: DTZ001 - as it is stored
            "time_zone": "Asia/Kuala_Lumpur",
            "min_delay": 2.5,
            "max_delay": 9.0,
            "text": "Hello",
            "image_url": "https://example.com/a.jpg",
            "status": "draft",
        }.items()
    )


@pytest.mark.usefixtures("somebody")
async def test_what_is_not_said_is_stored_as_nothing(pool: Pool) -> None:
    await apply(pool, draft_of(ALL, TEXT))
    (row,) = await stored(pool)
    assert row.items() >= {"title": "", "niche": None, "target_status": "all", "device_ids": None}.items()
    assert row.items() >= {"scheduled_at": None, "time_zone": "UTC", "image_url": None}.items()
    assert row.items() >= {"min_delay": None, "max_delay": None}.items()


@pytest.mark.usefixtures("somebody")
async def test_the_same_again_writes_nothing(pool: Pool) -> None:
    await add_devices(pool, "kl-1")
    head = ("scheduled_at: 2026-11-28 10:00", "timezone: recipient", "min_delay: 2.5", "max_delay: 9", TEXT)
    await apply(pool, draft_of("target: {niche: VITAC, devices: [main, kl-1]}", *head))
    before = await stored(pool)
    (applied,) = await apply(pool, draft_of("target: {niche: vitac, devices: [kl-1, main]}", *head))
    assert (applied.result, applied.changes, applied.rescheduled) == ("unchanged", (), False)
    assert await stored(pool) == before


FULL = {
    "title": "title: A",
    "target": "target: {niche: VITAC, devices: [main]}",
    "scheduled_at": "scheduled_at: 2026-11-28 10:00",
    "timezone": "timezone: UTC",
    "min_delay": "min_delay: 0",
    "max_delay": "max_delay: 9",
    "image": "image: https://example.com/a.jpg",
    "text": TEXT,
}
"""Line 2 to 9 of a campaign that has everything."""


def edited(**fields: str) -> CampaignDraft:
    """That campaign with other lines; an empty one leaves the field out."""
    return draft_of(*filter(None, {**FULL, **fields}.values()))


@pytest.mark.parametrize(
    ("fields", "changes", "rescheduled"),
    [
        ({"title": "title: B"}, ("title: A → B",), False),
        ({"title": ""}, ("title: A → none",), False),
        (
            {"target": "target: {niche: VITAB, status: customer}"},
            (
                *("target.niche: VITAC → VITAB", "target.status: all → customer"),
                "target.devices: main → all",
            ),
            False,
        ),
        (
            {"target": "target: {devices: [main, kl-1]}"},
            ("target.niche: VITAC → none", "target.devices: main → main, kl-1"),
            False,
        ),
        (
            {"scheduled_at": "scheduled_at: 2026-11-29T09:30:15"},
            ("scheduled_at: 2026-11-28 10:00 → 2026-11-29 09:30:15",),
            True,
        ),
        ({"timezone": "timezone: recipient"}, ("timezone: UTC → recipient",), True),
        (
            {"min_delay": "min_delay: 2.5", "max_delay": "max_delay: 10000.25"},
            ("min_delay: 0 → 2.5", "max_delay: 9 → 10000.25"),
            False,
        ),
        (
            {"min_delay": "", "max_delay": ""},
            ("min_delay: 0 → none", "max_delay: 9 → none"),
            False,
        ),
        ({"text": "text: Hi"}, ("text reworded",), False),
        ({"text": ""}, ("text removed",), False),
        ({"image": ""}, ("image: https://example.com/a.jpg → none",), False),
    ],
)
@pytest.mark.parametrize("status", ["draft", "scheduled", "paused"])
@pytest.mark.usefixtures("somebody")
async def test_everything_may_change_until_it_starts(
    pool: Pool, status: str, fields: dict[str, str], changes: tuple[str, ...], rescheduled: bool
) -> None:
    await add_devices(pool, "kl-1")
    await apply(pool, edited())
    async with pool.acquire() as connection:
        if status != "draft":
            await begin_campaign(connection, "launch", start_now=False, now=NOW)
        if status == "paused":
            await pause_campaign(connection, "launch")
    before = (await stored(pool))[0]["updated_at"]
    (applied,) = await apply(pool, edited(**fields))
    assert (applied.result, applied.status) == ("changed", status)
    assert (applied.changes, applied.rescheduled) == (changes, rescheduled)
    assert (await stored(pool))[0]["updated_at"] != before
    (again,) = await apply(pool, edited(**fields))
    assert (again.result, again.changes, again.rescheduled) == ("unchanged", (), False)


@pytest.mark.usefixtures("somebody")
async def test_a_text_that_comes_to_an_image(pool: Pool) -> None:
    await apply(pool, edited(text=""))
    assert (await apply(pool, edited()))[0].changes == ("text added",)


FIXED = [
    ({"text": "text: Hi"}, 9, "text", "text", "other words"),
    ({"text": ""}, 1, "text", "text", "other words"),
    ({"image": "image: https://example.com/b.jpg"}, 8, "image", "image", "another image"),
    ({"target": "target: {niche: VITAB, devices: [main]}"}, 3, "target.niche", "target", "other leads"),
    (
        {"target": "target: {niche: VITAC, status: prospect, devices: [main]}"},
        *(3, "target.status", "target", "other leads"),
    ),
    ({"target": "target: {niche: VITAC}"}, 3, "target.devices", "target", "other leads"),
    ({"scheduled_at": "scheduled_at: 2026-11-29 10:00"}, 4, "scheduled_at", "time", "another time"),
    ({"timezone": "timezone: recipient"}, 5, "timezone", "time zone", "another time"),
]


@pytest.mark.parametrize(("fields", "line", "field", "what", "other"), FIXED)
@pytest.mark.parametrize("state", ["has started on 2026-11-27 02:00:00 UTC", "was cancelled"])
@pytest.mark.usefixtures("somebody")
async def test_what_was_begun_stays_as_it_is(
    pool: Pool, state: str, fields: dict[str, str], line: int, field: str, what: str, other: str
) -> None:
    await apply(pool, edited())
    if state == "was cancelled":
        async with pool.acquire() as connection:
            assert await cancel_campaign(connection, "launch")
    else:
        await start(pool)
    assert await refused(pool, edited(**fields)) == [
        (
            f"launch.yaml:{line}: {field}: the campaign {state} and its {what} cannot change any more:"
            f" for {other} make another campaign"
        )
    ]


@pytest.mark.usefixtures("somebody")
async def test_every_late_change_is_told(pool: Pool) -> None:
    await apply(pool, edited())
    await start(pool)
    draft = edited(
        title="title: B", target="target: {status: customer}", text="text: Hi", timezone="timezone: recipient"
    )
    lines = await refused(pool, draft)
    assert [line.split(": ")[1] for line in lines] == [
        *("target.devices", "target.niche", "target.status", "timezone", "text"),
    ]


@pytest.mark.parametrize("status", ["running", "paused", "cancelled", "finished"])
@pytest.mark.usefixtures("somebody")
async def test_title_pace_and_fan_out_change_at_any_time(pool: Pool, status: str) -> None:
    await apply(pool, edited())
    await start(pool)
    await pool.execute("update campaigns set status = $1, ended_at = now()", status)
    await pool.execute("update leads set niches = '{}'")  # whom it would go to matters no more
    later = edited(
        title="title: B", min_delay="min_delay: 5", max_delay="max_delay: 9.5", fan_out="fan_out: eager"
    )
    (applied,) = await apply(pool, later)
    assert (applied.result, applied.status, applied.warnings) == ("changed", status, ())
    assert applied.changes == (
        *("title: A → B", "min_delay: 0 → 5", "max_delay: 9 → 9.5"),
        "fan_out: children → eager",
    )
    (row,) = await stored(pool)
    assert (row["title"], row["min_delay"], row["max_delay"], row["fan_out"]) == ("B", 5.0, 9.5, "eager")
    assert (await apply(pool, later))[0].result == "unchanged"


async def test_devices_have_to_exist(pool: Pool) -> None:
    assert await refused(pool, draft_of("target: {devices: [mian]}", TEXT)) == [
        "launch.yaml:2: target.devices[0]: there is no device 'mian'; add it first, with device add"
    ]
    await add_devices(pool, "main")
    assert await refused(pool, draft_of("target: {devices: [main, mian]}", TEXT)) == [
        "launch.yaml:2: target.devices[1]: there is no device 'mian'; did you mean 'main'?"
    ]


@pytest.mark.usefixtures("somebody")
async def test_known_variables_are_those_of_stored_leads(pool: Pool) -> None:
    draft = draft_of(ALL, "text: 'Hi {{ nmae }} of {{ city }}'")
    assert await refused(pool, draft) == [
        (
            "launch.yaml:3: text: unknown variable 'city';"
            " known are name, phone, niche, trigger, target_status, device"
        ),
        "launch.yaml:3: text: unknown variable 'nmae'; did you mean 'name'?",
    ]
    await pool.execute("update leads set attributes = $1", {"city": "Ipoh"})
    (applied,) = await apply(pool, draft_of(ALL, "text: 'Hi {{ name }} of {{ city }}'"))
    assert (applied.result, applied.warnings) == ("created", ())


async def test_files_are_compared_with_each_other(pool: Pool) -> None:
    drafts = [draft_of(ALL, f"text: {file}", file=file) for file in ("one.yaml", "two.yaml")]
    assert await refused(pool, *drafts) == [
        "two.yaml:1: campaign: 'launch' is in one.yaml too, give each its own"
    ]


async def test_all_files_or_none_with_every_problem(pool: Pool) -> None:
    await add_devices(pool, "main")
    await add_lead(pool)
    await apply(pool, draft_of(ALL, TEXT))
    await start(pool)
    good = draft_of(ALL, TEXT, name="good", file="good.yaml")
    late = draft_of(ALL, "text: Hi {{ nmae }}")
    bad = draft_of("target: {devices: [mian]}", "text: '{{'", "titel: x", name="bad", file="bad.yaml")
    assert await refused(pool, good, late, bad) == [
        "bad.yaml:2: target.devices[0]: there is no device 'mian'; did you mean 'main'?",
        "bad.yaml:3: text: the template does not work: expected '}}' after '{{', and it is not there",
        "bad.yaml:4: titel: is no field here; did you mean 'title'?",
        (
            "launch.yaml:3: text: the campaign has started on 2026-11-27 02:00:00 UTC and its text cannot change any more:"
            " for other words make another campaign"
        ),
        "launch.yaml:3: text: unknown variable 'nmae'; did you mean 'name'?",
    ]
    assert [row["name"] for row in await stored(pool)] == ["launch"]


@pytest.mark.usefixtures("somebody")
async def test_answers_in_the_order_of_the_files(pool: Pool) -> None:
    applied = await apply(pool, *(draft_of(ALL, TEXT, name=name) for name in ("b", "c", "a")))
    assert [one.campaign for one in applied] == ["b", "c", "a"]


@pytest.mark.parametrize(
    ("scheduled_at", "zone", "passed"),
    [
        ("2026-11-27 09:59", "Asia/Kuala_Lumpur", "2026-11-27 09:59 has passed in Asia/Kuala_Lumpur"),
        ("2026-11-27 10:01", "Asia/Kuala_Lumpur", None),
        ("2026-11-26 13:59", "recipient", "2026-11-26 13:59 has passed everywhere on earth"),
        ("2026-11-27 11:01", "recipient", None),
    ],
)
@pytest.mark.usefixtures("somebody")
async def test_warns_of_a_time_that_has_passed(
    pool: Pool, scheduled_at: str, zone: str, passed: str | None
) -> None:
    await pool.execute("update leads set time_zone = 'Asia/Tokyo'")
    draft = draft_of(f"scheduled_at: {scheduled_at}", f"timezone: {zone}", ALL, TEXT)
    hint = "give another one, or start the campaign at once with --now"
    (applied,) = await apply(pool, draft)
    assert applied.warnings == (
        (f"launch.yaml:2: scheduled_at: warning: {passed}, {hint}",) if passed else ()
    )


@pytest.mark.parametrize(
    ("scheduled_at", "line", "what"),
    [("scheduled_at: 2026-11-26 10:00", 4, "has passed"), ("", 1, "is missing")],
)
@pytest.mark.parametrize("status", ["scheduled", "paused"])
@pytest.mark.usefixtures("somebody")
async def test_a_campaign_that_waits_is_not_started_by_a_slip(
    pool: Pool, status: str, scheduled_at: str, line: int, what: str
) -> None:
    """A time of yesterday, or none, would send to everybody at once. A draft may have either."""
    draft = edited(scheduled_at=scheduled_at, timezone="timezone: UTC")
    (applied,) = await apply(pool, draft)
    assert applied.result == "created"
    await apply(pool, edited())
    async with pool.acquire() as connection:
        await begin_campaign(connection, "launch", start_now=False, now=NOW)
    await pool.execute("update campaigns set status = $1", status)
    assert await refused(pool, draft) == [
        (
            f"launch.yaml:{line}: scheduled_at: {what}, and the campaign waits for its time:"
            " give another one, or start it at once with --now"
        )
    ]


@pytest.mark.usefixtures("somebody")
async def test_another_time_is_the_last_word_over_a_start_at_once(pool: Pool) -> None:
    await apply(pool, edited())
    async with pool.acquire() as connection:
        await begin_campaign(connection, "launch", start_now=True, now=NOW)
    await apply(pool, edited(text="text: Hi"))
    assert (await stored(pool))[0]["start_now"]
    await apply(pool, edited(scheduled_at="scheduled_at: 2026-11-29 10:00"))
    assert not (await stored(pool))[0]["start_now"]


async def test_a_time_is_compared_with_the_databases_clock(pool: Pool) -> None:
    await add_devices(pool, "main")
    await add_lead(pool)
    now = await pool.fetchval("select clock_timestamp()")
    async with pool.acquire() as connection:
        for hours, warnings in ((-1, 1), (1, 0)):
            at = f"{now + timedelta(hours=hours):%Y-%m-%d %H:%M}"
            draft = draft_of(f"scheduled_at: {at}", "timezone: UTC", ALL, TEXT)
            (applied,) = await apply_campaigns(connection, [draft])
            assert len(applied.warnings) == warnings


async def test_warns_of_a_target_that_nobody_is(pool: Pool) -> None:
    async def warnings(target: str) -> tuple[str, ...]:
        return (await apply(pool, draft_of(f"target: {target}", TEXT)))[0].warnings

    await add_devices(pool, "main", "kl-1")
    assert await warnings("{status: all}") == (
        "launch.yaml:2: target: warning: no stored lead matches it now",
    )
    assert await warnings("{niche: VITAC}") == (
        "launch.yaml:2: target.niche: warning: no stored lead has the niche 'VITAC'",
    )
    await add_lead(pool)
    assert await warnings("{niche: VITAK}") == (
        "launch.yaml:2: target.niche: warning: no stored lead has the niche 'VITAK'; did you mean 'VITAC'?",
    )
    assert await warnings("{niche: SKIN}") == (
        "launch.yaml:2: target.niche: warning: no stored lead has the niche 'SKIN'; the niches of leads are VITAC",
    )
    for target in ("{niche: VITAC, status: customer}", "{devices: [kl-1]}"):
        assert await warnings(target) == ("launch.yaml:2: target: warning: no stored lead matches it now",)
    assert await warnings("{niche: VITAC, status: prospect, devices: [main]}") == ()
    await pool.execute(
        "update leads set niches = niches || array(select 'N' || n from generate_series(1, 10) n)"
    )
    assert await warnings("{niche: SKIN}") == (
        "launch.yaml:2: target.niche: warning: no stored lead has the niche 'SKIN'",
    )
    await pool.execute("insert into suppressions (phone) select phone from leads")
    assert await warnings("{niche: VITAC}") == (
        "launch.yaml:2: target: warning: no stored lead matches it now",
    )


async def test_warns_of_leads_without_a_device_unless_there_is_just_one(pool: Pool) -> None:
    await add_devices(pool, "main")
    await add_lead(pool, 1)
    await add_lead(pool, 2, device=None)
    await add_lead(pool, 3, device=None, opted_out=True)
    await add_lead(pool, 4, device=None, niche="OTHER")
    draft = draft_of("target: {niche: VITAC}", TEXT)
    assert (await apply(pool, draft))[0].warnings == ()
    await add_devices(pool, "kl-1")
    assert (await apply(pool, draft))[0].warnings == (
        (
            "launch.yaml:2: target: warning: 1 of 2 matching leads own no device and will be left out,"
            " unless there is exactly one device"
        ),
    )


async def test_warns_of_leads_without_a_time_zone(pool: Pool) -> None:
    await add_devices(pool, "main")
    await add_lead(pool, 1, zone="Asia/Tokyo")
    await add_lead(pool, 2)
    await add_lead(pool, 3)
    await add_lead(pool, 4, opted_out=True)
    await add_lead(pool, 5, niche="OTHER")
    fields = ("target: {niche: VITAC}", "scheduled_at: 2026-11-28 10:00", TEXT)
    assert (await apply(pool, draft_of("timezone: recipient", *fields)))[0].warnings == (
        (
            "launch.yaml:2: timezone: warning: 2 of 3 matching leads have no time zone of their own,"
            " they go by their device's"
        ),
    )
    assert (await apply(pool, draft_of("timezone: UTC", *fields)))[0].warnings == ()
    await add_lead(pool, 6, device=None)
    await add_devices(pool, "kl-1")
    lines = (await apply(pool, draft_of("timezone: recipient", *fields)))[0].warnings
    assert [line.partition("warning: ")[2].partition(" matching")[0] for line in lines] == [
        "1 of 4",
        "2 of 4",
    ]
    await pool.execute("update leads set device_id = 'main'")
    assert (await apply(pool, draft_of("timezone: recipient", ALL, TEXT)))[0].warnings == (), "at once"


@pytest.mark.usefixtures("somebody")
async def test_warns_of_blanks(pool: Pool) -> None:
    await add_lead(pool, 1, name="")
    (applied,) = await apply(pool, draft_of(ALL, "text: 'Hi {{ name }}'"))
    assert applied.warnings == (
        (
            "launch.yaml:3: text: warning: 'name' is empty for 1 of 2 leads,"
            " give a default: {{ name | default: '…' }}"
        ),
    )


@pytest.mark.usefixtures("somebody")
async def test_concurrent_applies_come_one_after_the_other(pool: Pool) -> None:
    drafts = [draft_of(ALL, f"text: Hello {n}") for n in range(8)]
    applied = await asyncio.gather(*(apply(pool, draft) for draft in drafts))
    assert sorted(one.result for (one,) in applied) == [*["changed"] * 7, "created"]
    assert len(await stored(pool)) == 1


@pytest.mark.usefixtures("somebody")
async def test_applies_of_the_same_files_in_another_order_do_not_block_each_other(pool: Pool) -> None:
    names = [f"c{n}" for n in range(6)]
    drafts = [
        [draft_of(ALL, f"text: Hello {n}", name=name) for name in names[:: 1 - n % 2 * 2]] for n in range(8)
    ]
    applied = await asyncio.gather(*(apply(pool, *files) for files in drafts))
    assert sum(one.result == "created" for files in applied for one in files) == len(names)
    assert len(await pool.fetch("select distinct text from campaigns")) == 1


@pytest.mark.usefixtures("somebody")
async def test_an_edit_that_meets_the_start_waits_for_it_and_comes_too_late(pool: Pool) -> None:
    await apply(pool, draft_of(ALL, TEXT))
    async with pool.acquire() as other, other.transaction():
        _, plan = await begin_campaign(other, "launch", start_now=True, now=NOW)
        await freeze_audience(other, plan.campaign_id, now=NOW)
        edit = asyncio.create_task(apply(pool, draft_of(ALL, "text: Hi")))
        done, _ = await asyncio.wait({edit}, timeout=0.5)
        assert not done
    with pytest.raises(
        FileProblems, match="the campaign has started on 2026-11-27 02:00:00 UTC and its text"
    ):
        await edit
    (row,) = await stored(pool)
    assert (row["text"], row["status"]) == ("Hello", "running")


async def waits_for_a_lock(pool: Pool) -> None:
    """Returns once some session of the test's database waits for another."""
    async with asyncio.timeout(20):
        while not await pool.fetchval(
            "select exists (select from pg_stat_activity"
            " where datname = current_database() and wait_event_type = 'Lock')"
        ):
            await asyncio.sleep(0.01)


@pytest.mark.usefixtures("somebody")
async def test_a_start_that_meets_an_edit_waits_for_it(pool: Pool) -> None:
    names = ("other", "launch")  # locked in the order of the names, stored in this one
    await apply(pool, *(draft_of(ALL, TEXT, name=name) for name in names))
    async with pool.acquire() as other, other.transaction():
        await other.execute("select from campaigns where name = 'other' for update")
        edit = asyncio.create_task(apply(pool, *(draft_of(ALL, "text: Hi", name=name) for name in names)))
        await waits_for_a_lock(pool)
        begun = asyncio.create_task(start(pool))
        done, _ = await asyncio.wait({begun}, timeout=0.5)
        assert not done
    assert [one.changes for one in await edit] == [("text reworded",)] * 2
    await begun
    assert [(row["text"], row["status"]) for row in await stored(pool) if row["name"] == "launch"] == [
        ("Hi", "running")
    ]


@pytest.mark.parametrize("file", ["campaigns/black-friday.yaml", "demo/campaign.yaml"])
@pytest.mark.usefixtures("somebody")
async def test_the_examples_can_be_applied(pool: Pool, file: str) -> None:
    path = EXAMPLES / file
    (applied,) = await apply(pool, read_campaign(path.read_text(), path.name))
    assert applied.result == "created"
    assert all("time zone of their own" in warning for warning in applied.warnings)
    assert "Reply STOP" in (await stored(pool))[0]["text"]  # type: ignore[operator]


async def test_a_zone_with_its_sign_reversed_is_warned_of(pool: Pool) -> None:
    (applied,) = await apply(pool, draft_of("target: {status: all}", "timezone: Etc/GMT-8", TEXT))
    (line,) = (line for line in applied.warnings if "sign" in line)
    assert line == (
        "launch.yaml:3: timezone: warning: Etc/GMT-8 is UTC+8, the sign of these names is reversed:"
        " for UTC+8 write Asia/Singapore, Asia/Kuala_Lumpur or Asia/Manila,"
        " for UTC-8 write America/Los_Angeles or America/Tijuana"
    )
