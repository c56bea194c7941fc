"""Reads and changes the messages of a running campaign: which to begin next, the progress, and closing unwanted ones.

The feeding workflow keeps, for each device, the position of the last message that was begun. A repeated call with the
same positions gives the same messages, so a lost answer costs nothing. How many of a device's messages are under way is
read from the ledger, and each device has a window of its own: a device that is slow or offline fills its window and
does not hold up others.
"""

from collections.abc import Sequence
from datetime import datetime

from messaging.campaigns.contract import CampaignProgress, CampaignStatus, FeedPage, FeedRequest
from messaging.campaigns.store import CampaignCounts
from messaging.common.database import Connection, Pool, Record
from messaging.sending.outcomes import MessageRef

__all__ = [
    "MAX_WINDOW",
    "PAGE",
    "close_over",
    "close_page",
    "feed_page",
    "is_settled",
    "phones_under_way",
    "progress",
    "under_way",
]

PAGE = 50
"""How many messages are begun together."""

MAX_WINDOW = 200
"""The most messages of one campaign and device that are under way at once."""

HORIZON = 120.0
"""How many seconds' worth of messages the window of a paced device holds. Other due messages of the device wait no
longer than that behind the campaign.
"""

MIN_WINDOW = 4

CLOSED_TOGETHER = 5_000

# For each device of a shard: its window, how many places are taken, and the next messages. A message that waits until its
# recipient writes takes no place.
# $1 campaign, $2 shard, $3 position by device up to which messages were begun, $4 shards, $5 now,
# $6 the smallest window, $7 the largest, $8 seconds of a device's time that one is worth, $9 messages of a page
SELECT_NEXT = """
with fed as (
    select c.id, c.status, c.fan_out, c.time_zone = 'recipient' as own_time, d.id as device_id,
           coalesce(($3::jsonb ->> d.id)::integer, -1) as fed_to,
           greatest(1, ceil(least($7::float8, greatest($6::float8, $8::float8 / greatest(
               d.min_delay + d.max_delay, c.min_delay + c.max_delay, 0.001) * 2)) / $4::integer))::integer as places
      from campaigns c
     cross join lateral jsonb_object_keys(c.audience) as a (device_id)
      join devices d on d.id = a.device_id
     where c.id = $1
), taken as materialized (
    select fed.*, open.*
      from fed
     cross join lateral (
        select count(*) as open, count(*) filter (where not awaits_window(m)) as taken
          from broadcast_messages m
         where m.campaign_id = $1 and m.campaign_shard = $2 and m.device_id = fed.device_id
           and m.campaign_position <= fed.fed_to and is_unsettled(m.status) and m.due_at <= $5) open
)
select taken.status, taken.fan_out, taken.device_id, taken.places, taken.taken, taken.open, n.*
  from taken
  left join lateral (
    select m.id, m.status as message_status, coalesce(m.key_phone, m.recipient_phone) as key_phone, m.campaign_position, m.due_at, l.name,
           m.due_at <= $5 and m.status = 'pending' and m.reason is null
           and (m.expires_at <= $5 or (taken.own_time and recipient_opening(m, $5) > $5)) as too_late,
           row_number() over (order by m.campaign_position) as turn
      from broadcast_messages m
      join leads l on l.id = m.lead_id
     where m.campaign_id = $1 and m.campaign_shard = $2 and m.device_id = taken.device_id
       and m.campaign_position > taken.fed_to and is_unsettled(m.status)
     order by m.campaign_position
     limit greatest(least(taken.places - taken.taken, $9::integer), 1)
  ) n on true
 order by n.turn, taken.device_id
"""

# Expires messages that were not begun. $1 campaign, $2 now, or null, $3 how many together
EXPIRE_OVER = """
update broadcast_messages
   set status = 'expired', reason = expiry_of(expires_at), updated_at = clock_timestamp()
 where id in (select id
                from broadcast_messages
               where campaign_id = $1 and status = 'pending' and reason is null
                 and expires_at <= coalesce($2, clock_timestamp())
               limit $3
                 for no key update skip locked)
   and exists (select from campaigns where id = $1 and until is not null)
"""

