"""Gives a campaign that has not started another time."""

from datetime import datetime
from typing import NamedTuple

from messaging.campaigns.contract import CampaignState
from messaging.campaigns.file import local_time, zone_name
from messaging.campaigns.lifecycle import campaign_state
from messaging.campaigns.start_times import RECIPIENT, has_passed, until_of
from messaging.campaigns.store import require_campaign
from messaging.common.database import Connection
from messaging.common.errors import Conflict, InvalidInput
from messaging.times.local_time import format_moment

__all__ = ["EXAMPLE", "CampaignMoved", "TimeAndZone", "move_campaign", "parse_time_and_zone"]

EXAMPLE = "2035-11-23 10:00 Asia/Kuala_Lumpur"

# $2, $3: the time and its zone; $4: the present moment. As for an edit of its file: a new time is the operator's last
# decision, and replaces a start at once.
MOVE_CAMPAIGN = """
update campaigns
   set scheduled_at = $2, time_zone = $3, start_now = false, asked_at = case when asked_at is not null then $4::timestamptz end,
       reason = case when status = 'draft' then null else reason end, updated_at = clock_timestamp()
 where id = $1
"""


class TimeAndZone(NamedTuple):
    """A local time (naive), and whose it is: an IANA name or ``recipient``; None: that of the campaign."""

    wall: datetime
    zone: str | None


class CampaignMoved(NamedTuple):
    """The result. ``changed``: False if it had that time already; ``state``: where the campaign stands now."""

    changed: bool
    state: CampaignState


def parse_time_and_zone(text: str) -> TimeAndZone:
    """Reads ``2035-11-23 10:00``, with or without a zone after it. Raises InvalidInput."""
    words = text.split()
    clock = 1 if words and "T" in words[0].upper() else 2
    if not words:
        raise InvalidInput(f"give the new time, e.g. {EXAMPLE}")
    wall = local_time(" ".join(words[:clock]))
    if len(words) > clock + 1:
        raise InvalidInput(f"{text!r} is not a time and a zone: write e.g. {EXAMPLE}")
    return TimeAndZone(wall, zone_name(words[clock]) if len(words) > clock else None)


async def move_campaign(
    connection: Connection, campaign: str, time: TimeAndZone, *, now: datetime | None = None
) -> CampaignMoved:
    """Lets a campaign start at another time. Raises NotFound; InvalidInput if nobody knows whose time it is; and
    Conflict if the campaign has started or is over, if the time has passed, or if it comes after the campaign's end.
    """
    async with connection.transaction():
        row = await require_campaign(connection, campaign, now=now, lock=True)
        if row["status"] == "cancelled":
            raise Conflict(f"campaign {campaign!r} was cancelled: apply it under another name to send it")
        if row["frozen_at"] is not None:
            raise Conflict(
                f"campaign {campaign!r} has started on {format_moment(row['frozen_at'])}, and its time cannot change"
                " any more: for another time make another campaign"
            )
        zone = time.zone or row["time_zone"]
        if time.zone is None and row["scheduled_at"] is None:
            raise InvalidInput(
                f"say whose time {time.wall:%Y-%m-%d %H:%M} is: add a zone such as Asia/Kuala_Lumpur, or {RECIPIENT}"
            )
        if has_passed(time.wall, zone, row["now"]):
            raise Conflict(
                f"{time.wall:%Y-%m-%d %H:%M} {zone} has passed: give a later time, or start the campaign at once"
            )
        _check_end(row["until"], time.wall)
        moved = (row["scheduled_at"], row["time_zone"], row["start_now"]) != (time.wall, zone, False)
        if moved:
            await connection.execute(MOVE_CAMPAIGN, row["id"], time.wall, zone, row["now"])
        return CampaignMoved(moved, await campaign_state(connection, campaign, now=now))


def _check_end(until: str | None, wall: datetime) -> None:
    if until is None:
        return
    day, clock = until_of(until)
    if datetime.combine(day or wall.date(), clock) <= wall:
        raise Conflict(
            f"the campaign ends at {until}, which is not after {wall:%Y-%m-%d %H:%M}: give an earlier time, or"
            " another 'until' in its file"
        )
