"""Campaigns as they are stored: when they start, which leads they go to, whether they are paused. Times are aware UTC.

The row is the truth, and the campaign's workflow follows it: ``draft`` → ``scheduled`` → ``running`` → ``finished``,
from the second on with ``paused`` in between, and ``cancelled`` from anywhere but the last. The audience is frozen at
the start: from then on its messages stand in the ledger, and nothing that happens to the leads changes which of them get one.
"""

from datetime import datetime
from typing import NamedTuple

from messaging.campaigns.contract import CampaignState, CampaignStatus
from messaging.campaigns.forecast import Forecast, forecast
from messaging.campaigns.start_times import RECIPIENT, Timing, has_passed, start_of, turns, when
from messaging.common.database import Connection, Record
from messaging.common.errors import Conflict, NotFound
from messaging.common.suggestions import did_you_mean
from messaging.common.values import Value
from messaging.sending.claims import ANEW

__all__ = [
    "CampaignCounts",
    "CampaignStarted",
    "CampaignStatusChange",
    "CampaignSummary",
    "begin_campaign",
    "campaign_state",
    "cancel_campaign",
    "failed_and_over",
    "finish_campaign",
    "forecast_campaign",
    "list_campaigns",
    "no_such_campaign",
    "pause_campaign",
    "resume_campaign",
    "retry_failed",
]


class CampaignCounts(Value):
    """The messages of a campaign by where they stand; they add up to its audience."""

    pending: int = 0
    queued: int = 0
    processing: int = 0
    sent: int = 0
    failed: int = 0
    unconfirmed: int = 0
    suppressed: int = 0
    cancelled: int = 0
    expired: int = 0

    @property
    def unsettled(self) -> int:
        """Those that something is still to come of."""
        return self.pending + self.queued + self.processing

    @property
    def total(self) -> int:
        """All of them."""
        return sum(self.model_dump().values())


class CampaignSummary(Value):
    """A campaign with its numbers. ``opted_out``, ``without_device`` and ``passed``: leads of its target that were left out."""

    id: int
    name: str
    title: str
    status: CampaignStatus
    when: str
    """When it starts or was to start, in words."""
    time_zone: str
    """The zone of its times; ``recipient``: each recipient's own."""
    niche: str | None
    target_status: str
    device_ids: tuple[str, ...] | None
    frozen_at: datetime | None
    ended_at: datetime | None
    reason: str | None
    opted_out: int
    without_device: int
    passed: int
    """Their local time had passed, and the campaign says ``if_passed: leave_out``."""
    messages: CampaignCounts


class CampaignStarted(NamedTuple):
    """A campaign that was to start. ``changed``: whether this did it; ``state``: where it stands now."""

    changed: bool
    state: CampaignState


class CampaignStatusChange(NamedTuple):
    """A campaign that was paused or resumed. ``changed``: whether this did it; ``status``: the one that it has now."""

    changed: bool
    status: CampaignStatus


async def campaign_state(connection: Connection, campaign: str, *, now: datetime | None) -> CampaignState:
    """Where a campaign stands, and when it is to start. Raises NotFound."""
    row = await _row(connection, campaign, now=now)
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
    """Takes a draft to ``scheduled``; ``start_now`` starts also one that was to start later.

    Raises NotFound, and Conflict for one that was
    cancelled, whose time has passed everywhere, or that would go to no lead any more: that is rather a mistake than a wish.
    """
    async with connection.transaction():
        row = await _row(connection, campaign, now=now, lock=True)
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
            await connection.execute(
                "update campaigns set status = case when status = 'draft' then 'scheduled' else status end,"
                " start_now = $2, started_at = coalesce(started_at, $3), asked_at = $3, updated_at = $3 where id = $1",
                row["id"],
                start_now,
                row["now"],
            )
            await _check_not_in_vain(connection, await _row(connection, campaign, now=now))
        return CampaignStarted(changed, await campaign_state(connection, campaign, now=now))


