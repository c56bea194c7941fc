"""Tells running workflows what they could not know: that their plan is old, or that what held them up is over.

Whom to tell is read from PostgreSQL, which knows it exactly. Few are signalled one by one. Many are left to a batch
operation of Temporal, which goes on by itself; as its index of workflows lags a little, those who came to be in the
last minute are told one by one all the same. Telling somebody twice is harmless.
"""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from itertools import groupby
from uuid import uuid4

from temporalio.api.batch.v1 import BatchOperationSignal
from temporalio.api.workflowservice.v1 import StartBatchOperationRequest
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from messaging.errors import Unavailable
from messaging.identity import campaign_shard_workflow_id, campaign_workflow_id
from messaging.models import CampaignPlan, Value
from naming.attributes import CAMPAIGN, DEVICE, SEQUENCE, STATE
from naming.calls import signal_each
from operations.connection import Connection

__all__ = [
    "HELD",
    "LAG",
    "ONE_BY_ONE",
    "Told",
    "campaign_changed",
    "plan_changed",
    "wake_held",
    "zones_corrected",
]

ONE_BY_ONE = 500
"""Up to so many are signalled one by one: a second or two."""

BATCH_PATIENCE = 30.0
"""Seconds to wait for another batch operation to end; a namespace has one at a time by default."""

LAG = timedelta(minutes=1)
"""After this long a workflow is surely in the index that a batch operation works from."""

_STALE = """
    select c.workflow_id, c.enrolled_at > clock_timestamp() - $2::interval as recent
      from sequence_contacts c join sequences s on s.id = c.sequence_id
     where s.name = $1 and c.status = 'active' and c.plan_revision < s.revision
"""

# Whose plan was made for another zone than is known now, over all sequences.
_ANOTHER_ZONE = """
    select s.name as sequence, c.workflow_id, c.enrolled_at > clock_timestamp() - $1::interval as recent
      from sequence_contacts c join sequences s on s.id = c.sequence_id join leads l on l.id = c.lead_id
     where c.status = 'active' and c.timeline ->> 'zone' <> coalesce(l.time_zone, s.time_zone)
     order by s.name
"""

# Tried before, and without a moment to come at which it is looked at again. One in 'processing' with a reason is in doubt,
# and waits for the next attempt. (offset 0: what waits is few, so it is sought first, and not contact by contact;
# then the contact of each, and not all contacts, whatever the statistics say.)
HELD = """
    select distinct h.workflow_id, h.recent from (
        select case when k.id is not null then 'campaign:' || k.name || ':' || m.recipient_phone
                    when m.resends > 0 then 'message:' || m.id else c.workflow_id end as workflow_id,
               m.updated_at > clock_timestamp() - $4::interval as recent
          from (select * from broadcast_messages
                 where status in ('pending', 'queued', 'processing') and reason is not null
                   and (slot_at is null or slot_at <= clock_timestamp()) and due_at <= clock_timestamp() offset 0) m
          left join lateral (select * from sequence_contacts where id = m.sequence_contact_id offset 0) c on true
          left join sequences s on s.id = c.sequence_id
          left join campaigns k on k.id = m.campaign_id
         where (c.id is null or c.status = 'active' or m.resends > 0)
           and ($1::text is null or s.name = $1) and ($2::text is null or m.device_id = $2)
           and ($3::text is null or k.name = $3)) h
"""


class Told(Value):
    """Whom a signal was for. ``batch``: the ID of the batch operation that delivers it, if there were many."""

    contacts: int
    batch: str | None = None


async def plan_changed(connection: Connection, sequence: str) -> Told:
    """Has every contact that follows an old revision of the sequence plan anew. Raises Unavailable."""
    rows = await (await connection.pool()).fetch(_STALE, sequence, LAG)
    query = f'DrumbeatSequence = "{sequence}" and ExecutionStatus = "Running"'
    reason = f"sequence {sequence} was edited"
    return await _tell(connection, [tuple(row) for row in rows], "plan_changed", query, reason)


async def zones_corrected(connection: Connection) -> Told:
    """Has every contact whose time zone was corrected since its plan was made plan anew. Raises Unavailable."""
    rows = await (await connection.pool()).fetch(_ANOTHER_ZONE, LAG)
    for sequence, contacts in groupby(rows, key=lambda row: row["sequence"]):
        query = f'DrumbeatSequence = "{sequence}" and ExecutionStatus = "Running"'
        asleep = [(row["workflow_id"], row["recent"]) for row in contacts]
        await _tell(connection, asleep, "plan_changed", query, "time zones were corrected")
    return Told(contacts=len(rows))


async def wake_held(
    connection: Connection,
    *,
    sequence: str | None = None,
    device: str | None = None,
    campaign: str | None = None,
) -> Told:
    """Wakes the contacts and leads that a paused sequence, device or campaign held up. Raises Unavailable."""
    ((attribute, what, name),) = (
        (attribute, what, name)
        for attribute, what, name in (
            (SEQUENCE, "sequence", sequence),
            (DEVICE, "device", device),
            (CAMPAIGN, "campaign", campaign),
        )
        if name is not None
    )
    rows = await (await connection.pool()).fetch(HELD, sequence, device, campaign, LAG)
    query = f'{attribute.name} = "{name}" and {STATE.name} = "held" and ExecutionStatus = "Running"'
    return await _tell(connection, [tuple(row) for row in rows], "wake", query, f"{what} {name} was resumed")


async def campaign_changed(connection: Connection, plan: CampaignPlan) -> None:
    """Has the workflows of a campaign that run look at it anew, the feeders before the one that watches them.

    Raises RPCError.
    """
    shards = [campaign_shard_workflow_id(plan.campaign, shard) for shard in range(plan.shards)]
    await signal_each(connection.temporal, shards, "changed")
    await signal_each(connection.temporal, [campaign_workflow_id(plan.campaign)], "changed")


async def _tell(
    connection: Connection, workflows: Sequence[tuple[str, bool]], signal: str, query: str, reason: str
) -> Told:
    count = len(workflows)
    try:
        if count <= ONE_BY_ONE:
            await signal_each(connection.temporal, [workflow_id for workflow_id, _ in workflows], signal)
            return Told(contacts=count)
        batch = await _start_batch(connection.temporal, signal, query, reason)
        await signal_each(
            connection.temporal, [workflow_id for workflow_id, recent in workflows if recent], signal
        )
    except RPCError as error:
        raise Unavailable(
            f"{reason}, but Temporal could not tell its running workflows ({error.message}): give the command again"
        ) from error
    return Told(contacts=count, batch=batch)


async def _start_batch(client: Client, signal: str, query: str, reason: str) -> str:
    request = StartBatchOperationRequest(
        namespace=client.namespace,
        job_id=str(uuid4()),
        visibility_query=query,
        reason=reason,
        signal_operation=BatchOperationSignal(signal=signal, identity=client.identity),
    )
    deadline = asyncio.get_running_loop().time() + BATCH_PATIENCE
    while True:
        try:
            await client.workflow_service.start_batch_operation(request)
        except RPCError as error:
            busy = error.status is RPCStatusCode.RESOURCE_EXHAUSTED
            if not busy or asyncio.get_running_loop().time() > deadline:
                raise
            await asyncio.sleep(1)
        else:
            return request.job_id
