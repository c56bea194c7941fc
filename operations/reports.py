"""Reading: the whole in numbers, everything about one person, and what there is. All of it from PostgreSQL alone."""

from collections.abc import Sequence

from messaging.campaigns import lifecycle as campaigns
from messaging.campaigns.lifecycle import CampaignSummary
from messaging.common.errors import InvalidPhone
from messaging.common.phones import parse_phone
from messaging.devices import store as devices
from messaging.devices.store import Device
from messaging.leads.csv_rejects import rejects_of
from messaging.reporting import reports
from messaging.reporting.reports import ContactReport, MessageReport, StatusReport
from messaging.sending.message_status import MessageStatus
from messaging.sequences import store as sequences
from messaging.sequences.store import SequenceDetails, SequenceSummary
from operations.connection import Connection

__all__ = [
    "campaign_status",
    "contact",
    "list_campaigns",
    "list_devices",
    "list_sequences",
    "messages",
    "show_sequence",
    "status",
]


async def status(connection: Connection) -> StatusReport:
    """Totals, and what needs somebody's attention."""
    return await reports.status_report(await connection.pool())


async def contact(connection: Connection, phone: str, *, default_region: str | None = None) -> ContactReport:
    """Everything about the person with this phone, in any format.

    Raises NotFound, and InvalidPhone, each with the row that was rejected on import where there is one.
    """
    pool = await connection.pool()
    try:
        number = parse_phone(phone, default_region)
    except InvalidPhone as error:
        raise InvalidPhone(reports.no_lead(str(error), await rejects_of(pool, None, phone))) from error
    return await reports.contact_report(pool, number, phone)


async def messages(
    connection: Connection, statuses: Sequence[MessageStatus], limit: int = 100
) -> list[MessageReport]:
    """The latest messages in one of these states, each with its reason."""
    return await reports.list_messages(await connection.pool(), statuses, limit)


async def list_devices(connection: Connection) -> list[Device]:
    """All devices, by ID. Credentials among their options are left out when they are written as JSON."""
    async with (await connection.pool()).acquire() as database:
        return await devices.list_devices(database)


async def list_sequences(connection: Connection) -> list[SequenceSummary]:
    """All sequences, by name."""
    async with (await connection.pool()).acquire() as database:
        return await sequences.list_sequences(database)


async def show_sequence(connection: Connection, sequence: str) -> SequenceDetails:
    """One sequence with its steps and where its contacts stand. Raises NotFound."""
    async with (await connection.pool()).acquire() as database:
        return await sequences.describe_sequence(database, sequence)


async def list_campaigns(connection: Connection) -> list[CampaignSummary]:
    """All campaigns, the latest first."""
    async with (await connection.pool()).acquire() as database:
        return await campaigns.list_campaigns(database)


async def campaign_status(connection: Connection, campaign: str) -> CampaignSummary:
    """One campaign with its numbers. Raises NotFound."""
    async with (await connection.pool()).acquire() as database:
        (summary,) = await campaigns.list_campaigns(database, campaign)
        return summary
