"""Operations on contacts: enroll, pause, resume, stop, skip, opt out.

Enrolling needs only Temporal: the request contains the lead's data, and the workflow's first activity stores it.
"""

import asyncio
from collections.abc import Sequence
from typing import Any, Literal, get_args
from uuid import uuid4

from temporalio.api.enums.v1 import PendingWorkflowTaskState
from temporalio.client import WorkflowExecutionStatus, WorkflowQueryFailedError
from temporalio.common import WorkflowIDReusePolicy
from temporalio.service import RPCError, RPCStatusCode

from messaging.common.database import Record
from messaging.common.errors import Conflict, NotFound
from messaging.common.phones import parse_phone
from messaging.common.storable import LONGEST_REASON, storable
from messaging.common.values import Value
from messaging.common.whatsapp_numbers import canonical_phone
from messaging.common.words import normalise_words, validate_name
from messaging.leads.cleaning import clean_lead, clean_text
from messaging.leads.consent import stated
from messaging.leads.device_moves import check_device
from messaging.leads.lead import Lead
from messaging.leads.opt_outs import (
    OptOutCategory,
    note_signalled,
    record_opt_out,
    suppress_waiting,
    suppressed,
    withdraw,
)
from messaging.sending.under_way import UnderWay, nothing_begins_any_more
from messaging.sequences import contacts
from messaging.sequences.contacts import find_contact, find_standing
from messaging.sequences.contract import (
    EnrollmentEnd,
    EnrollmentRequest,
    EnrollmentStatus,
    SweepCursor,
    SweepTotals,
)
from messaging.sequences.enrollments import Enrollments
from messaging.sequences.joining import WITHOUT_CONSENT, no_device
from messaging.sequences.store import find_sequence, no_such_sequence, require_trigger
from operations.connection import Drumbeat
from operations.signals import signalled_later
from operations.workers import idle
from temporal.bulk import signal_each
from temporal.contacts import start_contact
from temporal.ids import sequence_workflow_id
from workflows.sequence import ContactProgress, SequenceContactWorkflow
from workflows.triggers import TriggerEnrollmentWorkflow

__all__ = [
    "ContactCommandResult",
    "Enrollment",
    "OptOut",
    "SweepResult",
    "carry_out_opt_out",
    "enroll",
    "enroll_by_trigger",
    "look_up",
    "opt_out",
    "pause_contact",
    "progress",
    "resume_contact",
    "skip_step",
    "stop_contact",
    "withdraw_opt_out",
]

PATIENCE = 5.0
"""Seconds to wait for a worker's answer."""

WAITING_FOR_ITS_FIRST_TASK = 2
"""The number of events in the history of a workflow that no worker has taken: started, and its task scheduled."""

STARTED = PendingWorkflowTaskState.PENDING_WORKFLOW_TASK_STATE_STARTED
ASK_EVERY = 0.05
"""Seconds."""

ENDS = set(get_args(EnrollmentStatus)) - {"active"}


EnrollmentResult = Literal["enrolled", "already_enrolled", "opted_out", "without_consent", "handed_over"]


class Enrollment(Value):
    """The result of an enrollment.

    ``enrolled``: it is in the ledger. ``already_enrolled``: it was there before, which is a success too. ``opted_out``:
    the phone has opted out, and no trigger was consumed. ``without_consent``: the same, as the sequence requires consent
    and the lead has not given it. ``handed_over``: Temporal has it and keeps it, but no worker
    has answered yet.
    """

    sequence: str
    phone: str
    result: EnrollmentResult
    status: EnrollmentStatus | None = None
    """The status of the enrollment, if there is one."""
    reason: str | None = None
    """Why the enrollment has ended, or why there is none."""
    device: str | None = None
    """The device that writes to the contact."""
    kept_device: bool = False
    """True if that is not the requested device: a lead belongs to the first device that it was given."""
    workflow_id: str


class ContactCommandResult(Value):
    """The result of a pause, resume, stop or skip of a contact."""

    sequence: str
    phone: str
    result: str
    """In words: ``paused``, ``had been stopped already``, ``skips story``."""
    under_way: tuple[UnderWay, ...] = ()
    """Messages that were being sent already."""


class OptOut(Value):
    """A recipient's opt-out. ``changed``: False if it was so before. ``ended``: how many enrollments it ended."""

    phone: str
    opted_out: bool
    """True if it has opted out now, by this or another source."""
    category: OptOutCategory | None = None
    """From what: from everything (``all``) or from marketing; None if it has not opted out."""
    changed: bool
    ended: int = 0
    under_way: tuple[UnderWay, ...] = ()
    """Messages that were being sent already."""


