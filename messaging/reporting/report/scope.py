"""What a report is about: which messages, in which time zone, and in which week."""

import re
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from messaging.campaigns.plan import CampaignPlan, plan_campaign
from messaging.campaigns.start_times import RECIPIENT
from messaging.campaigns.store import require_campaign
from messaging.common.database import Connection
from messaging.common.errors import InvalidInput
from messaging.devices.store import require_device
from messaging.reporting.report.model import ReportKind
from messaging.sequences.store import find_sequence, no_such_sequence
from messaging.times.local_time import load_zone, moment_of, wall_of

__all__ = ["Scope", "campaign_scope", "device_scope", "sequence_scope", "week_of", "week_scope"]

_WEEK = re.compile(r"(\d{4})-?W(\d{1,2})", re.ASCII | re.IGNORECASE)

# The zone of the device that most messages go through. $1: campaign; null: whatever was sent.
SELECT_MAIN_ZONE = """
select d.time_zone
  from (select device_id, count(*) as messages
          from broadcast_messages
         where campaign_id = $1
         group by device_id
         order by count(*) desc, device_id
         limit 1) m
  join devices d on d.id = m.device_id
"""

# The one of all devices, if they have the same.
SELECT_COMMON_ZONE = """
select min(time_zone)
  from devices
 where replaced_by is null
having count(distinct time_zone) = 1
"""

SELECT_STEPS = """
select id, key, position, removed_at is not null as removed
  from sequence_steps
 where sequence_id = $1
 order by removed_at is not null, position, id
"""

COUNT_CONTACTS = """
select status, count(*), count(*) filter (where status = 'active' and paused_at is not null) as paused
  from sequence_contacts
 where sequence_id = $1
 group by status
 order by status
"""


@dataclass(frozen=True)
class Scope:
    """Which messages a report is about: all that fit every field that is not None. ``facts``: fields of the report that are
    known beforehand.
    """

    kind: ReportKind
    name: str
    zone: ZoneInfo
    campaign: int | None = None
    steps: tuple[int, ...] | None = None
    device: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    step_names: dict[int, tuple[str, bool]] = field(default_factory=dict)
    """Of a sequence: the names of its steps, and whether they were removed, in their order."""
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def parameters(self) -> tuple[Any, ...]:
        """The first parameters of the statements."""
        return (self.campaign, self.steps, self.device, self.since, self.until)


def week_of(words: str | None, zone: ZoneInfo, now: datetime) -> tuple[str, datetime, datetime]:
    """The ISO week's name, its beginning (Monday) and its end in the zone, from ``2026-W48``, a date in it, ``last``, or None for
    the present one.

    Raises InvalidInput.
    """
    today = wall_of(now, zone).date()
    day: date
    try:
        if words is None or words.lower() in ("this", "last"):
            day = today - timedelta(days=7 if words and words.lower() == "last" else 0)
        elif found := _WEEK.fullmatch(words.strip()):
            day = date.fromisocalendar(int(found[1]), int(found[2]), 1)
        else:
            day = date.fromisoformat(words.strip())
        monday = day - timedelta(days=day.weekday())
        begin = datetime.combine(monday, datetime.min.time())
        since, until = moment_of(begin, zone), moment_of(begin + timedelta(days=7), zone)
    except (ValueError, OverflowError) as error:
        raise InvalidInput(
            f"{words!r} is no week: write 'last', a week such as {today:%G-W%V}, or a date in it such as {today}"
        ) from error
    return f"{monday:%G-W%V}", since, until


def _week(zone: ZoneInfo, words: str | None, now: datetime) -> dict[str, Any]:
    """The fields of a scope for a week that was asked for, if one was."""
    if words is None:
        return {}
    _, since, until = week_of(words, zone, now)
    return {"since": since, "until": until}


async def campaign_scope(connection: Connection, name: str, zone: str | None, now: datetime) -> Scope:
    """Of one campaign. Raises NotFound and InvalidInput."""
    row = await require_campaign(connection, name)
    plan = await plan_campaign(connection, name, now=now) if row["status"] == "running" else None
    if zone is None and row["time_zone"] == RECIPIENT:
        zone = await connection.fetchval(SELECT_MAIN_ZONE, row["id"])
    left_out = {
        "opted out": row["opted_out"],
        "without consent": row["without_consent"],
        "without a device": row["without_device"],
        "whose time had passed": row["passed"],
    }
    return Scope(
        "campaign",
        name,
        load_zone(zone or ("UTC" if row["time_zone"] == RECIPIENT else row["time_zone"])),
        campaign=row["id"],
        facts={
            "title": row["title"],
            "status": row["status"],
            "reason": row["reason"],
            **(_ends(plan) if plan else {}),
            "left_out": {why: count for why, count in left_out.items() if count},
        },
    )


def _ends(plan: CampaignPlan) -> dict[str, object]:
    """When it is expected to end, or which paused devices keep that from being said."""
    held = tuple(one.device for one in plan.devices if one.holds)
    ends = [one.ends_at for one in plan.devices if one.ends_at is not None]
    return {"expected_end": plan.ends_at, "held_by": held, "others_end": max(ends) if held and ends else None}


async def sequence_scope(
    connection: Connection, name: str, zone: str | None, week: str | None, now: datetime
) -> Scope:
    """Of one sequence, its removed steps too. Raises NotFound and InvalidInput."""
    row = await find_sequence(connection, name)
    if row is None:
        raise await no_such_sequence(connection, name)
    steps = await connection.fetch(SELECT_STEPS, row.id)
    used = load_zone(zone or row.time_zone)
    contacts = await connection.fetch(COUNT_CONTACTS, row.id)
    return Scope(
        "sequence",
        name,
        used,
        steps=tuple(step["id"] for step in steps),
        step_names={step["id"]: (step["key"], step["removed"]) for step in steps},
        **_week(used, week, now),
        facts={
            "status": row.status,
            "reason": row.status_reason,
            "contacts": {one["status"]: one["count"] for one in contacts},
            "paused": sum(one["paused"] for one in contacts),
        },
    )


async def device_scope(
    connection: Connection, name: str, zone: str | None, week: str | None, now: datetime
) -> Scope:
    """Of one device. Raises NotFound and InvalidInput."""
    row = await require_device(connection, name)
    used = load_zone(zone or row.time_zone)
    status = f"replaced by {row.replaced_by}" if row.replaced_by else row.status
    return Scope(
        "device",
        name,
        used,
        device=name,
        **_week(used, week, now),
        facts={"status": status, "reason": row.status_reason},
    )


async def week_scope(connection: Connection, week: str | None, zone: str | None, now: datetime) -> Scope:
    """Of everything in a week. Raises InvalidInput."""
    used = load_zone(zone or await connection.fetchval(SELECT_COMMON_ZONE) or str(UTC))
    name, since, until = week_of(week, used, now)
    return Scope("week", name, used, since=since, until=until)
