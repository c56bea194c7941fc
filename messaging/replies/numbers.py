"""Changed numbers: a lead goes on under its new phone, without a second message of any step or campaign.

Everything that is stored under the old phone is stored under the new one afterwards (``move_phone_v2`` in SQL). The IDs of
workflows and messages stay as they are: ``key_phone`` keeps the phone that they derive from. If the new phone is a lead
already, the two become one; of two enrollments in one sequence, the new phone's goes on, and passes over what the old
phone has had. The other one rests (``joined_contacts``), and ends with it.

Changes may be reported several times, and in any order: each is kept with its moment (``phone_changes``), and a phone's
owner has the phone at the end of the changes that follow. So a report may show that two leads are not one: a late one, or
the one that closes a circle of changes in which each number is a lead's own, since these leads have exchanged their
numbers. Then they are two again, and each goes on with its own enrollments.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from messaging.common.database import Connection, Record
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
    apart: tuple[str, ...] = ()
    """The phones of leads that had become one with another lead, and are apart again."""


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

# Steps that enrollments of the leads $1 have still to come to, and that have gone, or may have gone, to the same person by
# another enrollment, or to the phone that the person has now.
SELECT_HAD = """
select distinct on (n.id, t.id) n.id as contact, t.id as step, coalesce(n.key_phone, n.phone) as key_phone,
       coalesce(m.went_to, m.recipient_phone) as went_to, o.lead_id = n.lead_id as own
  from sequence_contacts n
 cross join lateral (
       select id from broadcast_messages where recipient_phone = n.phone
       union select id from broadcast_messages where went_to = n.phone
       union select b.id from sequence_contacts x join broadcast_messages b on b.sequence_contact_id = x.id
              where x.lead_id = n.lead_id and x.sequence_id = n.sequence_id) found
  join broadcast_messages m on m.id = found.id
  join sequence_steps t on t.id = m.sequence_stepid and t.sequence_id = n.sequence_id
  join sequence_contacts o on o.id = m.sequence_contact_id
 where n.lead_id = any ($1) and n.status = 'active' and o.id <> n.id
   and m.status in ('sent', 'unconfirmed', 'processing') and not n.timeline -> 'done' ? t.key
   and not exists (select from joined_contacts j where j.contact_id = n.id)
 order by n.id, t.id, o.lead_id = n.lead_id desc
"""

# Each gets a row that says so: no other message of the step can be made for the phone.
LEAVE_OUT = """
insert into broadcast_messages as m
       (id, sequence_stepid, sequence_contact_id, lead_id, recipient_phone, device_id, due_at, status, reason)
select had.id, had.step, c.id, c.lead_id, c.phone, c.device_id, coalesce(c.next_due_at, clock_timestamp()), 'cancelled',
       had.reason
  from unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::text[]) as had (id, step, contact, reason)
  join sequence_contacts c on c.id = had.contact
 where not exists (select from broadcast_messages b
                    where b.sequence_stepid = had.step and b.recipient_phone = c.phone and b.id <> had.id)
    on conflict (id) do update
   set status = excluded.status, reason = excluded.reason, slot_at = null, updated_at = clock_timestamp()
 where is_waiting(m.status) and m.resends = 0
"""

# $1 to $3: a change of numbers that was part of an exchange. Another of our numbers may hear of it some time later.
IS_EXCHANGED = """
select exists (select from exchanged_numbers where old_phone = $1 and new_phone = $2 and changed_at > $3::timestamptz - interval '1 day')
"""

# Ends the circle: each of its numbers is somebody's own.
NOTE_EXCHANGE = """
with circle as (delete from phone_changes where old_phone = any ($1) returning old_phone, new_phone, changed_at)
insert into exchanged_numbers (old_phone, new_phone, changed_at)
select old_phone, new_phone, changed_at from circle
    on conflict (old_phone, new_phone) do update set changed_at = excluded.changed_at
"""

# Nobody has to look at the reports of an exchange any more.
FORGET_REVIEWS = """
update inbound_messages
   set to_review = null
 where kind = 'number_changed' and to_review = 'numbers_joined' and reviewed_at is null and payload = any ($1)
"""

SELECT_JOINED = "select phone from joined_leads where phone = any ($1) order by phone"

# Leads that are part of the lead with the phone $1, but whose owners have another phone, by what is known now.
SELECT_APART = """
select phone, present
  from (select j.phone, present_phone(j.phone) as present
          from joined_leads j
          join leads l on l.id = j.into_lead
          join phone_changes c on c.old_phone = j.phone
         where l.phone = $1) joined
 where present <> $1 and not exists (select from leads where phone = present)
 order by phone