async def enroll(
    drumbeat: Drumbeat,
    sequence: str,
    phone: str,
    *,
    default_region: str | None = None,
    name: str = "",
    device: str | None = None,
    time_zone: str | None = None,
    attributes: dict[str, str] | None = None,
    consent: str = "",
    patience: float = PATIENCE,
) -> Enrollment:
    """Enrolls one lead; the phone may have any format. Repeating it, or calling it twice at once, is harmless.

    The given data of a lead that is new to the sequence is stored; data that is not given stays as it was. ``consent``:
    how the lead has agreed to be written to, such as ``signed form 12``, or only ``yes``. Waits at
    most ``patience`` seconds for a worker's answer. Raises InvalidPhone and InvalidInput; and Conflict if the worker
    refuses because there is no such sequence or no device.
    """
    given = (attributes or {}).items()
    lead = Lead(
        phone=parse_phone(phone, default_region),
        name=clean_text(name, "the name"),
        device_id=device,
        time_zone=time_zone,
        attributes={storable(key): clean_text(value, f"attribute {key!r}") for key, value in given},
        consent=stated(consent),
    )
    request = EnrollmentRequest(sequence=validate_name(sequence, "sequence"), lead=clean_lead(lead))
    started = await start_contact(drumbeat.temporal, request, task_queue=drumbeat.settings.task_queue)
    current = await _ask(drumbeat, started.workflow_id, patience)
    done = Enrollment(
        sequence=sequence, phone=lead.phone, result="handed_over", workflow_id=started.workflow_id
    )
    if current is None or current.state == "enrolling":
        return done
    if current.state == "refused":
        raise Conflict(current.why)
    if current.state == "not enrolled":
        why: EnrollmentResult = "without_consent" if current.why == WITHOUT_CONSENT else "opted_out"
        return done.model_copy(update={"result": why, "reason": current.why})
    over = current.state in ENDS
    return done.model_copy(
        update={
            "result": "enrolled" if started.new and not current.duplicate else "already_enrolled",
            "status": current.state if over else "active",
            "reason": current.why or None if over else None,
            "device": current.device,
            "kept_device": device not in (None, current.device),
        }
    )


async def look_up(
    drumbeat: Drumbeat, sequence: str, phone: str, device: str | None = None, *, consent: str = ""
) -> Enrollment | None:
    """The result if the database already knows that the lead cannot be enrolled now; otherwise None.

    Callers that can reach PostgreSQL call this before ``enroll``; other services get the same answer from the workflow.
    ``phone`` is E.164. Raises NotFound if there is no such sequence or device, and Conflict if it is not known
    which device is to write to the lead.
    """
    async with (await drumbeat.pool()).acquire() as connection:
        standing = await find_standing(connection, sequence, phone, device)
        if device is not None:
            await check_device(connection, device)
        without_consent = standing.without_consent and stated(consent) is None and standing.status is None
        if not standing.opted_out and not without_consent and standing.status is None:
            if standing.sender is None:
                raise await no_device(connection, phone)
            return None
    return Enrollment(
        sequence=sequence,
        phone=phone,
        result="opted_out"
        if standing.opted_out
        else "without_consent"
        if without_consent
        else "already_enrolled",
        status=standing.status,
        reason=WITHOUT_CONSENT if without_consent else standing.reason,
        device=standing.device_id,
        kept_device=standing.device_id is not None and device not in (None, standing.device_id),
        workflow_id=sequence_workflow_id(sequence, phone),
    )


class SweepResult(SweepTotals):
    """The result of enrolling by a trigger. ``handed_over``: Temporal has it and keeps it, but no worker has taken
    it.
    """

    handed_over: bool = False


async def enroll_by_trigger(drumbeat: Drumbeat, trigger: str) -> SweepResult:
    """Enrolls all leads with the trigger into its sequence now, as the sweep would within a minute.

    Raises NotFound if no active sequence has the trigger.
    """
    words = normalise_words(trigger)
    if len(words) != 1:
        raise NotFound(f"{trigger!r} is not one trigger")
    async with (await drumbeat.pool()).acquire() as connection:
        known = await require_trigger(connection, words[0])
    if known != "active":
        raise Conflict(f"the sequence of the trigger {words[0]} is {known}: resume it first")
    handle = await drumbeat.temporal.start_workflow(
        TriggerEnrollmentWorkflow.run,
        SweepCursor(trigger=words[0]),
        id=f"enroll-trigger:{words[0]}:{uuid4()}",
        task_queue=drumbeat.settings.task_queue,
        id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
        static_summary=f"enroll by trigger {words[0]}",
    )
    while True:
        try:
            async with asyncio.timeout(PATIENCE):
                return SweepResult.model_validate((await handle.result()).model_dump())
        except TimeoutError:
            begun = (await handle.describe()).history_length > WAITING_FOR_ITS_FIRST_TASK
            if not begun or await idle(drumbeat) is not None:
                return SweepResult(handed_over=True)


async def progress(drumbeat: Drumbeat, sequence: str, phone: str) -> ContactProgress:
    """Where a contact stands, by a query of its running workflow. ``phone`` is E.164. Raises NotFound."""
    handle = drumbeat.temporal.get_workflow_handle(sequence_workflow_id(sequence, phone))
    try:
        return await handle.query(SequenceContactWorkflow.progress)
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:
            raise
        raise await _not_found(drumbeat, sequence, phone) from error


