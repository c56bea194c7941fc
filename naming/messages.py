"""The workflow of a message that is sent again: how Temporal knows it."""

from temporalio.common import SearchAttributePair, TypedSearchAttributes

from messaging.models import MessageRef
from naming import attributes

__all__ = ["resend_attributes", "resend_workflow_id"]


def resend_workflow_id(message_id: object) -> str:
    """There is one workflow for a message, however often it is asked for."""
    return f"message:{message_id}"


def resend_attributes(ref: MessageRef) -> TypedSearchAttributes:
    """What a resend is found by."""
    return TypedSearchAttributes(
        [
            SearchAttributePair(attributes.SEQUENCE, ref.sequence),
            SearchAttributePair(attributes.PHONE, ref.phone),
            SearchAttributePair(attributes.DEVICE, ref.device_id),
        ]
    )
