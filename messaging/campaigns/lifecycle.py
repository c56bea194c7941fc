"""Changes the state of stored campaigns: start, pause, resume, cancel, retry, finish. Times are aware UTC.

The row is the truth, and the campaign's workflow follows it: ``draft`` → ``scheduled`` → ``running`` → ``finished``. A
scheduled or running campaign may be ``paused`` in between, and any but a finished one may be ``cancelled``. The
audience is frozen at the start: from then on its messages are in the ledger, and later changes of the leads do not
change which of them get one.
"""

from datetime import datetime
from typing import NamedTuple

from messaging.campaigns.contract import CampaignState, CampaignStatus
from messaging.campaigns.empty_audience import why_nobody
from messaging.campaigns.forecast import Forecast, forecast
from messaging.campaigns.start_times import RECIPIENT, Timing, has_passed, start_of, turns, when
from messaging.campaigns.store import require_campaign
from messaging.common.counts import count_of
from messaging.common.database import Connection, Record
from messaging.common.errors import Conflict, NoAudience
from messaging.events.record import note

__all__ = [
    "CampaignStarted",
    "CampaignStatusChange",
    "begin_campaign",
    "campaign_state",
    "cancel_campaign",
    "failed_and_over",
    "finish_campaign",
    "forecast_campaign",
    "pause_campaign",
    "resume_campaign",
    "retry_failed",
]


# $2: at once; $3: the moment.
BEGIN_CAMPAIGN = """
update campaigns
   set status = case when status = 'draft' then 'scheduled' else status end, start_now = $2,
       reason = case when status = 'draft' then null else reason end, started_at = coalesce(started_at, $3), asked_at = $3, updated_at = $3
 where id = $1
"""

SET_STATUS = """
update campaigns
   set status = $2, reason = $3, updated_at = clock_timestamp()
 where id = $1
"""

# A resume counts as the operator's last decision on the time of a campaign that waits for its start.
NOTE_RESUME = """
update campaigns
   set asked_at = updated_at
 where id = $1 and frozen_at is null and scheduled_at is not null and not start_now
"""

CANCEL_CAMPAIGN = """
update campaigns
   set status = 'cancelled', updated_at = clock_timestamp(),
       ended_at = case when frozen_at is null then clock_timestamp() end
 where id = $1
"""

# $2: the moment.
RETRY_FAILED = """
select send_again(array(select id
                          from broadcast_messages
                         where campaign_id = $1 and status = 'failed' and (expires_at is null or expires_at > $2)
                         order by id
                           for no key update),
                  'retry', $2)
"""

COUNT_FAILED_AND_OVER = """
select count(*)
  from broadcast_messages
 where campaign_id = $1 and status = 'failed' and expires_at <= $2
"""

FINISH_CAMPAIGN = """
update campaigns c
   set status = case when status = 'cancelled' then status else 'finished' end,
       ended_at = coalesce(ended_at, clock_timestamp()), updated_at = clock_timestamp()
 where id = $1 and (frozen_at is not null or status = 'cancelled')
   and not exists (select from broadcast_messages m where m.campaign_id = c.id and is_unsettled(m.status))
returning true
"""


class CampaignStarted(NamedTuple):
    """The result of a start. ``changed``: True if this call started it; ``state``: where the campaign stands now."""

    changed: bool
    state: CampaignState


class CampaignStatusChange(NamedTuple):
    """The result of a pause or resume. ``changed``: True if this call did it; ``status``: the status now."""

    changed: bool
    status: CampaignStatus


async def campaign_state(connection: Connection, campaign: str, *, now: datetime | None) -> CampaignState:
    """Where a campaign stands, and when it is to start. Raises NotFound."""
    row = await require_campaign(connection, campaign, now=now)
    return CampaignState(
        campaign_id=row["id"],
        campaign=row["name"],
        title=row["title"],
        status=row["status"],
        frozen=row["frozen_at"] is not None,
        shards=row["shards"] or 0,
        over=row["ended_at"] is not None,
        reason=row["reason"],
        start_at=await start_of(connection, row),
        when=when(row),
        now=row["now"],
    )


async def begin_campaign(
    connection: Connection, campaign: str, *, start_now: bool, now: datetime | None = None
) -> CampaignStarted:
    """Makes a draft ``scheduled``. ``start_now`` starts it at once, whatever its time. Raises NotFound, and Conflict
    for a campaign that was cancelled, whose time has passed everywhere, or that would go to no lead: these are likely
    mistakes.
    """
    async with connection.transaction():
        row = await require_campaign(connection, campaign, now=now, lock=True)
        if row["status"] == "cancelled":
            raise Conflict(f"campaign {campaign!r} was cancelled: apply it under another name to send it")
        waits = row["frozen_at"] is None and row["status"] in ("scheduled", "paused")
        changed = row["status"] == "draft" or (start_now and waits and not row["start_now"])
        if changed and not start_now and has_passed(row["scheduled_at"], row["time_zone"], row["now"]):
            raise Conflict(
                f"the time of campaign {campaign!r} has passed ({when(row)}):"
                " apply it with another one, or start it at once with --now"
            )
        if changed:
            await connection.execute(BEGIN_CAMPAIGN, row["id"], start_now, row["now"])
            await _check_not_in_vain(connection, await require_campaign(connection, campaign, now=now))
        return CampaignStarted(changed, await campaign_state(connection, campaign, now=now))


