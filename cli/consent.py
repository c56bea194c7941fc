"""A lead's consent as text, for ``contact`` and ``lead show``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cli.page import one_line

if TYPE_CHECKING:
    from datetime import tzinfo

    from messaging.leads.store import StoredLead
    from messaging.reporting.contact import ContactReport

__all__ = ["format_consent"]

SOURCES = {"import": "by import", "enrollment": "with an enrollment", "inbound": "in a message"}


def format_consent(lead: StoredLead | ContactReport, zone: tzinfo) -> str | None:
    """When it was given or taken back, by clocks in that zone, and how; None if nothing is known."""
    from messaging.times.local_time import format_wall

    moment = lead.consent_at or lead.consent_withdrawn_at
    if moment is None:
        return None
    note = f" ({one_line(lead.consent_note)})" if lead.consent_note else ""
    how = f" {SOURCES[lead.consent_source]}{note}" if lead.consent_source else ""
    return f"{'given' if lead.consent_at else 'taken back'}{how} on {format_wall(moment, zone)}"
