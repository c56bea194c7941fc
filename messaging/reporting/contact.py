"""Everything about one phone: its lead, its enrollments and its messages, both ways."""

from collections.abc import Collection, Sequence
from datetime import datetime

from messaging.common.counts import count_of
from messaging.common.database import Pool, Record
from messaging.common.errors import NotFound
from messaging.common.phones import quoted
from messaging.common.values import Value
from messaging.events.latest import By, opted_out_by
from messaging.events.read import Event, events_of_phones
from messaging.leads.csv_rejects import RejectedLead, rejects_of
from messaging.leads.forgotten import find_tombstone
from messaging.leads.opt_outs import OptOutCategory, OptOutSource, gets_no
from messaging.leads.phone_changes import FormerPhone, former_phones, present_phone
from messaging.replies.inbox import InboundReport, inbound_of_phone
from messaging.reporting.messages import MessageReport, messages_to
from messaging.sequences.condition_words import format_conditions
from messaging.sequences.refused import RefusedEnrollment, refused_enrollments
from messaging.times.local_time import format_moment

__all__ = ["ContactReport", "EnrollmentReport", "OptOutReport", "WindowReport", "contact_report", "no_lead"]


class OptOutReport(Value):
    """One opt-out of a phone; several sources may each have opted it out."""

    source: OptOutSource
    category: OptOutCategory
    reason: str | None
    """None if none was given."""
    created_at: datetime
    inbound_message: int | None
    """The ID of the inbound message that says so; None if an operator opted the phone out."""
    by: By | None = None
    """Who did so."""


class WindowReport(Value):
    """The service window of a phone at a device that has one: until when it takes free text."""

    device: str
    until: datetime | None
    """None if the person has never written to the device."""
    open: bool


class EnrollmentReport(Value):
    """One enrollment; ``next_step`` and ``due_at`` while it is active."""

    sequence: str
    status: str
    reason: str | None
    paused_at: datetime | None
    """When the contact was paused; the sequence sends it nothing until it is resumed."""
    paused_reason: str | None
    paused_by: By | None = None
    ended_by: By | None = None
    """Who stopped it."""
    enrolled_at: datetime
    ended_at: datetime | None
    next_step: str | None
    due_at: datetime | None
    awaits_reply: bool = False
    """True if the next step comes as soon as the contact replies, and at ``due_at`` at the latest."""
    condition: str | None = None
    """What must be true when the next step is due, or it is passed over; None: nothing."""
    zone: str
    workflow_id: str


class ContactReport(Value):
    """Everything about one phone."""

    phone: str
    """The present one, also if a former one was asked for."""
    former_phones: tuple[FormerPhone, ...] = ()
    name: str
    niches: tuple[str, ...]
    triggers: tuple[str, ...]
    target_status: str
    device: str | None
    only_device: str | None = None
    """The one that writes to it if it has no device of its own, as there is no other."""
    time_zone: str | None
    zone: str
    """The lead's time zone, else that of its enrollments, else UTC."""
    attributes: dict[str, str]
    consent_at: datetime | None = None
    """When they agreed to be written to; None if they have not, or not any more."""
    consent_source: str | None = None
    consent_note: str | None = None
    consent_withdrawn_at: datetime | None = None
    opt_outs: tuple[OptOutReport, ...] = ()
    """What keeps it from getting everything, or marketing; none: it gets everything."""
    windows: tuple[WindowReport, ...] = ()
    """Of the devices with a service window: the lead's own, and those that it has written to."""
    not_enrolled: str | None
    """If the lead was never in a sequence: that, and why, in a sentence."""
    rejected: tuple[RejectedLead, ...]
    """Rows of imported files with this phone that could not be used."""
    handed_over: tuple[str, ...] = ()
    """Sequences for which Temporal has accepted the enrollment, but no worker has stored it yet."""
    refused: tuple[RefusedEnrollment, ...] = ()
    """Enrollments that a worker refused."""
    enrollments: tuple[EnrollmentReport, ...]
    messages: tuple[MessageReport, ...]
    inbound: tuple[InboundReport, ...] = ()
    """Inbound messages of this phone, the oldest first."""
    events: tuple[Event, ...] = ()
    """What was done about this person, and by whom, the oldest first."""


