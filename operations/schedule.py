"""The two Temporal Schedules, which run every minute: the trigger sweep, and the recovery of abandoned messages."""

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
from workflows.recovery import RecoveryWorkflow
from workflows.triggers import TriggerEnrollmentWorkflow

__all__ = ["RECOVERY", "SWEEP", "ensure_schedules"]

SWEEP = "trigger-sweep"
RECOVERY = "message-recovery"
EVERY = timedelta(minutes=1)
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


async def _ensure(drumbeat: Drumbeat, action: ScheduleActionStartWorkflow) -> None:
    schedule = Schedule(
        action=action,
        spec=ScheduleSpec(intervals=[ScheduleIntervalSpec(every=EVERY)]),
        policy=SchedulePolicy(overlap=ScheduleOverlapPolicy.SKIP, catchup_window=CATCH_UP),
    )
    try:
        await drumbeat.temporal.create_schedule(action.id, schedule)
    except ScheduleAlreadyRunningError:

        def renew(current: ScheduleUpdateInput) -> ScheduleUpdate:
            schedule.state = current.description.schedule.state
            return ScheduleUpdate(schedule)

        await drumbeat.temporal.get_schedule_handle(action.id).update(renew)
