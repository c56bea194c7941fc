"""The public API of Drumbeat, for services and for the command line.

A service imports this module and awaits typed functions::

    import asyncio
    import starter

    async def main() -> None:
        async with starter.connect() as drumbeat:
            done = await starter.enroll(drumbeat, "cold-vitac", "+1 201 555 0123", name="Aisha")
            print(done.result)  # enrolled, already_enrolled, opted_out, without_consent or handed_over (no worker yet)

    asyncio.run(main())

Enrolling needs only Temporal. Errors are ``DrumbeatError``, whose text is one clear line.

The command line calls the same functions: ``python starter.py --help``.
"""

if __name__ == "__main__":
    import signal

    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C during imports must not show a traceback

    from runtime.libraries import require_libraries

    require_libraries("starter.py")

    # Before the imports for services, of which a command needs only some.
    from cli.app import main

    main()

from messaging.common.errors import Conflict, DrumbeatError, InvalidInput, InvalidPhone, NotFound, Unavailable
from messaging.leads.lead import Lead
from messaging.reporting.report.html import report_html
from messaging.reporting.report.model import Report
from operations.alerts import add as add_receiver
from operations.alerts import list_alerts
from operations.alerts import remove as remove_receiver
from operations.alerts import retry as retry_undelivered
from operations.alerts import test as test_receiver
from operations.alerts import undelivered as list_undelivered
from operations.audit import AuditReport, audit
from operations.bulk import opt_out as opt_out_leads
from operations.bulk import pause as pause_contacts
from operations.bulk import resume as resume_contacts
from operations.bulk import skip as skip_steps
from operations.bulk import stop as stop_contacts
from operations.campaigns import apply as apply_campaigns
from operations.campaigns import campaign_status, list_campaigns
from operations.campaigns import cancel as cancel_campaign
from operations.campaigns import pause as pause_campaign
from operations.campaigns import resume as resume_campaign
from operations.campaigns import retry_failed as retry_failed_campaign
from operations.campaigns import start as start_campaign
from operations.change_overs import move_contacts
from operations.connection import Drumbeat, connect
from operations.contacts import pause as pause_contact
from operations.contacts import progress
from operations.contacts import resume as resume_contact
from operations.contacts import skip as skip_step
from operations.contacts import stop as stop_contact
from operations.devices import add as add_device
from operations.devices import list_devices
from operations.devices import pause as pause_device
from operations.devices import resume as resume_device
from operations.enrollment import Enrollment, enroll, enroll_by_trigger
from operations.events import list_events
from operations.inboxes import done as inbox_done
from operations.inboxes import list_inbox
from operations.leads import (
    ImportOptions,
    Selection,
    export_leads,
    import_leads,
    list_leads,
    set_lead,
    set_leads,
    show_lead,
)
from operations.messages import resolve as resolve_message
from operations.moves import move_lead, move_leads, replace_device
from operations.opt_outs import opt_out
from operations.opt_outs import withdraw as withdraw_opt_out
from operations.previews import preview
from operations.reports import (
    audience,
    contact,
    list_messages,
    report_campaign,
    report_device,
    report_sequence,
    report_week,
    status,
    why,
)
from operations.send_test import send_test
from operations.sequences import apply as apply_sequences
from operations.sequences import list_sequences, show_sequence
from operations.sequences import pause as pause_sequence
from operations.sequences import resume as resume_sequence
from operations.upgrade_check import upgrade_check
from operations.upgrades import back as upgrade_back
from operations.upgrades import switch as upgrade_switch

__all__ = [
    "AuditReport",
    "Conflict",
    "Drumbeat",
    "DrumbeatError",
    "Enrollment",
    "ImportOptions",
    "InvalidInput",
    "InvalidPhone",
    "Lead",
    "NotFound",
    "Report",
    "Selection",
    "Unavailable",
    "add_device",
    "add_receiver",
    "apply_campaigns",
    "apply_sequences",
    "audience",
    "audit",
    "campaign_status",
    "cancel_campaign",
    "connect",
    "contact",
    "enroll",
    "enroll_by_trigger",
    "export_leads",
    "import_leads",
    "inbox_done",
    "list_alerts",
    "list_campaigns",
    "list_devices",
    "list_events",
    "list_inbox",
    "list_leads",
    "list_messages",
    "list_sequences",
    "list_undelivered",
    "move_contacts",
    "move_lead",
    "move_leads",
    "opt_out",
    "opt_out_leads",
    "pause_campaign",
    "pause_contact",
    "pause_contacts",
    "pause_device",
    "pause_sequence",
    "preview",
    "progress",
    "remove_receiver",
    "replace_device",
    "report_campaign",
    "report_device",
    "report_html",
    "report_sequence",
    "report_week",
    "resolve_message",
    "resume_campaign",
    "resume_contact",
    "resume_contacts",
    "resume_device",
    "resume_sequence",
    "retry_failed_campaign",
    "retry_undelivered",
    "send_test",
    "set_lead",
    "set_leads",
    "show_lead",
    "show_sequence",
    "skip_step",
    "skip_steps",
    "start_campaign",
    "status",
    "stop_contact",
    "stop_contacts",
    "test_receiver",
    "upgrade_back",
    "upgrade_check",
    "upgrade_switch",
    "why",
    "withdraw_opt_out",
]
