"""The workflow of one contact in one sequence: its identity, and the function that starts it."""

from typing import Any, Final, NamedTuple

from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.common import Priority, SearchAttributePair, TypedSearchAttributes, WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError

from messaging.common.private_keys import known_as
from messaging.sequences.contract import EnrollmentRequest
from temporal import search_attributes as attributes
from temporal.ids import sequence_workflow_id
from temporal.priorities import of_device

__all__ = [
    "CONTACT_WORKFLOW",
    "NOT_ENROLLED",
    "ContactIdentity",
    "Started",
    "contact_identity",
    "start_contact",
]

CONTACT_WORKFLOW = "SequenceContactWorkflow"

NOT_ENROLLED: Final = "not_enrolled"
"""The outcome of a run whose phone had opted out: it stored nothing, and another run may follow."""


class ContactIdentity(NamedTuple):
    """The ID, search attributes, summary and priority of a contact's workflow."""

    workflow_id: str
    search_attributes: TypedSearchAttributes
    summary: str
    priority: Priority


class Started(NamedTuple):
    """A contact's workflow. ``new``: whether this call started it; ``run_id`` is known only then."""

    workflow_id: str
    new: bool
    run_id: str | None


def contact_identity(request: EnrollmentRequest, *, private: bool = True) -> ContactIdentity:
    """The identity of one contact in one sequence. The workflow ID makes a second one impossible.

    ``private``: see :func:`messaging.common.private_keys.known_as`.
    """
    lead = request.lead
    return ContactIdentity(
        workflow_id=sequence_workflow_id(request.sequence, lead.phone, private=private),
        search_attributes=TypedSearchAttributes(
            [
                SearchAttributePair(attributes.SEQUENCE, request.sequence),
                SearchAttributePair(attributes.PHONE, known_as(lead.phone, private=private)),
            ]
        ),
        summary=f"{lead.name or lead.phone} · {request.sequence}",
        priority=of_device(lead.device_id),
    )


async def start_contact(client: Client, request: EnrollmentRequest, *, task_queue: str) -> Started:
    """Starts the workflow, unless it runs or has run; the answer says which, and that is no error.

    A run that enrolled nothing may be followed by another: a run that failed (no such sequence, no device), or one
    whose phone had opted out. The ledger's unique row keeps a contact from being enrolled twice, whatever Temporal
    still knows.
    """
    policy = WorkflowIDReusePolicy.ALLOW_DUPLICATE_FAILED_ONLY
    try:
        return await _start(client, request, task_queue, policy)
    except WorkflowAlreadyStartedError:
        workflow_id = contact_identity(request).workflow_id
        if not await _enrolled_nothing(client, workflow_id):
            return Started(workflow_id, new=False, run_id=None)
    try:
        return await _start(client, request, task_queue, WorkflowIDReusePolicy.ALLOW_DUPLICATE)
    except WorkflowAlreadyStartedError:  # another start came first
        return Started(workflow_id, new=False, run_id=None)


async def _start(
    client: Client, request: EnrollmentRequest, task_queue: str, policy: WorkflowIDReusePolicy
) -> Started:
    identity = contact_identity(request)
    handle = await client.start_workflow(
        CONTACT_WORKFLOW,
        request,
        id=identity.workflow_id,
        task_queue=task_queue,
        id_reuse_policy=policy,
        search_attributes=identity.search_attributes,
        static_summary=identity.summary,
        priority=identity.priority,
        request_eager_start=True,  # has effect only from a worker's own client, as in the sweep
    )
    return Started(identity.workflow_id, new=True, run_id=handle.result_run_id)


async def _enrolled_nothing(client: Client, workflow_id: str) -> bool:
    """True if the workflow has completed without an enrollment, because the phone had opted out."""
    run = await client.get_workflow_handle(workflow_id).describe()
    if run.status is not WorkflowExecutionStatus.COMPLETED:
        return False
    handle = client.get_workflow_handle(workflow_id, run_id=run.run_id, result_type=dict[str, Any])
    return bool((await handle.result(follow_runs=False)).get("outcome") == NOT_ENROLLED)
