"""The details of a device: what it does, what waits for it, and what is wrong with it."""

from zoneinfo import ZoneInfo

from messaging.common.counts import count_of
from messaging.common.database import Pool, Record
from messaging.common.markdown import escape_markdown, markdown_list, markdown_table
from messaging.devices.pace import DevicePace, load_paces
from messaging.times.durations import format_duration
from messaging.times.local_time import format_wall, load_zone

__all__ = ["device_details"]

# backlog: what could go out now, but for the device. held: what waits for something else, such as the pause of its contact.
# last_at: the last message that the gateway accepted, whereas devices.last_send_at is that of the last attempt. Each look-up
# uses an index of unsettled messages, of sent ones, or of contacts.
SELECT_DEVICE = """
select d.*, clock_timestamp() as now, e.free_at, e.why,
       case when d.limit_day = (clock_timestamp() at time zone d.time_zone)::date then d.limit_used else 0 end as used_today,
       (select max(sent_at) from broadcast_messages where device_id = d.id and sent_at is not null) as last_at,
       m.*, c.contacts, c.due_soon
  from devices d
 cross join lateral earliest_send(d, null, clock_timestamp()) e
 cross join lateral (select count(*) filter (where is_waiting(b.status) and not o.held and b.due_at <= clock_timestamp()) as backlog,
                            count(*) filter (where is_waiting(b.status) and not o.held and b.due_at > clock_timestamp()) as later,
                            count(*) filter (where is_waiting(b.status) and o.held) as held,
                            count(*) filter (where b.status = 'processing') as under_way,
                            count(*) filter (where b.status = 'unconfirmed' and b.purpose is distinct from 'test') as unconfirmed
                       from broadcast_messages b
                       left join campaigns k on k.id = b.campaign_id
                       left join sequence_contacts n on n.id = b.sequence_contact_id
                       left join sequences s on s.id = n.sequence_id
                      cross join lateral (select coalesce(k.status = 'paused' or (n.status = 'active' and n.paused_at is not null)
                                                          or s.status = 'paused' or b.waits_for = 'window', false)
                                                 and b.purpose is distinct from 'test' as held) o
                      where b.device_id = d.id and (is_unsettled(b.status) or b.status = 'unconfirmed')) m
 cross join lateral (select count(*) as contacts,
                            count(*) filter (where next_due_at <= clock_timestamp() + interval '24 hours') as due_soon
                       from sequence_contacts
                      where device_id = d.id and status = 'active') c
 where d.id = $1
"""


async def device_details(pool: Pool, device: str) -> str | None:
    """Its state, pace, today's count, backlog and troubles; None if there is no such device. Times are its own zone's."""
    async with pool.acquire() as connection:
        row = await connection.fetchrow(SELECT_DEVICE, device)
        if row is None:
            return None
        paces = await load_paces(connection, [device])
    zone = load_zone(row["time_zone"])
    limit = f" of {row['daily_limit']:,}" if row["daily_limit"] else ""
    counts = [
        ("sent today", f"{row['used_today']:,}{limit}"),
        ("due, and waiting", f"{row['backlog']:,}"),
        ("due later", f"{row['later']:,}"),
        ("held, not by the device", f"{row['held']:,}"),
        ("at the gateway", f"{row['under_way']:,}"),
        ("unconfirmed", f"{row['unconfirmed']:,}"),
        ("contacts under way", f"{row['contacts']:,}"),
        ("contacts, a step within 24 h", f"{row['due_soon']:,}"),
    ]
    hours = (
        f"from {row['opens_at']:%H:%M} to {row['closes_at']:%H:%M} {zone}"
        if row["opens_at"] is not None
        else "at any hour"
    )
    return "\n\n".join(
        [
            f"**{row['id']}** · device, gateway {row['gateway']}",
            markdown_list(
                _state(row, zone),
                *_troubles(row),
                f"One message in {row['min_delay']:g} to {row['max_delay']:g} s; sends {hours}",
                f"Last sent {format_wall(row['last_at'], zone)}" if row["last_at"] else "",
            ),
            markdown_table(("Messages", "Now"), counts),
            *_end(row, paces[device], zone),
            f"Times of {zone}.",
        ]
    )


def _state(row: Record, zone: ZoneInfo) -> str:
    if row["replaced_by"] is not None:
        return f"**replaced** by {row['replaced_by']}, which sends in its place"
    if row["status"] != "active":
        return f"**{row['status']}**" + (
            f": {escape_markdown(row['status_reason'])}" if row["status_reason"] else ""
        )
    if row["free_at"] > row["now"] and row["why"] is not None:
        return (
            f"**active**, and waits until {format_wall(row['free_at'], zone)}: {escape_markdown(row['why'])}"
        )
    return "**active**"


def _troubles(row: Record) -> list[str]:
    said = []
    if row["faults"]:
        said.append(f"{count_of(row['faults'], 'failure')} of its own in a row; the third parks it")
    if row["refusals"] > 1:
        said.append(
            f"{row['refusals']} refusals alike in a row ({escape_markdown(row['refusal'] or '')}); five park it"
        )
    if row["late_refusals"] > 1:
        said.append(
            f"{row['late_refusals']} messages alike failed after they were accepted"
            f" ({escape_markdown(row['late_refusal'] or '')}); five park it"
        )
    return [f"Trouble: {'; '.join(said)}."] if said else []


def _end(row: Record, pace: DevicePace, zone: ZoneInfo) -> list[str]:
    """When its backlog is through, if it is not paused."""
    if not row["backlog"] or row["status"] != "active":
        return []
    # The backlog's own slots are no reason to begin later.
    ends = pace.model_copy(update={"free_at": pace.ready_at}).ends_at(row["backlog"], row["now"])
    if ends is None:
        return ["At its own pace, what is due now is never through."]
    left = format_duration(ends - row["now"])
    return [f"At its own pace, what is due now is through {format_wall(ends, zone)}, in {left}."]
