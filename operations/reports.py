"""Reading: the whole in numbers, and everything about one person."""

from messaging import reports
from messaging.reports import ContactReport, StatusReport
from operations.connection import Connection

__all__ = ["contact", "status"]


async def status(connection: Connection) -> StatusReport:
    """Totals, and what needs somebody's attention."""
    return await reports.status_report(await connection.pool())


async def contact(connection: Connection, phone: str) -> ContactReport:
    """Everything about the person with this E.164 phone. Raises NotFound."""
    return await reports.contact_report(await connection.pool(), phone)
