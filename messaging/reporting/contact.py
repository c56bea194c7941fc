"""Everything about one phone: its lead, its enrollments and its messages, both ways."""

from collections.abc import Sequence
from datetime import datetime

from messaging.common.counts import count_of
from messaging.common.database import Pool, Record
from messaging.common.errors import NotFound
from messaging.common.phones import quoted
from messaging.common.values import Value
from messaging.leads.csv_rejects import RejectedLead, rejects_of
from messaging.replies.inbox import InboundReport, inbound_of_phone
from messaging.reporting.messages import MessageReport, messages_to
from messaging.sequences.refused import RefusedEnrollment, refused_enrollments

__all__ = ["ContactReport", "EnrollmentReport", "contact_report", "no_lead"]


class EnrollmentReport(Value):
    """One enrollment; ``next_step`` and ``due_at`` while it is active."""

    sequence: str
    status: str
    reason: str | None
    paused_at: datetime | None
    """When the contact was paused; it gets nothing until it is resumed."""
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
    """The lead's time zone, else that of its enrollments, else UTC."""
    attributes: dict[str, str]
    opted_out_at: datetime | None
    opted_out_because: str | None = None
    """The reason of the opt-out; None if none was given."""
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


LAST_REPLIES = 5
"""How many messages of a phone that is no lead are shown."""

SELECT_LEAD = "select * from leads where phone = $1"

# sources: who opted the phone out.
SELECT_OPT_OUT = """
select min(created_at) as opted_out_at, string_agg(source, ', ' order by created_at, source) as sources,
       string_agg(nullif(reason, 'opted out'), '; ' order by created_at, source) as opted_out_because
  from suppressions
 where phone = $1
"""

SELECT_ENROLLMENTS = """
select s.name as sequence, c.status, c.reason, c.enrolled_at,
       case when c.status = 'active' then c.paused_at end as paused_at,
       case when c.status = 'active' then c.paused_reason end as paused_reason,
       c.ended_at, t.key as next_step, c.next_due_at as due_at, c.timeline ->> 'zone' as zone, c.workflow_id
  from sequence_contacts c
  join sequences s on s.id = c.sequence_id
  left join sequence_steps t on t.id = c.next_step_id
 where c.phone = $1
 order by c.enrolled_at, c.id
"""

SELECT_SEQUENCES_OF_TRIGGERS = """
select name, status, device_id
  from sequences
 where trigger = any ($1)
 order by status, name
"""


async def contact_report(pool: Pool, phone: str, written: str) -> ContactReport:
    """Everything about this phone, in E.164, as it was asked for. Raises NotFound."""
    rejected = await rejects_of(pool, phone, written)
    refused = await refused_enrollments(pool, phone)
    lead = await pool.fetchrow(SELECT_LEAD, phone)
    opt_out = await pool.fetchrow(SELECT_OPT_OUT, phone)
    assert opt_out is not None, "an aggregate has a row"
    if lead is None:
        known = [no_lead(f"there is no lead with the phone {phone}", rejected)]
        if opt_out["opted_out_at"] is not None:
            why = f": {opt_out['opted_out_because']}" if opt_out["opted_out_because"] else ""
            known.append(
                f"the phone opted out on {opt_out['opted_out_at']:%d %b %Y %H:%M} UTC ({opt_out['sources']}{why}), and gets nothing"
            )
        known += [
            f"its enrollment in {one.sequence} was refused on {one.refused_at:%d %b %Y %H:%M} UTC: {one.reason}"
            for one in refused
        ]
        known += _replies(await inbound_of_phone(pool, phone))
        raise NotFound("; ".join(known))
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
        else await _why_not_enrolled(pool, lead, opted_out=opt_out["opted_out_at"] is not None),
        name=lead["name"],
        niches=tuple(lead["niches"]),
        triggers=tuple(lead["triggers"]),
        target_status=lead["target_status"],
        device=lead["device_id"],
        time_zone=lead["time_zone"],
        attributes=lead["attributes"],
        opted_out_at=opt_out["opted_out_at"],
        opted_out_because=opt_out["opted_out_because"],
        enrollments=tuple(EnrollmentReport.model_validate(dict(row)) for row in enrollments),
        messages=tuple(await messages_to(pool, phone)),
        inbound=tuple(await inbound_of_phone(pool, phone)),
    )


def _replies(inbound: Sequence[InboundReport]) -> list[str]:
    """What a phone that is no lead has written, the last few with their words."""
    written = [one for one in inbound if not one.from_me]
    if not written:
        return []
    last = ", ".join(
        f"{one.sent_at:%d %b %Y %H:%M} UTC: {quoted(one.text or one.payload or one.kind)}"
        for one in written[-LAST_REPLIES:]
    )
    count = count_of(len(written), "message came", "messages came")
    return [f"{count} from it{', the last' if len(written) > LAST_REPLIES else ''} ({last})"]


async def _why_not_enrolled(pool: Pool, lead: Record, *, opted_out: bool) -> str:
    """For a lead that was never in a sequence: what keeps the sweep from enrolling it, or that nothing does."""
    never, by_hand = "Never enrolled in a sequence", f"'enroll SEQUENCE {lead['phone']}' enrolls by hand"
    if opted_out:
        return f"{never}: opted out."
    if not lead["triggers"]:
        return f"{never}: the lead bears no trigger; {by_hand}."
    sequences = await pool.fetch(SELECT_SEQUENCES_OF_TRIGGERS, lead["triggers"])
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
    """The sentence about a phone that is no lead; it names the row of an imported file with that phone, if there is
    one.
    """
    if not rejected:
        return why
    one = rejected[0]
    reason = "" if one.reason == why else f": {one.reason}"
    return (
        f"{why}; row {one.row} of {one.file} ({one.written!r}) was rejected when it was imported on"
        f" {one.rejected_at:%d %b %Y %H:%M} UTC{reason or ', for that'}"
    )
