"""The report of 'status': totals, and what needs an operator."""

from datetime import datetime

from messaging.campaigns.store import list_campaigns
from messaging.common.counts import count_of
from messaging.common.database import Pool
from messaging.common.values import Value
from messaging.devices.store import list_devices
from messaging.devices.waits import format_wait
from messaging.devices.words import paused_words
from messaging.events.latest import by_whom, paused_by
from messaging.outbox.alerts import list_alerts
from messaging.outbox.receivers import attention_of_receivers
from messaging.replies.inbox import count_inbox
from messaging.reporting.messages import count_in_doubt
from messaging.reporting.troubles import find_troubles
from messaging.reporting.workers import WorkerRow, find_workers
from messaging.sending.queues import closed_queues
from messaging.sending.restores import hold_of_restore
from messaging.sequences.refused import refused_enrollments

__all__ = ["CampaignTotals", "SequenceTotals", "StatusReport", "status_report"]


class SequenceTotals(Value):
    """One sequence in numbers."""

    sequence: str
    status: str
    status_reason: str | None
    active: int
    paused: int
    """Of those that are active."""
    completed: int
    ended_early: int
    due_next: datetime | None


class CampaignTotals(Value):
    """One campaign in numbers, unless it is over."""

    campaign: str
    status: str
    when: str
    """When it starts, in words."""
    leads: int
    settled: int


class StatusReport(Value):
    """The totals. ``attention``: lines about what needs an operator."""

    leads: int
    opted_out: int
    """Of the leads, from everything."""
    opted_out_of_marketing: int = 0
    """Of the leads, from marketing only."""
    others_opted_out: int = 0
    """Phones that have opted out, and are no leads."""
    sequences: tuple[SequenceTotals, ...]
    campaigns: tuple[CampaignTotals, ...]
    """Campaigns that are not over."""
    messages: dict[str, int]
    delivered: int = 0
    """Of the sent messages, as far as their gateways report it; those that were read, too."""
    read: int = 0
    replied: int = 0
    """People who have written, whatever it was about: keywords, and senders that are no leads, too."""
    waits: tuple[str, ...] = ()
    """Sentences about devices whose sending hours or daily limit keep messages waiting, and until when."""
    workers: tuple[WorkerRow, ...] = ()
    """The running workers of every task queue."""
    attention: tuple[str, ...]


SELECT_SEQUENCE_TOTALS = """
select s.name as sequence, s.status, s.status_reason, coalesce(c.active, 0) as active, coalesce(c.paused, 0) as paused,
       coalesce(c.completed, 0) as completed, coalesce(c.ended_early, 0) as ended_early, c.due_next
  from sequences s
  left join (select sequence_id, count(*) filter (where status = 'active') as active,
                    count(*) filter (where status = 'active' and paused_at is not null) as paused,
                    count(*) filter (where status = 'completed') as completed,
                    count(*) filter (where status in ('stopped', 'opted_out')) as ended_early,
                    min(next_due_at) filter (where status = 'active' and paused_at is null) as due_next
               from sequence_contacts
              group by sequence_id) c on c.sequence_id = s.id
 order by s.name
"""

COUNT_OVERDUE = (
    "select count(*) from broadcast_messages m where m.status in ('pending', 'queued') and is_overdue(m)"
)

SELECT_FAILURES_BY_REASON = """
select m.reason, count(*),
       case count(distinct k.name) when 0 then null when 1 then min(k.name) else 'NAME' end as campaign
  from broadcast_messages m
  left join campaigns k on k.id = m.campaign_id and k.status <> 'cancelled'
 where m.status = 'failed' and m.purpose is distinct from 'test'
 group by m.reason
 order by count(*) desc, m.reason
 limit 10
"""


# In one pass over the leads, and one over who has opted out. others: phones that are no leads.
COUNT_LEADS = """
select (select count(*) from leads) as leads, count(l.id) filter (where s.category = 'all') as opted_out,
       count(l.id) filter (where s.category = 'marketing') as of_marketing,
       count(*) filter (where l.id is null) as others
  from (select phone, min(category) as category from suppressions group by phone) s
  left join leads l on l.phone = s.phone
"""

# In one pass over the ledger.
COUNT_MESSAGES = """
select status, count(*), count(delivered_at) as delivered, count(read_at) as read
  from broadcast_messages
 where purpose is distinct from 'test'
 group by status
 order by status
"""

COUNT_REPLIED = """
select count(distinct i.phone)
  from inbound_messages i
 where is_answer(i)
"""

# Leads that the sweep passes over, since no device can be chosen for them. $1: how many are counted at most.
COUNT_WITHOUT_DEVICE = """
select count(*)
  from (select from leads l
         where l.triggers <> '{}' and l.device_id is null and (select only_device()) is null
           and exists (select from sequences s
                        where s.trigger = any (l.triggers) and s.status = 'active' and s.device_id is null
                          and not exists (select from sequence_contacts c
                                           where c.sequence_id = s.id and c.phone = l.phone))
           and not exists (select from suppressions o where o.phone = l.phone)
         limit $1) found
"""

_COUNTED = 10_000
_SHOWN_REFUSED = 5


