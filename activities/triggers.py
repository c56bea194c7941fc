"""The sweep's activity: starts the workflows of one page of leads."""

from temporalio import activity

from activities.refusals import refused_for_good
from messaging.database import Pool
from messaging.models import EnrollmentRequest, SweepCursor, SweepPage
from messaging.triggers import due_enrollments
from naming.calls import each
from naming.contacts import start_contact

__all__ = ["TriggerActivities"]


class TriggerActivities:
    """Reads PostgreSQL and starts workflows. Repeating a page is harmless: the workflow IDs are the same."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    @activity.defn
    async def enroll_page(self, cursor: SweepCursor) -> SweepPage:
        """Starts the workflow of every contact of the page after ``cursor``."""
        with refused_for_good("this page of leads"):
            due = await due_enrollments(self._pool, cursor)
        client, task_queue = activity.client(), activity.info().task_queue

        async def start(request: EnrollmentRequest) -> bool:
            return (await start_contact(client, request, task_queue=task_queue)).new

        new = await each(due.requests, start)
        return SweepPage(
            enrolled=sum(new),
            already_enrolled=len(new) - sum(new),
            opted_out=due.opted_out,
            without_device=due.without_device,
            next=due.next,
        )
