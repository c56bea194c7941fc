"""The details of a campaign: a table of outcomes, by device, the pace and the expected end."""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from messaging.campaigns.plan import CampaignDetails, DeviceShare
from messaging.campaigns.plan import campaign_details as planned
from messaging.campaigns.start_times import RECIPIENT
from messaging.common.counts import count_of
from messaging.common.database import Pool, Record
from messaging.common.errors import NotFound
from messaging.common.markdown import escape_markdown, markdown_list, markdown_table
from messaging.sending.message_status import SETTLED
from messaging.times.durations import format_duration
from messaging.times.local_time import format_wall, load_zone

__all__ = ["campaign_details"]

# In one pass over the campaign's messages. $1: the campaign. lately: sent within the last minute.
COUNT_BY_DEVICE = """
select device_id as device, count(*) filter (where is_unsettled(status)) as to_go,
       count(*) filter (where status = 'sent') as sent,
       count(*) filter (where not is_unsettled(status) and status <> 'sent') as not_sent,
       count(*) filter (where sent_at > clock_timestamp() - interval '60 seconds') as lately
  from broadcast_messages
 where campaign_id = $1
 group by device_id
 order by to_go desc, device_id
"""

SHOWN = 40
"""Devices that the table shows, those with the most to go."""


async def campaign_details(pool: Pool, campaign: str) -> str | None:
    """How far it is; None if there is no such campaign. Times are those of its zone, or UTC."""
    async with pool.acquire() as connection:
        try:
            one = await planned(connection, campaign)
        except NotFound:
            return None
        now: datetime = await connection.fetchval("select clock_timestamp()")
        devices = await connection.fetch(COUNT_BY_DEVICE, one.id)
    zone = load_zone("UTC" if one.time_zone == RECIPIENT else one.time_zone)
    why = f"Why: {escape_markdown(one.reason)}" if one.reason else ""
    head = f"**{escape_markdown(one.title or one.name)}** · campaign {one.name}\n\n" + markdown_list(
        *_state(one, devices, now, zone), why
    )
    if one.frozen_at is None:
        return "\n\n".join([head, *_to_come(one)])
    left_out = _left_out(one.opted_out, one.without_consent, one.without_device, one.passed)
    tables = (_outcomes(one), _by_device(one, devices, now)) if devices else ("Nobody was left to write to.",)
    return "\n\n".join(
        [
            head,
            *tables,
            *map(escape_markdown, one.waits),
            *([f"Left out at the start: {left_out}."] if left_out else []),
            *_to_do(one),
            f"Times of {zone}.",
        ]
    )


def _state(one: CampaignDetails, devices: list[Record], now: datetime, zone: ZoneInfo) -> list[str]:
    total, settled = one.messages.total, one.messages.total - one.messages.unsettled
    if one.frozen_at is None:
        return [f"**{one.status}**, starts {escape_markdown(one.when)}"]
    ended = f", ended {format_wall(one.ended_at, zone)}" if one.ended_at is not None else ""
    said = [
        f"**{one.status}**: {settled:,} of {total:,} settled",
        f"Started {format_wall(one.frozen_at, zone)}{ended}",
    ]
    if one.status == "running" and one.plan is not None:
        said.append(f"{sum(row['lately'] for row in devices):,} sent in the last minute")
        held = [share.device for share in one.plan.devices if share.holds]
        ends = [share.ends_at for share in one.plan.devices if share.ends_at is not None]
        if ends:
            without = f", without what waits for {', '.join(held)}" if held else ""
            last = max(ends)
            said.append(f"Expected to end {format_wall(last, zone)}, in {_left(last, now)}{without}")
        elif held:
            said.append(f"It does not end while {', '.join(held)} {'is' if len(held) == 1 else 'are'} paused")
    return said


def _to_come(one: CampaignDetails) -> list[str]:
    """Who would get a campaign that has not started, as things are."""
    if one.plan is None:
        return []
    left_out = ", ".join(f"{count:,} {why.replace('_', ' ')}" for why, count in one.plan.left_out.items())
    said = [
        f"As things are, {count_of(one.plan.leads, 'lead')} would get it"
        + (f"; left out: {left_out}" if left_out else "")
        + "."
    ]
    if one.plan.devices:
        rows = [
            (f"**{share.device}**", f"{share.leads:,}", _pace(share)) for share in one.plan.devices[:SHOWN]
        ]
        said.append(markdown_table(("Device", "Leads", "Pace"), rows))
    return said


def _pace(share: DeviceShare) -> str:
    return f"{(share.min_delay + share.max_delay) / 2:g} s"


def _left(ends: datetime, now: datetime) -> str:
    return format_duration(max(ends - now, timedelta(0)))


def _outcomes(one: CampaignDetails) -> str:
    rows = [
        (f"**{status}**" if status in SETTLED else f"*{status}*", f"{count:,}")
        for status, count in one.messages.model_dump().items()
        if count
    ]
    if one.results is not None:
        rows += [
            (words, f"{count:,}")
            for words, count in (
                ("delivered", one.results.delivered),
                ("read", one.results.read),
                ("replied", one.results.replied),
                ("opted out", one.results.opted_out),
            )
            if count
        ]
    return markdown_table(("Outcome", "Messages"), rows)


def _by_device(one: CampaignDetails, devices: list[Record], now: datetime) -> str:
    shares = {share.device: share for share in one.plan.devices} if one.plan is not None else {}
    rows = []
    for row in devices[:SHOWN]:
        share, pace, ends = shares.get(row["device"]), "", ""
        if share is not None and row["to_go"]:
            pace = _pace(share)
            ends = "paused" if share.holds else _left(share.ends_at, now) if share.ends_at else "never"
        counts = (f"{row[name]:,}" for name in ("to_go", "sent", "not_sent"))
        rows.append((f"**{row['device']}**", *counts, pace, ends))
    more = len(devices) - SHOWN
    table = markdown_table(("Device", "To go", "Sent", "Else", "Pace", "Ends in"), rows)
    return table + (f"\n\nand {count_of(more, 'more device')}" if more > 0 else "")


def _left_out(opted_out: int, without_consent: int, without_device: int, passed: int) -> str:
    return ", ".join(
        f"{count:,} {why}"
        for count, why in (
            (opted_out, "opted out"),
            (without_consent, "without consent"),
            (without_device, "without a device"),
            (passed, "whose time had passed"),
        )
        if count
    )


def _to_do(one: CampaignDetails) -> list[str]:
    """What an operator may want to do about it."""
    said = []
    if one.messages.failed and one.status != "cancelled":
        failed = count_of(one.messages.failed, "message has", "messages have")
        how = (
            f"`campaign retry-failed {one.name}` sends what failed again, or *Start Workflow Like This One* with the input"
            f' `{{"campaign": "{one.name}", "retry_failed": true}}`, as a workflow that has ended takes no updates'
            if one.ended_at is not None
            else "the update *retry_failed* sends what failed again"
        )
        said.append(f"{failed} failed: `messages --status failed` says why, and {how}.")
    if one.messages.unconfirmed:
        said.append(
            f"{count_of(one.messages.unconfirmed, 'message is', 'messages are')} unconfirmed:"
            " `messages --status unconfirmed` lists them, and `message resolve ID` asks the gateway; or ask the recipient, and add `--sent` or `--resend`."
        )
    return said
