"""Makes a lead a contact of a sequence, by creating its row."""

from messaging.common.database import Connection, Record
from messaging.common.errors import Conflict
from messaging.leads.forgotten import ASKED, is_forgotten
from messaging.leads.lead import Lead
from messaging.leads.store import consent_columns
from messaging.sequences.contract import NotEnrolled
from messaging.sequences.next_step import due_of, position_of
from messaging.sequences.plans import Plans
from messaging.times.calendar import Due, begin, next_due

__all__ = [
    "UNOWNED",
    "WITHOUT_CONSENT",
    "find_enrollment",
    "insert_enrollment",
    "no_device",
    "why_not",
    "why_paused",
]

UNOWNED = ""
"""The run of an enrollment whose workflow is gone: the first run of a new one takes it."""

WITHOUT_CONSENT = "the sequence requires consent, and the lead has not given it, or has taken it back"

_SHOWN = 5
"""Devices that are named, at most."""

# Under the present phone $2, or under the one that was given, $3, by which the workflow is named. The one that the run
# $4 owns comes first.
SELECT_ENROLLMENT = """
select id, phone, run_id, status, reason, device_id
  from sequence_contacts
 where sequence_id = $1 and (phone in ($2, $3) or key_phone = $3)
 order by run_id = $4 desc, phone = $2 desc
 limit 1
"""

# device_id: the lead's own device, else the sequence's ($2), else the only device.
SELECT_LEAD = """
select phone, time_zone, device_in_use(coalesce(device_id, $2, only_device())) as device_id
  from leads
 where id = $1
"""

# $2: the category of the messages; $3 to $6: what is said about consent with the enrollment.
SELECT_WHY_NOT = """
select exists (select from suppressions where phone = $1 and category in ('all', $2)) as opted_out,
       (select c.consent_at is not null
          from (select 1) one
          left join leads l on l.phone = $1
         cross join lateral consent_after(l, $3, $4, $5, $6) c) as consents
"""

INSERT_ENROLLMENT = """
insert into sequence_contacts (sequence_id, lead_id, phone, device_id, workflow_id, run_id,
                               timeline, plan_revision, next_step_id, next_due_at, enrolled_at, key_phone,
                               paused_at, paused_reason)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, nullif($12, $3), $13, $14)
    on conflict (sequence_id, phone) do nothing
returning id, phone, run_id, status, reason, device_id
"""


async def find_enrollment(
    connection: Connection, sequence_id: int, phone: str, given: str, run_id: str
) -> Record | None:
    """The row of this phone in this sequence, whatever its status. ``given``: the phone that the run was started for, if the
    lead has another one since. A row that no run owns is this run's from here on.
    """
    found = await connection.fetchrow(SELECT_ENROLLMENT, sequence_id, phone, given, run_id)
    if found is None or found["run_id"] != UNOWNED:
        return found
    await connection.execute(
        "update sequence_contacts set run_id = $2 where id = $1 and run_id = $3", found["id"], run_id, UNOWNED
    )
    return await connection.fetchrow(SELECT_ENROLLMENT, sequence_id, phone, given, run_id)


async def why_not(
    connection: Connection, lead: Lead, category: str, *, require_consent: bool
) -> NotEnrolled | None:
    """Why this lead cannot be enrolled now: it has opted out of messages of this category, or has not consented where that
    is required, or is to be forgotten. None if it can.
    """
    if await is_forgotten(connection, lead.phone):
        return NotEnrolled(reason=ASKED)
    row = await connection.fetchrow(SELECT_WHY_NOT, lead.phone, category, *consent_columns(lead))
    assert row is not None
    if row["opted_out"]:
        return NotEnrolled(reason="the recipient has opted out")
    if require_consent and not row["consents"]:
        return NotEnrolled(because="without_consent", reason=WITHOUT_CONSENT)
    return None


async def no_device(connection: Connection, phone: str) -> Conflict:
    """The error that it is not known which device is to write to the phone, and what to do about it."""
    rows = await connection.fetch("select id from devices where replaced_by is null order by id")
    if not rows:
        return Conflict(
            f"there is no device to write to {phone} from: add one with 'device add ID --gateway NAME'"
        )
    shown = ", ".join(row["id"] for row in rows[:_SHOWN]) + (", …" if len(rows) > _SHOWN else "")
    return Conflict(f"{phone} has no device, and there are {len(rows)} ({shown}): name one with --device")


async def insert_enrollment(
    connection: Connection,
    plans: Plans,
    sequence: Record,
    lead_id: int,
    workflow_id: str,
    run_id: str,
    key_phone: str,
    wanted: Record | None = None,
) -> tuple[Record, Due | None]:
    """The contact's row, and its first step if the row is new.

    ``sequence``: its id, name, device_id and revision, and the moment ``now``. ``key_phone``: the phone that workflow and
    message IDs derive from. ``wanted``: the row by which the enrollment was asked for; if the contact was moved while it was paused,
    it is paused from the beginning. Raises Conflict if no device can be found.
    """
    lead = await connection.fetchrow(SELECT_LEAD, lead_id, sequence["device_id"])
    assert lead is not None
    if lead["device_id"] is None:
        raise await no_device(connection, lead["phone"])
    plan = await plans.of(sequence["id"], sequence["revision"], connection)
    timeline = begin(plan, lead["time_zone"], sequence["now"])
    scheduled = next_due(plan, timeline, sequence["now"])
    position = position_of(plan, timeline, scheduled, key_phone)
    row = await connection.fetchrow(
        INSERT_ENROLLMENT,
        sequence["id"],
        lead_id,
        lead["phone"],
        lead["device_id"],
        workflow_id,
        run_id,
        position.timeline.model_dump(mode="json"),
        position.plan_revision,
        position.next_step_id,
        position.next_due_at,
        sequence["now"],
        key_phone,
        wanted and wanted["paused_at"],
        wanted and wanted["paused_reason"],
    )
    if row is not None:
        due = due_of(plan, timeline, scheduled, row["device_id"], sequence["now"])
        return row, due and due.model_copy(update={"paused": wanted and why_paused(wanted)})
    row = await find_enrollment(connection, sequence["id"], lead["phone"], key_phone, run_id)
    assert row is not None, "another run came first"
    return row, None


def why_paused(row: Record) -> str | None:
    """The reason of a pause, by the columns ``paused_at`` and ``paused_reason``; None if there is no pause."""
    return (row["paused_reason"] or "paused by an operator") if row["paused_at"] is not None else None