LAST_REPLIES = 5
"""How many messages of a phone that is no lead are shown."""

SELECT_LEAD = "select * from leads where phone = $1"

SELECT_OPT_OUTS = """
select source, category, nullif(reason, 'opted out') as reason, created_at, inbound_message_id as inbound_message
  from suppressions
 where phone = $1
 order by created_at, source
"""

# $2: the lead's device.
SELECT_WINDOWS = """
select d.id as device, w.until, coalesce(w.until > clock_timestamp(), false) as open
  from devices d
 cross join lateral (select window_until($1, d.id) as until) w
 where d.service_window and d.replaced_by is null
   and (w.until is not null or d.id = device_in_use(coalesce($2, only_device())))
 order by d.id
"""

SELECT_ENROLLMENTS = """
select s.name as sequence, c.status, c.reason, c.enrolled_at,
       case when c.status = 'active' then c.paused_at end as paused_at,
       case when c.status = 'active' then c.paused_reason end as paused_reason,
       c.ended_at, t.key as next_step, c.next_due_at as due_at, t.conditions,
       t.wait_for is not null and c.timeline ->> 'replied_at' is null as awaits_reply,
       c.timeline ->> 'zone' as zone, c.workflow_id
  from sequence_contacts c
  join sequences s on s.id = c.sequence_id
  left join sequence_steps t on t.id = c.next_step_id
 where c.phone = any (former_phones($1))
 order by c.enrolled_at, c.id
"""

SELECT_SEQUENCES_OF_TRIGGERS = """
select name, status, device_id, category, require_consent
  from sequences
 where trigger = any ($1)
 order by status, category desc, name
"""


async def contact_report(pool: Pool, phone: str, written: str) -> ContactReport:
    """Everything about this phone, in E.164, as it was asked for; or about the one that its owner has now. Raises
    NotFound.
    """
    phone = await present_phone(pool, phone)
    if (buried := await find_tombstone(pool, phone)) is not None:
        raise NotFound(f"{buried.words}; 'contact forget {phone} --undo' lets them be known again")
    rejected = await rejects_of(pool, phone, written)
    refused = await refused_enrollments(pool, phone)
    lead = await pool.fetchrow(SELECT_LEAD, phone)
    opt_outs = [OptOutReport.model_validate(dict(row)) for row in await pool.fetch(SELECT_OPT_OUTS, phone)]
    if lead is None:
        known = [no_lead(f"there is no lead with the phone {phone}", rejected)]
        known += [
            f"the phone opted out on {format_moment(one.created_at)} ({one.source}"
            f"{f': {one.reason}' if one.reason else ''}), and gets {gets_no(one.category)}"
            for one in opt_outs
        ]
        known += [
            f"its enrollment in {one.sequence} was refused on {format_moment(one.refused_at)}: {one.reason}"
            for one in refused
        ]
        known += _replies(await inbound_of_phone(pool, phone))
        raise NotFound("; ".join(known))
    by = await opted_out_by(pool, phone) if opt_outs else {}
    opt_outs = [one.model_copy(update={"by": by.get(one.source)}) for one in opt_outs]
    former = tuple(await former_phones(pool, phone))
    events = await events_of_phones(pool, [phone, *(one.phone for one in former)])
    enrollments = await pool.fetch(SELECT_ENROLLMENTS, phone)
    zones = {row["zone"] for row in enrollments}
    zone = lead["time_zone"] or (zones.pop() if len(zones) == 1 else "UTC")
    return ContactReport(
        phone=phone,
        zone=zone,
        rejected=tuple(rejected),
        refused=tuple(refused),
        not_enrolled=None
        if enrollments
        else await _why_not_enrolled(pool, lead, {one.category for one in opt_outs}),
        former_phones=former,
        name=lead["name"],
        niches=tuple(lead["niches"]),
        triggers=tuple(lead["triggers"]),
        target_status=lead["target_status"],
        device=lead["device_id"],
        only_device=None if lead["device_id"] else await pool.fetchval("select only_device()"),
        time_zone=lead["time_zone"],
        attributes=lead["attributes"],
        consent_at=lead["consent_at"],
        consent_source=lead["consent_source"],
        consent_note=lead["consent_note"],
        consent_withdrawn_at=lead["consent_withdrawn_at"],
        opt_outs=tuple(opt_outs),
        windows=tuple(
            WindowReport.model_validate(dict(row))
            for row in await pool.fetch(SELECT_WINDOWS, phone, lead["device_id"])
        ),
        enrollments=tuple(_enrollment(row, events) for row in enrollments),
        messages=tuple(await messages_to(pool, phone)),
        inbound=tuple(await inbound_of_phone(pool, phone)),
        events=tuple(events),
    )


