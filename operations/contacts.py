"""Pauses, resumes and stops contacts, and skips their steps."""

import asyncio
from typing import Any

from temporalio.api.enums.v1 import PendingWorkflowTaskState
from temporalio.client import WorkflowExecutionStatus
from temporalio.service import RPCError, RPCStatusCode

from messaging.common.database import Record
from messaging.common.errors import Conflict, NotFound
from messaging.common.storable import LONGEST_REASON, storable
from messaging.common.values import Value
from messaging.sending.under_way import UnderWay, nothing_begins_any_more
from messaging.sequences import contacts as rows
from messaging.sequences.contacts import find_contact
from messaging.sequences.contract import (
    EnrollmentEnd,
)
from messaging.sequences.enrollments import Enrollments
from messaging.sequences.store import find_sequence, no_such_sequence
from operations.connection import Drumbeat
from operations.signals import signalled_later
from temporal.ids import sequence_workflow_id
from workflows.sequence import ContactProgress, SequenceContactWorkflow

__all__ = ["ContactCommandResult", "pause", "progress", "resume", "skip", "stop"]

STARTED = PendingWorkflowTaskState.PENDING_WORKFLOW_TASK_STATE_STARTED

ASK_EVERY = 0.05
"""Seconds."""


class ContactCommandResult(Value):
    """The result of a pause, resume, stop or skip of a contact."""

    sequence: str
    phone: str
    result: str
    """In words: ``paused``, ``had been stopped already``, ``skips story``."""
    under_way: tuple[UnderWay, ...] = ()
    """Messages that were being sent already."""


async def progress(drumbeat: Drumbeat, sequence: str, phone: str) -> ContactProgress:
    """Where a contact stands, by a query of its running workflow. ``phone`` is E.164. Raises NotFound."""
    contact = await find_contact(await drumbeat.pool(), sequence, phone)
    workflow_id = sequence_workflow_id(sequence, phone) if contact is None else contact["workflow_id"]
    handle = drumbeat.temporal.get_workflow_handle(workflow_id)
    try:
        return await handle.query(SequenceContactWorkflow.progress)
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:
            raise
        raise await _not_found(drumbeat, sequence, phone) from error


async def pause(drumbeat: Drumbeat, sequence: str, phone: str, reason: str = "") -> ContactCommandResult:
    """Pauses one contact: its sequence sends it nothing until it is resumed; then messages that became due go out without a burst.

    Returns when no more message can begin to be sent. Raises NotFound, and Conflict if it has left the sequence.
    """
    contact, pool = await _active(drumbeat, sequence, phone), await drumbeat.pool()
    changed = await rows.pause_contact(pool, contact["id"], storable(reason, LONGEST_REASON) or None)
    with signalled_later(drumbeat):
        await _signal(drumbeat, contact["workflow_id"], "plan_changed")
    under_way = await nothing_begins_any_more(pool, enrollments=[contact["id"]])
    before = f": {contact['paused_reason']}" if contact["paused_reason"] else ""
    return ContactCommandResult(
        sequence=sequence,
        phone=phone,
        result="paused" if changed else f"had been paused already{before}",
        under_way=under_way,
    )


async def resume(drumbeat: Drumbeat, sequence: str, phone: str) -> ContactCommandResult:
    """Resumes one contact. Raises NotFound, and Conflict if it has left the sequence."""
    contact = await _active(drumbeat, sequence, phone)
    changed = await rows.resume_contact(await drumbeat.pool(), contact["id"])
    with signalled_later(drumbeat):
        await _signal(drumbeat, contact["workflow_id"], "plan_changed")
    return ContactCommandResult(
        sequence=sequence, phone=phone, result="resumed" if changed else "was not paused"
    )


