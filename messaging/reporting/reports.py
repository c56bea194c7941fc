"""What operators ask of the ledger: totals, and everything about one phone."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from messaging.campaigns.lifecycle import list_campaigns
from messaging.common.database import Pool, Record
from messaging.common.errors import NotFound
from messaging.common.values import Value
from messaging.devices.store import list_devices
from messaging.devices.waits import format_wait
from messaging.leads.csv_rejects import RejectedLead, rejects_of
from messaging.reporting.workers import WorkerRow, find_workers
from messaging.sending.claims import CLAIM_LIFETIME, longer_lifetimes
from messaging.sending.message_status import MessageStatus

__all__ = [
    "CampaignTotals",
    "ContactReport",
    "EnrollmentReport",
    "MessageReport",
    "SequenceTotals",
    "StatusReport",
    "contact_report",
    "list_messages",
    "no_lead",
    "status_report",
]


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
    """One campaign in numbers, as far as it is not over."""

    campaign: str
    status: str
    when: str
    """When it starts, in words."""
    leads: int
    settled: int


class StatusReport(Value):
    """The whole in numbers; ``attention``: lines about what needs an operator."""

    leads: int
    opted_out: int
    sequences: tuple[SequenceTotals, ...]
    campaigns: tuple[CampaignTotals, ...]
    """Those that are not over."""
    messages: dict[str, int]
    workers: tuple[WorkerRow, ...] = ()
    """Those that run, of every task queue."""
    attention: tuple[str, ...]


class MessageReport(Value):
    """One message of the ledger."""

    id: UUID
    phone: str
    what: str
    status: str
    due_at: datetime
    goes_out_at: datetime | None
    """When one that waits is to go out, as its device has room; None where it does not wait, or that cannot be known."""
    sent_at: datetime | None
    device: str
    reason: str | None
    text: str | None


class EnrollmentReport(Value):
    """One enrollment; ``next_step`` and ``due_at`` while it is active."""

    sequence: str
    status: str
    reason: str | None
    paused_at: datetime | None
    """Since when the contact gets nothing until it is resumed."""
    paused_reason: str | None
    enrolled_at: datetime
    ended_at: datetime | None
    next_step: str | None
    due_at: datetime | None
    zone: str
    workflow_id: str


class ContactReport(Value):
    """Everything about one phone."""

    phone: str
    name: str
    niches: tuple[str, ...]
    triggers: tuple[str, ...]
    target_status: str
    device: str | None
    time_zone: str | None
    zone: str
    """The lead's time zone; for want of one that of the enrollments, else UTC."""
    attributes: dict[str, str]
    opted_out_at: datetime | None
    not_enrolled: str | None
    """Where the lead never was in a sequence: that, and why, in a sentence."""
    rejected: tuple[RejectedLead, ...]
    """Rows of files with the phone that could not be used."""
    handed_over: tuple[str, ...] = ()
    """Sequences that Temporal has the phone for, and that no worker has enrolled it in yet."""
    enrollments: tuple[EnrollmentReport, ...]
    messages: tuple[MessageReport, ...]


_MESSAGES = (
    "select m.id, m.recipient_phone as phone, coalesce(s.name || ' / ' || t.key, 'campaign ' || k.name) as what,"
    " m.status, m.due_at, m.sent_at, m.device_id as device, m.reason, m.content as text,"
    " case when is_waiting(m.status) and greatest(m.due_at, m.slot_at) > clock_timestamp()"
    " then greatest(m.due_at, m.slot_at) end as goes_out_at from broadcast_messages m"
    " left join sequence_steps t on t.id = m.sequence_stepid left join sequences s on s.id = t.sequence_id"
    " left join campaigns k on k.id = m.campaign_id"
)


_IN_DOUBT = "m.status = 'processing' and is_abandoned(m, $2, $3, clock_timestamp())"


# What a campaign has not begun with waits for its feeder, however long.
_OVERDUE = """
    select count(*) from broadcast_messages m
     where (m.status = 'queued' or (m.status = 'pending' and m.sequence_stepid is not null))
       and coalesce(m.slot_at, m.due_at) < clock_timestamp() - interval '15 minutes'
       and m.updated_at < clock_timestamp() - interval '15 minutes' and hold_of(m) is null
"""