# Messages that were not begun and whose recipients' hours are closed now: their turn comes on the next day, after the
# messages that are due until then, unless the campaign leaves them out or they expire before. $1 campaign, $2 shard, $3
# now
MOVE_TO_NEXT_DAY = """
with late as (
    select m.id, m.campaign_position, recipient_opening(m, $3) as opening
      from broadcast_messages m
     where campaign_id = $1 and campaign_shard = $2 and status = 'pending' and reason is null and due_at <= $3
       and recipient_opening(m, $3) > $3
       for no key update skip locked
), moved as (
    select late.id, opening, c.if_passed = 'leave_out' as ends,
           row_number() over (order by opening, campaign_position)
           + (select max(campaign_position)
                from broadcast_messages
               where campaign_id = $1 and campaign_shard = $2 and is_unsettled(status)) as place
      from late
      join campaigns c on c.id = $1
)
update broadcast_messages m
   set status = case when ends or m.expires_at <= opening then 'expired' else m.status end,
       reason = case when ends or m.expires_at <= opening then 'the local time of the recipient had passed' end,
       due_at = case when ends then m.due_at else opening end,
       campaign_position = place,
       updated_at = clock_timestamp()
  from moved
 where m.id = moved.id
"""

# The progress of a campaign, counted from the ledger. $1 campaign, $2 now, or null
COUNT_PROGRESS = """
select c.status, c.reason, c.opted_out, c.without_consent, c.without_device, c.passed, m.over_at, m.counts, m.sent_lately, m.seconds
  from campaigns c
 cross join lateral (
    select jsonb_object_agg(n.status, n.messages) as counts, coalesce(sum(n.lately), 0) as sent_lately,
           min(n.over_at) as over_at,
           least(60, extract(epoch from coalesce($2, clock_timestamp()) - c.frozen_at))::float8 as seconds
      from (select status, count(*) as messages,
                   min(expires_at) filter (where is_unsettled(status)
                                             and expires_at > coalesce($2, clock_timestamp())) as over_at,
                   count(*) filter (where sent_at > coalesce($2, clock_timestamp()) - interval '60 seconds') as lately
              from broadcast_messages
             where campaign_id = c.id
             group by status) n
 ) m
 where c.id = $1
"""

# The messages that were begun and wait for a slot or for a hold to end, by the phones that name their workflows. $1
# campaign
SELECT_UNDER_WAY = """
select coalesce(key_phone, recipient_phone) as key_phone
  from broadcast_messages
 where campaign_id = $1
   and (status = 'queued' or (status in ('pending', 'processing') and reason is not null))
 order by campaign_position
"""

# Closes messages of a cancelled campaign that no attempt is sending. $1 campaign, $2 how many together
CANCEL_WAITING = """
update broadcast_messages
   set status = 'cancelled', reason = 'the campaign was cancelled', slot_at = null, updated_at = clock_timestamp()
 where id in (select id
                from broadcast_messages
               where campaign_id = $1 and is_waiting(status)
                 and exists (select from campaigns where id = $1 and status = 'cancelled')
               limit $2
                 for no key update skip locked)
"""


async def feed_page(pool: Pool, request: FeedRequest, *, now: datetime | None) -> FeedPage:
    """The next messages of one shard to begin: at most PAGE, taken fairly from all devices.

    Empty while there is room for only a few: it is cheaper to wait until more can be begun together.
    """
    async with pool.acquire() as connection:
        moment: datetime = now or await connection.fetchval("select clock_timestamp()")
        shard = (
            *(request.campaign_id, request.shard, request.positions, request.shards, moment),
            *(MIN_WINDOW, MAX_WINDOW, HORIZON, PAGE),
        )
        rows = await connection.fetch(SELECT_NEXT, *shard)
        if any(row["too_late"] for row in rows):
            await _expire_over(connection, request.campaign_id, moment)
            await connection.execute(MOVE_TO_NEXT_DAY, request.campaign_id, request.shard, moment)
            rows = await connection.fetch(SELECT_NEXT, *shard)
    status: CampaignStatus = rows[0]["status"] if rows else "finished"
    positions = dict(request.positions)
    messages: list[MessageRef] = []
    later: dict[str, datetime] = {}
    for row in rows:
        if row["id"] is None or row["device_id"] in later:
            continue  # a message that is due later is not skipped
        if row["due_at"] > moment:
            later[row["device_id"]] = row["due_at"]
        elif _may_begin(status, row) and len(messages) < PAGE and row["turn"] <= row["places"] - row["taken"]:
            messages.append(_ref(request, row))
            positions[row["device_id"]] = row["campaign_position"]
    exhausted = all(row["id"] is None for row in rows)
    due = sum(row["id"] is not None and row["due_at"] <= moment for row in rows)
    worthwhile = len(messages) == PAGE or any(_refills(rows, device) for device in _devices_of(messages))
    return FeedPage(
        status=status,
        fan_out=rows[0]["fan_out"] if rows else "children",
        messages=tuple(messages) if worthwhile else (),
        positions=positions if worthwhile else request.positions,
        settled=exhausted and all(row["open"] == 0 for row in rows),
        exhausted=exhausted,
        # If a due message waits for room, check again soon, before the next message of another device is due.
        next_due_at=None if due > (len(messages) if worthwhile else 0) else min(later.values(), default=None),
    )


