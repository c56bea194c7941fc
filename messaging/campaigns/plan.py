"""What the start of a campaign means: for how many leads, by which devices, at which pace, and until when."""

from datetime import datetime

from messaging.campaigns.audience import FATES, values_for_fates
from messaging.campaigns.store import CampaignSummary, list_campaigns, require_campaign
from messaging.common.database import Connection, Record
from messaging.common.values import Value
from messaging.devices.pace import DevicePace, load_paces
from messaging.devices.words import paused_words

__all__ = ["CampaignDetails", "CampaignPlan", "DeviceShare", "campaign_details", "plan_campaign"]

# Of a campaign that has not started; see FATES.
COUNT_TO_COME = f"""
select f.device_id as device, count(*) as leads, min(f.due_at) as first_due, max(f.due_at) as last_due,
       0 as reserved, null::timestamptz as last_slot
  from ({FATES.format(leads="campaign_audience")}) f
 where f.left_out is null and not f.is_over
 group by f.device_id
"""  # noqa: S608 - a constant of another module

COUNT_LEFT_OUT = f"""
select coalesce(f.left_out, 'over') as why, count(*) as leads
  from ({FATES.format(leads="campaign_audience")}) f
 where f.left_out is not null or f.is_over
 group by 1
 order by count(*) desc, 1
"""  # noqa: S608 - a constant of another module

# Of one that has started. reserved: those whose slot is before the device's free_at, or is in use.
COUNT_UNSETTLED = """
select device_id as device, count(*) as leads, min(due_at) as first_due, max(due_at) as last_due,
       count(*) filter (where slot_at > clock_timestamp() or status = 'processing') as reserved, max(slot_at) as last_slot
  from broadcast_messages
 where campaign_id = $1 and is_unsettled(status)
 group by device_id
"""


class DeviceShare(Value):
    """The part of a campaign that one device sends. Delays are seconds, the slower of the device's and the campaign's."""

    device: str
    leads: int
    """That are still to be sent to."""
    min_delay: float
    max_delay: float
    daily_limit: int | None
    hours: str
    """Its sending hours, in words."""
    ends_at: datetime | None
    """The expected end; None: it cannot be said."""
    holds: str | None = None
    """Why it sends nothing until somebody does something about it."""


class CampaignPlan(Value):
    """What is still to be sent of a campaign, and until when. ``ends_at``: the expected end, by all that is known now."""

    leads: int
    left_out: dict[str, int]
    """Leads of the target that do not get it, by reason; empty after the start."""
    devices: tuple[DeviceShare, ...]
    begins_at: datetime | None
    """When the first message is due; None: nothing is to come."""
    ends_at: datetime | None
    """None: nothing is to come, or it cannot be said, as a device is paused."""


class CampaignDetails(CampaignSummary):
    """A campaign with what is still to come."""

    plan: CampaignPlan | None
    """None: it is over."""


async def campaign_details(connection: Connection, campaign: str) -> CampaignDetails:
    """A campaign, how far it is, and when it is expected to end. Raises NotFound."""
    (summary,) = await list_campaigns(connection, campaign)
    over = summary.ended_at is not None or summary.status == "cancelled"
    plan = None if over else await plan_campaign(connection, campaign)
    return CampaignDetails(**dict(summary), plan=plan)


async def plan_campaign(
    connection: Connection, campaign: str, *, now: datetime | None = None
) -> CampaignPlan:
    """The plan of a campaign as things are now. Raises NotFound."""
    row = await require_campaign(connection, campaign, now=now)
    left_out: dict[str, int] = {}
    if row["frozen_at"] is None:
        values = await values_for_fates(connection, row)
        shares = await connection.fetch(COUNT_TO_COME, *values)
        left_out = {one["why"]: one["leads"] for one in await connection.fetch(COUNT_LEFT_OUT, *values)}
    else:
        shares = await connection.fetch(COUNT_UNSETTLED, row["id"])
    devices = await _shares(connection, row, shares)
    ends = [one.ends_at for one in devices]
    return CampaignPlan(
        leads=sum(one.leads for one in devices),
        left_out=left_out,
        devices=tuple(devices),
        begins_at=min((max(one["first_due"] or row["now"], row["now"]) for one in shares), default=None),
        ends_at=max((end for end in ends if end), default=None) if None not in ends else None,
    )


def _end(pace: DevicePace, share: Record, now: datetime) -> datetime | None:
    """When the last of a share goes out. What has a slot already is not put behind all slots again."""
    last_slot = max(share["last_slot"] or now, now)
    unreserved = share["leads"] - share["reserved"]
    end = pace.ends_at(unreserved, share["first_due"] or now) if unreserved else last_slot
    return None if end is None else max(end, last_slot)


async def _shares(connection: Connection, row: Record, shares: list[Record]) -> list[DeviceShare]:
    paces = await load_paces(connection, [one["device"] for one in shares])
    found = []
    for one in sorted(shares, key=lambda share: (-share["leads"], share["device"])):
        pace = paces[one["device"]].slower(row["min_delay"], row["max_delay"])
        end = _end(pace, one, row["now"])
        paused = pace.status != "active"
        hours = pace.hours
        found.append(
            DeviceShare(
                device=pace.device,
                leads=one["leads"],
                min_delay=pace.min_delay,
                max_delay=pace.max_delay,
                daily_limit=pace.daily_limit,
                hours=(
                    f"{hours.opens_at:%H:%M}-{hours.closes_at:%H:%M} {hours.time_zone}"
                    if hours.opens_at and hours.closes_at
                    else "always"
                ),
                ends_at=None if paused or end is None else max(end, one["last_due"] or end),
                holds=f"it {paused_words(pace.status_reason)}" if paused else None,
            )
        )
    return found