async def list_messages(pool: Pool, statuses: Sequence[MessageStatus], limit: int) -> list[MessageReport]:
    """The latest ``limit`` messages of the ledger in one of these states, the newest first.

    With ``unconfirmed`` come those that are in doubt just as well, and that a worker finds out about by itself.
    """
    query = f"{_MESSAGES} where %s order by m.updated_at desc, m.id limit $1"
    rows = await pool.fetch(query % "m.status = any($2)", limit, [status.value for status in statuses])
    found = [MessageReport.model_validate(dict(row)) for row in rows]
    if MessageStatus.UNCONFIRMED in statuses and MessageStatus.PROCESSING not in statuses:
        doubtful = await pool.fetch(query % _IN_DOUBT, limit, CLAIM_LIFETIME, longer_lifetimes())
        found = [MessageReport.model_validate(dict(row)) for row in doubtful] + found
    return found[:limit]


async def status_report(pool: Pool, task_queue: str | None = None) -> StatusReport:
    """Totals of everything; and that no worker polls ``task_queue``, where one is named."""
    workers = await find_workers(pool, task_queue or "")
    sequences = await pool.fetch(
        "select s.name as sequence, s.status, s.status_reason, count(c.id) filter (where c.status = 'active') as active,"
        " count(c.id) filter (where c.status = 'active' and c.paused_at is not null) as paused,"
        " count(c.id) filter (where c.status = 'completed') as completed,"
        " count(c.id) filter (where c.status in ('stopped', 'opted_out')) as ended_early,"
        " min(c.next_due_at) filter (where c.status = 'active' and c.paused_at is null) as due_next"
        " from sequences s left join sequence_contacts c on c.sequence_id = s.id group by s.id order by s.name"
    )
    messages = await pool.fetch(
        "select status, count(*) from broadcast_messages group by status order by status"
    )
    counts = {row["status"]: row["count"] for row in messages}
    attention = [workers.idle] if task_queue is not None and workers.idle is not None else []
    attention += [
        f"device {row['id']} is paused" + (f": {row['status_reason']}" if row["status_reason"] else "")
        for row in await pool.fetch(
            "select id, status_reason from devices where status = 'paused' and replaced_by is null order by id"
        )
    ]
    async with pool.acquire() as connection:
        waits = [
            format_wait(one)
            for one in await list_devices(connection)
            if one.status == "active" and one.replaced_by is None
        ]
    attention += [words for words in waits if words is not None]
    attention += [
        f"sequence {row['sequence']} is paused"
        + (f": {row['status_reason']}" if row["status_reason"] else "")
        for row in sequences
        if row["status"] == "paused"
    ]
    async with pool.acquire() as connection:
        campaigns = [one for one in await list_campaigns(connection) if one.ended_at is None]
    attention += [
        f"campaign {one.name} is paused" + (f": {one.reason}" if one.reason else "")
        for one in campaigns
        if one.status == "paused"
    ]
    if counts.get("unconfirmed"):
        attention.append(
            f"{counts['unconfirmed']:,} messages are unconfirmed: the gateway may have sent them, and did not say;"
            " 'messages --status unconfirmed' lists them, 'message resolve ID' resolves one"
        )
    in_doubt = 0
    if counts.get("processing"):
        in_doubt = await pool.fetchval(
            f"select count(*) from (select from broadcast_messages m where {_IN_DOUBT} limit $1) n",  # noqa: S608
            10_000,
            CLAIM_LIFETIME,
            longer_lifetimes(),
        )
    if in_doubt:
        attention.append(
            f"{in_doubt:,} messages are in doubt, as the attempt to send them ended without a word: a worker finds out"
            " what became of them by itself, 'message resolve ID' does it by hand; 'messages' lists them"
        )
    overdue = await pool.fetchval(_OVERDUE)
    if overdue:
        attention.append(
            f"{overdue:,} messages have waited for over a quarter of an hour since their time came, and no worker is at them:"
            " is a worker running? 'audit' names the workflows that are gone"
        )
    attention += [
        f"{row['count']:,} messages failed: {row['reason']}"
        for row in await pool.fetch(
            "select reason, count(*) from broadcast_messages where status = 'failed'"
            " group by reason order by count(*) desc, reason limit 10"
        )
    ]
    return StatusReport(
        leads=await pool.fetchval("select count(*) from leads"),
        opted_out=await pool.fetchval("select count(*) from suppressions"),
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
        workers=workers.running,
        attention=tuple(attention),
    )


