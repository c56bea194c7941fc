"""The ledger's state in numbers, for monitoring: small and cheap, as it is read again and again.

Nothing here names a person. Messages that were sent are not counted, as that would read the whole ledger; neither are
test messages. Each worker reads the same numbers, since there is one ledger.
"""

from collections import Counter
from dataclasses import dataclass, field

from messaging.common.database import Connection, Pool
from messaging.replies.inbox import count_inbox
from messaging.reporting.messages import count_in_doubt
from messaging.reporting.workers import find_workers

__all__ = ["DeviceGauges", "LedgerGauges", "ReceiverGauges", "read_gauges"]

# In one pass over the messages that are not settled, and those that are unconfirmed. held: by a pause, or until the
# person writes. overdue: nothing holds them, and no worker has tried them since their time.
COUNT_OPEN = """
select m.device_id as device, m.status, k.name as campaign, count(*) as messages,
       count(*) filter (where o.held) as held,
       count(*) filter (where not o.held and (m.status = 'queued' or (m.status = 'pending' and m.campaign_id is null))
                          and coalesce(m.slot_at, m.due_at) < o.before and m.updated_at < o.before) as overdue
  from broadcast_messages m
  join devices d on d.id = m.device_id
  left join campaigns k on k.id = m.campaign_id
  left join sequence_contacts c on c.id = m.sequence_contact_id
  left join sequences s on s.id = c.sequence_id
 cross join lateral (select clock_timestamp() - interval '15 minutes' as before,
                            is_waiting(m.status)
                            and coalesce(k.status = 'paused' or (c.status = 'active' and c.paused_at is not null)
                                         or s.status = 'paused' or (d.status <> 'active' and d.replaced_by is null)
                                         or m.waits_for = 'window', false) as held) o
 where (is_unsettled(m.status) or m.status = 'unconfirmed') and m.purpose is distinct from 'test'
 group by m.device_id, m.status, k.name
"""

# Each half by an index of its own.
COUNT_UNSENT = """
select device_id as device, status, count(*) as messages
  from broadcast_messages
 where status in ('suppressed', 'cancelled', 'expired') and purpose is distinct from 'test'
 group by device_id, status
 union all
select device_id, status, count(*)
  from broadcast_messages
 where status = 'failed' and purpose is distinct from 'test'
 group by device_id, status
"""

# backlog: until the first slot that nobody has reserved. waits: until the gateway may be asked again.
SELECT_DEVICES = """
select id as device, status <> 'active' as paused, faults,
       extract(epoch from greatest(next_slot_at, now()) - now())::float8 as backlog,
       extract(epoch from greatest(waits_until, now()) - now())::float8 as waits,
       daily_limit as limit_of_day,
       case when limit_day = (clock_timestamp() at time zone time_zone)::date then limit_used else 0 end as used_of_day
  from devices
 where replaced_by is null
 order by id
"""

# sleeping: their next step is still to come, or is waited for. overdue: it was due a quarter of an hour ago, nothing holds
# it, and no worker has begun it.
COUNT_CONTACTS = """
select s.name as sequence, count(c.id) filter (where c.paused_at is null) as sleeping,
       count(c.id) filter (where c.paused_at is not null) as paused,
       count(c.id) filter (where c.paused_at is null and s.status = 'active' and d.status = 'active'
                             and c.next_due_at < clock_timestamp() - interval '15 minutes'
                             and not exists (select from broadcast_messages m
                                              where m.sequence_contact_id = c.id
                                                and m.sequence_stepid = c.next_step_id)) as overdue
  from sequences s
  left join sequence_contacts c on c.sequence_id = s.id and c.status = 'active'
  left join devices d on d.id = c.device_id
 group by s.name
"""

COUNT_CAMPAIGNS = """
select status, count(*) as campaigns
  from campaigns
 group by status
"""


COUNT_ALERTS = """
select kind, count(*) as alerts
  from alerts
 group by kind
"""

# oldest: how long its oldest event has waited.
COUNT_OUTBOX = """
select r.name as receiver, count(o.id) filter (where o.given_up_at is null) as waiting,
       count(o.id) filter (where o.given_up_at is not null) as given_up,
       coalesce(extract(epoch from now() - min(o.created_at) filter (where o.given_up_at is null)), 0)::float8 as oldest
  from receivers r
  left join outbox o on o.receiver_id = r.id
 group by r.name
 order by r.name
"""

IN_DOUBT = 1000


@dataclass(frozen=True)
class DeviceGauges:
    """One device. Times in seconds from now, at least 0."""

    device: str
    paused: bool
    faults: int
    """Failures of its own in a row; the third parks it."""
    backlog: float
    waits: float
    limit_of_day: int | None
    used_of_day: int


@dataclass(frozen=True)
class ReceiverGauges:
    """Who gets alerts and events: how many wait for it, for how many seconds at most, and how many were given up."""

    receiver: str
    waiting: int
    oldest: float
    given_up: int


@dataclass
class LedgerGauges:
    """The numbers, at one moment."""

    devices: tuple[DeviceGauges, ...] = ()
    messages: Counter[tuple[str, str]] = field(default_factory=Counter)
    """By device and status, except ``sent``."""
    held: Counter[str] = field(default_factory=Counter)
    """By device."""
    overdue: Counter[str] = field(default_factory=Counter)
    in_doubt: int = 0
    """Messages whose attempt ended without an outcome, counted up to a thousand."""
    left: Counter[str] = field(default_factory=Counter)
    """Messages that are still to be settled, by campaign."""
    contacts: Counter[tuple[str, str]] = field(default_factory=Counter)
    """By sequence and state: sleeping, paused, overdue (these are among the sleeping)."""
    campaigns: Counter[str] = field(default_factory=Counter)
    """By status."""
    workers: Counter[str] = field(default_factory=Counter)
    """By task queue."""
    to_review: int = 0
    """Inbound messages that an operator should look at."""
    alerts: Counter[str] = field(default_factory=Counter)
    """That stand, by kind."""
    receivers: tuple[ReceiverGauges, ...] = ()


async def read_gauges(pool: Pool) -> LedgerGauges:
    """Reads them. Raises the database's errors."""
    async with pool.acquire() as connection:
        found = await _read(connection)
    found.to_review = await count_inbox(pool)
    found.in_doubt = await count_in_doubt(pool, IN_DOUBT)
    return found


async def _read(connection: Connection) -> LedgerGauges:
    found = LedgerGauges(
        devices=tuple(DeviceGauges(**dict(row)) for row in await connection.fetch(SELECT_DEVICES))
    )
    for row in await connection.fetch(COUNT_OPEN):
        found.messages[row["device"], row["status"]] += row["messages"]
        found.held[row["device"]] += row["held"]
        found.overdue[row["device"]] += row["overdue"]
        if row["campaign"] is not None and row["status"] != "unconfirmed":
            found.left[row["campaign"]] += row["messages"]
    for row in await connection.fetch(COUNT_UNSENT):
        found.messages[row["device"], row["status"]] += row["messages"]
    for row in await connection.fetch(COUNT_CONTACTS):
        for state in ("sleeping", "paused", "overdue"):
            found.contacts[row["sequence"], state] = row[state]
    for row in await connection.fetch(COUNT_CAMPAIGNS):
        found.campaigns[row["status"]] = row["campaigns"]
    for row in await connection.fetch(COUNT_ALERTS):
        found.alerts[row["kind"]] = row["alerts"]
    found.receivers = tuple(ReceiverGauges(**dict(row)) for row in await connection.fetch(COUNT_OUTBOX))
    found.workers.update(worker.task_queue for worker in (await find_workers(connection, "")).running)
    return found
