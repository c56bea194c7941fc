"""Reports: totals, everything about one phone, and lists.

They need PostgreSQL only, except for enrollments that only Temporal knows because no worker runs.
"""

import asyncio
from collections.abc import AsyncIterator, Collection, Sequence

from messaging.campaigns import store as campaigns
from messaging.campaigns.plan import CampaignDetails, campaign_details
from messaging.campaigns.store import CampaignSummary
from messaging.common.errors import InvalidPhone, NotFound, Unavailable
from messaging.common.private_keys import known_as
from messaging.leads.csv_rejects import rejects_of
from messaging.leads.known_phones import find_phone
from messaging.reporting import messages
from messaging.reporting.audience import AudienceLead, AudienceReport, all_of_audience, audience_report
from messaging.reporting.contact import ContactReport, contact_report, no_lead
from messaging.reporting.messages import MessageReport
from messaging.reporting.report.compute import make_report
from messaging.reporting.report.model import Report
from messaging.reporting.report.scope import (
    campaign_scope,
    device_scope,
    sequence_scope,
    week_scope,
)
from messaging.reporting.status import StatusReport, status_report
from messaging.reporting.troubles import ListedDevice, list_with_troubles
from messaging.reporting.why.report import WhyReport, why_not, why_unreadable, workflows_of_phone
from messaging.sending.message_status import MessageStatus
from messaging.sequences import store as sequences
from messaging.sequences.store import SequenceDetails, SequenceSummary
from operations.connection import Drumbeat
from operations.workers import idle

__all__ = [
    "audience",
    "campaign_status",
    "contact",
    "format_handed_over",
    "list_campaigns",
    "list_devices",
    "list_messages",
    "list_sequences",
    "report_campaign",
    "report_device",
    "report_sequence",
    "report_week",
    "show_sequence",
    "status",
    "whole_audience",
    "why",
]

PATIENCE = 5.0
"""Seconds to wait for Temporal's answer."""


async def status(drumbeat: Drumbeat) -> StatusReport:
    """Totals, and what needs an operator's attention."""
    return await status_report(await drumbeat.pool(), drumbeat.settings.task_queue)


async def audience(
    drumbeat: Drumbeat, campaign: str, *, only: str | None = None, page: int = 1, limit: int = 20
) -> AudienceReport:
    """Whom a campaign goes to, and who does not get it, by which condition; and a page of the leads of one part.

    ``only``: ``gets``, ``left-out``, ``changed``, ``all``, or one of the reasons. Raises NotFound and InvalidInput.
    """
    async with (await drumbeat.pool()).acquire() as connection:
        return await audience_report(connection, campaign, only=only, page=page, limit=limit)


async def whole_audience(
    drumbeat: Drumbeat, campaign: str, *, only: str | None = None
) -> AsyncIterator[AudienceLead]:
    """All leads of that part of the audience, in bounded memory. Raises NotFound and InvalidInput."""
    async with (await drumbeat.pool()).acquire() as connection:
        async for lead in all_of_audience(connection, campaign, only=only):
            yield lead


async def contact(drumbeat: Drumbeat, phone: str, *, default_region: str | None = None) -> ContactReport:
    """Everything about this phone, in any format.

    Raises NotFound and InvalidPhone, each with the row that was rejected on import, if there is one.
    """
    pool = await drumbeat.pool()
    try:
        number = await find_phone(pool, phone, default_region)
    except InvalidPhone as error:
        raise InvalidPhone(no_lead(str(error), await rejects_of(pool, None, phone))) from error
    try:
        report = await contact_report(pool, number, phone)
    except NotFound as error:
        # Only Temporal may know the lead, if no worker has stored it yet.
        if await idle(drumbeat) is not None and (waiting := await _handed_over(drumbeat, number)):
            raise NotFound(f"{error}; {format_handed_over(waiting)}") from error
        raise
    if await idle(drumbeat) is None:
        return report
    known = {one.workflow_id for one in report.enrollments}
    waiting = await _handed_over(drumbeat, number, known)
    not_enrolled = None if waiting else report.not_enrolled
    return report.model_copy(update={"handed_over": waiting, "not_enrolled": not_enrolled})


async def why(
    drumbeat: Drumbeat, phone: str, name: str | None = None, *, default_region: str | None = None
) -> WhyReport:
    """Why this phone, in any format, did not get its messages: of one sequence or campaign, or of all that concern it.

    Raises NotFound for an unknown name, and InvalidPhone for what is no phone and was in no imported file.
    """
    pool = await drumbeat.pool()
    try:
        number = await find_phone(pool, phone, default_region)
    except InvalidPhone as error:
        if (unreadable := await why_unreadable(pool, phone, str(error))) is None:
            raise
        return unreadable
    report = await why_not(pool, number, phone, name)
    sentence = await idle(drumbeat, report.zone)
    if sentence is None:
        return report
    more = [f"{sentence[0].upper()}{sentence[1:]}."]
    if handed := await _handed_over(drumbeat, number, await workflows_of_phone(pool, number)):
        words = format_handed_over(handed)
        more.append(f"{words[0].upper()}{words[1:]}.")
    return report.model_copy(update={"sentences": (*report.sentences, *more)})


