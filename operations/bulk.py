"""Changes many contacts or leads at once, chosen by a filter, a sequence, a campaign or a device.

Each change is one transaction in the ledger. It holds from its commit on, also for contacts that sleep for days. Their
workflows are signalled afterwards, a few at a time; each function can wait until all of them know.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from messaging.common.counts import count_of
from messaging.common.storable import LONGEST_REASON, storable
from messaging.common.values import Value
from messaging.leads.opt_outs import OptOutCategory, note_signalled, suppress_waiting
from messaging.selection import contacts as selected
from messaging.selection.campaigns_going_on import campaigns_going_on
from messaging.selection.contacts import ContactCommand, SelectedContacts
from messaging.selection.leads import SelectedLeads, find_leads
from messaging.selection.nobody import ManyCommand, why_nobody
from messaging.selection.opt_outs import not_opted_out, opt_out_leads
from messaging.selection.selection import Selection
from messaging.sending.under_way import UnderWay, nothing_begins_any_more
from messaging.sequences.skip_many import TOGETHER, skip_many
from operations import signals
from operations.connection import Drumbeat
from operations.signals import signalled_later
from operations.workers import idle
from temporal.bulk import signal_each

__all__ = [
    "BulkChange",
    "Progress",
    "campaigns_that_go_on",
    "explain_nobody",
    "find_contacts",
    "find_leads_to_opt_out",
    "follow",
    "nothing_begins",
    "opt_out",
    "pause",
    "resume",
    "skip",
    "stop",
]

LOOK_EVERY = 0.25
"""Seconds between two looks at how many workflows know."""

LOOK_FOR_A_WORKER = 20
"""After so many looks without progress, the answer is not waited for if no worker runs."""

Progress = Callable[[str, int, int], None]
"""Called with what is done, how many are done, and how many there are."""


def _quiet(_what: str, _done: int, _total: int) -> None:
    """No progress is shown."""


class BulkChange(Value):
    """The result of a change of many."""

    command: str
    changed: int
    """Contacts or leads that it changed."""
    ended: int = 0
    """Enrollments that an opt-out ended."""
    to_signal: int = 0
    """Contacts whose workflows do not know yet. The change holds for them, too."""
    to_begin: int = 0
    """People who were moved to another sequence, and whom no worker has enrolled there yet. It will."""
    stay_paused: int = 0
    """People who were moved to another sequence, and are paused there as they were before."""
    refused: tuple[str, ...] = ()
    """Why contacts could not be changed, a line for each."""
    under_way: tuple[UnderWay, ...] = ()
    """Messages that were being sent already."""


async def find_contacts(
    drumbeat: Drumbeat, command: ContactCommand, selection: Selection, *, step: str | None = None
) -> SelectedContacts:
    """The contacts that the command would change now: how many, and some of them.

    Raises InvalidInput for a filter that is not understood, with the column, and NotFound for names.
    """
    async with (await drumbeat.pool()).acquire() as connection:
        return await selected.find_contacts(connection, command, selection, step=step)


async def find_leads_to_opt_out(
    drumbeat: Drumbeat, selection: Selection, *, category: OptOutCategory = "all"
) -> SelectedLeads:
    """The leads that an opt-out would concern now: how many, and some of them. Raises as find_contacts does."""
    async with (await drumbeat.pool()).acquire() as connection:
        return await find_leads(connection, selection, partial(not_opted_out, category))


async def explain_nobody(drumbeat: Drumbeat, command: ManyCommand, selection: Selection) -> str:
    """Why the command would change nobody now. Raises NotFound for a value in the filter that no lead has."""
    async with (await drumbeat.pool()).acquire() as connection:
        return await why_nobody(connection, command, selection)


async def campaigns_that_go_on(drumbeat: Drumbeat, selection: Selection) -> list[str]:
    """What is still sent to the selected leads if their contacts are paused: a line for each campaign."""
    async with (await drumbeat.pool()).acquire() as connection:
        return await campaigns_going_on(connection, selection)


async def pause(
    drumbeat: Drumbeat,
    selection: Selection,
    reason: str = "",
    *,
    wait: bool = True,
    progress: Progress = _quiet,
) -> BulkChange:
    """Pauses contacts: their sequences send them nothing until they are resumed; campaigns go on. Returns when no more message can begin to be sent.

    ``wait``: and when their workflows know, if a worker runs. Raises as find_contacts does.
    """
    pool = await drumbeat.pool()
    async with pool.acquire() as connection:
        paused = await selected.pause_contacts(
            connection, selection, storable(reason, LONGEST_REASON) or None
        )
    under_way = await nothing_begins(drumbeat, paused)
    left = await _follow(drumbeat, paused, wait, progress)
    return BulkChange(command="pause", changed=len(paused), to_signal=left, under_way=under_way)


async def resume(
    drumbeat: Drumbeat, selection: Selection, *, wait: bool = True, progress: Progress = _quiet
) -> BulkChange:
    """Resumes contacts that are paused; what became due goes out at the devices' pace. Raises as find_contacts does."""
    async with (await drumbeat.pool()).acquire() as connection:
        resumed = await selected.resume_contacts(connection, selection)
    await _signal(drumbeat, resumed)
    left = await _follow(drumbeat, resumed, wait, progress)
    return BulkChange(command="resume", changed=len(resumed), to_signal=left)


