"""The progress of one device's contacts and messages, for the demonstration."""

from messaging.common.database import Pool
from messaging.common.values import Value
from messaging.sending.message_status import SETTLED

__all__ = ["DeviceProgress", "device_progress"]

COUNT_CONTACTS = """
select count(*) filter (where status = 'active') as active, count(*) filter (where status <> 'active') as over
  from sequence_contacts
 where device_id = $1
"""

COUNT_MESSAGES = """
select status, count(*)
  from broadcast_messages
 where device_id = $1
 group by status
 order by status
"""


class DeviceProgress(Value):
    """Contacts and messages of a device."""

    active: int
    """Contacts with a step to come."""
    over: int
    messages: dict[str, int]
    """By status."""

    @property
    def settled(self) -> int:
        """Settled messages."""
        return sum(count for status, count in self.messages.items() if status in SETTLED)


async def device_progress(pool: Pool, device: str) -> DeviceProgress:
    """The numbers of that device; all 0 if there is no such device."""
    contacts = await pool.fetchrow(COUNT_CONTACTS, device)
    assert contacts is not None
    messages = {row["status"]: row["count"] for row in await pool.fetch(COUNT_MESSAGES, device)}
    return DeviceProgress(active=contacts["active"], over=contacts["over"], messages=messages)
