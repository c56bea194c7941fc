"""What the start of a campaign means, and its expected end, in words."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from cli.page import Column, Table, wrapped
from messaging.common.counts import count_of

if TYPE_CHECKING:
    from messaging.campaigns.plan import CampaignPlan, DeviceShare
    from operations.campaigns import CampaignStart

__all__ = ["expected_end", "format_plan"]

_LEFT_OUT = {
    "opted_out": "opted out",
    "without_consent": "without consent",
    "without_device": "without a device",
    "passed": "whose time has passed",
    "over": "whose turn would come after its end",
}


def format_plan(start: CampaignStart) -> list[str]:
    """The lines before the question: how many leads, by which devices, at which pace, and until when."""
    plan = start.plan
    if not start.changes:
        return [
            f"{start.campaign}: it was started before and is {start.status}; a second start changes nothing"
        ]
    lines = [f"{start.campaign}: to {count_of(plan.leads, 'lead')}, starts {start.when}"]
    left = ", ".join(f"{count:,} {_LEFT_OUT[why]}" for why, count in plan.left_out.items())
    if left:
        lines += wrapped(f"left out: {left} ('audience {start.campaign}' lists them)", "  ")
    if plan.devices:
        lines += [f"  {line}" for line in str(_devices(plan.devices)).splitlines()]
        lines += wrapped(expected_end(plan), "  ")
    if start.forecast is not None:
        lines += [line for words in start.forecast.lines for line in wrapped(words, "  ")]
    return lines


def expected_end(plan: CampaignPlan) -> str:
    """When it ends, as things are, or why that cannot be said."""
    held = [f"device {one.device} has {one.leads:,} of it: {one.holds}" for one in plan.devices if one.holds]
    if held:
        ends = [one.ends_at for one in plan.devices if one.ends_at is not None]
        rest = (
            f"; what the other devices have ends about {_moment(max(ends))} UTC, at their pace"
            if ends
            else ""
        )
        return f"no end can be said: {'; '.join(held)}{rest}"
    if plan.ends_at is None:
        return "no end can be said: at this pace it takes more than ten years"
    return f"expected end: about {_moment(plan.ends_at)} UTC, at the devices' pace"


def _devices(devices: tuple[DeviceShare, ...]) -> Table:
    table = Table(
        (
            Column("device", least=6),
            Column("leads", right=True),
            Column("one each", right=True),
            Column("a day", right=True),
            Column("hours", least=11, spare=True),
            Column("ends about (UTC)"),
        )
    )
    for one in devices:
        table.row(
            one.device,
            f"{one.leads:,}",
            f"{one.min_delay:g}-{one.max_delay:g} s",
            f"{one.daily_limit:,}" if one.daily_limit else "no limit",
            one.hours,
            "paused" if one.holds else _moment(one.ends_at) if one.ends_at else "never",
        )
    return table


def _moment(moment: datetime) -> str:
    from messaging.times.local_time import format_wall

    return format_wall(moment)[:16]