async def _check_not_in_vain(connection: Connection, row: Record) -> None:
    """Raises Conflict for a campaign that is about to start and that no lead would get, as its time is over."""
    timing, name = Timing.of(row), row["name"]
    if timing.time_zone != RECIPIENT and turns(timing, [timing.time_zone])[timing.time_zone].over(row["now"]):
        raise Conflict(
            f"campaign {name!r} is over (until {timing.until} {timing.time_zone}): apply it with another 'until'"
        )
    found = await forecast(connection, row["id"], timing, row["now"])
    if found.reaches_none:
        raise Conflict(
            f"no lead would get campaign {name!r}: {'; '.join(found.lines)}: apply it with another time"
        )


async def forecast_campaign(
    connection: Connection, campaign: str, *, now: datetime | None = None
) -> Forecast | None:
    """What the time of a campaign that waits for its start means for its leads; None of one that does not.

    Raises NotFound.
    """
    row = await _row(connection, campaign, now=now)
    if row["frozen_at"] is not None or row["status"] not in ("scheduled", "paused"):
        return None
    return await forecast(connection, row["id"], Timing.of(row), row["now"])


async def pause_campaign(connection: Connection, campaign: str) -> CampaignStatusChange:
    """Holds a campaign. Raises NotFound, Conflict where it cannot be."""
    async with connection.transaction():
        row = await _row(connection, campaign, lock=True)
        if row["status"] not in ("scheduled", "running", "paused"):
            raise Conflict(f"campaign {campaign!r} is {_state(row)}: there is nothing to pause")
        changed = row["status"] != "paused"
        if changed:
            await _set_status(connection, row["id"], "paused")
        return CampaignStatusChange(changed, "paused")


async def resume_campaign(connection: Connection, campaign: str) -> CampaignStatusChange:
    """Ends a pause. Raises NotFound, Conflict where it cannot be."""
    async with connection.transaction():
        row = await _row(connection, campaign, lock=True)
        if row["status"] not in ("scheduled", "running", "paused"):
            raise Conflict(f"campaign {campaign!r} is {_state(row)}: there is nothing to resume")
        status: CampaignStatus = "scheduled" if row["frozen_at"] is None else "running"
        changed = row["status"] == "paused"
        if changed:
            await _set_status(connection, row["id"], status)
            await connection.execute(
                "update campaigns set asked_at = updated_at"
                " where id = $1 and frozen_at is null and scheduled_at is not null and not start_now",
                row["id"],
            )
        return CampaignStatusChange(changed, status)


async def cancel_campaign(connection: Connection, campaign: str) -> bool:
    """Nothing more of it is sent from now on; whether that is news. Raises NotFound, and Conflict for one that is over.

    The rows that were not sent are closed by the campaign's workflow; one that never started ends here.
    """
    async with connection.transaction():
        row = await _row(connection, campaign, lock=True)
        if row["status"] == "finished":
            raise Conflict(f"campaign {campaign!r} is finished: there is nothing to cancel")
        if row["status"] == "cancelled":
            return False
        await connection.execute(
            "update campaigns set status = 'cancelled', updated_at = clock_timestamp(),"
            " ended_at = case when frozen_at is null then clock_timestamp() end where id = $1",
            row["id"],
        )
        return True


async def retry_failed(connection: Connection, campaign: str) -> int:
    """Makes the failed messages of a campaign due again, and no others; answers how many they are.

    A failed message was surely not accepted by the gateway: what may have been is ``unconfirmed``. Recipients that opted
    out since are found by the claim; what is over stays as it is, see failed_and_over(). Raises NotFound, and Conflict for
    a campaign that never started or was cancelled.
    """
    async with connection.transaction():
        row = await _row(connection, campaign, lock=True)
        if row["status"] == "cancelled" or row["frozen_at"] is None:
            raise Conflict(f"campaign {campaign!r} is {_state(row)}: there is nothing to send again")
        done = await connection.execute(
            "update broadcast_messages set status = 'pending', attempts = 0, retried = retried + 1, slot_at = null,"  # noqa: S608
            " earlier_gateway_ids = array_remove(earlier_gateway_ids || gateway_message_id, null),"
            f" gateway_message_id = null, reason = null, {ANEW}, updated_at = $2"
            " where campaign_id = $1 and status = 'failed' and (expires_at is null or expires_at > $2)",
            row["id"],
            row["now"],
        )
        count = int(done.split()[-1])
        if count and row["status"] == "finished":
            await connection.execute(
                "update campaigns set status = 'running', ended_at = null, updated_at = $2 where id = $1",
                row["id"],
                row["now"],
            )
        return count


