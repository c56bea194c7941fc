"""Reads stored campaigns and their lists. Times are aware UTC."""

from datetime import datetime

from messaging.campaigns.contract import CampaignStatus, FanOut
from messaging.campaigns.start_times import when
from messaging.common.database import Connection, Record
from messaging.common.errors import NotFound
from messaging.common.suggestions import did_you_mean
from messaging.common.values import Value
from messaging.events.latest import By, paused_by
from messaging.sending.message_status import UNSETTLED
from messaging.sending.queues import closed_queues
from messaging.sending.results import Results

__all__ = ["CampaignCounts", "CampaignSummary", "list_campaigns", "require_campaign"]


class CampaignCounts(Value):
    """The messages of a campaign by status; they add up to its audience."""

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
        """The unsettled messages."""
        return sum(getattr(self, status) for status in UNSETTLED)

    @property
    def total(self) -> int:
        """All of them."""
        return sum(self.model_dump().values())


class CampaignSummary(Value):
    """A campaign with its numbers. ``opted_out``, ``without_consent``, ``without_device`` and ``passed``: leads of its target that
    were left out.
    """

    id: int
    name: str
    title: str
    status: CampaignStatus
    when: str
    """When it starts or started, in words."""
    time_zone: str
    """The zone of its times; ``recipient``: each recipient's own."""
    niche: str | None
    target_status: str
    device_ids: tuple[str, ...] | None
    fan_out: FanOut
    category: str
    """``marketing`` or ``utility``: which opt-outs hold."""
    outside_window: str
    """``fail`` or ``wait``: what becomes of free text outside the service window."""
    frozen_at: datetime | None
    ended_at: datetime | None
    reason: str | None
    paused_by: By | None = None
    require_consent: bool
    """True if it goes only to leads that have consented."""
    opted_out: int
    without_consent: int
    without_device: int
    passed: int
    """Their local time had passed, and the campaign says ``if_passed: leave_out``."""
    messages: CampaignCounts
    results: Results | None = None
    """What came of them; this and ``waits`` only where one campaign was asked for."""
    waits: tuple[str, ...] = ()
    """Sentences about devices whose sending hours or daily limit keep messages of it waiting, and until when."""


# $1: the name of one; null: all.
SELECT_SUMMARIES = """
select c.*, clock_timestamp() as now, coalesce(m.counts, '{}') as messages
  from campaigns c
  left join lateral (select jsonb_object_agg(status, messages) as counts
                       from (select status, count(*) as messages
                               from broadcast_messages
                              where campaign_id = c.id
                              group by status) by_status) m on true
 where $1::text is null or c.name = $1
 order by c.id desc
"""

# In one pass over the campaign's messages. wrote: what its recipients have written.
SELECT_RESULTS = """
with sent as materialized (
    select id, recipient_phone, delivered_at, read_at from broadcast_messages where campaign_id = $1 and status = 'sent'),
wrote as materialized (
    select s.id, s.recipient_phone, i as message from sent s join inbound_messages i on i.phone = s.recipient_phone),
came_back as (
    select w.recipient_phone as phone, true as replied, false as opted_out
      from wrote w
     cross join lateral answered_messages(w.message) m
     where m.id = w.id
    union all
    select w.recipient_phone, false, true
      from wrote w
     cross join lateral message_before(w.message) m
     where (w.message).meaning = 'stop' and m.id = w.id)
select (select count(delivered_at) from sent) as delivered, (select count(read_at) from sent) as read,
       count(distinct phone) filter (where replied) as replied,
       count(distinct phone) filter (where opted_out) as opted_out
  from came_back
"""


async def list_campaigns(connection: Connection, campaign: str | None = None) -> list[CampaignSummary]:
    """All campaigns, the latest first, or only the one with that name. Raises NotFound for an unknown name."""
    rows = await connection.fetch(SELECT_SUMMARIES, campaign)
    if campaign is not None and not rows:
        raise await _no_such_campaign(connection, campaign)
    fields = set(CampaignSummary.model_fields)
    results, waits = None, []
    if campaign is not None:
        results = await connection.fetchrow(SELECT_RESULTS, rows[0]["id"])
        waits = await closed_queues(connection, rows[0]["id"])
    paused = await paused_by(
        connection, "campaign", [row["name"] for row in rows if row["status"] == "paused"]
    )
    return [
        CampaignSummary.model_validate(
            {
                **{name: value for name, value in row.items() if name in fields},
                "when": when(row),
                "paused_by": paused.get(row["name"]),
                "results": results and dict(results),
                "waits": tuple(waits),
            }
        )
        for row in rows
    ]


async def _no_such_campaign(connection: Connection, campaign: str) -> NotFound:
    """The error for an unknown name, with a suggestion."""
    names = [row["name"] for row in await connection.fetch("select name from campaigns order by name")]
    hint = did_you_mean(campaign, names) or "create it with 'campaign apply FILE.yaml'"
    return NotFound(f"there is no campaign {campaign!r}: {hint}")


async def require_campaign(
    connection: Connection, campaign: str, *, now: datetime | None = None, lock: bool = False
) -> Record:
    """The row of a campaign, with the moment ``now``. Raises NotFound."""
    query = "select *, coalesce($2, clock_timestamp()) as now from campaigns where name = $1"
    row = await connection.fetchrow(f"{query} for update" if lock else query, campaign, now)
    if row is None:
        raise await _no_such_campaign(connection, campaign)
    return row
