"""The audit: compares ledger, enrollments and Temporal, to prove that every promise is kept."""

from typing import NamedTuple

import asyncpg
from temporalio.client import WorkflowExecutionStatus
from temporalio.service import RPCError, RPCStatusCode

from messaging.common.counts import count_of
from messaging.common.database import Pool
from messaging.common.values import Value
from messaging.outbox.alerts import report as report_alert
from messaging.outbox.alerts import report_over
from messaging.reporting import audit as ledger
from messaging.reporting.audit import Totals
from messaging.sending.restores import find_restore, find_restored
from messaging.times.local_time import format_wall
from operations.connection import Drumbeat
from temporal.bulk import each
from temporal.contacts import CONTACT_WORKFLOW
from temporal.ids import campaign_workflow_id, message_workflow_id

__all__ = ["AuditReport", "Check", "Comparison", "audit", "compare_contacts", "find_dropped", "find_stranded"]

EXAMPLES = 5

READ_ONLY = (asyncpg.ReadOnlySQLTransactionError, asyncpg.InsufficientPrivilegeError)
"""The errors of a role that may only read."""


class Check(Value):
    """One promise with its evidence. ``broken``: examples of what breaks it; none if it is kept."""

    promise: str
    evidence: str
    broken: tuple[str, ...] = ()
    count: int = 0

    @property
    def kept(self) -> bool:
        """True if nothing breaks it."""
        return self.count == 0


class AuditReport(Value):
    """All promises, and the totals."""

    kept: bool
    checks: tuple[Check, ...]
    totals: Totals


class Comparison(NamedTuple):
    """Contacts' workflows, by their IDs, that do not match the enrollments."""

    orphans: list[str]
    """Of active enrollments, and not running."""
    strays: list[str]
    """Running without an active enrollment."""
    running: int
    """How many workflows of contacts run."""


class _WorkflowState(NamedTuple):
    """The state of a workflow by Temporal's own record."""

    runs: bool
    moving: bool
    """True if it is about to enroll its contact, or to end."""


async def audit(drumbeat: Drumbeat) -> AuditReport:
    """Reads everything and changes nothing, except that it reports a broken promise as an alert, and its end."""
    pool = await drumbeat.pool()
    steps, campaign_messages = await ledger.count_messages(pool)
    restored = await _restored(pool)
    contacts = await compare_contacts(drumbeat)
    under_way = await ledger.active_campaigns(pool)
    stranded = await find_stranded(drumbeat, sorted(under_way))
    again = await ledger.resends_under_way(pool)
    dropped = await find_dropped(drumbeat, again)
    counted = await ledger.totals(pool)
    lost = await ledger.lost_steps(pool)
    checks = [
        _check(
            "the ledger is the one that was written last",
            "it was restored to no earlier moment, or that is repaired",
            restored,
        ),
        _check(
            "no step was sent twice to a phone",
            f"{count_of(steps, 'message')} of sequences",
            await ledger.sent_twice(pool, "step"),
        ),
        _check(
            "no campaign was sent twice to a phone",
            f"{count_of(campaign_messages, 'message')} of campaigns",
            await ledger.sent_twice(pool, "campaign"),
        ),
        _check(
            "every unique constraint is present and valid",
            f"{len(ledger.UNIQUE_CONSTRAINTS) + len(ledger.UNIQUE_INDEXES)} constraints and indexes",
            await ledger.broken_constraints(pool),
        ),
        _check(
            "every running workflow has its enrollment",
            count_of(contacts.running, "workflow runs", "workflows run"),
            [f"{name}: no active enrollment; 'audit --repair' ends or stores it" for name in contacts.strays],
        ),
        _check(
            "every active enrollment has its workflow",
            count_of(contacts.running, "workflow runs", "workflows run"),
            [
                f"{name}: no workflow runs; 'audit --repair' starts it{_or_stop(name)}"
                for name in contacts.orphans
            ],
        ),
        _check(
            "no message is stuck in processing",
            "none has been abandoned for five minutes",
            await ledger.stuck(pool),
        ),
        _check("no step was lost", f"{count_of(counted.should, 'message')} should be", lost),
        _check(
            "no lead of a campaign was lost",
            f"{count_of(campaign_messages, 'message')} of campaigns",
            await ledger.lost_leads(pool),
        ),
        _check(
            "every campaign under way has its workflow",
            f"{count_of(len(under_way), 'campaign')} under way",
            [f"{name}: no workflow runs; 'campaign resume {name}' starts it" for name in stranded],
        ),
        _check(
            "every message that is sent again has its workflow",
            f"{len(again):,} sent again at present",
            [f"{one}: no workflow runs; 'message resolve {one} --resend' starts it" for one in dropped],
        ),
        _check(
            "the totals add up",
            f"{counted.should:,} = "
            + " + ".join(
                f"{count:,} {what}" for what, count in counted.model_dump(exclude={"should"}).items()
            ),
            [] if counted.adds_up else ["the two sides differ"],
        ),
    ]
    broken = [f"{check.promise}: {', '.join(check.broken)}" for check in checks if not check.kept]
    await _report(drumbeat, broken)
    return AuditReport(kept=not broken, checks=tuple(checks), totals=counted)


