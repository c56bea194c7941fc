"""How long a device takes for a number of messages: by its pace, its sending hours and its daily limit.

This is an estimate: the slots of the claim are random between the two delays, and the gateway's own time is not known.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from math import ceil

from messaging.common.database import Connection
from messaging.common.values import Value
from messaging.times.local_time import load_zone, moment_of, wall_of
from messaging.times.sending_hours import SendingHours

__all__ = ["DevicePace", "load_paces"]

LONGEST = timedelta(days=3650)
"""Farther ahead, nothing is said."""

SELECT_PACES = """
select id as device, status, status_reason, min_delay, max_delay, daily_limit, opens_at, closes_at, time_zone,
       case when limit_day = (clock_timestamp() at time zone time_zone)::date then limit_used else 0 end as used_today,
       greatest(clock_timestamp(), next_slot_at, waits_until) as free_at,
       greatest(clock_timestamp(), waits_until) as ready_at, clock_timestamp() as now
  from devices
 where $1::text[] is null or id = any ($1)
 order by id
"""


class DevicePace(Value):
    """What a device can send, as of ``now``. Delays are seconds; times are aware UTC."""

    device: str
    status: str
    status_reason: str | None
    min_delay: float
    max_delay: float
    daily_limit: int | None
    used_today: int
    """Of the daily limit, on its present local day."""
    hours: SendingHours
    free_at: datetime
    """The first moment that is not reserved yet."""
    ready_at: datetime
    """The first moment at which it sends at all: the slots from then on may be reserved."""
    now: datetime

    def slower(self, least: float | None, most: float | None) -> "DevicePace":
        """The same device at a campaign's pace, where that is the slower one."""
        return self.model_copy(
            update={
                "min_delay": max(self.min_delay, least or 0),
                "max_delay": max(self.max_delay, most or 0),
            }
        )

    @property
    def stride(self) -> float:
        """Seconds from one message to the next, on average: as ``next_turn`` in the database draws them."""
        mean = (self.min_delay + self.max_delay) / 2
        return max(mean, self.min_delay + 0.1) if self.min_delay else mean

    def ends_at(self, messages: int, begins: datetime) -> datetime | None:
        """When the last of so many messages goes out, the first of them not before ``begins``; None: not in ten years."""
        zone, at, left = load_zone(self.hours.time_zone), max(begins, self.free_at), messages
        used_on, used = wall_of(self.now, zone).date(), self.used_today
        end = at
        while left > 0:
            at = self.hours.next_opening(at)
            if at - self.now > LONGEST:
                return None
            day = wall_of(at, zone).date()
            closes = min(
                self.hours.next_closing(at) or datetime.max.replace(tzinfo=at.tzinfo),
                moment_of(datetime.combine(day + timedelta(days=1), datetime.min.time()), zone),
            )
            room = left
            if self.stride > 0:
                room = min(room, ceil((closes - at).total_seconds() / self.stride))
            if self.daily_limit is not None:
                room = max(0, min(room, self.daily_limit - (used if day == used_on else 0)))
            end = at + timedelta(seconds=self.stride * max(0, room - 1)) if room else end
            left -= room
            used, used_on = (used if day == used_on else 0) + room, day
            at = max(closes, end + timedelta(seconds=self.stride)) if room else closes
        return end


async def load_paces(connection: Connection, devices: Sequence[str] | None = None) -> dict[str, DevicePace]:
    """The paces of these devices, or of all."""
    rows = await connection.fetch(SELECT_PACES, None if devices is None else list(devices))
    return {
        row["device"]: DevicePace(
            hours=SendingHours(
                opens_at=row["opens_at"], closes_at=row["closes_at"], time_zone=row["time_zone"]
            ),
            **{name: row[name] for name in DevicePace.model_fields if name != "hours"},
        )
        for row in rows
    }
