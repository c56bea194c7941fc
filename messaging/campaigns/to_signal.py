"""Finds campaigns whose workflows must read their row again: it has changed, or the start may be earlier than they
know.

The process that changes a row signals or starts the workflow, unless it dies first or Temporal cannot be reached. And
changes of leads send no signal to campaigns: a campaign at each recipient's own time starts with the earliest time zone
of its leads, and a lead that is imported or corrected may be in an earlier one. The recovery sweep signals these
workflows every minute (activities.recovery).
"""

from datetime import datetime, timedelta

from messaging.campaigns.contract import CampaignState
from messaging.campaigns.lifecycle import campaign_state
from messaging.common.database import Connection

__all__ = ["campaigns_to_signal", "note_seen"]

SOON = timedelta(minutes=2)
"""Workflows of campaigns that start within this time are signalled. The recovery sweep runs every minute."""

NOTE_SEEN = """
update campaigns
   set seen_at = updated_at
 where name = $1 and seen_at is distinct from updated_at
"""

# Campaigns that were changed some seconds ago and whose workflow has not read the row since; and campaigns that wait
# for each recipient's own time, which comes first where clocks are 14 hours ahead of UTC. $1: the moment, null for the
# database's clock; $2: how soon.
SELECT_TO_SIGNAL = """
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
    """Notes that the campaign's workflow has read the row as it is now, or has ended."""
    await connection.execute(NOTE_SEEN, campaign)


async def campaigns_to_signal(connection: Connection, *, now: datetime | None) -> list[CampaignState]:
    """The states of the campaigns whose workflows are to be signalled. Signalling one that knows is harmless."""
    found = []
    for row in await connection.fetch(SELECT_TO_SIGNAL, now, SOON):
        state = await campaign_state(connection, row["name"], now=now)
        if row["changed"] or state.start_at <= state.now + SOON:
            found.append(state)
    return found