async def status_report(pool: Pool, task_queue: str | None = None) -> StatusReport:
    """The totals of everything; and a line if no worker polls ``task_queue``, if one is named."""
    workers = await find_workers(pool, task_queue or "")
    sequences = await pool.fetch(SELECT_SEQUENCE_TOTALS)
    messages = await pool.fetch(COUNT_MESSAGES)
    counts = {row["status"]: row["count"] for row in messages}
    attention = [workers.idle] if task_queue is not None and workers.idle is not None else []
    if (restored := await hold_of_restore(pool)) is not None:
        attention.insert(0, f"{restored}; docs/recovery.md says what to do first")
    async with pool.acquire() as connection:
        devices = [one for one in await list_devices(connection) if one.replaced_by is None]
    attention += [
        f"device {one.id} {paused_words(one.status_reason)}{by_whom(one.paused_by)}; 'device resume {one.id}' goes on"
        for one in devices
        if one.status == "paused"
    ]
    troubles = await find_troubles(pool)
    told = {one.device for one in troubles if one.sign == "faults"}
    waits = [format_wait(one) for one in devices if one.status == "active" and one.id not in told]
    attention += [words for words in waits if words is not None]
    attention += [one.words for one in troubles]
    held = [row for row in sequences if row["status"] == "paused"]
    by = await paused_by(pool, "sequence", [row["sequence"] for row in held])
    attention += [
        f"sequence {row['sequence']} is paused{_because(row['status_reason'])}{by_whom(by.get(row['sequence']))};"
        f" 'sequence resume {row['sequence']}' goes on"
        for row in held
    ]
    async with pool.acquire() as connection:
        campaigns = [one for one in await list_campaigns(connection) if one.ended_at is None]
    attention += [
        f"campaign {one.name} is paused{_because(one.reason)}{by_whom(one.paused_by)};"
        f" 'campaign resume {one.name}' goes on"
        for one in campaigns
        if one.status == "paused"
    ]
    attention += [
        f"campaign {one.name} did not start, and is a draft again: {one.reason}; 'campaign start {one.name}' starts it"
        for one in campaigns
        if one.status == "draft" and one.reason
    ]
    to_look_at = await count_inbox(pool)
    if to_look_at:
        attention.append(
            f"{count_of(to_look_at, 'answer')} to look at: 'inbox' lists {'it' if to_look_at == 1 else 'them'}"
        )
    if counts.get("unconfirmed"):
        attention.append(
            count_of(counts["unconfirmed"], "message is unconfirmed", "messages are unconfirmed")
            + ": the gateway may have"
            " accepted a message, and did not say so; 'messages --status unconfirmed' lists them,"
            " 'message resolve ID' asks the gateway; or ask the recipient, and add --sent (it arrived) or --resend (it did not)"
        )
    in_doubt = await count_in_doubt(pool, _COUNTED) if counts.get("processing") else 0
    if in_doubt:
        attention.append(
            count_of(in_doubt, "message is in doubt", "messages are in doubt")
            + ", as an attempt to send ended without"
            " an outcome: a worker finds out by itself, 'message resolve ID' (or with --sent, --resend) does it by hand; 'messages' lists them"
        )
    overdue = await pool.fetchval(COUNT_OVERDUE)
    if overdue:
        attention.append(
            count_of(overdue, "message has waited", "messages have waited")
            + " for over a quarter of an hour since the due"
            " time, and no worker has tried to send: is a worker running? 'audit' names the workflows that are gone"
        )
    attention += [
        f"{count_of(row['count'], 'message')} failed: {row['reason']}; 'messages --status failed' lists {'it' if row['count'] == 1 else 'them'}"
        + (
            f", 'campaign retry-failed {row['campaign']}' sends again what is the campaign's"
            if row["campaign"]
            else ""
        )
        for row in await pool.fetch(SELECT_FAILURES_BY_REASON)
    ]
    if stranded := await pool.fetchval(COUNT_WITHOUT_DEVICE, _COUNTED):
        attention.append(
            count_of(stranded, "lead has", "leads have")
            + " the trigger of a sequence and no device to write from, so the sweep does not enroll them: name a device in"
            " the sequence's file ('device:'), or give the leads one ('lead import FILE --device ID')"
        )
    attention += [
        f"{one.title}: {one.detail}; {one.remedy}"
        for one in await list_alerts(pool)
        if one.kind in ("worker_gone", "audit_broken")
    ]
    attention += await attention_of_receivers(pool)
    refused = await refused_enrollments(pool)
    attention += [
        f"the enrollment of {one.phone} in {one.sequence} was refused: {one.reason};"
        f" mend that, then 'enroll {one.sequence} {one.phone}'"
        for one in refused[:_SHOWN_REFUSED]
    ]
    if len(refused) > _SHOWN_REFUSED:
        attention.append(
            f"{count_of(len(refused) - _SHOWN_REFUSED, 'more enrollment was', 'more enrollments were')} refused: 'contact PHONE' says why"
        )
    leads = await pool.fetchrow(COUNT_LEADS)
    assert leads is not None, "an aggregate has a row"
    return StatusReport(
        leads=leads["leads"],
        opted_out=leads["opted_out"],
        opted_out_of_marketing=leads["of_marketing"],
        others_opted_out=leads["others"],
        sequences=tuple(SequenceTotals.model_validate(dict(row)) for row in sequences),
        campaigns=tuple(
            CampaignTotals(
                campaign=one.name,
                status=one.status,
                when=one.when,
                leads=one.messages.total,
                settled=one.messages.total - one.messages.unsettled,
            )
            for one in campaigns
        ),
        messages=counts,
        delivered=sum(row["delivered"] for row in messages),
        read=sum(row["read"] for row in messages),
        replied=await pool.fetchval(COUNT_REPLIED),
        waits=tuple(await closed_queues(pool)),
        workers=workers.running,
        attention=tuple(attention),
    )


def _because(reason: str | None) -> str:
    return f": {reason}" if reason else ""