async def _restored(pool: Pool) -> list[str]:
    """What is not repaired after a restore of the ledger."""
    restore = await find_restore(pool)
    if restore is not None:
        to = "" if restore.restored_to is None else f" to {format_wall(restore.restored_to)} UTC"
        found = f"it was restored{to} ({restore.how}), and everything is paused"
        return [f"{found}: 'audit --repair --dry-run' says what may have been sent since"]
    if (await find_restored(pool)).moved:
        return [
            "it was restored; everything is paused; start a worker, which notes it, then 'audit --repair'"
        ]
    return []


async def _report(drumbeat: Drumbeat, broken: list[str]) -> None:
    """Reports what is broken as an alert, or its end. A role that may only read has nothing reported."""
    pool = await drumbeat.pool()
    try:
        if broken:
            await report_alert(pool, "audit_broken", "audit", "; ".join(broken))
        else:
            await report_over(pool, "audit_broken", "audit")
    except READ_ONLY:
        if broken:
            drumbeat.tell("no alert is sent of what is broken: this database role may only read")


def _or_stop(workflow_id: str) -> str:
    """How to end it instead, if the ID says of whom it is: one of private mode does not."""
    _, sequence, phone = workflow_id.split(":")
    return f", 'stop {sequence} {phone}' ends it" if phone.startswith("+") else ""


def _check(promise: str, evidence: str, broken: list[str]) -> Check:
    return Check(promise=promise, evidence=evidence, broken=tuple(broken[:EXAMPLES]), count=len(broken))


async def compare_contacts(drumbeat: Drumbeat) -> Comparison:
    """Compares the contacts' workflows with their enrollments.

    Temporal's visibility index lags behind a little, and contacts come and go during the audit. So whatever does not
    match is checked again, in Temporal's own record and in the database.
    """
    query = f"WorkflowType = '{CONTACT_WORKFLOW}' and ExecutionStatus = 'Running'"
    listed = {execution.id async for execution in drumbeat.temporal.list_workflows(query, page_size=1000)}
    pool = await drumbeat.pool()
    active = set(await ledger.active_contacts(pool))

    names = sorted(listed ^ active)
    found = list(zip(names, await each(names, lambda name: _state(drumbeat, name)), strict=True))
    still_active = set(await ledger.active_contacts(pool))
    orphans = [name for name, state in found if not state.runs and name in still_active]
    known = still_active | await ledger.ended_lately(pool)
    strays = [name for name, state in found if state.runs and not state.moving and name not in known]
    return Comparison(orphans, strays, running=len(listed))


async def find_stranded(drumbeat: Drumbeat, campaigns: list[str]) -> list[str]:
    """The campaigns under way whose workflows do not run."""
    found = [name for name in campaigns if not (await _state(drumbeat, campaign_workflow_id(name))).runs]
    still = await ledger.active_campaigns(await drumbeat.pool())  # some have ended while we looked
    return [name for name in found if name in still]


async def find_dropped(drumbeat: Drumbeat, again: list[str]) -> list[str]:
    """The messages that are sent again and whose workflows do not run."""
    found = [one for one in again if not (await _state(drumbeat, message_workflow_id(one))).runs]
    still = await ledger.resends_under_way(await drumbeat.pool())  # some have ended while we looked
    return [one for one in found if one in still]


async def _state(drumbeat: Drumbeat, workflow_id: str) -> _WorkflowState:
    try:
        description = await drumbeat.temporal.get_workflow_handle(workflow_id).describe()
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            return _WorkflowState(runs=False, moving=False)
        raise
    raw = description.raw_description
    pending = {activity.activity_type.name for activity in raw.pending_activities}
    moving = bool(pending & {"enroll", "finish"}) or raw.HasField("pending_workflow_task")
    return _WorkflowState(runs=description.status is WorkflowExecutionStatus.RUNNING, moving=moving)
