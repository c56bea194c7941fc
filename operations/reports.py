"""Reading: the whole in numbers, and everything about one person."""

from collections.abc import Sequence

from messaging import reports
from messaging.models import MessageStatus
from messaging.reports import ContactReport, MessageReport, StatusReport
from messaging.whatsapp_numbers import canonical_phone
from operations.connection import Connection

__all__ = ["contact", "messages", "status"]


async def status(connection: Connection) -> StatusReport:
    """Totals, and what needs somebody's attention."""
    return await reports.status_report(await connection.pool())


async def contact(connection: Connection, phone: str) -> ContactReport:
    """Everything about the person with this E.164 phone, in either of its spellings. Raises NotFound."""
    return await reports.contact_report(await connection.pool(), canonical_phone(phone))


async def messages(
    connection: Connection, statuses: Sequence[MessageStatus], limit: int = 100
) -> list[MessageReport]:
    """The latest messages in one of these states, each with its reason."""
    return await reports.list_messages(await connection.pool(), statuses, limit)
