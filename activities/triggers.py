"""The trigger sweep's activity: starts the workflows of one page of leads."""

from temporalio import activity

from activities.pacing import batches, kept_up
from activities.refusals import refused_for_good
from messaging.common.database import Pool
from messaging.sequences.contract import EnrollmentRequest, SweepCursor, SweepPage
from messaging.sequences.triggers import due_enrollments, not_all_enrolled
from messaging.sequences.wanted import forget_enrolled
from temporal.bulk import each
from temporal.contacts import start_contact

__all__ = ["TriggerActivities"]

TOGETHER = 50
"""Contacts to start before waiting for the workers to keep up. Their first tasks come with the answers, without a task
queue.
"""


class TriggerActivities:
    """Reads PostgreSQL and starts workflows. Repeating a page is harmless: the workflow IDs are the same."""

    def __init__(self, pool: Pool, task_queue: str) -> None:
        """``task_queue``: of the workflows."""
        self._pool = pool
        self._task_queue = task_queue

    @activity.defn
    async def enroll_page(self, cursor: SweepCursor) -> SweepPage:
        """Starts the workflow of every contact of the page after ``cursor``."""
        with refused_for_good("this page of leads"):
            if cursor == SweepCursor():
                await forget_enrolled(self._pool)
            due = await due_enrollments(self._pool, cursor)
        client, task_queue = activity.client(), self._task_queue

        async def start(request: EnrollmentRequest) -> bool:
            return (await start_contact(client, request, task_queue=task_queue)).new

        new: list[bool] = []
        for started in batches(due.requests, TOGETHER):
            new += await each(started, start)
            await kept_up(lambda started=started: not_all_enrolled(self._pool, started))  # type: ignore[misc]
        return SweepPage(
            enrolled=sum(new),
            already_enrolled=len(new) - sum(new),
            next=due.next,
            **due.left_out.model_dump(include={"opted_out", "without_device", "without_consent"}),
        )
