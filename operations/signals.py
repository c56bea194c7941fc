"""Signals running workflows that their next step has changed, or that a hold has ended.

PostgreSQL knows exactly which workflows to signal. One workflow sends the signals, in the order in which messages are
due, at a pace that the workers can keep up with; this module hands the work over to it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from temporalio.service import RPCError

from messaging.campaigns.contract import CampaignState
from messaging.common.values import Value
from messaging.sending import telling
from messaging.sending.telling import Tell
from messaging.sequences.replanning import replan, sequences_of_other_zones
from messaging.sequences.store import find_sequence
from operations.connection import Drumbeat
from temporal import watched
from temporal.bulk import signal_each
from temporal.campaigns import tell_campaign
from temporal.telling import start_telling

__all__ = [
    "ReplanCounts",
    "campaign_changed",
    "contacts_changed",
    "plan_changed",
    "show_states",
    "signalled_later",
    "wake_awaiting",
    "wake_held",
    "zones_corrected",
]


class ReplanCounts(Value):
    """Active contacts: for how many the next step or its time has changed, and how many are still to be signalled."""

    changed: int
    to_signal: int


async def plan_changed(drumbeat: Drumbeat, sequence: str) -> ReplanCounts:
    """Replans every contact that follows an old revision of the sequence."""
    pool = await drumbeat.pool()
    async with pool.acquire() as connection:
        row = await find_sequence(connection, sequence)
    assert row is not None, "it was stored a moment ago"
    return await _replan(drumbeat, [row.id], zones=False)


async def zones_corrected(drumbeat: Drumbeat) -> ReplanCounts:
    """Replans every contact whose time zone was corrected after its plan was made."""
    sequences = await sequences_of_other_zones(await drumbeat.pool())
    return await _replan(drumbeat, sequences, zones=True)


async def contacts_changed(drumbeat: Drumbeat) -> None:
    """Has the workflows signalled of all contacts whose rows say that something else comes next, or nothing."""
    await _hand_over(drumbeat, Tell(kind="plans"))


async def wake_held(drumbeat: Drumbeat, kind: Literal["sequence", "device", "campaign"], name: str) -> int:
    """Wakes the contacts and leads that a paused sequence, device or campaign held; answers how many go on, as nothing else
    holds them.
    """
    held, go_on = await telling.count_held(await drumbeat.pool(), kind, name)
    if held:
        await _hand_over(drumbeat, Tell(kind=kind, name=name))
    return go_on


async def wake_awaiting(drumbeat: Drumbeat, phone: str) -> None:
    """Wakes what waits until this phone writes: messages outside of the service window."""
    waiting = await telling.awaiting(await drumbeat.pool(), phone)
    with signalled_later(drumbeat):
        await signal_each(drumbeat.temporal, waiting, "wake")


async def signal_plans(drumbeat: Drumbeat) -> None:
    """Has the workflows signalled whose contacts' rows say that something else, or nothing, comes next."""
    await _hand_over(drumbeat, Tell(kind="plans"))


async def campaign_changed(drumbeat: Drumbeat, state: CampaignState) -> None:
    """Signals the workflows of a campaign to read its row; starts one if the campaign is under way and none runs."""
    with signalled_later(drumbeat):
        await tell_campaign(drumbeat.temporal, state, task_queue=drumbeat.settings.task_queue)


async def show_states(drumbeat: Drumbeat) -> None:
    """Has the workflows of devices and sequences show their present states."""
    with signalled_later(drumbeat):
        await watched.show_states(
            drumbeat.temporal, await drumbeat.pool(), task_queue=drumbeat.settings.task_queue
        )


@contextmanager
def signalled_later(drumbeat: Drumbeat) -> Iterator[None]:
    """For signals about changes that are in the ledger already: if Temporal cannot be reached, says so to the operator.

    The change holds all the same, and the recovery sweep sends the signals later (activities.recovery).
    """
    try:
        yield
    except RPCError as error:
        drumbeat.tell(
            f"Temporal could not be reached ({error.message.strip() or error.status.name}): what was asked holds, and"
            " running workflows are signalled within minutes of its return"
        )


async def _replan(drumbeat: Drumbeat, sequences: list[int], *, zones: bool) -> ReplanCounts:
    pool = await drumbeat.pool()
    changed = sum([await replan(pool, sequence, zones=zones) for sequence in sequences])
    to_signal = sum([await telling.count_unplanned(pool, sequence) for sequence in sequences])
    if to_signal:
        await signal_plans(drumbeat)
    return ReplanCounts(changed=changed, to_signal=to_signal)


async def _hand_over(drumbeat: Drumbeat, tell: Tell) -> None:
    with signalled_later(drumbeat):
        await start_telling(drumbeat.temporal, tell, task_queue=drumbeat.settings.task_queue)
