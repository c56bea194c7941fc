"""Has running workflows told what they could not know: that something else comes next, or that what held them up is over.

Which ones to tell is read from PostgreSQL, which knows it exactly. One workflow does the telling, at a pace that the workers
keep up with, in the order in which they are due; here it is handed over to it.
"""

from typing import Literal

from temporalio.service import RPCError

from messaging.campaigns.contract import CampaignState
from messaging.common.errors import Unavailable
from messaging.common.values import Value
from messaging.sending import telling
from messaging.sending.telling import Tell
from messaging.sequences.replanning import replan, sequences_of_other_zones
from messaging.sequences.store import find_sequence
from operations.connection import Drumbeat
from temporal.bulk import signal_each
from temporal.ids import campaign_shard_workflow_id, campaign_workflow_id
from temporal.telling import start_telling

__all__ = ["ReplanCounts", "campaign_changed", "plan_changed", "wake_held", "zones_corrected"]


class ReplanCounts(Value):
    """Contacts under way: for how many another step or moment comes next now, and how many are still to be told."""

    changed: int
    to_tell: int


async def plan_changed(drumbeat: Drumbeat, sequence: str) -> ReplanCounts:
    """Replans every contact that follows an old revision of the sequence. Raises Unavailable."""
    pool = await drumbeat.pool()
    async with pool.acquire() as connection:
        row = await find_sequence(connection, sequence)
    assert row is not None, "it was stored a moment ago"
    return await _replan(drumbeat, [row.id], f"sequence {sequence} is stored", zones=False)


async def zones_corrected(drumbeat: Drumbeat) -> ReplanCounts:
    """Replans every contact whose time zone was corrected since its plan was made. Raises Unavailable."""
    sequences = await sequences_of_other_zones(await drumbeat.pool())
    return await _replan(drumbeat, sequences, "the leads are stored", zones=True)


async def wake_held(drumbeat: Drumbeat, kind: Literal["sequence", "device", "campaign"], name: str) -> int:
    """Wakes the contacts and leads that a paused sequence, device or campaign held up; answers how many. Raises Unavailable."""
    held = await telling.count_held(await drumbeat.pool(), kind, name)
    if held:
        await _hand_over(drumbeat, Tell(kind=kind, name=name), f"{kind} {name} was resumed")
    return held


async def campaign_changed(drumbeat: Drumbeat, state: CampaignState) -> None:
    """Has the workflows of a campaign that run look at it anew, those of its shards before the one that watches them.

    Raises RPCError.
    """
    # The only shard is fed by the campaign's own workflow.
    if state.shards > 1:
        shards = [campaign_shard_workflow_id(state.campaign, shard) for shard in range(state.shards)]
        await signal_each(drumbeat.temporal, shards, "changed")
    await signal_each(drumbeat.temporal, [campaign_workflow_id(state.campaign)], "changed")


async def _replan(drumbeat: Drumbeat, sequences: list[int], done: str, *, zones: bool) -> ReplanCounts:
    pool = await drumbeat.pool()
    changed = sum([await replan(pool, sequence, zones=zones) for sequence in sequences])
    to_tell = sum([await telling.count_unplanned(pool, sequence) for sequence in sequences])
    if to_tell:
        await _hand_over(drumbeat, Tell(kind="plans"), done)
    return ReplanCounts(changed=changed, to_tell=to_tell)


async def _hand_over(drumbeat: Drumbeat, tell: Tell, done: str) -> None:
    try:
        await start_telling(drumbeat.temporal, tell, task_queue=drumbeat.settings.task_queue)
    except RPCError as error:
        raise Unavailable(
            f"{done}, but Temporal cannot have its running workflows told ({error.message}): give the command again"
        ) from error
