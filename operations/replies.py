"""Carries out what inbound messages have done: signals workflows, starts them, and waits until the effect holds."""

from messaging.replies.consequences import Affected, Consequences, Stopped
from messaging.sending.under_way import nothing_begins_any_more
from messaging.sequences.contract import EnrollmentRequest
from operations import opt_outs
from operations.connection import Drumbeat
from operations.signals import heard, signalled_later
from temporal.bulk import each, signal_each
from temporal.contacts import start_contact

__all__ = ["carry_out"]

CONCURRENCY = 4
"""Phones or enrollments at a time: each needs a database connection, and so does sending."""


async def carry_out(drumbeat: Drumbeat, then: Consequences) -> None:
    """Returns when no message can begin to be sent any more that an opt-out or a reply has stopped."""

    async def opt_out(one: Stopped) -> None:
        await opt_outs.carry_out(drumbeat, one.phone, one.workflows)

    async def wait(one: Affected) -> None:
        await nothing_begins_any_more(await drumbeat.pool(), enrollment=one.enrollment)

    async def start(request: EnrollmentRequest) -> None:
        await start_contact(drumbeat.temporal, request, task_queue=drumbeat.settings.task_queue)

    await each(then.stopped, opt_out, concurrency=CONCURRENCY)
    with signalled_later(drumbeat):
        await signal_each(drumbeat.temporal, [one.workflow_id for one in then.affected], "plan_changed")
    await each(then.affected, wait, concurrency=CONCURRENCY)
    for phone in then.heard:
        await heard(drumbeat, phone)
    with signalled_later(drumbeat):
        await each(then.wanted, start, concurrency=CONCURRENCY)
