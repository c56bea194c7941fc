"""The Temporal Schedule that starts the trigger sweep every minute."""

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

from messaging.models import SweepCursor
from operations.connection import Connection
from workflows.triggers import TriggerEnrollmentWorkflow

__all__ = ["SWEEP", "ensure_sweep"]

SWEEP = "trigger-sweep"
EVERY = timedelta(minutes=1)
CATCH_UP = timedelta(seconds=30)
"""After an outage the next sweep finds everything; those that were missed need not be made up for."""


async def ensure_sweep(connection: Connection) -> None:
    """Creates the schedule, or brings it up to date; whether an operator has paused it stays as it is."""
    schedule = Schedule(
        action=ScheduleActionStartWorkflow(
            TriggerEnrollmentWorkflow.run,
            SweepCursor(),
            id=SWEEP,
            task_queue=connection.settings.task_queue,
            static_summary="enroll leads by their triggers",
        ),
        spec=ScheduleSpec(intervals=[ScheduleIntervalSpec(every=EVERY)]),
        policy=SchedulePolicy(overlap=ScheduleOverlapPolicy.SKIP, catchup_window=CATCH_UP),
    )
    try:
        await connection.temporal.create_schedule(SWEEP, schedule)
    except ScheduleAlreadyRunningError:

        def renew(current: ScheduleUpdateInput) -> ScheduleUpdate:
            schedule.state = current.description.schedule.state
            return ScheduleUpdate(schedule)

        await connection.temporal.get_schedule_handle(SWEEP).update(renew)
