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

OPTING_OUT = 0.03
"""The part of recipients that opt out from which on WhatsApp may limit a number."""

# Failures in a row end with the next message that is accepted. alike: refusals that are alike, at once or by a receipt.
# waiting: messages that are no contact's next step; those are counted with the contacts that are due.
SELECT_STANDING = """
select d.id as device, d.faults, d.waits_reason, d.time_zone,
       case when isfinite(d.waits_until) and d.waits_until > clock_timestamp() then d.waits_until end as waits_until,
       greatest(d.refusals, d.late_refusals) as alike, refusals_in_a_row() as park_at,
       (select count(*) from broadcast_messages m
         where m.device_id = d.id and is_unsettled(m.status) and m.due_at <= $1
           and (m.sequence_contact_id is null or m.resends > 0)) as waiting,
       (select count(*) from sequence_contacts c join sequences s on s.id = c.sequence_id
         where c.device_id = d.id and c.status = 'active' and c.paused_at is null and s.status = 'active' and c.next_due_at <= $1) as steps
  from devices d
 where d.replaced_by is null and d.status = 'active'
 order by d.id
"""

# In one pass over what changed in the last eight days: the last 24 hours beside the week before. A message counts as delivered
# or not an hour after it was sent.
COUNT_RECENT = """
select m.device_id as device,
       count(*) filter (where m.sent_at >= $1::timestamptz - interval '1 day' and m.sent_at < $1::timestamptz - interval '1 hour') as sent,
       count(m.delivered_at) filter (where m.sent_at >= $1::timestamptz - interval '1 day' and m.sent_at < $1::timestamptz - interval '1 hour') as delivered,
       count(*) filter (where m.sent_at < $1::timestamptz - interval '1 day') as sent_before,
       count(m.delivered_at) filter (where m.sent_at < $1::timestamptz - interval '1 day') as delivered_before,
       count(*) filter (where m.status in ('sent', 'failed') and m.updated_at >= $1::timestamptz - interval '1 day') as tried,
       count(*) filter (where m.status = 'failed' and m.updated_at >= $1::timestamptz - interval '1 day') as failed,
       count(*) filter (where m.status in ('sent', 'failed') and m.updated_at < $1::timestamptz - interval '1 day') as tried_before,
       count(*) filter (where m.status = 'failed' and m.updated_at < $1::timestamptz - interval '1 day') as failed_before,
       count(*) filter (where m.status = 'unconfirmed' and m.updated_at >= $1::timestamptz - interval '1 day') as unconfirmed
  from broadcast_messages m
 where m.updated_at >= $1::timestamptz - interval '8 days' and m.purpose is null and m.status in ('sent', 'failed', 'unconfirmed')
 group by m.device_id
"""

COUNT_OPT_OUTS = """
select i.device_id as device, count(distinct s.phone) as opted_out
  from suppressions s
  join inbound_messages i on i.id = s.inbound_message_id
 where s.created_at >= $1::timestamptz - interval '1 day'
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
    recent = {row["device"]: row for row in await connection.fetch(COUNT_RECENT, now)}
    left = {row["device"]: row["opted_out"] for row in await connection.fetch(COUNT_OPT_OUTS, now)}
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


def _of_outcomes(row: Record, opted_out: int) -> list[DeviceTrouble]:
    found, device = [], row["device"]
    if row["sent"] >= ENOUGH and row["sent_before"] >= ENOUGH:
        share, before = row["delivered"] / row["sent"], row["delivered_before"] / row["sent_before"]
        if before - share >= FALLEN:
            words = (
                f"device {device} delivers less: {share:.0%} of what it sent in the last 24 hours arrived, {before:.0%} in the week"
                " before; the number may be limited or blocked; 'device pause "
                f"{device}' lets it rest"
            )
            found.append(DeviceTrouble(device=device, sign="delivery", words=words))
    if row["tried"] >= ENOUGH:
        share = row["failed"] / row["tried"]
        before = row["failed_before"] / row["tried_before"] if row["tried_before"] >= ENOUGH else 0.0
        if share >= FAILING and share >= 2 * before:
            words = (
                f"device {device} fails more often: {share:.0%} of its messages in the last 24 hours"
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
            f"device {device}: {count_of(opted_out, 'person', 'people')} opted out in the last 24 hours, of {row['sent']:,} messages;"
            " WhatsApp limits numbers that many people block; 'device pause "
            f"{device}' lets it rest"
        )
        found.append(DeviceTrouble(device=device, sign="opt-outs", words=words))
    return found
