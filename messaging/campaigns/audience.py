"""Starts a campaign: freezes its audience, by giving every lead of its target a row in the ledger."""

from datetime import datetime
from typing import Any

from messaging.campaigns.contract import Frozen
from messaging.campaigns.start_times import RECIPIENT, Timing, Turn, turns
from messaging.common.database import Connection, Record

__all__ = ["FATES", "SHARD_SIZE", "freeze_audience", "values_for_fates"]

SHARD_SIZE = 10_000
"""Leads that one workflow feeds; several workflows feed a larger audience in parallel."""

MAX_SHARDS = 64


# What becomes of each lead at the start: when its message is due and expires; why it is left out, null if it is not; and
# is_over: it gets a row that has expired already. {leads}: campaign_audience or campaign_leads, of the campaign $1. $2: the
# moment; $3 to $6: time zones, when messages there are due and expire, and whether they are left out; $7, $8: when messages
# in other zones are due and expire.
FATES = """
select a.*, coalesce(z.due_at, $7) as due_at, coalesce(z.expires_at, $8) as expires_at,
       coalesce(coalesce(z.expires_at, $8) <= greatest(coalesce(z.due_at, $7), $2), false) as is_over,
       case when a.opted_out then 'opted_out' when a.without_consent then 'without_consent'
            when a.device_id is null then 'without_device' when z.left_out then 'passed' end as left_out
  from {leads}($1) a
  left join unnest($3::text[], $4::timestamptz[], $5::timestamptz[], $6::boolean[]) z (zone, due_at, expires_at, left_out)
         on z.zone = a.zone
"""

# $9: leads that one workflow feeds; $10: how many such workflows at most.
FREEZE_AUDIENCE = f"""
with matching as materialized ({FATES.format(leads="campaign_audience")}), chosen as (
    select m.*, row_number() over (order by m.due_at, m.lead_id) - 1 as position,
           least($10, ceil(count(*) over ()::float8 / $9))::integer as shards
      from matching m
     where m.left_out is null
), inserted as (
    insert into broadcast_messages
           (id, campaign_id, lead_id, recipient_phone, device_id, due_at, expires_at, status, reason,
            campaign_position, campaign_shard, created_at, updated_at)
    select campaign_message_id($1, phone), $1, lead_id, phone, device_id, coalesce(due_at, $2), expires_at,
           case when is_over then 'expired' else 'pending' end, case when is_over then expiry_of(expires_at) end,
           position, position % shards, $2, $2
      from chosen
    returning device_id
)
select coalesce((select jsonb_object_agg(device_id, leads)
                   from (select device_id, count(*) as leads from inserted group by device_id) n), '{{}}') as audience,
       coalesce((select max(shards) from chosen), 0) as shards,
       count(*) filter (where left_out = 'opted_out') as opted_out,
       count(*) filter (where left_out = 'without_consent') as without_consent,
       count(*) filter (where left_out = 'without_device') as without_device,
       count(*) filter (where left_out = 'passed') as passed
  from matching
"""  # noqa: S608 - a constant of this module

# $2: why; $3: the moment.
BACK_TO_DRAFT = """
update campaigns
   set status = 'draft', reason = $2, start_now = false, started_at = null, asked_at = null, updated_at = $3
 where id = $1
"""

BEGIN_RUNNING = """
update campaigns
   set status = 'running', frozen_at = $2, audience = $3, shards = $4, opted_out = $5, without_device = $6, passed = $7,
       without_consent = $8, updated_at = $2
 where id = $1
"""


async def freeze_audience(
    connection: Connection, campaign_id: int, *, now: datetime | None, shard_size: int = SHARD_SIZE
) -> Frozen:
    """Starts a campaign: one statement gives every lead of the target its row in the ledger, however many there are.

    Doing it again changes nothing. A campaign that is not ``scheduled`` any more (it was paused or cancelled at the
    last moment) stays as it is. A campaign that no lead would get becomes
    a draft again, with the reason, so that its target can be mended and its name is not used up.
    """
    async with connection.transaction():
        row = await connection.fetchrow(
            "select *, coalesce($2, clock_timestamp()) as now from campaigns where id = $1 for update",
            campaign_id,
            now,
        )
        assert row is not None
        if row["frozen_at"] is None and row["status"] == "scheduled":
            await _freeze(connection, row, shard_size)
            row = await connection.fetchrow("select * from campaigns where id = $1", campaign_id)
            assert row is not None
    return Frozen(
        frozen=row["frozen_at"] is not None,
        leads=sum(row["audience"].values()),
        opted_out=row["opted_out"],
        without_consent=row["without_consent"],
        without_device=row["without_device"],
        passed=row["passed"],
    )


async def values_for_fates(connection: Connection, row: Record) -> tuple[Any, ...]:
    """The values of :data:`FATES` for a campaign's row, which has a ``now``."""
    timing = Timing.of(row)
    found, of_all = {}, Turn(None, None)
    if timing.time_zone == RECIPIENT:
        # Every IANA zone, and the aliases in use: a lead may get another zone while this statement runs.
        zones = await connection.fetch("select distinct zone from campaign_audience($1)", row["id"])
        found = turns(timing, [zone["zone"] for zone in zones])
    else:
        of_all = turns(timing, [timing.time_zone])[timing.time_zone]
    return (
        row["id"],
        row["now"],
        list(found),
        [turn.due_at for turn in found.values()],
        [turn.expires_at for turn in found.values()],
        [turn.left_out for turn in found.values()],
        of_all.due_at,
        of_all.expires_at,
    )


async def _freeze(connection: Connection, row: Record, shard_size: int) -> None:
    values = await values_for_fates(connection, row)
    await connection.execute("select pg_advisory_xact_lock_shared(audience_lock())")
    frozen = await connection.fetchrow(FREEZE_AUDIENCE, *values, shard_size, MAX_SHARDS)
    assert frozen is not None
    if not frozen["audience"]:
        await connection.execute(BACK_TO_DRAFT, row["id"], _why_no_lead(frozen), row["now"])
        return
    await connection.execute(
        BEGIN_RUNNING,
        row["id"],
        row["now"],
        frozen["audience"],
        frozen["shards"],
        frozen["opted_out"],
        frozen["without_device"],
        frozen["passed"],
        frozen["without_consent"],
    )


def _why_no_lead(frozen: Record) -> str:
    left_out = {
        "opted out": frozen["opted_out"],
        "have not consented": frozen["without_consent"],
        "have no device": frozen["without_device"],
        "had their time passed": frozen["passed"],
    }
    if any(left_out.values()):
        return f"no lead was left to write to: {', '.join(f'{count:,} {why}' for why, count in left_out.items() if count)}"
    return "no lead matched the target"
