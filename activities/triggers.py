"""The sweep's activity: starts the workflows of one page of leads."""

import asyncio

from temporalio import activity

from messaging.database import Pool
from messaging.models import SweepCursor, SweepPage
from messaging.triggers import due_enrollments
from naming.contacts import start_contact

__all__ = ["TriggerActivities"]

AT_ONCE = 16
"""Starts on the wire at a time."""


class TriggerActivities:
    """Reads PostgreSQL and starts workflows. Repeating a page is harmless: the workflow IDs are the same."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    @activity.defn
    async def enroll_page(self, cursor: SweepCursor) -> SweepPage:
        """Starts the workflow of every contact of the page after ``cursor``."""
        requests, following = await due_enrollments(self._pool, cursor)
        gate = asyncio.Semaphore(AT_ONCE)
        client = activity.client()
        task_queue = activity.info().task_queue

        async def start(index: int) -> bool:
            async with gate:
                return (await start_contact(client, requests[index], task_queue=task_queue)).new

        new = await asyncio.gather(*(start(index) for index in range(len(requests))))
        return SweepPage(enrolled=sum(new), already_enrolled=len(new) - sum(new), next=following)
