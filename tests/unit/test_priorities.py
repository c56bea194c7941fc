"""Whose tasks go first: what is due at a moment before campaigns, and devices in turns."""

from uuid import UUID

from messaging.leads.lead import Lead
from messaging.sending.outcomes import MessageRef
from messaging.sequences.contract import EnrollmentRequest
from temporal.campaigns import lead_identity
from temporal.contacts import contact_identity
from temporal.messages import message_identity

PHONE = "+12015550123"


def ref(campaign: str = "", device: str = "kl-1") -> MessageRef:
    return MessageRef(message_id=UUID(int=1), phone=PHONE, device_id=device, campaign=campaign)


def test_a_campaigns_messages_come_after_what_is_due_at_a_moment() -> None:
    lead, again = lead_identity(ref("sale")).priority, message_identity(ref(), "message:1").priority
    request = EnrollmentRequest(sequence="cold", lead=Lead(phone=PHONE, device_id="kl-1"))
    contact = contact_identity(request).priority
    assert (lead.priority_key, again.priority_key, contact.priority_key) == (
        4,
        None,
        None,
    )  # None counts as 3
    assert {lead.fairness_key, again.fairness_key, contact.fairness_key} == {"kl-1"}


def test_a_key_is_as_long_as_temporal_takes_it() -> None:
    key = lead_identity(ref("sale", device="ü" * 100)).priority.fairness_key
    assert key == "ü" * 32
    without = EnrollmentRequest(sequence="cold", lead=Lead(phone=PHONE))
    assert contact_identity(without).priority.fairness_key is None
