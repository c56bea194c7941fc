"""Forgets a person: first nothing more is sent to them or stored of them, then what is there is erased.

Two transactions. The first one makes the tombstones, opts the person out, ends their enrollments, and notes what is still
to be erased. Once no attempt holds a message of theirs, the second one erases it. A process that dies in between leaves the
row of ``erasures``, which the recovery goes on with, or whoever asks again.
"""

import re
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple
from uuid import uuid4

from messaging.common.database import Connection, Pool
from messaging.common.errors import Conflict
from messaging.common.transactions import all_or_nothing
from messaging.events.record import note
from messaging.leads.forgotten import ASKED, bury, find_tombstone, unbury
from messaging.leads.opt_outs import suppress_waiting
from messaging.leads.phone_changes import present_phone
from messaging.privacy.person import Person, Workflow, find_person, parents_of, workflows_of
from messaging.privacy.tables import TABLES

__all__ = ["Begun", "Erasure", "begin", "erase", "open_erasures", "settle", "take_back", "with_arguments"]

LOCK_PERSON = """
select pg_advisory_xact_lock(inbound_lock(name)) from unnest($1::text[]) name order by name
"""

LOCK_PHONES = "select pg_advisory_xact_lock(phone_lock(phone)) from unnest($1::text[]) phone order by phone"

# An opt-out of before stays as it is.
OPT_OUT = """
insert into suppressions as s (phone, source, category, reason, signalled_at)
select phone, 'operator', 'all', $2, clock_timestamp() from unnest($1::text[]) phone order by phone
    on conflict (phone, source) do update set category = 'all' where s.category <> 'all'
"""

END_ENROLLMENTS = """
update sequence_contacts
   set status = 'stopped', reason = 'forgotten', next_step_id = null, next_due_at = null, ended_at = clock_timestamp(),
       plan_changed_at = null
 where id = any ($1) and status = 'active'
"""

CLOSE_WAITING = """
update broadcast_messages
   set status = 'suppressed', reason = 'forgotten', slot_at = null, updated_at = clock_timestamp()
 where id = any ($1) and is_waiting(status)
"""

INSERT_ERASURE = """
insert into erasures (person, phones, names, workflows)
values ($1, $2, $3, $4)
"""

SELECT_OPEN = """
select person, phones, names, workflows, erased_at is not null as erased
  from erasures
 where $1::text is null or person = $1
 order by asked_at
 limit 20
"""

SELECT_HELD = "select count(*) from broadcast_messages where id = any ($1) and status = 'processing'"

RENAME_MESSAGES = """
update broadcast_messages m set id = n.new from unnest($1::uuid[], $2::uuid[]) n (old, new) where m.id = n.old
"""

RENAME_IN_EVENTS = """
update events e set message_id = n.new from unnest($1::uuid[], $2::uuid[]) n (old, new) where e.message_id = n.old
"""

# What forgetting itself has noted about them.
FORGET_ACTS = """
delete from events
 where phone = any ($1) and reason in ('forgotten', $2) and kind in ('contact.stopped', 'opt_out.added')
"""


DELETE_ROWS = "delete from {table} t where {whose}"

UPDATE_ROWS = "update {table} t set {values} where {whose}"

# $1: patterns.
SELECT_MENTIONS = "select ctid, {column} from {table} where {column}::text like any ($1) for update"

SET_MENTION = "update {table} set {column} = $2 where ctid = $1"

# A gateway may have named them where it refused a message.
SCRUB_NAME = """
update broadcast_messages
   set reason = replace(reason, $1, $2)
 where recipient_phone like $2 || '%' and position($1 in reason) > 0
"""

SHORTEST_NAME = 3
"""Characters of a name that is replaced among other words. A shorter one would be found in the middle of words."""


class Begun(NamedTuple):
    """The result of the first transaction."""

    person: str
    """The word that stands for them from here on."""
    new: bool
    """False if they were forgotten before."""


class Erasure(NamedTuple):
    """What is still to be erased. ``erased``: the ledger is done."""

    person: str
    phones: list[str]
    names: list[str]
    workflows: list[str]
    erased: bool


class Locked(Exception):
    """Something is being stored in a long transaction, such as an import."""


