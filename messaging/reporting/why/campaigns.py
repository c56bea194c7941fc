"""Why a phone did not get the message of a campaign."""

from datetime import tzinfo

from messaging.campaigns.start_times import when
from messaging.common.database import Pool, Record
from messaging.events.latest import by_whom, paused_by
from messaging.reporting.why.messages import Fate
from messaging.times.local_time import format_wall

__all__ = ["causes_of_campaign"]

# $1: the campaign, $2: the phone. device: that would write to the lead. of_devices: those that the campaign is for.
SELECT_STANDING = """
select c.*, l.id as lead_id, l.niches, l.target_status as lead_status, l.created_at as known_since, l.consent_at, d.id as device,
       (select array_agg(device_in_use(named)) from unnest(c.device_ids) named) as of_devices
  from campaigns c
  left join leads l on l.phone = $2
  left join devices d on l.id is not null and d.id = device_in_use(coalesce(l.device_id, only_device()))
 where c.name = $1
"""


async def causes_of_campaign(
    pool: Pool, campaign: str, phone: str, opted_out: set[str], fates: list[Fate], zone: tzinfo
) -> list[str]:
    """The sentences about this phone and this campaign, which exists. ``opted_out``: from which categories.

    Times in ``zone``, here and in all that a reason is made of, and without its name.
    """
    row = await pool.fetchrow(SELECT_STANDING, campaign, phone)
    assert row is not None
    if mine := [one for one in fates if one.campaign == row["id"]]:
        waits = row["status"] == "paused" and any(one.waits for one in mine)
        return [
            *(one.sentence(zone, pause_is_told=waits) for one in mine),
            *([await _pause(pool, row, zone)] if waits else ()),
        ]
    missing = _missing(row, opted_out)
    if row["frozen_at"] is None:
        state = await _pause(pool, row, zone) if row["status"] == "paused" else _not_begun(row)
        if row["status"] == "cancelled":
            return [state]
        fits = (
            "As things are, it will get the message."
            if not missing
            else "As things are, it will not get the message:"
        )
        return [state, fits, *missing]
    taken = format_wall(row["frozen_at"], zone)
    head = f"It is not among the leads of the campaign, whose audience was taken when it started, {taken}."
    if row["known_since"] is not None and row["known_since"] > row["frozen_at"]:
        return [
            head,
            f"The lead was stored only afterwards, {format_wall(row['known_since'], zone)}.",
            *missing,
        ]
    if missing:
        return [head, *missing]
    passed = (
        " Or its local time had passed when the campaign began." if row["time_zone"] == "recipient" else ""
    )
    return [
        head,
        f"It matches the target now, so it did not then: it was changed since, or had opted out.{passed}",
    ]


async def _pause(pool: Pool, row: Record, zone: tzinfo) -> str:
    name, why = row["name"], f": {row['reason']}" if row["reason"] else ""
    by = (await paused_by(pool, "campaign", [name])).get(name)
    when_ = " before its start" if row["frozen_at"] is None else ""
    return f"The campaign is paused{when_}{why}{by_whom(by, zone, zone_is_named=True)}; 'campaign resume {name}' goes on."


def _not_begun(row: Record) -> str:
    match row["status"]:
        case "draft":
            why = f" ({row['reason']})" if row["reason"] else ""
            return f"The campaign has not been started{why}: 'campaign start {row['name']}' starts it."
        case "cancelled":
            return "The campaign was cancelled before it started, so nobody gets it."
        case _:
            return f"The campaign starts {when(row)}."


def _missing(row: Record, opted_out: set[str]) -> list[str]:
    """The conditions of the target that the lead does not meet now, each in a sentence."""
    if row["lead_id"] is None:
        return ["There is no such lead."]
    sentences = []
    if row["niche"] is not None and row["niche"] not in row["niches"]:
        has = f"has {', '.join(row['niches'])}" if row["niches"] else "has none"
        sentences.append(f"The campaign is for the niche {row['niche']}, and the lead {has}.")
    if row["target_status"] not in ("all", row["lead_status"]):
        sentences.append(
            f"The campaign is for the status {row['target_status']}, and the lead is a {row['lead_status']}."
        )
    if row["of_devices"] is not None and row["device"] not in row["of_devices"]:
        own = f"the lead's is {row['device']}" if row["device"] else "the lead has none"
        sentences.append(
            f"The campaign is for leads of the devices {', '.join(row['device_ids'])}, and {own}."
        )
    elif row["device"] is None:
        sentences.append("The lead has no device to write from, and there are several: give it one.")
    if "all" in opted_out or (opted_out and row["category"] == "marketing"):
        sentences.append("The phone has opted out.")
    if row["require_consent"] and row["consent_at"] is None:
        sentences.append("The campaign requires consent, and the lead has given none.")
    return sentences
