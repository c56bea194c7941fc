"""Moves contacts to another sequence: the old enrollments end and the new ones are wanted in one transaction.

A new enrollment is begun by its own workflow (messaging.sequences.wanted), like one that an inbound message asks for. A
contact that could not begin the other sequence stays where it is; one that is paused is paused there, too, for the same
reason.
"""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

from messaging.common.database import Connection, Pool
from messaging.common.transactions import all_or_nothing
from messaging.events.record import say_more
from messaging.selection.contacts import (
    EXAMPLES,
    FROM_CONTACTS,
    SelectedContact,
    SelectedContacts,
    end_contacts,
)
from messaging.selection.fields import STATE, Arguments
from messaging.selection.selection import Selection, require_some, selected_contacts
from messaging.sequences.store import find_sequence, no_such_sequence

__all__ = ["ChangedOver", "change_over", "count_wanted", "find_to_change_over"]

# Of a contact c in another sequence than x; of enrollments that rest while another one of the same person goes on, none.
CONCERNED = """c.status = 'active' and s.id <> x.id
   and not exists (select from joined_contacts j where j.contact_id = c.id)"""

# Why the contact c with the lead l cannot begin the sequence x; null if it can.
WHY_NOT = """
case when exists (select from suppressions o where o.phone = c.phone and o.category in ('all', x.category))
          then 'opted out of such messages'
     when x.require_consent and l.consent_at is null then 'the sequence requires consent'
     when exists (select from sequence_contacts e where e.sequence_id = x.id and e.phone = c.phone)
          or exists (select from sequence_contacts e where e.sequence_id = x.id and e.key_phone = c.phone)
          then 'in that sequence before'
     when device_in_use(coalesce(l.device_id, x.device_id, only_device())) is null then 'no device to write from'
end"""

SELECT_CONTACTS = f"""
select c.id, c.phone, l.name, s.name as sequence, {STATE} as state, t.key as step, c.next_due_at as due_at, w.why,
       c.paused_at is not null as paused
{FROM_CONTACTS.replace(" where {condition}", "")}
  join sequences x on x.name = $1
 cross join lateral (select {WHY_NOT} as why) w
 where {CONCERNED} and {{condition}}
"""

COUNT = """
with found as materialized ({found})
select why, count(*) as n, count(distinct phone) filter (where paused) as paused from found group by why order by why nulls first
"""

EXAMPLES_OF = f"""
with found as materialized ({{found}})
select phone, name, sequence, state, step, due_at from found where why is null order by due_at nulls last, id limit {EXAMPLES}
"""  # noqa: S608 - constants of this module

# A person stays paused if any of the enrollments that end is paused.
WANT = """
insert into wanted_enrollments as w (sequence_id, phone, paused_at, paused_reason)
select distinct on (c.phone) x.id, c.phone, c.paused_at, c.paused_reason
  from sequence_contacts c
  join sequences x on x.name = $2
 where c.id = any ($1)
 order by c.phone, c.paused_at nulls last
    on conflict (sequence_id, phone) do update
   set paused_at = coalesce(w.paused_at, excluded.paused_at),
       paused_reason = case when w.paused_at is null then excluded.paused_reason else w.paused_reason end
returning paused_at is not null as paused
"""

COUNT_WANTED = """
select count(*) from wanted_enrollments w join sequences s on s.id = w.sequence_id where s.name = $1 and w.phone = any ($2)
"""


class ChangedOver(NamedTuple):
    """What was moved. ``enrollments``: those that ended."""

    enrollments: list[int]
    phones: list[str]
    refused: tuple[str, ...]
    """Why contacts stay where they are, a line for each reason."""
    paused: int
    """People who were paused, and stay so."""


async def find_to_change_over(connection: Connection, selection: Selection, to: str) -> SelectedContacts:
    """The contacts that a move to the sequence ``to`` would concern. Raises FilterError, NotFound and InvalidInput."""
    found, values = await _found(connection, selection, to)
    counts = await connection.fetch(COUNT.format(found=found), *values)
    examples = await connection.fetch(EXAMPLES_OF.format(found=found), *values)
    return SelectedContacts(
        count=sum(row["n"] for row in counts if row["why"] is None),
        examples=tuple(SelectedContact.model_validate(dict(row)) for row in examples),
        refused=_refused([(row["why"], row["n"]) for row in counts]),
        stay_paused=sum(row["paused"] for row in counts if row["why"] is None),
    )


async def change_over(connection: Connection, selection: Selection, to: str, reason: str) -> ChangedOver:
    """Ends the enrollments and notes the new ones, all or nothing. Raises as find_to_change_over does."""
    return await all_or_nothing(connection, partial(_change_over, connection, selection, to, reason))


async def count_wanted(pool: Pool, sequence: str, phones: Sequence[str]) -> int:
    """How many of these phones no worker has enrolled in the sequence yet."""
    count: int = await pool.fetchval(COUNT_WANTED, sequence, list(phones))
    return count


async def _change_over(connection: Connection, selection: Selection, to: str, reason: str) -> ChangedOver:
    found, values = await _found(connection, selection, to)
    rows = await connection.fetch(f"select id, phone, why from ({found}) found order by id", *values)  # noqa: S608
    await say_more(connection, chosen=selection.words, to=to)
    ended = await end_contacts(connection, [row["id"] for row in rows if row["why"] is None], reason)
    wanted = await connection.fetch(WANT, ended, to)
    counts: dict[str, int] = {}
    for row in rows:
        if row["why"] is not None:
            counts[row["why"]] = counts.get(row["why"], 0) + 1
    moved = set(ended)
    phones = sorted({row["phone"] for row in rows if row["id"] in moved})
    return ChangedOver(ended, phones, _refused(sorted(counts.items())), sum(row["paused"] for row in wanted))


async def _found(connection: Connection, selection: Selection, to: str) -> tuple[str, list[object]]:
    """The query of the contacts that are concerned, with its values."""
    require_some(selection)
    if await find_sequence(connection, to) is None:
        raise await no_such_sequence(connection, to)
    arguments = Arguments(first=2)
    condition = await selected_contacts(connection, selection, arguments)
    return SELECT_CONTACTS.format(condition=f"({condition})"), [to, *arguments.values]


def _refused(counts: Sequence[tuple[str | None, int]]) -> tuple[str, ...]:
    return tuple(f"{n:,} stay where they are: {why}" for why, n in counts if why is not None)
