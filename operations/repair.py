"""The repair of the audit: brings ledger and Temporal together again, and sends nothing that may have been sent."""

from temporalio.common import WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError

from messaging.common.counts import count_of
from messaging.common.errors import Conflict
from messaging.common.values import Value
from messaging.reporting import audit as ledger
from messaging.sending import restores
from messaging.sending.recovery import message_refs
from messaging.sequences import doubts
from operations import campaigns
from operations.audit import compare_contacts, find_dropped, find_stranded
from operations.connection import Drumbeat
from operations.reports import list_devices
from operations.restored import rebuild, rebuild_contacts
from operations.signals import wake_held
from temporal.bulk import each, signal_each
from temporal.contacts import CONTACT_WORKFLOW, contact_identity
from temporal.ledger_mark import read_mark
from temporal.messages import start_message

__all__ = ["Repair", "repair"]


class Repair(Value):
    """What a repair did, or would do: a sentence for each."""

    dry_run: bool
    restored: bool
    """A restore of the ledger was found, and everything was paused."""
    done: tuple[str, ...]
    left: tuple[str, ...] = ()
    """What no repair can do: for the operator."""
    confirmed: bool = False
    """The pause of the restore has ended."""

    @property
    def nothing(self) -> bool:
        """True if there was nothing to repair."""
        return not (self.done or self.left or self.restored)


async def repair(
    drumbeat: Drumbeat, *, dry_run: bool = False, temporal_kept: bool = False, confirm: bool = True
) -> Repair:
    """Brings together what the ledger and Temporal have. Repeating it is harmless.

    After a restore of the ledger, what Temporal's histories know is stored again, and what may have been sent since becomes
    unconfirmed. ``temporal_kept``: Temporal's own database is as it was, so what its histories do not show was not sent;
    otherwise whatever was due counts as possibly sent. ``confirm``: ends the pause of the restore at the end.

    Then, in any case: workflows of active contacts, campaigns and messages that are gone are started; those whose enrollment
    has ended are told so.
    """
    pool = await drumbeat.pool()
    if (await restores.find_restored(pool)).moved and not dry_run:
        await restores.note_restore(pool, "found by 'audit --repair'")
    restore = await restores.find_restore(pool)
    done, left = list[str](), list[str]()
    if restore is not None:
        rebuilt = await rebuild(drumbeat, restore, by_time=not temporal_kept, dry_run=dry_run)
        done += rebuilt.done
        left += rebuilt.left
    elif dry_run and (await restores.find_restored(pool)).moved:
        raise Conflict(
            "the ledger was restored, and no worker has noted it yet: start one, which sends nothing, then repeat this"
        )
    more, unknown = await _workflows(drumbeat, restored=restore is not None, dry_run=dry_run)
    done += more
    left += unknown
    confirmed = False
    if restore is not None and confirm and not dry_run:
        noted = await read_mark(drumbeat.temporal)
        async with pool.acquire() as connection:
            confirmed = await restores.confirm_restore(connection, noted or 0)
        for device in await list_devices(drumbeat):
            await wake_held(drumbeat, "device", device.id)
    return Repair(
        dry_run=dry_run,
        restored=restore is not None,
        done=tuple(done),
        left=tuple(left),
        confirmed=confirmed,
    )


async def _workflows(drumbeat: Drumbeat, *, restored: bool, dry_run: bool) -> tuple[list[str], list[str]]:
    """Starts and ends workflows, so that they match the ledger; answers what was done, and what cannot be."""
    pool = await drumbeat.pool()
    done = list[str]()
    contacts = await compare_contacts(drumbeat)
    if contacts.orphans:
        number = len(contacts.orphans)
        if not dry_run:
            number = sum(await each(contacts.orphans, lambda one: _start(drumbeat, one)))
        done.append(f"{count_of(number, 'contact')} without a workflow: it is started")
    left = list[str]()
    if contacts.strays and not (restored and dry_run):  # else they were counted
        ended = set(await ledger.ended_contacts(pool, contacts.strays))
        if not dry_run:
            # It reads the ledger, and ends.
            await signal_each(drumbeat.temporal, sorted(ended), "plan_changed")
        if ended:
            done.append(f"{count_of(len(ended), 'workflow')} whose enrollment has ended: it is told so")
        rebuilt = await rebuild_contacts(
            drumbeat, [one for one in contacts.strays if one not in ended], dry_run=dry_run
        )
        done += rebuilt.done
        left += rebuilt.left
    stranded = await find_stranded(drumbeat, sorted(await ledger.active_campaigns(pool)))
    for name in stranded:
        if not dry_run:
            await campaigns.notify_or_start(drumbeat, name)
        done.append(f"campaign {name} has no workflow: it is started")
    dropped = await find_dropped(drumbeat, await ledger.resends_under_way(pool))
    if dropped:
        if not dry_run:
            for ref in await message_refs(pool, dropped):
                await start_message(drumbeat.temporal, ref, task_queue=drumbeat.settings.task_queue)
        done.append(f"{count_of(len(dropped), 'message')} sent again without a workflow: it is started")
    return done, left


async def _start(drumbeat: Drumbeat, workflow_id: str) -> bool:
    """Starts the workflow of an active enrollment; False if it has ended meanwhile, or its workflow runs."""
    request = await doubts.adopt(await drumbeat.pool(), workflow_id)
    if request is None:
        return False
    identity = contact_identity(request)
    try:
        await drumbeat.temporal.start_workflow(
            CONTACT_WORKFLOW,
            request,
            id=workflow_id,
            task_queue=drumbeat.settings.task_queue,
            id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
            search_attributes=identity.search_attributes,
            static_summary=identity.summary,
        )
    except WorkflowAlreadyStartedError:
        return False
    return True
