"""Which devices are in trouble, or about to be: signs that an operator can act on before messages are late or lost."""

from datetime import datetime, timedelta
from typing import Literal

from messaging.common.counts import count_of
from messaging.common.database import Connection, Pool, Record
from messaging.common.values import Value
from messaging.devices.device import Device
from messaging.devices.pace import DevicePace, load_paces
from messaging.devices.store import list_devices
from messaging.devices.waits import FAULTS_IN_A_ROW
from messaging.times.local_time import format_moment, load_zone

__all__ = ["DeviceTrouble", "ListedDevice", "find_troubles", "list_with_troubles"]

AHEAD = timedelta(hours=24)
"""How far ahead what is due is compared with what a device can send."""

LATE = timedelta(hours=1)
"""How much later than that its last message may go out without a word."""

NEARLY = 0.9
"""The part of a daily limit from which on it is nearly used up."""

ENOUGH = 20
"""So many messages at least, on each side, are compared."""

FALLEN = 0.2
"""By so much, of all, the delivered part must have fallen."""

FAILING = 0.05
"""Failures are rising if this part failed, and twice as much as before."""

LAST = 500
"""Of so many messages at most, on each side, the parts are taken: they are right to some hundredths."""

OPTING_OUT = 0.03
"""The part of recipients that opt out from which on WhatsApp may limit a number."""

# Failures in a row end with the next message that is accepted. alike: refusals that are alike, at once or by a receipt.
# waiting: messages that are no contact's next step; those are counted with the contacts that are due. What a pause holds
# does not count: nobody knows when it is to go out.
SELECT_STANDING = """
with waiting as (
    select m.device_id, count(*) as messages
      from broadcast_messages m
      left join campaigns k on k.id = m.campaign_id
     where is_unsettled(m.status) and m.due_at <= $1 and (m.sequence_contact_id is null or m.resends > 0)
       and k.status is distinct from 'paused' and m.waits_for is distinct from 'window'
     group by m.device_id
), due as (
    select c.device_id, count(*) as steps
      from sequence_contacts c join sequences s on s.id = c.sequence_id
     where c.status = 'active' and c.paused_at is null and s.status = 'active' and c.next_due_at <= $1
     group by c.device_id
)
select d.id as device, d.faults, d.waits_reason, d.time_zone,
       case when isfinite(d.waits_until) and d.waits_until > clock_timestamp() then d.waits_until end as waits_until,
       greatest(d.refusals, d.late_refusals) as alike, refusals_in_a_row() as park_at,
       coalesce(w.messages, 0) as waiting, coalesce(u.steps, 0) as steps
  from devices d
  left join waiting w on w.device_id = d.id
  left join due u on u.device_id = d.id
 where d.replaced_by is null and d.status = 'active'
 order by d.id
"""

# The last 24 hours beside the week before. Of a device that sends much, the last messages of each, $2 of them, stand for all; what
# failed is counted for the same time. A message counts as delivered or not an hour after it was sent.
COUNT_RECENT = """
select d.id as device, arrived.sent, arrived.delivered, arrived.since, earlier.sent as sent_before, earlier.delivered as delivered_before,
       lately.sent + failed.count as tried, failed.count as failed,
       earlier.sent + failed_before.count as tried_before, failed_before.count as failed_before, unconfirmed.count as unconfirmed,
       arrived.sent < $2 as all_of_the_day
  from devices d
 cross join lateral (
       select count(*) as sent, count(delivered_at) as delivered,
              case when count(*) < $2 then $1::timestamptz - interval '1 day' else min(sent_at) end as since
         from (select m.sent_at, m.delivered_at from broadcast_messages m
                where m.device_id = d.id and m.sent_at >= $1::timestamptz - interval '1 day'
                  and m.sent_at < $1::timestamptz - interval '1 hour' and m.purpose is null and m.status = 'sent'
                order by m.sent_at desc limit $2) chosen) arrived
 cross join lateral (
       select count(*) as sent, case when count(*) < $2 then $1::timestamptz - interval '1 day' else min(sent_at) end as since
         from (select m.sent_at from broadcast_messages m
                where m.device_id = d.id and m.sent_at >= $1::timestamptz - interval '1 day' and m.purpose is null and m.status = 'sent'
                order by m.sent_at desc limit $2) chosen) lately
 cross join lateral (
       select count(*) as sent, count(delivered_at) as delivered,
              case when count(*) < $2 then $1::timestamptz - interval '8 days' else min(sent_at) end as since
         from (select m.sent_at, m.delivered_at from broadcast_messages m
                where m.device_id = d.id and m.sent_at >= $1::timestamptz - interval '8 days'
                  and m.sent_at < $1::timestamptz - interval '1 day' and m.purpose is null and m.status = 'sent'
                order by m.sent_at desc limit $2) chosen) earlier
 cross join lateral (
       select count(*) from broadcast_messages m
        where m.device_id = d.id and m.status = 'failed' and m.updated_at >= lately.since and m.purpose is null) failed
 cross join lateral (
       select count(*) from broadcast_messages m
        where m.device_id = d.id and m.status = 'failed' and m.updated_at >= earlier.since
          and m.updated_at < $1::timestamptz - interval '1 day' and m.purpose is null) failed_before
 cross join lateral (
       select count(*) from broadcast_messages m
        where m.device_id = d.id and m.status = 'unconfirmed' and m.updated_at >= $1::timestamptz - interval '1 day'
          and m.purpose is null) unconfirmed
 where d.replaced_by is null and d.status = 'active'
"""