async def begin(connection: Connection, phone: str, ids_of: Callable[[Workflow], Iterable[str]]) -> Begun:
    """From its commit on, nothing begins to be sent to the person with this phone (E.164), and nothing is stored of them.

    ``ids_of``: the IDs that a workflow may have. Raises Locked while a transaction runs that may have stored something of them. Do not call it in a transaction.
    """

    async def work() -> Begun:
        person = await find_person(connection, phone)
        await connection.execute(LOCK_PERSON, sorted(person.all_names))
        await connection.execute(LOCK_PHONES, sorted(person.phones))
        await connection.execute("select pg_advisory_xact_lock(audience_lock())")
        if not await connection.fetchval("select pg_try_advisory_xact_lock(forget_lock())"):
            raise Locked
        known = await find_tombstone(connection, phone)
        if known is not None:
            return Begun(known.person, new=False)
        # The locks may have been waited for.
        person = await find_person(connection, await present_phone(connection, phone))
        word = f"forgotten-{secrets.token_hex(6)}"
        await connection.execute(OPT_OUT, person.phones, ASKED)
        await suppress_waiting(connection, person.phones)
        await connection.execute(CLOSE_WAITING, person.messages)
        await connection.execute("delete from wanted_enrollments where phone = any ($1)", person.phones)
        await connection.execute(END_ENROLLMENTS, person.enrollments)
        own = [name for one in await workflows_of(connection, person) for name in ids_of(one)]
        workflows = sorted({*own, *await parents_of(connection, person)})
        await connection.execute(INSERT_ERASURE, word, person.phones, person.names, workflows)
        await bury(connection, person.all_names, word)
        await note(connection, "contact.forgotten", phone=word)
        return Begun(word, new=True)

    return await all_or_nothing(connection, work)


async def open_erasures(pool: Pool, person: str | None = None) -> list[Erasure]:
    """What is still to be erased, of everybody or of one person; the oldest first."""
    return [Erasure(**dict(row)) for row in await pool.fetch(SELECT_OPEN, person)]


async def erase(connection: Connection, erasure: Erasure) -> bool:
    """Erases what the ledger holds of the person, all or nothing; False while an attempt holds a message of theirs.

    Do not call it in a transaction.
    """

    async def work() -> bool:
        await connection.execute("set local statement_timeout = 0")  # it reads whole tables
        open_still = await connection.fetchval(
            "select true from erasures where person = $1 and erased_at is null for update", erasure.person
        )
        if not open_still:
            return True
        person = await find_person(connection, erasure.phones[0], erasure.phones, erasure.names)
        await connection.execute(
            "select from broadcast_messages where id = any ($1) order by id for update", person.messages
        )
        if await connection.fetchval(SELECT_HELD, person.messages):
            return False
        await connection.execute(CLOSE_WAITING, person.messages)  # also what an attempt gave back meanwhile
        names = [
            row["name"]
            for row in await connection.fetch("select name from leads where id = any ($1)", person.leads)
        ]
        await _erase_rows(connection, person, erasure.person)
        await _scrub(connection, person, erasure.person, names)
        await connection.execute(
            "update erasures set erased_at = clock_timestamp() where person = $1", erasure.person
        )
        return True

    return await all_or_nothing(connection, work)


async def _erase_rows(connection: Connection, person: Person, word: str) -> None:
    await connection.execute(FORGET_ACTS, person.phones, ASKED)
    await connection.execute(
        "delete from suppressions where phone = any ($1) and reason = $2", person.phones, ASKED
    )
    await connection.execute(
        "delete from events where phone = any ($1) and kind = 'opt_out.removed' and act = nullif(current_setting('drumbeat.act', true), '')::bigint",
        person.phones,
    )
    renamed = [uuid4() for _ in person.messages]
    await connection.execute(RENAME_MESSAGES, person.messages, renamed)
    await connection.execute(RENAME_IN_EVENTS, person.messages, renamed)
    person = person._replace(messages=renamed)
    words = {
        phone: word if place == 0 else f"{word}-{place + 1}"
        for place, phone in enumerate(dict.fromkeys([*person.phones, *person.recipients]))
    } | {"": word}
    # What refers to another row goes before it.
    for name in sorted(TABLES, key=lambda name: ORDER.index(name) if name in ORDER else -1):
        table = TABLES[name]
        if table.whose == "false":
            continue
        if table.erased == "row":
            await _of(connection, DELETE_ROWS.format(table=name, whose=table.whose), person, words)
        else:
            assert isinstance(table.erased, Mapping)
            values = ", ".join(f"{column} = {value}" for column, value in table.erased.items())
            await _of(
                connection, UPDATE_ROWS.format(table=name, values=values, whose=table.whose), person, words
            )


