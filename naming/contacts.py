"""The workflow of one contact in one sequence: its identity, and the one way to start it from outside."""

from typing import NamedTuple

from temporalio.client import Client
from temporalio.common import SearchAttributePair, TypedSearchAttributes, WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError

from messaging.identity import sequence_workflow_id
from messaging.models import EnrollmentRequest
from naming import attributes

__all__ = ["CONTACT_WORKFLOW", "ContactIdentity", "Started", "contact_identity", "start_contact"]

CONTACT_WORKFLOW = "SequenceContactWorkflow"


class ContactIdentity(NamedTuple):
    """What Temporal is told of a contact at the start."""

    workflow_id: str
    search_attributes: TypedSearchAttributes
    summary: str


class Started(NamedTuple):
    """A contact's workflow. ``new``: whether this call started it; ``run_id`` is known only then."""

    workflow_id: str
    new: bool
    run_id: str | None


def contact_identity(request: EnrollmentRequest) -> ContactIdentity:
    """The identity of one contact in one sequence. The workflow ID makes a second one impossible."""
    lead = request.lead
    return ContactIdentity(
        workflow_id=sequence_workflow_id(request.sequence, lead.phone),
        search_attributes=TypedSearchAttributes(
            [
                SearchAttributePair(attributes.SEQUENCE, request.sequence),
                SearchAttributePair(attributes.PHONE, lead.phone),
            ]
        ),
        summary=f"{lead.name or lead.phone} · {request.sequence}",
    )


async def start_contact(client: Client, request: EnrollmentRequest, *, task_queue: str) -> Started:
    """Starts the workflow, unless it runs or has run: then that is the answer, not an error.

    A run that failed before it enrolled anybody (there was no such sequence, no device) may be followed by another.
    """
    identity = contact_identity(request)
    try:
        handle = await client.start_workflow(
            CONTACT_WORKFLOW,
            request.model_copy(update={"local": True}),
            id=identity.workflow_id,
            task_queue=task_queue,
            id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE_FAILED_ONLY,
            search_attributes=identity.search_attributes,
            static_summary=identity.summary,
            request_eager_start=True,  # from a worker's own client, the sweep's; others start as ever
        )
    except WorkflowAlreadyStartedError:
        return Started(identity.workflow_id, new=False, run_id=None)
    return Started(identity.workflow_id, new=True, run_id=handle.result_run_id)
