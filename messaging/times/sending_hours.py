"""A device's sending hours: the local times between which it sends."""

from datetime import datetime, time, timedelta
from typing import Self

from pydantic import model_validator

from messaging.common.values import Value
from messaging.times.local_time import load_zone, moment_of, wall_of

__all__ = ["SendingHours"]


class SendingHours(Value):
    """Open from ``opens_at`` until before ``closes_at``, which may lie after midnight; both unset: always."""

    opens_at: time | None = None
    closes_at: time | None = None
    time_zone: str

    @model_validator(mode="after")
    def _both_or_none(self) -> Self:
        if (self.opens_at is None) != (self.closes_at is None):
            raise ValueError("sending hours need both opens_at and closes_at, or neither")
        return self

    def next_opening(self, moment: datetime) -> datetime:
        """``moment`` itself while open, else the next opening; as the database's function of that name has it."""
        if self.opens_at is None or self.closes_at is None:
            return moment
        zone = load_zone(self.time_zone)
        wall = wall_of(moment, zone)
        opens, closes, clock = self.opens_at, self.closes_at, wall.time()
        is_open = opens <= clock < closes if opens < closes else clock >= opens or clock < closes
        if is_open:
            return moment
        day = wall.date() + timedelta(days=1 if clock >= opens else 0)
        return moment_of(datetime.combine(day, opens), zone)

    def next_closing(self, moment: datetime) -> datetime | None:
        """When the hours that are open at ``moment`` end; None: never."""
        if self.opens_at is None or self.closes_at is None:
            return None
        zone = load_zone(self.time_zone)
        wall = wall_of(moment, zone)
        day = wall.date() + timedelta(days=1 if wall.time() >= self.closes_at else 0)
        return moment_of(datetime.combine(day, self.closes_at), zone)
