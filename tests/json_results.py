"""The types of what the commands print with --json."""

from typing import Any

from messaging.campaigns.apply import AppliedCampaign
from messaging.campaigns.plan import CampaignDetails
from messaging.campaigns.store import CampaignSummary
from messaging.events.read import ActReport, Event
from messaging.leads.csv_export import ExportSummary
from messaging.leads.device_moves import Moved
from messaging.leads.store import StoredLead
from messaging.privacy.export import PersonExport
from messaging.replies.inbox import Cleared, InboundReport
from messaging.reporting.audience import AudienceReport
from messaging.reporting.contact import ContactReport
from messaging.reporting.messages import MessageReport
from messaging.reporting.preview.report import Preview
from messaging.reporting.report.model import Report
from messaging.reporting.status import StatusReport
from messaging.reporting.troubles import ListedDevice
from messaging.reporting.why.report import WhyReport
from messaging.selection.contacts import SelectedContacts
from messaging.selection.leads import LeadPage, SelectedLeads
from messaging.sending.resolutions import Resolution
from messaging.sending.test_messages import SentTest
from messaging.sequences.store import SequenceDetails, SequenceSummary
from operations import alerts
from operations.audit import AuditReport
from operations.bulk import BulkChange
from operations.campaigns import CampaignChange, CampaignStart
from operations.contacts import ContactCommandResult
from operations.devices import DeviceAdded, DeviceStatusChange
from operations.enrollment import Enrollment, SweepResult
from operations.forgetting import Forgotten, Known, Remembered
from operations.leads import LeadSet, LeadsImported, LeadsSet, PhoneRenamed
from operations.moves import DeviceReplaced
from operations.opt_outs import OptOut
from operations.repair import Repair
from operations.sequences import SequenceApplied, SequenceStatusChange
from operations.upgrade_check import UpgradeCheck
from operations.upgrades import UpgradeSwitch

__all__ = ["RESULTS"]

_STEERED = (ContactCommandResult, SelectedContacts, BulkChange)

RESULTS: dict[str, tuple[Any, ...]] = {
    "alert add": (alerts.ReceiverAdded,),
    "alert kinds": (list[alerts.Kind],),
    "alert list": (alerts.AlertsReport,),
    "alert remove": (alerts.ReceiverRemoved,),
    "alert retry": (alerts.Retried,),
    "alert secret": (alerts.Secret,),
    "alert test": (alerts.ReceiverTested,),
    "alert undelivered": (alerts.UndeliveredReport,),
    "audience": (AudienceReport,),
    "audit": (AuditReport, Repair),
    "campaign apply": (list[AppliedCampaign],),
    "campaign cancel": (CampaignChange,),
    "campaign list": (list[CampaignSummary],),
    "campaign move": (CampaignChange,),
    "campaign pause": (CampaignChange,),
    "campaign resume": (CampaignChange,),
    "campaign retry-failed": (CampaignChange,),
    "campaign start": (CampaignChange, CampaignStart),
    "campaign status": (CampaignDetails,),
    "contact export": (PersonExport,),
    "contact forget": (Forgotten, Known, Remembered),
    "contact show": (ContactReport,),
    "device add": (DeviceAdded,),
    "device list": (list[ListedDevice],),
    "device pause": (DeviceStatusChange,),
    "device replace": (DeviceReplaced,),
    "device resume": (DeviceStatusChange,),
    "enroll": (Enrollment, SweepResult),
    "events": (list[ActReport], list[Event]),
    "inbox": (list[InboundReport],),
    "inbox done": (list[InboundReport], Cleared),
    "lead export": (ExportSummary,),
    "lead import": (LeadsImported,),
    "lead list": (LeadPage,),
    "lead move": (Moved, SelectedLeads),
    "lead rename-phone": (PhoneRenamed,),
    "lead set": (LeadSet, SelectedLeads, LeadsSet),
    "lead show": (StoredLead,),
    "message list": (list[MessageReport],),
    "message resolve": (Resolution,),
    "messages": (list[MessageReport],),
    "move": (SelectedContacts, BulkChange),
    "opt-out": (OptOut, SelectedLeads, BulkChange),
    "pause": _STEERED,
    "preview": (Preview,),
    "report campaign": (Report, list[Report]),
    "report device": (Report,),
    "report sequence": (Report,),
    "report week": (Report,),
    "resume": _STEERED,
    "sequence apply": (list[SequenceApplied],),
    "sequence list": (list[SequenceSummary],),
    "sequence pause": (SequenceStatusChange,),
    "sequence resume": (SequenceStatusChange,),
    "sequence show": (SequenceDetails,),
    "skip": _STEERED,
    "status": (StatusReport,),
    "stop": _STEERED,
    "test-send": (SentTest,),
    "why": (WhyReport,),
    "upgrade back": (UpgradeSwitch,),
    "upgrade check": (UpgradeCheck,),
    "upgrade switch": (UpgradeSwitch,),
}
"""By command: one of these types."""