async def _check_not_in_vain(connection: Connection, row: Record) -> None:
    """Raises NoAudience for a campaign that no lead would get: it starts now and has no audience, or its time is over for
    all of them; and Conflict if its time is over.

    Of one that starts later, leads may still come: its forecast says that there is none yet.
    """
    timing, name = Timing.of(row), row["name"]
    starts_at = await start_of(connection, row)
    if starts_at <= row["now"]:
        why = await why_nobody(connection, row["id"])
        if why is not None:
            raise NoAudience(f"no lead would get campaign {name!r}: {why}")
    if timing.time_zone != RECIPIENT and turns(timing, [timing.time_zone])[timing.time_zone].over(row["now"]):
        raise Conflict(
            f"campaign {name!r} is over (until {timing.until} {timing.time_zone}): apply it with another 'until'"
        )
    found = await forecast(connection, row["id"], timing, row["now"])
    if found.reaches_none:
        raise NoAudience(
            f"no lead would get campaign {name!r}: {'; '.join(found.lines)}: apply it with another time"
        )


async def forecast_campaign(
    connection: Connection, campaign: str, *, now: datetime | None = None
) -> Forecast | None:
    """The forecast for a campaign that waits for its start; None for any other.

    Raises NotFound.
    """
    row = await require_campaign(connection, campaign, now=now)
    if row["frozen_at"] is not None or row["status"] not in ("scheduled", "paused"):
        return None
    found = await forecast(connection, row["id"], Timing.of(row), row["now"])
    why = await why_nobody(connection, row["id"])
    if why is not None:
        first = f"warning: 0 leads would get it now: {why}; while that is so, it does not start"
    elif found.without_consent:
        without = count_of(found.without_consent, "lead of its target has", "leads of its target have")
        first = f"{without} not consented, and would be left out now"
    else:
        return found
    return found.model_copy(update={"lines": (first, *found.lines)})


async def pause_campaign(
    connection: Connection, campaign: str, reason: str | None = None
) -> CampaignStatusChange:
    """Pauses a campaign. Raises NotFound, and Conflict if that is not possible."""
    async with connection.transaction():
        row = await require_campaign(connection, campaign, lock=True)
        if row["status"] not in ("scheduled", "running", "paused"):
            raise Conflict(f"campaign {campaign!r} is {_state(row)}: there is nothing to pause")
        changed = row["status"] != "paused"
        if changed:
            await connection.execute(SET_STATUS, row["id"], "paused", reason)
        return CampaignStatusChange(changed, "paused")


async def resume_campaign(connection: Connection, campaign: str) -> CampaignStatusChange:
    """Resumes a campaign. Raises NotFound, and Conflict if that is not possible."""
    async with connection.transaction():
        row = await require_campaign(connection, campaign, lock=True)
        if row["status"] not in ("scheduled", "running", "paused"):
            raise Conflict(f"campaign {campaign!r} is {_state(row)}: there is nothing to resume")
        status: CampaignStatus = "scheduled" if row["frozen_at"] is None else "running"
        changed = row["status"] == "paused"
        if changed:
            await connection.execute(SET_STATUS, row["id"], status, None)
            await connection.execute(NOTE_RESUME, row["id"])
        return CampaignStatusChange(changed, status)


async def cancel_campaign(connection: Connection, campaign: str) -> bool:
    """Cancels a campaign; False if it was cancelled before. Raises NotFound, and Conflict for one that is finished.

    The campaign's workflow closes the unsent messages; a campaign that never started ends here.
    """
    async with connection.transaction():
        row = await require_campaign(connection, campaign, lock=True)
        if row["status"] == "finished":
            raise Conflict(f"campaign {campaign!r} is finished: there is nothing to cancel")
        if row["status"] == "cancelled":
            return False
        await connection.execute(CANCEL_CAMPAIGN, row["id"])
        return True


async def retry_failed(connection: Connection, campaign: str) -> int:
    """Makes the failed messages of a campaign due again, and no others; answers how many there are.

    A failed message surely did not reach the recipient: one that may have is ``unconfirmed``. The claim leaves out
    recipients that have opted out since. An expired message stays failed, see failed_and_over(). Raises NotFound, and
    Conflict for a campaign that never started or was cancelled.
    """
    async with connection.transaction():
        row = await require_campaign(connection, campaign, lock=True)
        if row["status"] == "cancelled" or row["frozen_at"] is None:
            raise Conflict(f"campaign {campaign!r} is {_state(row)}: there is nothing to send again")
        count: int = await connection.fetchval(RETRY_FAILED, row["id"], row["now"])
        if count:
            await connection.execute("select reopen_campaign($1)", row["id"])
            await note(connection, "campaign.retried", campaign=row["name"], messages=count)
        return count


async def failed_and_over(connection: Connection, campaign: str) -> int:
    """How many failed messages of a campaign are not sent again, because they have expired. Raises NotFound."""
    row = await require_campaign(connection, campaign)
    over: int = await connection.fetchval(COUNT_FAILED_AND_OVER, row["id"], row["now"])
    return over


async def finish_campaign(connection: Connection, campaign_id: int) -> bool:
    """Ends a campaign whose messages are all settled; False if one is not."""
    async with connection.transaction():
        await connection.execute("select from campaigns where id = $1 for update", campaign_id)
        return bool(await connection.fetchval(FINISH_CAMPAIGN, campaign_id))


def _state(row: Record) -> str:
    return "a draft" if row["status"] == "draft" else str(row["status"])