"""

SELECT_LEADS = "select id from leads where phone = any ($1) order by id"

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
    if await connection.fetchval(IS_EXCHANGED, old, new, at):
        return ChangedNumber(old=old, new=new)
    before = await connection.fetchrow(SELECT_WAY, old)
    await connection.execute(NOTE_CHANGE, old, new, at)
    circle: list[str] | None = await connection.fetchval("select exchange_of($1)", old)
    if circle is not None:
        return await _exchange(connection, circle, follow)
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
        apart = await connection.fetch(SELECT_APART, present)
        await _separate(connection, {row["phone"]: row["present"] for row in apart})
        await _leave_out(connection, [present, *(row["present"] for row in apart)])
        await _opt_out(connection, former if changed.news else [], present, follow)
        changed = changed.model_copy(update={"apart": tuple(row["present"] for row in apart)})
    return changed


async def _exchange(connection: Connection, circle: Sequence[str], follow: Follow) -> ChangedNumber:
    """Each lead gets the next number of the circle, which begins with the change that closes it."""
    await connection.execute(LOCK_PHONES, circle)
    following = dict(zip(circle, (*circle[1:], circle[0]), strict=True))
    opt_outs = await connection.fetch(SELECT_OPT_OUTS, circle)
    changed = ChangedNumber(old=circle[0], new=circle[1], news=True)
    changed = await _move(connection, changed.old, changed)
    joined = [row["phone"] for row in await connection.fetch(SELECT_JOINED, circle)]
    await _separate(connection, {phone: following[phone] for phone in joined})
    await connection.execute(NOTE_EXCHANGE, circle)
    await connection.execute(FORGET_REVIEWS, circle)
    await _leave_out(connection, circle)
    for row in opt_outs:
        await _pass_on(connection, row, following[row["phone"]], follow)
    apart = tuple(following[phone] for phone in joined)
    return changed.model_copy(update={"joined": False, "both": (), "apart": apart})


async def _move(connection: Connection, phone: str, changed: ChangedNumber) -> ChangedNumber:
    moved: dict[str, Any] = await connection.fetchval("select move_phone_v2($1, $2)", phone, changed.new)
    return changed.model_copy(
        update={
            "lead": changed.lead or moved["lead"],
            "joined": changed.joined or moved["joined"],
            "contacts": changed.contacts + moved["contacts"],
            "messages": changed.messages + moved["messages"],
            "both": (*changed.both, *(pair["sequence"] for pair in moved["pairs"])),
        }
    )


async def _separate(connection: Connection, phones: Mapping[str, str]) -> None:
    """Makes leads apart of those that had these phones; each gets the phone that stands beside it."""
    for phone, present in phones.items():
        await connection.execute("select separate_lead($1, $2)", phone, present)


async def _leave_out(connection: Connection, phones: Sequence[str]) -> None:
    """Has the enrollments of these phones pass over what their owners have had already, and what those phones have had."""
    leads = [row["id"] for row in await connection.fetch(SELECT_LEADS, phones)]
    await connection.execute("select forget_left_out($1)", leads)
    await connection.execute("select follow_contacts($1)", leads)
    had = await connection.fetch(SELECT_HAD, leads)
    await connection.execute(
        LEAVE_OUT,
        [sequence_message_id(row["step"], row["key_phone"]) for row in had],
        [row["step"] for row in had],
        [row["contact"] for row in had],
        [
            f"it went to {row['went_to']}"
            + (
                ", which its recipient had before"
                if row["own"]
                else " already, when the number was another lead's"
            )
            for row in had
        ],
    )


async def _opt_out(connection: Connection, former: Sequence[str], present: str, follow: Follow) -> None:
    """What was opted out under a former phone is opted out under the present one, unless a later START says otherwise;
    and what is opted out there ends the enrollments that came from a former phone.
    """
    for row in await connection.fetch(SELECT_OPT_OUTS, [*former, present]):
        await _pass_on(connection, row, present, follow)


async def _pass_on(connection: Connection, opt_out: Record, phone: str, follow: Follow) -> None:
    """Opts the phone out as another one is; for that one itself, this ends what has come to it."""
    if opt_out["phone"] == phone or opt_out["inbound_message_id"] is None:
        await record_opt_out(
            connection,
            phone,
            opt_out["reason"],
            source=opt_out["source"],
            category=opt_out["category"],
            evidence=opt_out["inbound_message_id"],
        )
    else:
        await follow(phone, opt_out["inbound_message_id"])