ORDER = ("inbound_messages", "broadcast_messages", "sequence_contacts", "leads")
"""The tables that are changed last, in this order."""


async def _of(connection: Connection, statement: str, person: Person, words: Mapping[str, str]) -> None:
    """Executes a statement with the arguments that it names."""
    arguments = [*person.arguments, dict(words)]
    await connection.execute(*with_arguments(statement, arguments))


def with_arguments(statement: str, arguments: Sequence[object]) -> tuple[str, *tuple[object, ...]]:
    """The statement and the arguments that it uses, counted anew: PostgreSQL wants to know the type of each."""
    used = sorted({int(number) for number in re.findall(r"\$(\d)", statement)})
    numbered = re.sub(r"\$(\d)", lambda found: f"${used.index(int(found[1])) + 1}", statement)
    return numbered, *(arguments[number - 1] for number in used)


async def _scrub(connection: Connection, person: Person, word: str, names: Sequence[str]) -> None:
    """Replaces the phone where it stands among other words, in whosever row."""
    terms = sorted(
        {*person.digits, *(name.partition(":")[2] or name for name in person.names)}, key=len, reverse=True
    )
    pattern = re.compile(r"\+?(?<![0-9A-Za-z])(?:" + "|".join(map(re.escape, terms)) + r")(?![0-9A-Za-z])")
    likes = ["%" + re.sub(r"([\\%_])", r"\\\1", term) + "%" for term in terms]
    for name, table in TABLES.items():
        for column in table.scrubbed:
            rows = await connection.fetch(SELECT_MENTIONS.format(column=column, table=name), likes)
            for row in rows:
                await connection.execute(
                    SET_MENTION.format(table=name, column=column),
                    row["ctid"],
                    _scrubbed(row[column], pattern, word),
                )
    for one in (name for name in names if len(name) >= SHORTEST_NAME):
        await connection.execute(SCRUB_NAME, one, word)


def _scrubbed(value: Any, pattern: re.Pattern[str], word: str) -> Any:
    match value:
        case str():
            return pattern.sub(word, value)
        case dict():
            return {
                _scrubbed(key, pattern, word): _scrubbed(one, pattern, word) for key, one in value.items()
            }
        case list():
            return [_scrubbed(one, pattern, word) for one in value]
        case int() if not isinstance(value, bool) and pattern.fullmatch(str(value)):
            return word
        case _:
            return value


async def settle(pool: Pool, erasure: Erasure, left: Sequence[str], *, of_others: bool = False) -> None:
    """Notes which workflows are left to be deleted in Temporal. ``of_others``: these are about others, too, and go on; of the
    person nothing is kept beside them. The row goes when none is left.
    """
    if not left:
        await pool.execute("delete from erasures where person = $1", erasure.person)
        return
    await pool.execute("update erasures set workflows = $2 where person = $1", erasure.person, list(left))
    if of_others:
        await pool.execute(
            "update erasures set phones = '{}', names = '{}' where person = $1", erasure.person
        )


async def take_back(connection: Connection, phone: str) -> str | None:
    """The person is a stranger from here on, who may be imported and written to; what was erased stays so. None if they
    were not forgotten. Raises Conflict while something is still to be erased.
    """
    async with connection.transaction():
        known = await find_tombstone(connection, phone)
        if known is None:
            return None
        if await connection.fetchval(
            "select exists (select from erasures where person = $1 and phones <> '{}')", known.person
        ):
            raise Conflict(
                "they are being forgotten just now: ask again when 'contact forget' says that it is done"
            )
        await unbury(connection, known.person)
        await note(connection, "contact.remembered", phone=known.person)
    return known.person
