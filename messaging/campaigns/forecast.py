"""For how many leads a campaign's time has passed, is over, or is at night."""

from collections.abc import Iterable
from datetime import datetime

from messaging.campaigns.start_times import RECIPIENT, Timing, Turn, is_night, turns
from messaging.common.counts import count_of
from messaging.common.database import Connection
from messaging.common.values import Value
from messaging.times.local_time import load_zone, wall_of

__all__ = ["Forecast", "forecast"]

_SHOWN = 3

COUNT_LEADS_BY_ZONE = """
select zone, count(*) as leads
  from campaign_audience($1)
 where not opted_out and not without_consent and device_id is not null
 group by zone
 order by count(*) desc, zone
"""

COUNT_WITHOUT_CONSENT = """
select count(*)
  from campaign_audience($1)
 where without_consent and not opted_out
"""

_FATES = {
    "next_day": "they get it on the next day",
    "leave_out": "they are left out",
    "send": "they get it at once",
}


class Forecast(Value):
    """How many leads the campaign's time is a problem for. ``lines``: the same in words, if there is anything to
    say.
    """

    leads: int
    passed: int = 0
    """Their local time has passed; the campaign's ``if_passed`` says what happens to them."""
    left_out: int = 0
    over: int = 0
    """Their turn would come after the campaign's end: they do not get it."""
    night: int = 0
    """They would get it now, at night."""
    without_consent: int = 0
    """Leads besides these that are left out, as they have not consented."""
    lines: tuple[str, ...] = ()

    @property
    def reaches_none(self) -> bool:
        """True if there are leads, but none of them would get it."""
        return 0 < self.leads <= self.left_out + self.over


async def forecast(connection: Connection, campaign_id: int, timing: Timing, now: datetime) -> Forecast:
    """The forecast for this timing, by the leads and the time as they are now."""
    leads = {row["zone"]: row["leads"] for row in await connection.fetch(COUNT_LEADS_BY_ZONE, campaign_id)}
    found = turns(timing, leads)
    passed = [zone for zone in leads if found[zone].passed]
    over = [zone for zone in leads if found[zone].over(now)]
    night = [zone for zone in leads if timing.time_zone == RECIPIENT and _at_night(found[zone], zone, now)]
    total = sum(leads.values())

    def counted(zones: Iterable[str]) -> int:
        return sum(leads[zone] for zone in zones)

    def of_all(zones: list[str]) -> str:
        shown = [f"{zone}, where it is {wall_of(now, load_zone(zone)):%a %H:%M}" for zone in zones[:_SHOWN]]
        more = f"; and {count_of(len(zones) - _SHOWN, 'more zone')}" if len(zones) > _SHOWN else ""
        return f"for {counted(zones):,} of {count_of(total, 'lead')} ({'; '.join(shown)}{more})"

    lines = []
    if passed:
        fate = f"{_FATES[timing.if_passed]} (if_passed: {timing.if_passed})"
        lines.append(f"{timing.scheduled_at:%Y-%m-%d %H:%M} has passed {of_all(passed)}: {fate}")
    if over:
        lines.append(
            f"it is over (until {timing.until}) before the turn comes {of_all(over)}: they do not get it"
        )
    if night:
        lines.append(f"it is night {of_all(night)}: they get it all the same, as soon as their device sends")
    return Forecast(
        leads=total,
        passed=counted(passed),
        left_out=counted(zone for zone in leads if found[zone].left_out),
        over=counted(over),
        night=counted(night),
        without_consent=await connection.fetchval(COUNT_WITHOUT_CONSENT, campaign_id),
        lines=tuple(lines),
    )


def _at_night(turn: Turn, zone: str, now: datetime) -> bool:
    starts_now = turn.due_at is None or (turn.passed and turn.due_at < now)
    return starts_now and not turn.left_out and not turn.over(now) and is_night(now, load_zone(zone))