async def stop(
    drumbeat: Drumbeat,
    selection: Selection,
    reason: str = "",
    *,
    wait: bool = True,
    progress: Progress = _quiet,
) -> BulkChange:
    """Ends enrollments for good; unsent messages are cancelled. Returns when no more message can begin to be sent.

    ``wait``: and when their workflows know, if a worker runs. Raises as find_contacts does.
    """
    pool = await drumbeat.pool()
    async with pool.acquire() as connection:
        stopped = await selected.stop_contacts(
            connection, selection, storable(reason, LONGEST_REASON) or "stopped by an operator"
        )
    under_way = await nothing_begins(drumbeat, stopped)
    await selected.close_returned(pool, stopped)
    left = await _follow(drumbeat, stopped, wait, progress)
    return BulkChange(command="stop", changed=len(stopped), to_signal=left, under_way=under_way)


async def skip(
    drumbeat: Drumbeat, selection: Selection, step: str, *, wait: bool = True, progress: Progress = _quiet
) -> BulkChange:
    """Skips ``step`` for contacts for which it is the next one. Raises as find_contacts does.

    The next step of each is computed by its own calendar, so this is one transaction for some hundred contacts.
    """
    pool = await drumbeat.pool()
    async with pool.acquire() as connection:
        chosen = await selected.contact_ids(connection, "skip", selection, step=step)
    skipped, refused = list[int](), list[str]()
    try:
        for first in range(0, len(chosen), TOGETHER):
            done = await skip_many(pool, chosen[first : first + TOGETHER], step, now=None)
            skipped += done.skipped
            refused += done.refused
            progress("Skipping", min(first + TOGETHER, len(chosen)), len(chosen))
    except asyncio.CancelledError as error:
        raise asyncio.CancelledError(
            f"{len(skipped):,} of {count_of(len(chosen), 'contact')} will skip {step}"
        ) from error
    await _signal(drumbeat, skipped)
    left = await _follow(drumbeat, skipped, wait, progress)
    return BulkChange(command="skip", changed=len(skipped), to_signal=left, refused=tuple(refused))


async def opt_out(
    drumbeat: Drumbeat,
    selection: Selection,
    reason: str = "opted out",
    *,
    category: OptOutCategory = "all",
    wait: bool = True,
    progress: Progress = _quiet,
) -> BulkChange:
    """Opts leads out: they get nothing more, or no marketing. Returns when no more message can begin to be sent.

    ``wait``: and when the workflows of their enrollments know, if a worker runs. Raises as find_contacts does.
    """
    pool = await drumbeat.pool()
    async with pool.acquire() as connection:
        done = await opt_out_leads(connection, selection, storable(reason, LONGEST_REASON), category)
    await _signal(drumbeat, done.enrollments)
    under_way = await nothing_begins_any_more(pool, phones=done.phones)
    await suppress_waiting(pool, done.phones)
    with signalled_later(drumbeat):
        await signal_each(drumbeat.temporal, done.workflows, "wake")
        await note_signalled(pool, done.phones)
    left = await _follow(drumbeat, done.enrollments, wait, progress)
    return BulkChange(
        command="opt-out",
        changed=len(done.phones),
        ended=len(done.enrollments),
        to_signal=left,
        under_way=under_way,
    )


async def nothing_begins(drumbeat: Drumbeat, enrollments: Sequence[int]) -> tuple[UnderWay, ...]:
    """Has the workflows signalled, and waits until no more message of these contacts can begin to be sent."""
    await _signal(drumbeat, enrollments)
    return await nothing_begins_any_more(await drumbeat.pool(), enrollments=enrollments)


async def _signal(drumbeat: Drumbeat, enrollments: Sequence[int]) -> None:
    if enrollments:
        await signals.signal_plans(drumbeat)


async def _follow(drumbeat: Drumbeat, enrollments: Sequence[int], wait: bool, progress: Progress) -> int:
    """Waits until the workflows of these contacts know, or no worker runs; answers how many do not know yet."""
    pool, total = await drumbeat.pool(), len(enrollments)

    async def count() -> int:
        return await selected.count_to_signal(pool, enrollments)

    return await follow(
        drumbeat, count, total, partial(progress, "In effect; signalling workflows"), wait=wait
    )


async def follow(
    drumbeat: Drumbeat,
    count: Callable[[], Awaitable[int]],
    total: int,
    progress: Callable[[int, int], None],
    *,
    wait: bool,
) -> int:
    """Waits until ``count`` says that nothing is left of the ``total``, or no worker runs; answers what is left."""
    left, looks = await count(), 0
    while wait and left:
        progress(total - left, total)
        if looks >= LOOK_FOR_A_WORKER and await idle(drumbeat):
            break
        try:
            await asyncio.sleep(LOOK_EVERY)
        except asyncio.CancelledError as error:
            raise asyncio.CancelledError(
                f"the change holds for all {total:,}; {count_of(left, 'workflow does', 'workflows do')} not know yet,"
                " and will without this command"
            ) from error
        before, left = left, await count()
        looks = looks + 1 if left == before else 0
    progress(total - left, total)
    return left
