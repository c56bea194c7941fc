"""Enrolls leads: one, or all that have a trigger.

Enrolling one needs only Temporal: the request contains the lead's data, and the workflow's first activity stores it.
"""

import asyncio
from typing import Literal, get_args
from uuid import uuid4

from temporalio.client import WorkflowQueryFailedError
from temporalio.common import WorkflowIDReusePolicy
from temporalio.service import RPCError

from messaging.common.errors import Conflict, NotFound
from messaging.common.phones import parse_phone
from messaging.common.storable import storable
from messaging.common.values import Value
from messaging.common.words import normalise_words, validate_name
from messaging.leads.cleaning import clean_lead, clean_text
from messaging.leads.consent import stated
from messaging.leads.device_moves import check_device
from messaging.leads.forgotten import ASKED
from messaging.leads.lead import Lead
from messaging.sequences.contacts import find_standing
from messaging.sequences.contract import (
    EnrollmentRequest,
    EnrollmentStatus,
    SweepCursor,
    SweepTotals,
)
from messaging.sequences.joining import WITHOUT_CONSENT, no_device
from messaging.sequences.store import UsedUp, find_used_up, require_trigger
from operations.connection import Drumbeat
from operations.workers import idle
from temporal.contacts import start_contact
from temporal.ids import sequence_workflow_id
from workflows.sequence import ContactProgress, SequenceContactWorkflow
from workflows.triggers import TriggerEnrollmentWorkflow

__all__ = ["Enrollment", "SweepResult", "enroll", "enroll_by_trigger", "look_up"]

PATIENCE = 5.0
"""Seconds to wait for a worker's answer."""

WAITING_FOR_ITS_FIRST_TASK = 2
"""The number of events in the history of a workflow that no worker has taken: started, and its task scheduled."""

ASK_EVERY = 0.05
"""Seconds."""

ENDS = set(get_args(EnrollmentStatus)) - {"active"}

EnrollmentResult = Literal[
    "enrolled", "already_enrolled", "opted_out", "without_consent", "forgotten", "handed_over"
]


class Enrollment(Value):
    """The result of an enrollment.

    ``enrolled``: it is in the ledger. ``already_enrolled``: it was there before, which is a success too. ``opted_out``:
    the phone has opted out, and no trigger was consumed. ``without_consent``: the same, as the sequence requires consent
    and the lead has not given it. ``forgotten``: the same, as the person asked to be forgotten. ``handed_over``: Temporal has it and keeps it, but no worker
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


class SweepResult(SweepTotals):
    """The result of enrolling by a trigger. ``handed_over``: Temporal has it and keeps it, but no worker has taken
    it.
    """

    handed_over: bool = False
    used_up: UsedUp | None = None
    """If it found no lead with the trigger, as perhaps the sweep of this minute came first."""


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
        reasons: dict[str, EnrollmentResult] = {WITHOUT_CONSENT: "without_consent", ASKED: "forgotten"}
        why = reasons.get(current.why, "opted_out")
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
        if standing.forgotten:
            return Enrollment(
                sequence=sequence,
                phone=phone,
                result="forgotten",
                reason=ASKED,
                workflow_id=sequence_workflow_id(sequence, phone),
            )
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
        workflow_id=standing.workflow_id or sequence_workflow_id(sequence, phone),
    )


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
                totals = (await handle.result()).model_dump()
            used_up = None if any(totals.values()) else await find_used_up(await drumbeat.pool(), words[0])
            return SweepResult(**totals, used_up=used_up)
        except TimeoutError:
            begun = (await handle.describe()).history_length > WAITING_FOR_ITS_FIRST_TASK
            if not begun or await idle(drumbeat) is not None:
                return SweepResult(handed_over=True)


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