async def contact_report(pool: Pool, phone: str, written: str) -> ContactReport:
    """Everything about this phone, in E.164, as it was asked for. Raises NotFound."""
    rejected = await rejects_of(pool, phone, written)
    lead = await pool.fetchrow(
        "select l.*, o.created_at as opted_out_at from leads l left join suppressions o on o.phone = l.phone"
        " where l.phone = $1",
        phone,
    )
    if lead is None:
        raise NotFound(no_lead(f"there is no lead with the phone {phone}", rejected))
    enrollments = await pool.fetch(
        "select s.name as sequence, c.status, c.reason, c.enrolled_at, case when c.status = 'active' then c.paused_at end"
        " as paused_at, case when c.status = 'active' then c.paused_reason end as paused_reason, c.ended_at, t.key as next_step,"
        " c.next_due_at as due_at, c.timeline ->> 'zone' as zone, c.workflow_id"
        " from sequence_contacts c join sequences s on s.id = c.sequence_id"
        " left join sequence_steps t on t.id = c.next_step_id where c.phone = $1 order by c.enrolled_at, c.id",
        phone,
    )
    messages = await pool.fetch(
        f"{_MESSAGES} where m.recipient_phone = $1 order by m.due_at, m.created_at",
        phone,
    )
    zones = {row["zone"] for row in enrollments}
    zone = lead["time_zone"] or (zones.pop() if len(zones) == 1 else "UTC")
    return ContactReport(
        phone=phone,
        zone=zone,
        rejected=tuple(rejected),
        not_enrolled=None if enrollments else await _why_not_enrolled(pool, lead),
        name=lead["name"],
        niches=tuple(lead["niches"]),
        triggers=tuple(lead["triggers"]),
        target_status=lead["target_status"],
        device=lead["device_id"],
        time_zone=lead["time_zone"],
        attributes=lead["attributes"],
        opted_out_at=lead["opted_out_at"],
        enrollments=tuple(EnrollmentReport.model_validate(dict(row)) for row in enrollments),
        messages=tuple(MessageReport.model_validate(dict(row)) for row in messages),
    )


async def _why_not_enrolled(pool: Pool, lead: Record) -> str:
    """Of a lead that never was in a sequence: what keeps the sweep from enrolling it, or that nothing does."""
    never, by_hand = "Never enrolled in a sequence", f"'enroll SEQUENCE {lead['phone']}' enrolls by hand"
    if lead["opted_out_at"] is not None:
        return f"{never}: opted out."
    if not lead["triggers"]:
        return f"{never}: the lead bears no trigger; {by_hand}."
    sequences = await pool.fetch(
        "select name, status, device_id from sequences where trigger = any($1) order by status, name",
        lead["triggers"],
    )
    if not sequences:
        return f"{never}: no sequence has a trigger that the lead bears; {by_hand}."
    one = sequences[0]
    if one["status"] != "active":
        return f"{never}: {one['name']}, whose trigger the lead bears, is {one['status']}."
    if (
        lead["device_id"] is None
        and one["device_id"] is None
        and await pool.fetchval("select only_device()") is None
    ):
        return f"{never}: there is no device to write from; give the lead one, or {one['name']}."
    return f"{never} yet: a worker enrolls in {one['name']} by the trigger within a minute, once one runs."


def no_lead(why: str, rejected: Sequence[RejectedLead]) -> str:
    """The sentence about a phone that is no lead: with the row of a file that was to make one, where there is one."""
    if not rejected:
        return why
    one = rejected[0]
    reason = "" if one.reason == why else f": {one.reason}"
    return (
        f"{why}; row {one.row} of {one.file} ({one.written!r}) was rejected when it was imported on"
        f" {one.rejected_at:%d %b %Y %H:%M} UTC{reason or ', for that'}"
    )