def _enrollment(row: Record, events: Sequence[Event]) -> EnrollmentReport:
    fields = dict(row)
    words = format_conditions(fields.pop("conditions"))

    def last(kind: str) -> By | None:
        of = [one for one in events if (one.kind, one.sequence) == (kind, row["sequence"])]
        return By(actor=of[-1].actor, via=of[-1].via, at=of[-1].at) if of else None

    return EnrollmentReport.model_validate(
        {
            **fields,
            "condition": words or None,
            "paused_by": last("contact.paused") if row["paused_at"] else None,
            "ended_by": last("contact.stopped") if row["status"] == "stopped" else None,
        }
    )


def _replies(inbound: Sequence[InboundReport]) -> list[str]:
    """What a phone that is no lead has written, the last few with their words."""
    written = [one for one in inbound if not one.from_me]
    if not written:
        return []
    last = ", ".join(
        f"{format_moment(one.sent_at)}: {quoted(one.text or one.payload or one.kind)}"
        for one in written[-LAST_REPLIES:]
    )
    count = count_of(len(written), "message came", "messages came")
    return [f"{count} from it{', the last' if len(written) > LAST_REPLIES else ''} ({last})"]


async def _why_not_enrolled(pool: Pool, lead: Record, opted_out: Collection[OptOutCategory]) -> str:
    """For a lead that was never in a sequence: what keeps the sweep from enrolling it, or that nothing does."""
    never, by_hand = "Never enrolled in a sequence", f"'enroll SEQUENCE {lead['phone']}' enrolls by hand"
    if "all" in opted_out:
        return f"{never}: opted out."
    if not lead["triggers"]:
        return f"{never}: the lead bears no trigger; {by_hand}."
    sequences = await pool.fetch(SELECT_SEQUENCES_OF_TRIGGERS, lead["triggers"])
    if not sequences:
        return f"{never}: no sequence has a trigger that the lead bears; {by_hand}."
    one = sequences[0]
    if one["status"] != "active":
        return f"{never}: {one['name']}, whose trigger the lead bears, is {one['status']}."
    if opted_out and one["category"] == "marketing":
        return f"{never}: opted out of marketing messages, such as those of {one['name']}."
    if one["require_consent"] and lead["consent_at"] is None:
        return f"{never}: {one['name']}, whose trigger the lead bears, requires consent, and the lead has not given it."
    if (
        lead["device_id"] is None
        and one["device_id"] is None
        and await pool.fetchval("select only_device()") is None
    ):
        return f"{never}: there is no device to write from; give the lead one, or {one['name']}."
    return f"{never} yet: a worker enrolls in {one['name']} by the trigger within a minute, once one runs."


def no_lead(why: str, rejected: Sequence[RejectedLead]) -> str:
    """The sentence about a phone that is no lead; it names the row of an imported file with that phone, if there is
    one.
    """
    if not rejected:
        return why
    one = rejected[0]
    reason = "" if one.reason == why else f": {one.reason}"
    return (
        f"{why}; row {one.row} below the header of {one.file} ({one.written!r}) was rejected when it was imported on"
        f" {format_moment(one.rejected_at)}{reason or ', for that'}"
    )
