"""Delivers what is in the outbox: to each receiver one event after the other, and to all receivers side by side."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any
from uuid import uuid4

from messaging.common.database import CONNECTION_LOST, Pool
from messaging.common.errors import InvalidInput
from messaging.common.say_once import SayOnce
from messaging.common.storable import LONGEST_REASON, storable
from messaging.outbox.alerts import GATHER, fold_reports, report_overdue
from messaging.outbox.deliveries import (
    give_up_old,
    hold,
    let_go,
    note_failed,
    note_taken,
    receivers_to_serve,
)
from messaging.outbox.events import Event, Outcome, test_event
from messaging.outbox.mail import deliver_mail
from messaging.outbox.options import EmailOptions, Options, read_options
from messaging.outbox.receivers import list_receivers, options_of
from messaging.outbox.webhook import Webhooks
from messaging.times.local_time import format_moment

__all__ = ["Courier"]

logger = logging.getLogger(__name__)
logger.addFilter(SayOnce())

EVERY = 1.0
"""Seconds between two looks at the outbox."""

IDLE_EVERY = 5.0
"""The same while there is no receiver."""

LEAVE_WITHIN = 0.2
"""Seconds between two looks, while it waits, whether it is to leave."""

RENEW_EVERY = 5.0
"""Seconds after which a receiver is held anew, well before that runs out."""

# A test that was taken ends the wait after failures. $2: whether it was taken; $3: the answer.
NOTE_TEST = """
update receivers
   set tested_at = clock_timestamp(), test_taken = $2, test_answer = $3,
       next_try_at = case when $2 then '-infinity' else next_try_at end
 where name = $1
"""


class Courier:
    """One for a worker."""

    def __init__(self, pool: Pool, *, gather: timedelta = GATHER) -> None:
        """``gather``: how long further reports of an alert are gathered into one."""
        self._pool = pool
        self._gather = gather
        self._process = uuid4().hex

    async def work(self, seconds: float, leaving: Callable[[], bool] = lambda: False) -> None:
        """Delivers what is due and what becomes due within ``seconds``, or until ``leaving``."""
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        await give_up_old(self._pool)
        await report_overdue(self._pool)
        serving: dict[int, asyncio.Task[None]] = {}
        async with Webhooks() as webhooks:
            try:
                while True:
                    await fold_reports(self._pool, self._gather)
                    serving = {receiver: task for receiver, task in serving.items() if not task.done()}
                    for receiver in await receivers_to_serve(self._pool):
                        if receiver not in serving:
                            serving[receiver] = asyncio.create_task(
                                self._serve(webhooks, receiver, until + EVERY, leaving)
                            )
                    if leaving() or loop.time() >= until:
                        break
                    there = await self._pool.fetchval("select exists (select from receivers)")
                    await _wait(EVERY if there else IDLE_EVERY, leaving)
                await asyncio.gather(*serving.values())
            finally:
                for task in serving.values():
                    task.cancel()

    async def page(self) -> str:
        """How it goes with each receiver, in Markdown."""
        lines = [
            f"| {one.name} | {one.delivered:,} | {one.waiting:,} | {one.undelivered:,} |"
            f" {'takes nothing since ' + format_moment(one.failing_since) if one.failing_since else ''} |"
            for one in await list_receivers(self._pool)
        ]
        if not lines:
            return "Nobody is told of alerts or events yet: `alert add`."
        return "\n".join(
            ["| receiver | delivered | waiting | given up | |", "| --- | --: | --: | --: | --- |", *lines]
        )

    async def test(self, receiver: str) -> Outcome:
        """Delivers a test to a receiver now, whatever waits for it. Raises NotFound, and InvalidInput."""
        _, options = await options_of(self._pool, receiver)
        async with Webhooks() as webhooks:
            try:
                outcome = await _deliver(webhooks, options, test_event(receiver))
            except InvalidInput as error:
                await self._pool.execute(NOTE_TEST, receiver, False, storable(str(error), LONGEST_REASON))
                raise
        await self._pool.execute(NOTE_TEST, receiver, outcome.taken, storable(outcome.text, LONGEST_REASON))
        return outcome

    async def _serve(
        self, webhooks: Webhooks, receiver: int, until: float, leaving: Callable[[], bool]
    ) -> None:
        """Delivers to one receiver until nothing is due, or it is to be left alone. Errors are logged: the next look tries again."""
        clock = asyncio.get_running_loop().time
        try:
            while (held := await hold(self._pool, receiver, self._process)) is not None and held.due:
                options, since, failures = _options(held.channel, held.options), clock(), held.failures
                for delivery in held.due:
                    if leaving() or clock() >= until:
                        return
                    if clock() - since > RENEW_EVERY:
                        break
                    outcome = await _deliver(webhooks, options, delivery.event)
                    if outcome.taken:
                        failures = 0
                        await note_taken(self._pool, receiver, delivery)
                        continue
                    failures += 1
                    # What it says beyond that may repeat the event, with whom it concerns; the outbox keeps it.
                    words = outcome.words.partition(": ")[0]
                    logger.warning("%s does not take %s: %s", held.name, delivery.event.type, words)
                    if await note_failed(self._pool, receiver, delivery, outcome, failures):
                        return
        except Exception:
            logger.exception("delivering to receiver %d failed", receiver)
        finally:
            with suppress(*CONNECTION_LOST):
                await let_go(self._pool, receiver, self._process)


async def _wait(seconds: float, leaving: Callable[[], bool]) -> None:
    """Waits so long, or until ``leaving``: a worker that ends waits for its activities."""
    for _ in range(round(seconds / LEAVE_WITHIN)):
        if leaving():
            return
        await asyncio.sleep(LEAVE_WITHIN)


def _options(channel: str, options: dict[str, Any]) -> Options | Outcome:
    """Its options; or what comes of each try while they cannot be used, for example because a later release wrote them."""
    try:
        return read_options(channel, options)
    except InvalidInput as invalid:
        return Outcome(taken=False, answered=False, words=f"its options cannot be used: {invalid}")


async def _deliver(webhooks: Webhooks, options: Options | Outcome, event: Event) -> Outcome:
    if isinstance(options, Outcome):
        return options
    if isinstance(options, EmailOptions):
        return await deliver_mail(options, event)
    return await webhooks.deliver(options, event)
