"""Lets go of contents that are old: texts of messages both ways, and events. Rows that count stay.

It walks through each table from its first page of storage to its last, some pages at a time, and needs no index for that, which
would make every message dearer. How far it has come is in the table ``retained``.
"""

import asyncio
from datetime import timedelta

from messaging.common.database import Connection, Pool
from messaging.privacy.keep import Keep

__all__ = ["let_go"]

PAGES = 500
"""Of 8 kB, in one transaction."""

SECONDS = 3.0
"""How long one call works, about."""

AGAIN = timedelta(hours=1)
"""How long after the end of a table it begins anew."""

# $1, $2: from which page to which; $3: how long contents are kept. Not what is in doubt, and of texts that stand in the message
# itself not what an operator may have sent again. The columns are those of messaging.privacy.tables.
BLANK_TEXTS = """
update broadcast_messages
   set content = null, image_url = null,
       contents = case when contents is not null
                       then jsonb_strip_nulls(jsonb_build_object('category', contents -> 'category')) end
 where ctid >= format('(%s,0)', $1::bigint)::tid and ctid < format('(%s,0)', $2::bigint)::tid
   and not is_unsettled(status) and status <> 'unconfirmed' and (purpose is null or status <> 'failed')
   and updated_at < clock_timestamp() - $3::interval
   and (content is not null or image_url is not null or contents ? 'text')
"""

# What waits in the inbox is for somebody to read. A preference counts by its payload.
BLANK_INBOUND = """
update inbound_messages
   set name = null, text = null, media_id = null, referral = null,
       payload = case when kind = 'preference' then payload end
 where ctid >= format('(%s,0)', $1::bigint)::tid and ctid < format('(%s,0)', $2::bigint)::tid
   and received_at < clock_timestamp() - $3::interval and (to_review is null or reviewed_at is not null)
   and (name is not null or text is not null or media_id is not null or referral is not null
        or payload is not null and kind <> 'preference')
"""

DELETE_EVENTS = """
delete from events
 where ctid >= format('(%s,0)', $1::bigint)::tid and ctid < format('(%s,0)', $2::bigint)::tid
   and at < clock_timestamp() - $3::interval
"""

# Whose turn it is: null if another process is at it, or the table was through lately.
LOCK_PLACE = """
select r.page
  from retained r
 where r.relation = $1 and (r.through_at is null or r.through_at < clock_timestamp() - $2::interval)
   for update skip locked
"""

NOTE_PLACE = """
update retained
   set page = case when $2::bigint * current_setting('block_size')::integer >= pg_relation_size($1::text::regclass) then 0 else $2 end,
       through_at = case when $2::bigint * current_setting('block_size')::integer >= pg_relation_size($1::text::regclass)
                         then clock_timestamp() end
 where relation = $1
returning through_at is null
"""


async def let_go(pool: Pool, keep: Keep, *, seconds: float = SECONDS, again: timedelta = AGAIN) -> int:
    """Lets go of what is old in the next parts of the tables; answers how many rows that were. Safe to run anywhere, at once."""
    clock = asyncio.get_running_loop().time
    until = clock() + seconds
    changed = 0
    for table, statement, kept in (
        ("broadcast_messages", BLANK_TEXTS, keep.texts),
        ("inbound_messages", BLANK_INBOUND, keep.inbound),
        ("events", DELETE_EVENTS, keep.events),
    ):
        more = kept is not None
        while more and clock() < until:
            assert kept is not None
            began = clock()
            async with pool.acquire() as connection:
                more, rows = await _next_pages(connection, table, statement, kept, again)
            changed += rows
            await asyncio.sleep(clock() - began)  # what else there is to do has half of the time
    return changed


async def _next_pages(
    connection: Connection, table: str, statement: str, kept: timedelta, again: timedelta
) -> tuple[bool, int]:
    """Whether the table goes on, and how many rows were changed."""
    async with connection.transaction():
        await connection.execute("insert into retained (relation) values ($1) on conflict do nothing", table)
        page = await connection.fetchval(LOCK_PLACE, table, again)
        if page is None:
            return False, 0
        done = await connection.execute(statement, page, page + PAGES, kept)
        more: bool = await connection.fetchval(NOTE_PLACE, table, page + PAGES)
        return more, int(done.split()[-1])