async def pause_contact(
    drumbeat: Drumbeat, sequence: str, phone: str, reason: str = ""
) -> ContactCommandResult:
    """Pauses one contact: it gets nothing until it is resumed; then messages that became due go out without a burst.

    Returns when no more message can begin to be sent. Raises NotFound, and Conflict if it has left the sequence.
    """
    contact, pool = await _active(drumbeat, sequence, phone), await drumbeat.pool()
    changed = await contacts.pause_contact(pool, contact["id"], storable(reason, LONGEST_REASON) or None)
    with signalled_later(drumbeat):
        await _signal(drumbeat, contact["workflow_id"], "plan_changed")
    under_way = await nothing_begins_any_more(pool, enrollment=contact["id"])
    before = f": {contact['paused_reason']}" if contact["paused_reason"] else ""
    return ContactCommandResult(
        sequence=sequence,
        phone=phone,
        result="paused" if changed else f"had been paused already{before}",
        under_way=under_way,
    )


async def resume_contact(drumbeat: Drumbeat, sequence: str, phone: str) -> ContactCommandResult:
    """Resumes one contact. Raises NotFound, and Conflict if it has left the sequence."""
    contact = await _active(drumbeat, sequence, phone)
    changed = await contacts.resume_contact(await drumbeat.pool(), contact["id"])
    with signalled_later(drumbeat):
        await _signal(drumbeat, contact["workflow_id"], "plan_changed")
    return ContactCommandResult(
        sequence=sequence, phone=phone, result="resumed" if changed else "was not paused"
    )


async def stop_contact(
    drumbeat: Drumbeat, sequence: str, phone: str, reason: str = ""
) -> ContactCommandResult:
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
    under_way = await nothing_begins_any_more(pool, enrollment=contact["id"])
    await Enrollments(pool).finish(end, now=None)  # also what an attempt has given back meanwhile
    result = "had been stopped already" if known and contact["status"] == "stopped" else "stopped"
    return ContactCommandResult(sequence=sequence, phone=phone, result=result, under_way=under_way)


async def skip_step(drumbeat: Drumbeat, sequence: str, phone: str, step: str) -> ContactCommandResult:
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


async def opt_out(
    drumbeat: Drumbeat, phone: str, reason: str = "opted out", *, category: OptOutCategory = "all"
) -> OptOut:
    """Opts a phone out: it gets nothing more, or no marketing, from any sequence, campaign or device. ``phone`` is
    E.164, in any of its spellings.

    Returns when no more message can begin to be sent: after some milliseconds, or up to three seconds if an attempt was
    just about to send one.
    """
    phone = canonical_phone(phone)
    async with (await drumbeat.pool()).acquire() as connection:
        words = storable(reason, LONGEST_REASON)
        recorded = await record_opt_out(connection, phone, words, category=category)
    under_way = await carry_out_opt_out(drumbeat, phone, recorded.workflows)
    return OptOut(
        phone=phone,
        opted_out=True,
        category=recorded.category,
        changed=recorded.changed,
        ended=recorded.ended,
        under_way=under_way,
    )


async def carry_out_opt_out(drumbeat: Drumbeat, phone: str, workflows: Sequence[str]) -> tuple[UnderWay, ...]:
    """Completes a recorded opt-out: signals its workflows, and waits until no more message can begin to be sent.

    Answers the messages that were being sent already.
    """
    pool = await drumbeat.pool()
    with signalled_later(drumbeat):
        await signal_each(drumbeat.temporal, workflows, "opt_out")
    under_way = await nothing_begins_any_more(pool, phone=phone)
    await suppress_waiting(pool, phone)  # also what an attempt has given back meanwhile
    with signalled_later(drumbeat):
        await signal_each(drumbeat.temporal, await suppressed(pool, phone), "wake")
        await note_signalled(pool, phone)
    return under_way


async def withdraw_opt_out(
    drumbeat: Drumbeat, phone: str, *, category: OptOutCategory | None = None
) -> OptOut:
    """Takes back a phone's opt-outs of this category, or all of them. Enrollments that they ended stay ended."""
    phone = canonical_phone(phone)
    done = await withdraw(await drumbeat.pool(), phone, category)
    return OptOut(phone=phone, opted_out=done.left is not None, category=done.left, changed=done.changed)


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


async def _ask(drumbeat: Drumbeat, workflow_id: str, patience: float) -> ContactProgress | None:
    """The workflow's progress once its enrollment is decided; None if no worker has answered in time."""
    handle = drumbeat.temporal.get_workflow_handle(workflow_id)
    clock = asyncio.get_running_loop().time
    until = clock() + patience
    current: ContactProgress | None = None
    while clock() < until:
        # A query during the first task makes a second task necessary, so leave the first one a moment.
        await asyncio.sleep(min(ASK_EVERY, until - clock()))
        try:
            async with asyncio.timeout(until - clock()):
                current = await handle.query(SequenceContactWorkflow.progress)
        except TimeoutError:
            break
        except (RPCError, WorkflowQueryFailedError):
            pass  # it cannot answer queries before its first task is done
        if current is not None and current.state != "enrolling":
            break
    return current


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
