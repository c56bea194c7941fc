"""Pauses, resumes and stops many contacts at once: each in one transaction, however many there are.

Like the same change of one contact, it holds from its commit on: the claim reads the rows. Their workflows are signalled
afterwards, as ``plan_changed_at`` says (messaging.sending.telling).
"""

from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Literal

from messaging.common.database import Connection, Pool, Record
from messaging.common.errors import NotFound
from messaging.common.phones import quoted
from messaging.common.suggestions import did_you_mean
from messaging.common.transactions import all_or_nothing
from messaging.common.values import Value
from messaging.events.record import say_more
from messaging.selection.fields import STATE, Arguments
from messaging.selection.selection import Selection, require_some, selected_contacts

__all__ = [
    "EXAMPLES",
    "FROM_CONTACTS",
    "ContactCommand",
    "SelectedContact",
    "SelectedContacts",
    "close_returned",
    "contact_ids",
    "count_to_signal",
    "end_contacts",
    "find_contacts",
    "pause_contacts",
    "resume_contacts",
    "stop_contacts",
]

EXAMPLES = 5

ContactCommand = Literal["pause", "resume", "stop", "skip"]

# Which contacts a command changes at all. t: the next step. An enrollment that rests while another one of the same person
# goes on is not resumed.
CONCERNS = {
    "pause": "c.status = 'active' and c.paused_at is null",
    "resume": "c.status = 'active' and c.paused_at is not null"
    " and not exists (select from joined_contacts j where j.contact_id = c.id)",
    "stop": "c.status = 'active'",
    "skip": "c.status = 'active' and t.key = {step}",
}

FROM_CONTACTS = """
  from sequence_contacts c
  join leads l on l.id = c.lead_id
  join sequences s on s.id = c.sequence_id
  left join sequence_steps t on t.id = c.next_step_id
 where {condition}
"""

COUNT_CONTACTS = f"select count(*) {FROM_CONTACTS}"

SELECT_EXAMPLES = f"""
select c.phone, l.name, s.name as sequence, {{state}} as state, t.key as step, c.next_due_at as due_at
{FROM_CONTACTS}
 order by c.next_due_at nulls last, c.id
 limit {EXAMPLES}
"""

SELECT_IDS = f"select c.id {FROM_CONTACTS} order by c.id"

PAUSE_CONTACTS = f"""
with selected as (select c.id {FROM_CONTACTS} order by c.id for no key update of c)
update sequence_contacts c
   set paused_at = clock_timestamp(), paused_reason = $1, plan_changed_at = clock_timestamp()
  from selected
 where c.id = selected.id
returning c.id
"""  # noqa: S608 - constants of this module

RESUME_CONTACTS = f"""
with selected as (select c.id {FROM_CONTACTS} order by c.id for no key update of c)
update sequence_contacts c
   set paused_at = null, paused_reason = null, plan_changed_at = clock_timestamp()
  from selected
 where c.id = selected.id
returning c.id
"""  # noqa: S608 - constants of this module

LOCK_WAITING_MESSAGES = """
select from broadcast_messages
 where sequence_contact_id = any ($1) and is_waiting(status)
 order by id
   for no key update
"""

STOP_CONTACTS = """
with selected as (select id from sequence_contacts where id = any ($1) order by id for no key update)
update sequence_contacts c
   set status = 'stopped', reason = $2, next_step_id = null, next_due_at = null, ended_at = clock_timestamp(),
       plan_changed_at = clock_timestamp()
  from selected
 where c.id = selected.id and c.status = 'active'
returning c.id
"""

# A message that an operator has sent again still goes out.
CLOSE_WAITING_MESSAGES = """
update broadcast_messages m
   set status = 'cancelled', reason = c.reason, slot_at = null, updated_at = clock_timestamp()
  from sequence_contacts c
 where c.id = any ($1) and c.status = 'stopped' and m.sequence_contact_id = c.id and is_waiting(m.status) and m.resends = 0
"""

SELECT_STEPS = """
select distinct t.key
  from sequence_steps t
  join sequences s on s.id = t.sequence_id
 where t.removed_at is null and ($1::text is null or s.name = $1)
 order by t.key
"""

COUNT_TO_SIGNAL = "select count(*) from sequence_contacts where id = any ($1) and plan_changed_at is not null"


class SelectedContact(Value):
    """A contact that a command is about to change."""

    phone: str
    name: str
    sequence: str
    state: str
    step: str | None
    """The step that comes next."""
    due_at: datetime | None


class SelectedContacts(Value):
    """How many contacts a command would change now, and the first ones by their next moment."""

    count: int
    examples: tuple[SelectedContact, ...]
    refused: tuple[str, ...] = ()
    """Why others would not be changed, a line for each reason."""
    stay_paused: int = 0
    """Of a move: people who are paused, and would be so in the other sequence."""