def format_handed_over(sequences: Sequence[str]) -> str:
    """The sentence about enrollments that Temporal has and no worker has taken."""
    return f"handed to Temporal for {', '.join(sequences)}, and enrolled as soon as a worker takes it"


async def _handed_over(drumbeat: Drumbeat, phone: str, known: Collection[str] = ()) -> tuple[str, ...]:
    """The sequences for which Temporal has an enrollment of the phone that the ledger does not have; none if Temporal
    does not answer.
    """
    from temporal.contacts import CONTACT_WORKFLOW

    query = f"DrumbeatPhone in ('{known_as(phone)}', '{phone}') and WorkflowType = '{CONTACT_WORKFLOW}' and ExecutionStatus = 'Running'"
    try:
        async with asyncio.timeout(PATIENCE):
            client = await drumbeat.reach_temporal()
            running = [one.id async for one in client.list_workflows(query)]
    except (TimeoutError, Unavailable):
        return ()
    return tuple(sorted(one.split(":")[1] for one in running if one not in known))


async def list_messages(
    drumbeat: Drumbeat,
    statuses: Sequence[MessageStatus],
    limit: int = 100,
    *,
    campaign: str | None = None,
    sequence: str | None = None,
) -> list[MessageReport]:
    """The latest messages with one of these statuses, each with its reason: of one campaign or one sequence, or all.

    Raises NotFound.
    """
    return await messages.list_messages(
        await drumbeat.pool(), statuses, limit, campaign=campaign, sequence=sequence
    )


async def list_devices(drumbeat: Drumbeat) -> list[ListedDevice]:
    """All devices, by ID, each with the signs that it is about to get into trouble. Credentials among their options are left out
    when they are written as JSON.
    """
    return await list_with_troubles(await drumbeat.pool())


async def list_sequences(drumbeat: Drumbeat) -> list[SequenceSummary]:
    """All sequences, by name."""
    async with (await drumbeat.pool()).acquire() as connection:
        return await sequences.list_sequences(connection)


async def show_sequence(drumbeat: Drumbeat, sequence: str) -> SequenceDetails:
    """One sequence with its steps and where its contacts stand. Raises NotFound."""
    async with (await drumbeat.pool()).acquire() as connection:
        return await sequences.show_sequence(connection, sequence)


async def list_campaigns(drumbeat: Drumbeat) -> list[CampaignSummary]:
    """All campaigns, the latest first."""
    async with (await drumbeat.pool()).acquire() as connection:
        return await campaigns.list_campaigns(connection)


async def campaign_status(drumbeat: Drumbeat, campaign: str) -> CampaignDetails:
    """One campaign: how far it is, and when it is expected to end. Raises NotFound."""
    async with (await drumbeat.pool()).acquire() as connection:
        return await campaign_details(connection, campaign)


async def report_campaign(drumbeat: Drumbeat, campaign: str, *, time_zone: str | None = None) -> Report:
    """What came of a campaign. ``time_zone``: of the hours and days; None: the campaign's (if that is the recipient's, the zone
    of the device with most messages).

    Raises NotFound, and InvalidInput for a time zone that is none.
    """
    return await make_report(
        await drumbeat.pool(), time_zone, lambda on, now: campaign_scope(on, campaign, time_zone, now)
    )


async def report_sequence(
    drumbeat: Drumbeat, sequence: str, *, week: str | None = None, time_zone: str | None = None
) -> Report:
    """What came of a sequence, with its steps: from the beginning or in one week, as in :func:`report_week`.

    ``time_zone``: None for the sequence's. Raises NotFound and InvalidInput.
    """
    return await make_report(
        await drumbeat.pool(), time_zone, lambda on, now: sequence_scope(on, sequence, time_zone, week, now)
    )


async def report_device(
    drumbeat: Drumbeat, device: str, *, week: str | None = None, time_zone: str | None = None
) -> Report:
    """What came of a device's messages: from the beginning or in one week, as in :func:`report_week`.

    ``time_zone``: None for the device's. Raises NotFound and InvalidInput.
    """
    return await make_report(
        await drumbeat.pool(), time_zone, lambda on, now: device_scope(on, device, time_zone, week, now)
    )


async def report_week(drumbeat: Drumbeat, week: str | None = None, *, time_zone: str | None = None) -> Report:
    """What came of all messages of a week, from Monday on: ``2026-W48``, a date in it, ``last``, or None for the present one.

    ``time_zone``: None for that of the devices, or UTC if they have several. Raises InvalidInput.
    """
    return await make_report(
        await drumbeat.pool(), time_zone, lambda on, now: week_scope(on, week, time_zone, now)
    )
