"""Runs Drumbeat's workflows and activities: ``python worker.py``.

With neither DATABASE_URL nor TEMPORAL_ADDRESS set it brings up servers of its own first. Ctrl-C or SIGTERM ends it:
what is being sent is finished, what sleeps goes on sleeping in Temporal.
"""

from datetime import timedelta

from temporalio.client import Client
from temporalio.worker import Worker
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions

from activities.sequences import Clock, SequenceActivities, database_clock
from activities.triggers import TriggerActivities
from messaging.database import Pool
from messaging.gateways import Gateways
from workflows.sequence import SequenceContactWorkflow
from workflows.triggers import TriggerEnrollmentWorkflow

__all__ = ["make_worker"]

GRACE = timedelta(seconds=30)
"""For running activities at shutdown: longer than the longest of them may take."""

CONCURRENT_ACTIVITIES = 100


def make_worker(
    client: Client, pool: Pool, gateways: Gateways, *, task_queue: str, clock: Clock = database_clock
) -> Worker:
    """A worker with all workflows and activities."""
    sequences = SequenceActivities(pool, gateways, clock)
    triggers = TriggerActivities(pool)
    return Worker(
        client,
        task_queue=task_queue,
        workflows=[SequenceContactWorkflow, TriggerEnrollmentWorkflow],
        activities=[
            sequences.enroll,
            sequences.send_step,
            sequences.plan_step,
            sequences.skip_step,
            sequences.finish,
            triggers.enroll_page,
        ],
        workflow_runner=SandboxedWorkflowRunner(
            # Pure modules of our own and their libraries: loading them anew for each workflow costs more than it keeps.
            restrictions=SandboxRestrictions.default.with_passthrough_modules(
                "activities", "messaging", "naming", "pydantic", "asyncpg", "aiohttp", "liquid"
            )
        ),
        graceful_shutdown_timeout=GRACE,
        max_concurrent_activities=CONCURRENT_ACTIVITIES,
    )
