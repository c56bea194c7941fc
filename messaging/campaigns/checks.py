"""Checks the files of campaigns against each other and against what is stored; and warns of likely mistakes."""

from collections.abc import Sequence
from datetime import datetime

from messaging.campaigns.empty_audience import suggest_niche
from messaging.campaigns.file import CampaignDraft, CampaignFile
from messaging.campaigns.forecast import forecast
from messaging.campaigns.start_times import RECIPIENT, Timing, has_passed
from messaging.common.database import Connection, Record
from messaging.files.checks import (
    check_blanks,
    check_devices,
    check_repeats,
    check_templates,
    check_zone,
    devices_with_service_window,
    free_text_warning,
)
from messaging.files.yaml import Document, Problem

__all__ = ["check_moved", "check_together", "check_with_stored", "warnings_for"]

# Without leads that have opted out: what they lack does not matter. The others are of those with consent, if it is required.
COUNT_AUDIENCE = """
select count(*) as leads, count(*) filter (where a.without_consent) as without_consent,
       count(*) filter (where a.device_id is null and not a.without_consent) as without_device,
       count(*) filter (where a.device_id is not null and not a.without_consent and l.time_zone is null) as without_zone
  from campaign_audience($1) a join leads l on l.id = a.lead_id where not a.opted_out
"""


def check_together(drafts: Sequence[CampaignDraft]) -> list[Problem]:
    """Problems of files with each other: two files of one campaign."""
    return check_repeats(name for draft in drafts for name in draft.names)


async def check_with_stored(connection: Connection, drafts: Sequence[CampaignDraft]) -> list[Problem]:
    """Problems with what is stored: an unknown device, unknown variables of templates."""
    return [
        *await check_devices(connection, [device for draft in drafts for device in draft.devices]),
        *await check_templates(connection, [text for draft in drafts for text in draft.texts]),
    ]


async def warnings_for(
    connection: Connection, draft: CampaignDraft, campaign: CampaignFile, row: Record, now: datetime
) -> list[Problem]:
    """Warnings: a time that has passed, no lead to send to, leads left out, blanks in messages.

    ``row`` is the stored row of the campaign. There are no warnings for one that has started or was cancelled.
    """
    if row["frozen_at"] is not None or row["status"] not in ("draft", "scheduled", "paused"):
        return []
    return [
        *(
            _check_passed(draft.document, campaign, row, now)
            or await _check_times(connection, draft.document, row["id"], now)
        ),
        *check_zone(draft.document, campaign.timezone),
        *await _check_audience(connection, draft.document, campaign, row["id"]),
        *await check_blanks(connection, draft.texts),
        *await _check_service_window(connection, draft.document, campaign),
    ]


def check_moved(document: Document, campaign: CampaignFile, row: Record, now: datetime) -> list[Problem]:
    """Why a scheduled campaign cannot get this time: it would go out at once, by mistake."""
    if row["status"] not in ("scheduled", "paused") or row["frozen_at"] is not None:
        return []
    if (row["scheduled_at"], row["time_zone"]) == (campaign.scheduled_at, campaign.timezone):
        return []
    if campaign.scheduled_at is not None and not has_passed(campaign.scheduled_at, campaign.timezone, now):
        return []
    what = "has passed" if campaign.scheduled_at is not None else "is missing"
    message = f"{what}, and the campaign waits for its time: give another one, or start it at once with --now"
    return [document.problem(("scheduled_at",), message)]


def _check_passed(document: Document, campaign: CampaignFile, row: Record, now: datetime) -> list[Problem]:
    wall = campaign.scheduled_at
    if wall is None or row["status"] != "draft" or not has_passed(wall, campaign.timezone, now):
        return []
    where = " everywhere on earth" if campaign.timezone == RECIPIENT else f" in {campaign.timezone}"
    advice = "give another one, or start the campaign at once with --now"
    return [
        document.problem(("scheduled_at",), f"warning: {wall:%Y-%m-%d %H:%M} has passed{where}, {advice}")
    ]


async def _check_times(
    connection: Connection, document: Document, campaign_id: int, now: datetime
) -> list[Problem]:
    """For which leads the stored campaign's time has passed or is over; for a draft, as if it started now."""
    row = await connection.fetchrow(
        "select *, $2::timestamptz as now from campaigns where id = $1", campaign_id, now
    )
    assert row is not None
    found = await forecast(connection, campaign_id, Timing.of(row), now)
    starts_now = row["scheduled_at"] is None or row["start_now"]
    # A campaign without a time may start at any hour; its start warns if it is night then.
    lines = found.lines[: len(found.lines) - (found.night > 0)] if starts_now else found.lines
    return [
        document.problem(("scheduled_at",) if not starts_now else ("until",), f"warning: {line}")
        for line in lines
    ]


async def _check_audience(
    connection: Connection, document: Document, campaign: CampaignFile, campaign_id: int
) -> list[Problem]:
    row = await connection.fetchrow(COUNT_AUDIENCE, campaign_id)
    assert row is not None
    leads = row["leads"]
    if not leads:
        return [await _no_leads(connection, document, campaign.target.niche)]
    found = []
    if row["without_consent"]:
        message = f"warning: {row['without_consent']:,} of {leads:,} matching leads have not consented and will be left out"
        found.append(document.problem(("require_consent",), message))
    if row["without_device"]:
        message = (
            f"warning: {row['without_device']:,} of {leads:,} matching leads own no device and will be left out,"
            " unless there is exactly one device"
        )
        found.append(document.problem(("target",), message))
    if campaign.timezone == RECIPIENT and campaign.scheduled_at is not None and row["without_zone"]:
        message = (
            f"warning: {row['without_zone']:,} of {leads:,} matching leads have no time zone of their own,"
            " they go by their device's"
        )
        found.append(document.problem(("timezone",), message))
    return found


async def _check_service_window(
    connection: Connection, document: Document, campaign: CampaignFile
) -> list[Problem]:
    if campaign.template is not None:
        return []
    devices = await devices_with_service_window(connection, campaign.target.devices)
    if not devices:
        return []
    found = [document.problem(("template",), free_text_warning(devices, campaign.outside_window))]
    if campaign.outside_window == "wait" and campaign.until is None:
        message = "warning: is missing, and the campaign runs for as long as a message waits for its recipient to write"
        found.append(document.problem(("until",), message))
    return found


async def _no_leads(connection: Connection, document: Document, niche: str | None) -> Problem:
    if niche is None or await connection.fetchval(
        "select exists (select from leads where niches @> array[$1])", niche
    ):
        return document.problem(("target",), "warning: no stored lead matches it now")
    near = await suggest_niche(connection, niche)
    return document.problem(
        ("target", "niche"),
        f"warning: no stored lead has the niche {niche!r}{'; ' if near else ''}{near}",
    )
