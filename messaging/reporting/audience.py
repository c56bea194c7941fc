"""Whom a campaign goes to, and who does not get it, by which condition.

Before the start, this is what the start would find if it came now. The rules are those of the start itself: the SQL function
``campaign_leads``, and :data:`messaging.campaigns.audience.FATES`. After the start, it is the audience that was frozen, beside
what the rules say now.
"""

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

from messaging.campaigns.audience import FATES, values_for_fates
from messaging.campaigns.contract import CampaignStatus
from messaging.campaigns.start_times import when
from messaging.campaigns.store import require_campaign
from messaging.common.database import Connection, Record
from messaging.common.errors import InvalidInput
from messaging.common.suggestions import did_you_mean
from messaging.common.values import Value

__all__ = [
    "REASONS",
    "SELECT_EVERYBODY",
    "AudienceGroup",
    "AudienceLead",
    "AudienceReport",
    "all_of_audience",
    "audience_report",
]

MOST = 10_000
"""Leads of one page."""

_OF_TARGET = ("opted_out", "without_consent", "without_device", "passed", "over", "since")
"""Why leads of the target do not get it; the others are not of the target."""

REASONS = {
    "another_phone": "have another number now",
    "niche": "do not have the niche {niche}",
    "status": "are not of the status {target_status}",
    "device": "belong to none of the devices {devices}",
    "opted_out": "have opted out",
    "without_consent": "have not consented (require_consent)",
    "without_device": "have no device to be written from, and there is not exactly one",
    "passed": "are at a place where its time has passed (if_passed: leave_out)",
    "over": "would have their turn after its end (until {until})",
    "since": "fit now, and came or changed after the start",
}
"""Why a lead does not get it, in words that go on after a number of leads; filled in with the campaign's row."""

# why: the first condition that does not hold. After the start, a lead whose time has passed since is not meant.
SELECT_STANDINGS = f"""
select f.lead_id, f.phone, l.name, coalesce(m.device_id, f.device_id) as device, f.zone, coalesce(m.due_at, f.due_at) as due_at,
       m.status, m.id is not null as frozen,
       case when not f.of_phone then 'another_phone' when not f.of_niche then 'niche' when not f.of_status then 'status'
            when not f.of_devices then 'device' when f.left_out = 'passed' and c.frozen_at is not null then null
            when f.left_out is not null then f.left_out
            when f.is_over and c.frozen_at is null then 'over' end as why
  from ({FATES.format(leads="campaign_leads")}) f
  join leads l on l.id = f.lead_id
  join campaigns c on c.id = $1
  left join broadcast_messages m on m.campaign_id = $1 and m.lead_id = f.lead_id and c.frozen_at is not null
"""  # noqa: S608 - a constant of this module

# gets: whether it gets the message, or got it; why: why not; of one that does, which condition does not hold any more.
SELECT_EVERYBODY = f"""
select s.lead_id, s.phone, s.name, s.device, s.zone, s.due_at, s.status,
       case when c.frozen_at is null then s.why is null else s.frozen end as gets,
       case when c.frozen_at is not null and not s.frozen then coalesce(s.why, 'since') else s.why end as why
  from ({SELECT_STANDINGS}) s
  join campaigns c on c.id = $1
"""  # noqa: S608 - a constant of this module

COUNT_GROUPS = f"""
select e.gets, e.why, count(*) as leads
  from ({SELECT_EVERYBODY}) e
 group by e.gets, e.why
 order by e.gets desc, count(*) desc, e.why
"""  # noqa: S608 - a constant of this module

# $9: those that get it; $10: of these, only those that would not get it now; $11: and those that do not, for these reasons.
SELECT_LEADS = f"""
select e.*
  from ({SELECT_EVERYBODY}) e
 where (e.gets and $9 and (e.why is not null or not $10)) or (not e.gets and e.why = any ($11::text[]))
 order by e.gets desc, e.lead_id
"""  # noqa: S608 - a constant of this module


class AudienceGroup(Value):
    """Leads that get the message, or that do not for one reason."""

    gets: bool
    why: str | None
    """The condition that does not hold, as ``--only`` takes it; None: all hold."""
    words: str
    """The same in words, which go on after a number of leads."""
    leads: int
    of_target: bool
    """False for leads that are not of the campaign's target."""


