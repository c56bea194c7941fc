"""Has running workflows told what they could not know: that something else comes next, or that what held them up is over.

Whom to tell is read from PostgreSQL, which knows it exactly. One workflow does the telling, at a pace that the workers
keep up with, those first who are due first; here it is handed over to it.
"""

from typing import Literal

from temporalio.service import RPCError

from messaging.campaigns.contract import CampaignPlan
from messaging.common.errors import Unavailable
from messaging.common.values import Value
from messaging.sending import telling
from messaging.sending.telling import Tell
from messaging.sequences.replanning import replan, sequences_of_other_zones
from messaging.sequences.store import find_sequence
from operations.connection import Connection
from temporal.bulk import signal_each
from temporal.ids import campaign_shard_workflow_id, campaign_workflow_id
from temporal.telling import start_telling

__all__ = ["Replanned", "campaign_changed", "plan_changed", "wake_held", "zones_corrected"]


class Replanned(Value):
    """Contacts under way: for how many another step or moment comes next now, and how many are still to hear of one."""

    changed: int
    to_tell: int


async def plan_changed(connection: Connection, sequence: str) -> Replanned:
    """Plans every contact anew that follows an old revision of the sequence. Raises Unavailable."""
    pool = await connection.pool()
    async with pool.acquire() as database:
        row = await find_sequence(database, sequence)
    assert row is not None, "it was stored a moment ago"
    return await _replan(connection, [row.id], f"sequence {sequence} is stored", zones=False)


async def zones_corrected(connection: Connection) -> Replanned:
    """Plans every contact anew whose time zone was corrected since its plan was made. Raises Unavailable."""
    sequences = await sequences_of_other_zones(await connection.pool())
    return await _replan(connection, sequences, "the leads are stored", zones=True)


async def wake_held(
    connection: Connection, kind: Literal["sequence", "device", "campaign"], name: str
) -> int:
    """Wakes the contacts and leads that a paused sequence, device or campaign held up: so many. Raises Unavailable."""
    held = await telling.count_held(await connection.pool(), kind, name)
    if held:
        await _hand_over(connection, Tell(kind=kind, name=name), f"{kind} {name} was resumed")
    return held


async def campaign_changed(connection: Connection, plan: CampaignPlan) -> None:
    """Has the workflows of a campaign that run look at it anew, the feeders before the one that watches them.

    Raises RPCError.
    """
    shards = [campaign_shard_workflow_id(plan.campaign, shard) for shard in range(plan.shards)]
    await signal_each(connection.temporal, shards, "changed")
    await signal_each(connection.temporal, [campaign_workflow_id(plan.campaign)], "changed")


async def _replan(connection: Connection, sequences: list[int], done: str, *, zones: bool) -> Replanned:
    pool = await connection.pool()
    changed = sum([await replan(pool, sequence, zones=zones) for sequence in sequences])
    to_tell = sum([await telling.count_unplanned(pool, sequence) for sequence in sequences])
    if to_tell:
        await _hand_over(connection, Tell(kind="plans"), done)
    return Replanned(changed=changed, to_tell=to_tell)


async def _hand_over(connection: Connection, tell: Tell, done: str) -> None:
    try:
        await start_telling(connection.temporal, tell, task_queue=connection.settings.task_queue)
    except RPCError as error:
        raise Unavailable(
            f"{done}, but Temporal cannot have its running workflows told ({error.message}): give the command again"
        ) from error