# $1, $2: devices, and since when the opt-outs of each are counted.
COUNT_OPT_OUTS = """
select i.device_id as device, count(distinct s.phone) as opted_out
  from suppressions s
  join inbound_messages i on i.id = s.inbound_message_id
  join unnest($1::text[], $2::timestamptz[]) as d(id, since) on d.id = i.device_id
 where s.created_at >= d.since
 group by i.device_id
"""


class DeviceTrouble(Value):
    """One sign of one device. ``words`` name the device and say what to do, as far as that is clear."""

    device: str
    sign: Literal[
        "faults", "refusals", "backlog", "daily limit", "delivery", "failures", "unconfirmed", "opt-outs"
    ]
    words: str


class ListedDevice(Device):
    """A device with the signs that it is about to get into trouble."""

    troubles: tuple[DeviceTrouble, ...] = ()


async def list_with_troubles(pool: Pool) -> list[ListedDevice]:
    """All devices, by ID."""
    async with pool.acquire() as connection:
        listed, troubles = await list_devices(connection), await _find(connection)
    return [
        ListedDevice(**dict(device), troubles=tuple(one for one in troubles if one.device == device.id))
        for device in listed
    ]


async def find_troubles(pool: Pool) -> list[DeviceTrouble]:
    """The signs of all devices that send, by device. A device that is paused is not among them: it is in trouble already."""
    async with pool.acquire() as connection:
        return await _find(connection)


async def _find(connection: Connection) -> list[DeviceTrouble]:
    paces = await load_paces(connection)
    now: datetime = await connection.fetchval("select clock_timestamp()")
    recent = {row["device"]: row for row in await connection.fetch(COUNT_RECENT, now, LAST)}
    since = [row["since"] for row in recent.values()]
    opted_out = await connection.fetch(COUNT_OPT_OUTS, list(recent), since)
    left = {row["device"]: row["opted_out"] for row in opted_out}
    found: list[DeviceTrouble] = []
    for row in await connection.fetch(SELECT_STANDING, now + AHEAD):
        device, pace = row["device"], paces[row["device"]]
        found += _of_faults(row)
        found += _of_backlog(pace, row["waiting"] + row["steps"], now)
        if device in recent:
            found += _of_outcomes(recent[device], left.get(device, 0))
    return found


def _of_faults(row: Record) -> list[DeviceTrouble]:
    found, device = [], row["device"]
    if row["faults"]:
        why = f" ({row['waits_reason']})" if row["waits_reason"] else ""
        until = row["waits_until"]
        waits = f" waits until {format_moment(until, load_zone(row['time_zone']))}, as it" if until else ""
        words = (
            f"device {device}{waits} has had {count_of(row['faults'], 'failure')} of its own in a row{why}:"
            f" with {FAULTS_IN_A_ROW} it is parked; is it logged in? 'device resume {device}' goes on at once"
        )
        found.append(DeviceTrouble(device=device, sign="faults", words=words))
    if row["alike"] >= 2:
        words = (
            f"device {device} has had {row['alike']} refusals in a row that are all alike: with {row['park_at']} it is parked;"
            " 'messages' has the reason"
        )
        found.append(DeviceTrouble(device=device, sign="refusals", words=words))
    return found