class AudienceLead(Value):
    """How one lead stands to the campaign."""

    phone: str
    name: str
    device: str | None
    """The one that would write to it, or does."""
    zone: str
    """Its time zone, as the campaign uses it."""
    gets: bool
    why: str | None
    due_at: datetime | None
    """When its message is due; None: at the start."""
    status: str | None
    """That of its message, once the campaign has started."""


class AudienceReport(Value):
    """The leads by group, and one page of them."""

    campaign: str
    status: CampaignStatus
    when: str
    """When it starts, in words."""
    frozen_at: datetime | None
    """When its audience was frozen; None: it has not started."""
    leads: int
    """All that are stored."""
    gets: int
    groups: tuple[AudienceGroup, ...]
    total: int
    """Leads of the list, on all pages."""
    first: int
    """The place of the first one of the page, from 1."""
    listed: tuple[AudienceLead, ...]


async def audience_report(
    connection: Connection, campaign: str, *, only: str | None = None, page: int = 1, limit: int = 20
) -> AudienceReport:
    """The audience in numbers, and a page of the leads that ``only`` names: ``gets``, ``left-out``, ``changed``, ``all``, or a
    reason. None: all leads of the target. Raises NotFound and InvalidInput.
    """
    if page < 1 or not 0 <= limit <= MOST:
        raise InvalidInput(f"a page is a number from 1, with up to {MOST:,} leads")
    row = await require_campaign(connection, campaign)
    values = await values_for_fates(connection, row)
    groups = [_group(row, counted) for counted in await connection.fetch(COUNT_GROUPS, *values)]
    chosen = _chosen(only)
    first = (page - 1) * limit
    listed = await connection.fetch(f"{SELECT_LEADS} limit $12 offset $13", *values, *chosen, limit, first)
    with_gets, only_changed, reasons = chosen
    return AudienceReport(
        campaign=row["name"],
        status=row["status"],
        when=when(row),
        frozen_at=row["frozen_at"],
        leads=sum(group.leads for group in groups),
        gets=sum(group.leads for group in groups if group.gets),
        groups=tuple(groups),
        total=sum(
            group.leads
            for group in groups
            if (with_gets and (group.why or not only_changed) if group.gets else group.why in reasons)
        ),
        first=first + 1,
        listed=tuple(_lead(one) for one in listed),
    )


async def all_of_audience(
    connection: Connection, campaign: str, *, only: str | None = None
) -> AsyncIterator[AudienceLead]:
    """All leads that ``only`` names, one after the other, in bounded memory. Raises NotFound and InvalidInput."""
    chosen = _chosen(only)
    row = await require_campaign(connection, campaign)
    values = await values_for_fates(connection, row)
    async with connection.transaction(readonly=True):
        async for one in connection.cursor(SELECT_LEADS, *values, *chosen, prefetch=1000):
            yield _lead(one)


def _chosen(only: str | None) -> tuple[bool, bool, list[str]]:
    """Which leads are listed: those that get it, of these only those that would not any more, and reasons of others."""
    word = (only or "").lower().replace("_", "-")
    fixed: dict[str, tuple[bool, bool, list[str]]] = {
        "": (True, False, list(_OF_TARGET)),
        "all": (True, False, list(REASONS)),
        "gets": (True, False, []),
        "left-out": (False, False, list(_OF_TARGET)),
        "changed": (True, True, ["since"]),
    }
    if word in fixed:
        return fixed[word]
    if (reason := word.replace("-", "_")) in REASONS:
        return False, False, [reason]
    known = [*(name for name in fixed if name), *(name.replace("_", "-") for name in REASONS)]
    raise InvalidInput(f"--only: {only!r} is no part of an audience; {did_you_mean(word, known)}")


def _group(row: Record, counted: Record) -> AudienceGroup:
    names: dict[str, Any] = {**row, "devices": ", ".join(row["device_ids"] or ())}
    gets, why = counted["gets"], counted["why"]
    started = row["frozen_at"] is not None
    if why is None:
        words = "are in the audience" if started else "get it"
    else:
        words = REASONS[why].format_map(names)
        if gets:
            words = f"are in the audience, and {words} since"
    return AudienceGroup(
        gets=gets,
        why=why,
        words=words,
        leads=counted["leads"],
        of_target=gets or why in _OF_TARGET,
    )


def _lead(row: Record) -> AudienceLead:
    return AudienceLead(**{name: row[name] for name in AudienceLead.model_fields})
