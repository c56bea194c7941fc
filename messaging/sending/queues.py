"""Until when the sending hours or the daily limit of a device keep its messages waiting."""

from messaging.common.counts import count_of
from messaging.common.database import Connection, Pool
from messaging.times.local_time import format_moment, load_zone

__all__ = ["closed_queues"]

# A wait that the gateway asked for is not meant: format_wait() says it. $1: only messages of this campaign; null: all.
SELECT_CLOSED = """
select d.id, d.time_zone, e.free_at, e.why, n.waiting
  from devices d
 cross join lateral earliest_send(d, null, clock_timestamp()) e
 cross join lateral (select count(*) as waiting
                       from broadcast_messages m
                      where m.device_id = d.id and is_waiting(m.status) and ($1::bigint is null or m.campaign_id = $1)) n
 where d.status = 'active' and d.replaced_by is null and e.free_at > greatest(d.waits_until, clock_timestamp())
   and n.waiting > 0
 order by d.id
"""


async def closed_queues(connection: Connection | Pool, campaign_id: int | None = None) -> list[str]:
    """A sentence for each device that sends nothing now, though it could: how many messages wait, until when, and why.

    ``campaign_id``: only messages of this campaign are counted.
    """
    return [
        count_of(row["waiting"], "message waits", "messages wait")
        + f" until {format_moment(row['free_at'], load_zone(row['time_zone']))}: {row['why']}"
        for row in await connection.fetch(SELECT_CLOSED, campaign_id)
    ]