def _of_backlog(pace: DevicePace, due: int, now: datetime) -> list[DeviceTrouble]:
    found, device, zone = [], pace.device, load_zone(pace.hours.time_zone)
    ends_at = pace.model_copy(update={"free_at": now}).ends_at(due, now) if due else now
    if ends_at is None or ends_at > now + AHEAD + LATE:
        last = f"about {format_moment(ends_at, zone)[:16]} {zone}" if ends_at else "in more than ten years"
        words = (
            f"device {device} cannot keep up: {count_of(due, 'message is', 'messages are')} due within 24 hours, and by its pace,"
            f" hours and limit the last of them goes out {last}; 'lead move' gives leads to another device"
        )
        found.append(DeviceTrouble(device=device, sign="backlog", words=words))
    if pace.daily_limit is not None and pace.used_today >= NEARLY * pace.daily_limit:
        words = (
            f"device {device} has sent {pace.used_today:,} of its {pace.daily_limit:,} of the day;"
            f" {count_of(due, 'more message is', 'more messages are')} due within 24 hours;"
            f" 'lead move' gives leads to another device, 'device add {device} --daily-limit NUMBER' sets the limit"
        )
        found.append(DeviceTrouble(device=device, sign="daily limit", words=words))
    return found


def _lately(row: Record) -> str:
    return "in the last 24 hours" if row["all_of_the_day"] else f"of the last {LAST}"


def _sent_lately(row: Record) -> str:
    return (
        "what it sent in the last 24 hours"
        if row["all_of_the_day"]
        else f"the last {LAST} that it sent an hour ago and more"
    )


def _while_sent(row: Record) -> str:
    if row["all_of_the_day"]:
        return f"in the last 24 hours, of {row['sent']:,} messages"
    return f"while it sent its last {LAST} messages"


def _of_outcomes(row: Record, opted_out: int) -> list[DeviceTrouble]:
    found, device = [], row["device"]
    if row["sent"] >= ENOUGH and row["sent_before"] >= ENOUGH:
        share, before = row["delivered"] / row["sent"], row["delivered_before"] / row["sent_before"]
        if before - share >= FALLEN:
            words = (
                f"device {device} delivers less: {share:.0%} of {_sent_lately(row)} arrived, {before:.0%} in the week before;"
                " the number may be limited or blocked; 'device pause "
                f"{device}' lets it rest"
            )
            found.append(DeviceTrouble(device=device, sign="delivery", words=words))
    if row["tried"] >= ENOUGH:
        share = row["failed"] / row["tried"]
        before = row["failed_before"] / row["tried_before"] if row["tried_before"] >= ENOUGH else 0.0
        if share >= FAILING and share >= 2 * before:
            words = (
                f"device {device} fails more often: {share:.0%} of its messages {_lately(row)}"
                + (f", {before:.0%} in the week before" if row["tried_before"] >= ENOUGH else "")
                + "; 'messages' has the reasons"
            )
            found.append(DeviceTrouble(device=device, sign="failures", words=words))
    if row["unconfirmed"] >= 2:
        words = (
            f"device {device} has left {count_of(row['unconfirmed'], 'message')} of the last 24 hours unconfirmed:"
            " its gateway does not answer reliably; 'messages --status unconfirmed' lists them"
        )
        found.append(DeviceTrouble(device=device, sign="unconfirmed", words=words))
    if row["sent"] >= ENOUGH and opted_out >= max(2, OPTING_OUT * row["sent"]):
        words = (
            f"device {device}: {count_of(opted_out, 'person', 'people')} opted out {_while_sent(row)};"
            " WhatsApp limits numbers that many people block; 'device pause "
            f"{device}' lets it rest"
        )
        found.append(DeviceTrouble(device=device, sign="opt-outs", words=words))
    return found
