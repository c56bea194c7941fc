"""One contact of one sequence, found by the sequence's name and the phone."""

from typing import NamedTuple

from messaging.common.database import Connection, Pool, Record
from messaging.leads.forgotten import is_forgotten
from messaging.sequences.contract import EnrollmentStatus
from messaging.sequences.store import find_sequence, no_such_sequence

__all__ = ["Standing", "find_contact", "find_standing", "pause_contact", "resume_contact"]


SELECT_STANDING = """
select exists (select from suppressions o where o.phone = p.phone and o.category in ('all', s.category)) as opted_out,
       s.require_consent and l.consent_at is null as without_consent, c.status, c.reason, c.device_id,
       device_in_use(coalesce(l.device_id, $3, s.device_id, only_device())) as sender, c.workflow_id
  from sequences s
 cross join present_phone($2) as p (phone)
  left join sequence_contacts c on c.sequence_id = s.id and c.phone = p.phone
  left join leads l on l.phone = p.phone
 where s.name = $1
"""

SELECT_CONTACT = """
select c.id, c.status, c.workflow_id, c.paused_reason
  from sequence_contacts c
  join sequences s on s.id = c.sequence_id
 where s.name = $1 and c.phone = (select present_phone($2))
"""

PAUSE_CONTACT = """
update sequence_contacts
   set paused_at = clock_timestamp(), paused_reason = $2, plan_changed_at = clock_timestamp()
 where id = $1 and status = 'active' and paused_at is null
returning true
"""

# One that rests while another enrollment of the same person goes on stays as it is.
RESUME_CONTACT = """
update sequence_contacts c
   set paused_at = null, paused_reason = null, answered_at = null, plan_changed_at = clock_timestamp()
 where id = $1 and status = 'active' and paused_at is not null
   and not exists (select from joined_contacts j where j.contact_id = c.id)
returning true
"""


class Standing(NamedTuple):
    """What the ledger knows of a phone and a sequence. ``status`` is None where there is no enrollment."""

    forgotten: bool
    """The person asked to be forgotten."""
    opted_out: bool
    without_consent: bool
    """The sequence requires consent, and the lead has not given it."""
    status: EnrollmentStatus | None
    reason: str | None
    device_id: str | None
    sender: str | None
    """The device that would write to it, were it enrolled now; None if that is not known."""
    workflow_id: str | None


async def find_standing(
    connection: Connection, sequence: str, phone: str, device: str | None = None
) -> Standing:
    """Reads whether the phone (E.164) is or was in the sequence, and whether it has opted out.

    ``device``: what is given for a lead that belongs to none yet. Raises NotFound.
    """
    if await find_sequence(connection, sequence) is None:
        raise await no_such_sequence(connection, sequence)
    row = await connection.fetchrow(SELECT_STANDING, sequence, phone, device)
    assert row is not None
    return Standing(
        await is_forgotten(connection, phone),
        row["opted_out"],
        row["without_consent"],
        row["status"],
        row["reason"],
        row["device_id"],
        row["sender"],
        row["workflow_id"],
    )


async def find_contact(connection: Connection | Pool, sequence: str, phone: str) -> Record | None:
    """The enrollment of that phone (E.164), past or present: its id, status, workflow_id and paused_reason."""
    return await connection.fetchrow(SELECT_CONTACT, sequence, phone)


async def pause_contact(connection: Connection | Pool, enrollment_id: int, reason: str | None) -> bool:
    """Pauses an active contact from the commit on; False if it is paused already, for its earlier reason."""
    changed = await connection.fetchval(PAUSE_CONTACT, enrollment_id, reason)
    return bool(changed)


async def resume_contact(connection: Connection | Pool, enrollment_id: int) -> bool:
    """Ends a contact's pause; False if it is not paused."""
    changed = await connection.fetchval(RESUME_CONTACT, enrollment_id)
    return bool(changed)
