"""Campaigns whose workflows have to look at their row anew: it was changed, or it is to start sooner than they may know.

The process that changes a row tells the workflow, or starts it, unless it dies before, or Temporal cannot be reached. And
nobody who changes leads tells campaigns: at each recipient's own time, a campaign starts with the first of the zones of its
leads, and one that is imported, or whose zone is corrected, may be in an earlier one. The recovery of every minute has
the workflows told (activities.recovery).
"""

from datetime import datetime, timedelta

from messaging.campaigns.contract import CampaignState
from messaging.campaigns.lifecycle import campaign_state
from messaging.common.database import Connection

__all__ = ["note_seen", "untold_campaigns"]

SOON = timedelta(minutes=2)
"""Workflows of campaigns that start within this are told. The recovery comes every minute."""

NOTE_SEEN = """
update campaigns
   set seen_at = updated_at
 where name = $1 and seen_at is distinct from updated_at
"""

# Those that were changed some seconds ago and not seen since; and those that wait for recipients' own time, which comes first
# where clocks are 14 hours ahead. $1: the moment, null for the database's clock; $2: how soon.
SELECT_UNTOLD = """
select name, changed
  from campaigns
 cross join lateral (select seen_at is distinct from updated_at
                            and updated_at < clock_timestamp() - interval '5 seconds' as changed) c
 where status <> 'draft'
   and (changed or (status = 'scheduled' and frozen_at is null and time_zone = 'recipient' and not start_now
                    and (scheduled_at - interval '14 hours') at time zone 'UTC'
                        <= coalesce($1, clock_timestamp()) + $2::interval))
 order by id
"""


async def note_seen(connection: Connection, campaign: str) -> None:
    """Notes that the campaign's workflow looks at the row as it is now, or that there is none any more."""
    await connection.execute(NOTE_SEEN, campaign)


async def untold_campaigns(connection: Connection, *, now: datetime | None) -> list[CampaignState]:
    """Where the campaigns stand whose workflows are to be told. Telling one that knows is harmless."""
    untold = []
    for row in await connection.fetch(SELECT_UNTOLD, now, SOON):
        state = await campaign_state(connection, row["name"], now=now)
        if row["changed"] or state.start_at <= state.now + SOON:
            untold.append(state)
    return untold
