"""Changed numbers: a lead goes on under its new phone, without a second message of any step or campaign.

Everything that is stored under the old phone is stored under the new one afterwards (``move_phone`` in SQL). The IDs of
workflows and messages stay as they are: ``key_phone`` keeps the phone that they derive from. If the new phone is a lead
already, the two become one; of two enrollments in one sequence, the new phone's goes on, and passes over what the old
phone has had.

Changes may be reported several times, and in any order: each is kept with its moment (``phone_changes``), and a phone's
owner has the phone at the end of the changes that follow.
"""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Any

from messaging.common.database import Connection
from messaging.common.values import Value
from messaging.leads.opt_outs import record_opt_out
from messaging.sending.message_ids import sequence_message_id

__all__ = ["ChangedNumber", "change_number", "free_number", "has_written_since"]

Follow = Callable[[str, int], Awaitable[object]]
"""Acts for this phone on a stored message that says stop."""


class ChangedNumber(Value):
    """What a change of numbers has moved."""

    old: str
    new: str
    """The phone at the end of the changes that are known."""
    news: bool = False
    """False if the change was known."""
    lead: bool = False
    """True if a lead had the old phone."""
    joined: bool = False
    """True if a lead had the new phone too: the two are one now."""
    contacts: int = 0
    """Enrollments that go on, or are kept, under the new phone."""
    messages: int = 0
    """Messages of the ledger that count for the new phone now."""
    both: tuple[str, ...] = ()
    """Sequences in which both phones were: the enrollment of the new one goes on."""


LOCK_PHONES = "select pg_advisory_xact_lock(phone_lock(phone)) from (select unnest($1::text[]) as phone order by 1) phones"

NOTE_CHANGE = """
insert into phone_changes as c (old_phone, new_phone, changed_at)
values ($1, $2, least($3, clock_timestamp()))
on conflict (old_phone) do update
   set new_phone = excluded.new_phone, changed_at = excluded.changed_at
 where c.changed_at < excluded.changed_at
"""

# The phones that the owner of $1 has had, with the present one apart.
SELECT_WAY = """
select present_phone($1) as present, array_remove(former_phones(present_phone($1)), present_phone($1)) as former
"""

# An import that ran while the phone changed may have stored the old one again.
IS_LEFT_BEHIND = "select exists (select from leads where phone = any ($1))"

# Steps that the old phone has had, or may have had, and that the enrollment of the new phone has still to come to.
SELECT_HAD = """
select n.id as contact, m.sequence_stepid as step, coalesce(n.key_phone, n.phone) as key_phone
  from unnest($1::bigint[], $2::bigint[]) as pair (old, new)
  join sequence_contacts n on n.id = pair.new and n.status = 'active'
  join broadcast_messages m on m.sequence_contact_id = pair.old and m.status in ('sent', 'unconfirmed', 'processing')
  join sequence_steps t on t.id = m.sequence_stepid
 where not n.timeline -> 'done' ? t.key
 order by n.id, m.sequence_stepid
"""

# Each gets a row that says so: no other message of the step can be made for the phone.
LEAVE_OUT = """
insert into broadcast_messages as m
       (id, sequence_stepid, sequence_contact_id, lead_id, recipient_phone, device_id, due_at, status, reason)
select had.id, had.step, c.id, c.lead_id, c.phone, c.device_id, coalesce(c.next_due_at, clock_timestamp()), 'cancelled',
       'it went to ' || $4 || ', which its recipient had before'
  from unnest($1::uuid[], $2::bigint[], $3::bigint[]) as had (id, step, contact)
  join sequence_contacts c on c.id = had.contact
    on conflict (id) do update
   set status = excluded.status, reason = excluded.reason, slot_at = null, updated_at = clock_timestamp()
 where is_waiting(m.status) and m.resends = 0
"""

SELECT_OPT_OUTS = """
select phone, source, category, reason, inbound_message_id
  from suppressions
 where phone = any ($1)
 order by created_at, phone, source
"""