def _may_begin(status: CampaignStatus, row: Record) -> bool:
    # In a cancelled campaign, the outcome of messages that were being sent must still be found out.
    return status == "running" or (status == "cancelled" and row["message_status"] == "processing")


def _ref(request: FeedRequest, row: Record) -> MessageRef:
    return MessageRef(
        campaign=request.campaign,
        message_id=row["id"],
        phone=row["key_phone"],
        name=row["name"],
        device_id=row["device_id"],
    )


def _devices_of(messages: list[MessageRef]) -> list[str]:
    return list(dict.fromkeys(ref.device_id for ref in messages))


def _refills(rows: list[Record], device: str) -> bool:
    """True if enough of a device's window is free for a page, or if waiting would not free more."""
    own = [row for row in rows if row["device_id"] == device]
    room: int = own[0]["places"] - own[0]["taken"]
    return len(own) < room or bool(room * 4 >= own[0]["places"])


async def progress(pool: Pool, campaign_id: int, *, now: datetime | None) -> CampaignProgress:
    """The progress of a campaign, counted from the ledger."""
    row = await pool.fetchrow(COUNT_PROGRESS, campaign_id, now)
    assert row is not None
    counts = CampaignCounts.model_validate(row["counts"] or {})
    return CampaignProgress(
        status=row["status"],
        counts={status: count for status, count in counts.model_dump().items() if count},
        unsettled=counts.unsettled,
        opted_out=row["opted_out"],
        without_device=row["without_device"],
        passed=row["passed"],
        without_consent=row["without_consent"],
        over_at=row["over_at"],
        reason=row["reason"],
        per_second=float(row["sent_lately"]) / max(row["seconds"] or 0.0, 1.0),
    )


async def is_settled(pool: Pool, campaign_id: int) -> bool:
    """True if every message of the campaign is settled."""
    settled: bool = await pool.fetchval(
        "select not exists (select from broadcast_messages where campaign_id = $1 and is_unsettled(status))",
        campaign_id,
    )
    return settled


async def close_over(pool: Pool, campaign_id: int, *, now: datetime | None) -> None:
    """Settles expired messages that were not begun. A message that was begun is settled by its own workflow."""
    async with pool.acquire() as connection:
        await _expire_over(connection, campaign_id, now)


async def _expire_over(connection: Connection, campaign_id: int, now: datetime | None) -> None:
    # Each page is a transaction of its own: what was done stays done, even if the caller has no time for the rest.
    changed = CLOSED_TOGETHER
    while changed >= CLOSED_TOGETHER:
        done = await connection.execute(EXPIRE_OVER, campaign_id, now, CLOSED_TOGETHER)
        changed = int(done.split()[-1])


async def phones_under_way(pool: Pool, campaign_id: int) -> list[str]:
    """The messages that were begun and wait for a slot or for a hold to end, by the phones that name their workflows."""
    rows = await pool.fetch(SELECT_UNDER_WAY, campaign_id)
    return [row["key_phone"] for row in rows]


async def under_way(pool: Pool, campaign_id: int, phones: Sequence[str]) -> bool:
    """True if a message to one of these phones still waits and no attempt is sending it."""
    found: bool = await pool.fetchval(
        "select exists (select from broadcast_messages where campaign_id = $1 and coalesce(key_phone, recipient_phone) = any($2)"
        " and is_waiting(status))",
        campaign_id,
        phones,
    )
    return found


async def close_page(pool: Pool, campaign_id: int) -> int:
    """Closes messages of a cancelled campaign that no attempt is sending; answers how many, 0 if none are left."""
    done = await pool.execute(CANCEL_WAITING, campaign_id, CLOSED_TOGETHER)
    return int(done.split()[-1])
