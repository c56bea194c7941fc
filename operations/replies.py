"""Carries out what inbound messages have done: signals workflows, starts them, and waits until the effect holds."""

import asyncio
import logging
from collections import deque
from collections.abc import Iterable
from typing import Self

import asyncpg
from temporalio.service import RPCError

from messaging.common.database import CONNECTION_LOST
from messaging.common.say_once import SayOnce
from messaging.replies.consequences import Affected, Consequences, Stopped
from messaging.sending.under_way import nothing_begins_any_more
from messaging.sequences.contract import EnrollmentRequest
from messaging.sequences.wanted import still_wanted
from operations import opt_outs
from operations.connection import Drumbeat
from operations.signals import signalled_later, wake_awaiting
from temporal.bulk import each, signal_each
from temporal.contacts import start_contact

__all__ = ["Enrolling", "carry_out"]

AT_ONCE = 20
"""Enrollments that are started before the first of them is stored: a fifth of a second's work for one worker."""
MOST_WAITING = 10_000
"""Enrollments that wait for that; of more, the latest."""
PATIENCE = 5.0
"""Seconds after which another one may be started although this one is not stored."""
LOOK_EVERY = 0.1
"""Seconds between two checks whether it is."""

NOT_NOW: tuple[type[Exception], ...] = (RPCError, *CONNECTION_LOST, asyncpg.PostgresError)
"""Errors after which the sweep starts it; among them that it took too long."""

logger = logging.getLogger(__name__)
logger.addFilter(SayOnce())

CONCURRENCY = 4
"""Phones or enrollments at a time: each needs a database connection, and so does sending."""


class Enrolling:
    """Starts wanted enrollments one after the other, without a gateway waiting for it.

    As many are started at a time as the workers keep up with: workflows that all start at once make more tasks than a
    worker finishes in time. What is not started by the end of the block, the trigger sweep starts.
    """

    def __init__(self, drumbeat: Drumbeat) -> None:
        self._drumbeat = drumbeat
        self._waiting: deque[EnrollmentRequest] = deque(maxlen=MOST_WAITING)
        self._under_way: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._waiting.clear()
        if self._under_way:
            await asyncio.wait(self._under_way)

    def begin(self, wanted: Iterable[EnrollmentRequest]) -> None:
        """Has these started."""
        self._waiting.extend(wanted)
        for _ in range(min(len(self._waiting), AT_ONCE - len(self._under_way))):
            task = asyncio.create_task(self._work())
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)

    async def _work(self) -> None:
        while self._waiting:
            try:
                await self._start(self._waiting.popleft())
            except NOT_NOW as error:
                logger.warning("the trigger sweep enrolls what could not be started at once: %s", error)

    async def _start(self, request: EnrollmentRequest) -> None:
        """Returns when the contact is enrolled, or when that takes too long."""
        await start_contact(self._drumbeat.temporal, request, task_queue=self._drumbeat.settings.task_queue)
        pool = await self._drumbeat.pool()
        async with asyncio.timeout(PATIENCE):
            while await still_wanted(pool, request):  # noqa: ASYNC110 - another process may store it
                await asyncio.sleep(LOOK_EVERY)


async def carry_out(drumbeat: Drumbeat, enrolling: Enrolling, then: Consequences) -> None:
    """Returns when no message can begin to be sent any more that an opt-out or a reply has stopped."""

    async def opt_out(one: Stopped) -> None:
        await opt_outs.carry_out(drumbeat, one.phone, one.workflows)

    async def wait(one: Affected) -> None:
        await nothing_begins_any_more(await drumbeat.pool(), enrollments=[one.enrollment])

    await each(then.stopped, opt_out, concurrency=CONCURRENCY)
    with signalled_later(drumbeat):
        changed = [*(one.workflow_id for one in then.affected), *then.shown]
        await signal_each(drumbeat.temporal, list(dict.fromkeys(changed)), "plan_changed")
    await each(then.affected, wait, concurrency=CONCURRENCY)
    for phone in then.wrote:
        await wake_awaiting(drumbeat, phone)
    enrolling.begin(then.wanted)