async def stop(drumbeat: Drumbeat, sequence: str, phone: str, reason: str = "") -> ContactCommandResult:
    """Stops one contact for good, even if its workflow is gone; unsent messages are cancelled.

    Returns when no more message can begin to be sent. Raises NotFound, and Conflict if it has ended in another way.
    """
    pool, reason = await drumbeat.pool(), storable(reason, LONGEST_REASON) or "stopped by an operator"
    contact = await _contact(drumbeat, sequence, phone)
    known = contact is not None
    if contact is None:
        # A workflow that has not enrolled the contact yet sees this signal once it has; but one that is about to enroll
        # does not.
        if not await _signal(drumbeat, sequence_workflow_id(sequence, phone), "stop", reason):
            raise await _not_found(drumbeat, sequence, phone)
        contact = await _enrolled_just_now(drumbeat, sequence, phone)
        if contact is None:
            return ContactCommandResult(sequence=sequence, phone=phone, result="stopped")
    if contact["status"] not in ("active", "stopped"):
        raise Conflict(f"{phone} in {sequence}: the contact has left the sequence ({contact['status']})")
    end = EnrollmentEnd(enrollment_id=contact["id"], status="stopped", reason=reason)
    await Enrollments(pool).finish(end, now=None)
    with signalled_later(drumbeat):
        await _signal(drumbeat, contact["workflow_id"], "stop", reason)
    under_way = await nothing_begins_any_more(pool, enrollments=[contact["id"]])
    await Enrollments(pool).finish(end, now=None)  # also what an attempt has given back meanwhile
    result = "had been stopped already" if known and contact["status"] == "stopped" else "stopped"
    return ContactCommandResult(sequence=sequence, phone=phone, result=result, under_way=under_way)


async def skip(drumbeat: Drumbeat, sequence: str, phone: str, step: str) -> ContactCommandResult:
    """Skips the step ``step``, which must be the next one. Raises NotFound, and Conflict with the reason."""
    contact = await _contact(drumbeat, sequence, phone)
    if contact is None:
        raise await _not_found(drumbeat, sequence, phone)
    try:
        changed = await Enrollments(await drumbeat.pool()).skip(contact["id"], step, now=None)
    except Conflict as error:
        raise Conflict(f"{phone} in {sequence}: {error}") from error
    with signalled_later(drumbeat):
        await _signal(drumbeat, contact["workflow_id"], "plan_changed")
    return ContactCommandResult(
        sequence=sequence, phone=phone, result=f"skips {step}" if changed else f"had skipped {step} already"
    )


async def _contact(drumbeat: Drumbeat, sequence: str, phone: str) -> Record | None:
    return await find_contact(await drumbeat.pool(), sequence, phone)


async def _active(drumbeat: Drumbeat, sequence: str, phone: str) -> Record:
    contact = await _contact(drumbeat, sequence, phone)
    if contact is None:
        raise await _not_found(drumbeat, sequence, phone)
    if contact["status"] != "active":
        raise Conflict(f"{phone} in {sequence}: the contact has left the sequence ({contact['status']})")
    return contact


async def _signal(drumbeat: Drumbeat, workflow_id: str, signal: str, *arguments: Any) -> bool:
    """Signals a workflow about a change in the ledger; False if none runs."""
    try:
        await drumbeat.temporal.get_workflow_handle(workflow_id).signal(signal, args=list(arguments))
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:
            raise
        return False
    return True


async def _enrolled_just_now(drumbeat: Drumbeat, sequence: str, phone: str) -> Record | None:
    """The contact, if a workflow task that began before the signal enrolls it. Waits for the end of that task.

    A later task sees the signal first.
    """
    handle = drumbeat.temporal.get_workflow_handle(sequence_workflow_id(sequence, phone))
    while True:
        run = (await handle.describe()).raw_description
        contact = await _contact(drumbeat, sequence, phone)
        if contact is not None or run.pending_workflow_task.state != STARTED:
            return contact
        await asyncio.sleep(ASK_EVERY)


async def _not_found(drumbeat: Drumbeat, sequence: str, phone: str) -> Exception:
    """The error for a missing contact: no such sequence, no enrollment yet, or none at all."""
    async with (await drumbeat.pool()).acquire() as connection:
        if await find_sequence(connection, sequence) is None:
            return await no_such_sequence(connection, sequence)
    handle = drumbeat.temporal.get_workflow_handle(sequence_workflow_id(sequence, phone))
    try:
        waits = (await handle.describe()).status is WorkflowExecutionStatus.RUNNING
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:
            raise
        waits = False
    if waits:
        return Conflict(
            f"{phone} was handed to Temporal for {sequence!r}, and no worker has enrolled it yet: nothing is sent before,"
            " and of all commands for a contact only 'stop' holds already"
        )
    return NotFound(f"{phone} is not in the sequence {sequence!r} at present: see 'contact {phone}'")