# A message that came from the phone $1 itself, and is stored for it or for $4. One that is known to be the sender's by
# another name says nothing.
HAS_WRITTEN_SINCE = """
select exists (select from inbound_messages
                where phone in ($1, $4) and sent_at > $2 and not from_me
                  and kind not in ('number_changed', 'user_id_changed', 'preference')
                  and (identities && $3::text[]
                       or phone = $1 and not exists (select from unnest(identities) name where name like 'wa_id:%')))
"""

FREE_NUMBER = """
with freed as (
    delete from phone_changes where old_phone = $1 and changed_at < $2 returning old_phone
)
delete from identities where identity = any ($3) and exists (select from freed)
"""


async def has_written_since(
    connection: Connection, phone: str, names: Sequence[str], at: datetime, *, lead: str
) -> bool:
    """True if a message was sent from the phone after ``at``: somebody has it, whoever left it. ``names``: the gateway's for
    the phone; ``lead``: the phone under which its messages are stored.
    """
    wrote: bool = await connection.fetchval(HAS_WRITTEN_SINCE, phone, at, _numbers(names), lead)
    return wrote


async def free_number(connection: Connection, phone: str, names: Sequence[str], at: datetime) -> None:
    """Notes that the phone has an owner again, who sent a message at ``at``: it does not stand for the phone of the former
    owner any more.
    """
    await connection.execute(FREE_NUMBER, phone, at, _numbers(names))


def _numbers(names: Sequence[str]) -> list[str]:
    """Those names that stay with the number. Others stay with the person."""
    return [name for name in names if name.startswith("wa_id:")]


async def change_number(
    connection: Connection, old: str, new: str, at: datetime, follow: Follow
) -> ChangedNumber:
    """The owner of ``old`` has the phone ``new`` since ``at``: moves what is stored, in the caller's transaction.

    ``follow``: acts on a stop for the new phone. Repeating it changes nothing. Phones are E.164.
    """
    await connection.execute(LOCK_PHONES, [old, new])
    before = await connection.fetchrow(SELECT_WAY, old)
    await connection.execute(NOTE_CHANGE, old, new, at)
    way = await connection.fetchrow(SELECT_WAY, old)
    assert before is not None
    assert way is not None
    present, former = way["present"], [old, *(phone for phone in way["former"] if phone != old)]
    changed = ChangedNumber(old=old, new=present, news=before["present"] != present)
    if present == old:
        return changed
    await connection.execute(LOCK_PHONES, [present, *former])
    if changed.news or await connection.fetchval(IS_LEFT_BEHIND, former):
        for phone in former:
            changed = await _move(connection, phone, changed)
        await _opt_out(connection, former if changed.news else [], present, follow)
    return changed


async def _move(connection: Connection, phone: str, changed: ChangedNumber) -> ChangedNumber:
    moved: dict[str, Any] = await connection.fetchval("select move_phone($1, $2)", phone, changed.new)
    pairs = moved["pairs"]
    had = await connection.fetch(SELECT_HAD, [pair["old"] for pair in pairs], [pair["new"] for pair in pairs])
    await connection.execute(
        LEAVE_OUT,
        [sequence_message_id(row["step"], row["key_phone"]) for row in had],
        [row["step"] for row in had],
        [row["contact"] for row in had],
        phone,
    )
    return changed.model_copy(
        update={
            "lead": changed.lead or moved["lead"],
            "joined": changed.joined or moved["joined"],
            "contacts": changed.contacts + moved["contacts"],
            "messages": changed.messages + moved["messages"],
            "both": (*changed.both, *(pair["sequence"] for pair in pairs)),
        }
    )


async def _opt_out(connection: Connection, former: Sequence[str], present: str, follow: Follow) -> None:
    """What was opted out under a former phone is opted out under the present one, unless a later START says otherwise;
    and what is opted out there ends the enrollments that came from a former phone.
    """
    for row in await connection.fetch(SELECT_OPT_OUTS, [*former, present]):
        if row["phone"] == present or row["inbound_message_id"] is None:
            await record_opt_out(
                connection,
                present,
                row["reason"],
                source=row["source"],
                category=row["category"],
                evidence=row["inbound_message_id"],
            )
        else:
            await follow(present, row["inbound_message_id"])