async def find_contacts(
    connection: Connection, command: ContactCommand, selection: Selection, *, step: str | None = None
) -> SelectedContacts:
    """The contacts that the command would change. ``step``: of a skip. Raises FilterError, NotFound and InvalidInput."""
    arguments = Arguments()
    condition = await _condition(connection, command, selection, arguments, step)
    count: int = await connection.fetchval(COUNT_CONTACTS.format(condition=condition), *arguments.values)
    examples = await connection.fetch(
        SELECT_EXAMPLES.format(condition=condition, state=STATE), *arguments.values
    )
    return SelectedContacts(
        count=count, examples=tuple(SelectedContact.model_validate(dict(row)) for row in examples)
    )


async def contact_ids(
    connection: Connection, command: ContactCommand, selection: Selection, *, step: str | None = None
) -> list[int]:
    """The IDs of the enrollments that the command would change."""
    arguments = Arguments()
    condition = await _condition(connection, command, selection, arguments, step)
    return _ids(await connection.fetch(SELECT_IDS.format(condition=condition), *arguments.values))


async def pause_contacts(connection: Connection, selection: Selection, reason: str | None) -> list[int]:
    """Pauses the contacts; answers the IDs of those enrollments. Those that are paused already keep their reason."""
    arguments = Arguments(first=2)
    condition = await _condition(connection, "pause", selection, arguments, None)
    async with connection.transaction():
        await say_more(connection, chosen=selection.words)
        return _ids(
            await connection.fetch(PAUSE_CONTACTS.format(condition=condition), reason, *arguments.values)
        )


async def resume_contacts(connection: Connection, selection: Selection) -> list[int]:
    """Resumes the contacts that are paused; answers the IDs of those enrollments."""
    arguments = Arguments()
    condition = await _condition(connection, "resume", selection, arguments, None)
    async with connection.transaction():
        await say_more(connection, chosen=selection.words)
        return _ids(await connection.fetch(RESUME_CONTACTS.format(condition=condition), *arguments.values))


async def stop_contacts(connection: Connection, selection: Selection, reason: str) -> list[int]:
    """Ends the enrollments and closes their waiting messages; answers the IDs of those enrollments."""
    return await all_or_nothing(connection, partial(_stop, connection, selection, reason))


async def close_returned(pool: Pool, enrollments: Sequence[int]) -> None:
    """Closes what an attempt has given back since the enrollments were stopped."""
    await pool.execute(CLOSE_WAITING_MESSAGES, list(enrollments))


async def count_to_signal(pool: Pool, enrollments: Sequence[int]) -> int:
    """How many of these contacts' workflows do not know yet what has changed."""
    count: int = await pool.fetchval(COUNT_TO_SIGNAL, list(enrollments))
    return count


async def _stop(connection: Connection, selection: Selection, reason: str) -> list[int]:
    selected = await contact_ids(connection, "stop", selection)
    await say_more(connection, chosen=selection.words)
    return await end_contacts(connection, selected, reason)


async def end_contacts(connection: Connection, enrollments: Sequence[int], reason: str) -> list[int]:
    """Ends these enrollments as stopped, and closes their waiting messages, in the caller's transaction; answers which ones
    were still active.
    """
    # Messages are locked before enrollments, as everywhere.
    await connection.execute(LOCK_WAITING_MESSAGES, list(enrollments))
    stopped = _ids(await connection.fetch(STOP_CONTACTS, list(enrollments), reason))
    await connection.execute(CLOSE_WAITING_MESSAGES, stopped)
    return stopped


async def _condition(
    connection: Connection,
    command: ContactCommand,
    selection: Selection,
    arguments: Arguments,
    step: str | None,
) -> str:
    require_some(selection)
    concerns = CONCERNS[command]
    if step is not None:
        await _check_step(connection, step, selection.sequence)
        concerns = concerns.format(step=arguments.add(step, "text"))
    return f"{concerns} and ({await selected_contacts(connection, selection, arguments)})"


async def _check_step(connection: Connection, step: str, sequence: str | None) -> None:
    """Raises NotFound if no sequence, or not this one, has such a step."""
    steps = [row["key"] for row in await connection.fetch(SELECT_STEPS, sequence)]
    if step not in steps:
        where = f"sequence {sequence} has no step" if sequence is not None else "no sequence has a step"
        hint = did_you_mean(step, steps)
        raise NotFound(f"{where} {quoted(step)}" + (f": {hint}" if hint else ""))


def _ids(rows: Sequence[Record]) -> list[int]:
    return [row["id"] for row in rows]
