"""Moves contacts from their sequences to another one: those that a filter, a sequence, a campaign or a device chooses."""

from functools import partial
from uuid import uuid4

from temporalio.common import WorkflowIDReusePolicy

from messaging.common.storable import LONGEST_REASON, storable
from messaging.selection import change_over as rows
from messaging.selection import contacts as selected
from messaging.selection.contacts import SelectedContacts
from messaging.selection.selection import Selection
from messaging.sequences.contract import SweepCursor
from operations import bulk
from operations.bulk import BulkChange, Progress
from operations.connection import Drumbeat
from operations.signals import signalled_later
from workflows.triggers import TriggerEnrollmentWorkflow

__all__ = ["find_contacts_to_move", "move_contacts"]


def _quiet(_what: str, _done: int, _total: int) -> None:
    """No progress is shown."""


async def find_contacts_to_move(drumbeat: Drumbeat, selection: Selection, to: str) -> SelectedContacts:
    """The contacts that a move to the sequence ``to`` would concern now: how many, some of them, and why others stay.

    Raises InvalidInput for a filter that is not understood, with the column, and NotFound for names.
    """
    async with (await drumbeat.pool()).acquire() as connection:
        return await rows.find_to_change_over(connection, selection, to)


async def move_contacts(
    drumbeat: Drumbeat,
    selection: Selection,
    to: str,
    reason: str = "",
    *,
    wait: bool = True,
    progress: Progress = _quiet,
) -> BulkChange:
    """Ends the enrollments, and begins the sequence ``to`` with its first step, in one transaction for all.

    A contact that cannot begin it stays where it is, and one that is paused is paused there, too. Returns when no message of the old sequences can begin to be sent any
    more. ``wait``: and when the new enrollments have begun and the old workflows know, if a worker runs. Raises as
    find_contacts_to_move does.
    """
    pool, words = await drumbeat.pool(), storable(reason, LONGEST_REASON)
    why = f"moved to {to}" + (f": {words}" if words else "")
    async with pool.acquire() as connection:
        done = await rows.change_over(connection, selection, to, why)
    under_way = await bulk.nothing_begins(drumbeat, done.enrollments)
    await selected.close_returned(pool, done.enrollments)
    if done.phones:
        with signalled_later(drumbeat):  # else the trigger sweep begins them, within a minute
            await drumbeat.temporal.start_workflow(
                TriggerEnrollmentWorkflow.run,
                SweepCursor(),
                id=f"enroll-moved:{to}:{uuid4()}",
                task_queue=drumbeat.settings.task_queue,
                id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
                static_summary=f"enroll those who were moved to {to}",
            )

    async def count() -> int:
        return await rows.count_wanted(pool, to, done.phones)

    to_begin = await bulk.follow(
        drumbeat, count, len(done.phones), partial(progress, f"Beginning {to}"), wait=wait
    )

    async def unaware() -> int:
        return await selected.count_to_signal(pool, done.enrollments)

    left = await bulk.follow(
        drumbeat,
        unaware,
        len(done.enrollments),
        partial(progress, "In effect; signalling workflows"),
        wait=wait,
    )
    return BulkChange(
        command="move",
        changed=len(done.enrollments),
        to_signal=left,
        to_begin=to_begin,
        stay_paused=done.paused,
        refused=done.refused,
        under_way=under_way,
    )