async def failed_and_over(connection: Connection, campaign: str) -> int:
    """How many failed messages of a campaign are not sent again, as it is over for them. Raises NotFound."""
    row = await _row(connection, campaign)
    over: int = await connection.fetchval(
        "select count(*) from broadcast_messages where campaign_id = $1 and status = 'failed' and expires_at <= $2",
        row["id"],
        row["now"],
    )
    return over


async def finish_campaign(connection: Connection, campaign_id: int) -> bool:
    """Ends a campaign of which every message is settled; False if one is not (any more)."""
    async with connection.transaction():
        row = await connection.fetchrow("select * from campaigns where id = $1 for update", campaign_id)
        assert row is not None
        ended = await connection.fetchval(
            "update campaigns c set status = case when status = 'cancelled' then status else 'finished' end,"
            " ended_at = coalesce(ended_at, clock_timestamp()), reason = coalesce($2, reason),"
            " updated_at = clock_timestamp()"
            " where id = $1 and (frozen_at is not null or status = 'cancelled') and not exists (select from"
            " broadcast_messages m where m.campaign_id = c.id and is_unsettled(m.status))"
            " returning true",
            campaign_id,
            _why_no_lead(row) if row["frozen_at"] is not None and not row["audience"] else None,
        )
        return bool(ended)


def _why_no_lead(row: Record) -> str:
    left_out = {
        "opted out": row["opted_out"],
        "have no device": row["without_device"],
        "had their time passed": row["passed"],
    }
    if any(left_out.values()):
        return f"no lead was left to write to: {', '.join(f'{count:,} {why}' for why, count in left_out.items() if count)}"
    return "no lead matched the target"


_SUMMARY = """
    select c.*, clock_timestamp() as now, coalesce(m.counts, '{}') as messages
      from campaigns c left join lateral
           (select jsonb_object_agg(status, messages) as counts from
             (select status, count(*) as messages from broadcast_messages where campaign_id = c.id group by status) n) m
        on true
"""


async def list_campaigns(connection: Connection, campaign: str | None = None) -> list[CampaignSummary]:
    """All campaigns, the latest first, or the one of that name. Raises NotFound for a name that there is not."""
    rows = await connection.fetch(
        f"{_SUMMARY} where $1::text is null or c.name = $1 order by c.id desc", campaign
    )
    if campaign is not None and not rows:
        raise await no_such_campaign(connection, campaign)
    fields = set(CampaignSummary.model_fields)
    return [
        CampaignSummary.model_validate(
            {**{name: value for name, value in row.items() if name in fields}, "when": when(row)}
        )
        for row in rows
    ]


async def no_such_campaign(connection: Connection, campaign: str) -> NotFound:
    """The error that says so, and what was meant instead."""
    names = [row["name"] for row in await connection.fetch("select name from campaigns order by name")]
    hint = did_you_mean(campaign, names) or "create it with 'campaign apply FILE.yaml'"
    return NotFound(f"there is no campaign {campaign!r}: {hint}")


async def _row(
    connection: Connection, campaign: str, *, now: datetime | None = None, lock: bool = False
) -> Record:
    query = "select *, coalesce($2, clock_timestamp()) as now from campaigns where name = $1"
    row = await connection.fetchrow(f"{query} for update" if lock else query, campaign, now)
    if row is None:
        raise await no_such_campaign(connection, campaign)
    return row


async def _set_status(connection: Connection, campaign_id: int, status: CampaignStatus) -> None:
    await connection.execute(
        "update campaigns set status = $2, reason = null, updated_at = clock_timestamp() where id = $1",
        campaign_id,
        status,
    )


def _state(row: Record) -> str:
    return "a draft" if row["status"] == "draft" else str(row["status"])
