"""The Temporal Schedules: every minute the trigger sweep, the recovery of abandoned messages and the delivery of events and
alerts; every three minutes the fetching of missed messages.
"""

from datetime import timedelta

from temporalio.client import (
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleAlreadyRunningError,
    ScheduleIntervalSpec,
    ScheduleOverlapPolicy,
    SchedulePolicy,
    ScheduleSpec,
    ScheduleUpdate,
    ScheduleUpdateInput,
)

from messaging.sequences.contract import SweepCursor
from operations.connection import Drumbeat
from temporal.ledger_mark import RECOVERY_SCHEDULE
from workflows.missed import MissedMessagesWorkflow
from workflows.outbox import OutboxWorkflow
from workflows.recovery import RecoveryWorkflow
from workflows.triggers import TriggerEnrollmentWorkflow

__all__ = [
    "MISSED",
    "OUTBOX",
    "RECOVERY",
    "SWEEP",
    "deliver_outbox_now",
    "ensure_schedules",
    "fetch_missed_now",
]

SWEEP = "trigger-sweep"
RECOVERY = RECOVERY_SCHEDULE
MISSED = "missed-messages"
OUTBOX = "outbox"
EVERY = timedelta(minutes=1)
FETCH_EVERY = timedelta(minutes=3)
CATCH_UP = timedelta(seconds=30)
"""No catch-up: after an outage, the next run finds everything."""


async def ensure_schedules(drumbeat: Drumbeat) -> None:
    """Creates the schedules, or brings them up to date. A schedule that an operator has paused stays paused."""
    task_queue = drumbeat.settings.task_queue
    await _ensure(
        drumbeat,
        ScheduleActionStartWorkflow(
            TriggerEnrollmentWorkflow.run,
            SweepCursor(),
            id=SWEEP,
            task_queue=task_queue,
            static_summary="enroll leads by their triggers",
        ),
    )
    await _ensure(
        drumbeat,
        ScheduleActionStartWorkflow(
            RecoveryWorkflow.run,
            id=RECOVERY,
            task_queue=task_queue,
            static_summary="settle abandoned messages",
        ),
    )
    await _ensure(
        drumbeat,
        ScheduleActionStartWorkflow(
            OutboxWorkflow.run,
            id=OUTBOX,
            task_queue=task_queue,
            static_summary="deliver alerts and events",
        ),
    )
    await _ensure(
        drumbeat,
        ScheduleActionStartWorkflow(
            MissedMessagesWorkflow.run,
            id=MISSED,
            task_queue=task_queue,
            static_summary="fetch messages that no webhook brought",
        ),
        every=FETCH_EVERY,
    )


async def fetch_missed_now(drumbeat: Drumbeat) -> None:
    """Has missed messages fetched now; nothing happens if that is going on already."""
    await drumbeat.temporal.get_schedule_handle(MISSED).trigger()


async def deliver_outbox_now(drumbeat: Drumbeat) -> None:
    """Has events and alerts delivered from now on; nothing happens if that is going on already."""
    await drumbeat.temporal.get_schedule_handle(OUTBOX).trigger()


async def _ensure(
    drumbeat: Drumbeat, action: ScheduleActionStartWorkflow, *, every: timedelta = EVERY
) -> None:
    schedule = Schedule(
        action=action,
        spec=ScheduleSpec(intervals=[ScheduleIntervalSpec(every=every)]),
        policy=SchedulePolicy(overlap=ScheduleOverlapPolicy.SKIP, catchup_window=CATCH_UP),
    )
    try:
        await drumbeat.temporal.create_schedule(action.id, schedule)
    except ScheduleAlreadyRunningError:

        def renew(current: ScheduleUpdateInput) -> ScheduleUpdate:
            schedule.state = current.description.schedule.state
            return ScheduleUpdate(schedule)

        await drumbeat.temporal.get_schedule_handle(action.id).update(renew)
