"""Ends the waits of devices: their gateway asked them to wait, or they have had a failure of their own."""

from datetime import datetime, timedelta

from messaging.common.database import Connection
from messaging.devices.device import Device
from messaging.times.local_time import format_moment, load_zone

__all__ = ["FAULTS_IN_A_ROW", "FAULT_WAIT", "format_wait", "lift_wait", "requeue"]

FAULTS_IN_A_ROW = 3
"""How many failures in a row of a device's own park it."""

FAULT_WAIT = timedelta(seconds=5)
"""How long a device waits after the first such failure; three times as long after the second."""


LIFT_WAIT = """
with before as (
    select id, waits_until, next_slot_at from devices where id = $1 for no key update
)
update devices d
   set waits_until = '-infinity', waits_reason = null, faults = 0, refusals = 0, late_refusals = 0,
       next_slot_at = case when b.waits_until > clock_timestamp() then clock_timestamp() else d.next_slot_at end
  from before b
 where d.id = b.id
returning case when b.waits_until > clock_timestamp() then b.waits_until end
"""

# Slots after the device's next free slot are freed; earlier ones stay.
FREE_SLOTS = """
update broadcast_messages m
   set slot_at = null
  from devices d
 where d.id = $1 and m.device_id = d.id and m.status in ('queued', 'processing')
   and m.slot_at > greatest(d.next_slot_at, clock_timestamp())
"""


async def lift_wait(connection: Connection, device: str) -> datetime | None:
    """Ends a device's wait and resets its failures; answers until when it would have waited, or None.

    Messages whose slots were after the wait get new slots once they are woken.
    """
    lifted: datetime | None = await connection.fetchval(LIFT_WAIT, device)
    await _free_slots(connection, device)
    return lifted


async def requeue(connection: Connection, device: str) -> None:
    """Frees the reserved slots of a device whose sending hours, zone or limit have changed.

    Messages that had a slot get a new one once they are woken.
    """
    await connection.execute("update devices set next_slot_at = clock_timestamp() where id = $1", device)
    await _free_slots(connection, device)


async def _free_slots(connection: Connection, device: str) -> None:
    # A statement of its own, because a claim locks its message first and then the device.
    await connection.execute(FREE_SLOTS, device)


def format_wait(device: Device) -> str | None:
    """What a device waits for, and how to end that; None if it does not wait."""
    if device.waits_until is None:
        return None
    until = format_moment(device.waits_until, load_zone(device.time_zone))
    return (
        f"device {device.id} waits until {until}: {device.waits_because};"
        f" 'device resume {device.id}' goes on at once"
    )
