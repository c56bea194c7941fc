"""Persons who are to be forgotten: known by tombstones alone, which are keyed hashes of their phones and other names.

The database refuses to store anything under such a phone (the triggers ``not_forgotten``). What is here says so before.
"""

import hashlib
import hmac
import secrets
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

import asyncpg

from messaging.common.database import Connection, Pool
from messaging.common.private_keys import present_keys
from messaging.times.local_time import format_moment

__all__ = [
    "ASKED",
    "Tombstone",
    "bury",
    "erase_workflow",
    "find_tombstone",
    "is_forgotten",
    "note_wrote",
    "pads_of",
    "refused_as_forgotten",
    "say_keys",
    "unbury",
]

ASKED = "the person asked to be forgotten"
"""Why nothing is stored or sent; the triggers say the same."""

IN_THE_LEDGER = "ledger"
"""The name of the key that Drumbeat makes itself and keeps beside the tombstones."""

BLOCK = 64
"""Bytes of a block of SHA-256, to which HMAC pads its key (RFC 2104)."""

# $1: the names, $2: the word for the person, $3: which key.
INSERT_TOMBSTONES = """
insert into forgotten (mark, key_id, person)
select forgotten_mark(name, k.inner_pad, k.outer_pad), k.id, $2
  from unnest($1::text[]) name
  join keys_of_forgotten() k on k.id = $3
    on conflict (mark) do nothing
"""

SELECT_TOMBSTONE = """
select f.person, min(f.forgotten_at) over () as forgotten_at, sum(f.wrote) over () as wrote, max(f.wrote_at) over () as wrote_at,
       (select e.actor from events e where e.phone = f.person and e.kind = 'contact.forgotten' order by e.id desc limit 1) as actor
  from forgotten f
 where f.person in (select t.person
                      from forgotten t, keys_of_forgotten() k, unnest($1::text[]) n (name)
                     where t.mark = forgotten_mark(n.name, k.inner_pad, k.outer_pad))
 limit 1
"""

NOTE_WROTE = """
update forgotten f
   set wrote = wrote + 1, wrote_at = clock_timestamp()
  from keys_of_forgotten() k
 where f.mark = (select t.mark
                   from forgotten t, unnest($1::text[]) n (name)
                  where t.mark = forgotten_mark(n.name, k.inner_pad, k.outer_pad)
                  limit 1)
"""

INSERT_KEY = """
insert into forgotten_keys (id, inner_pad, outer_pad)
values ($1, $2, $3)
    on conflict (id) do nothing
"""


# A workflow that was started for them, in vain: its history names them.
ERASE_WORKFLOW = """
insert into erasures (person, phones, names, workflows, erased_at)
values ($1, '{}', '{}', array[$2], clock_timestamp())
    on conflict (person) do update set workflows = array_append(array_remove(erasures.workflows, $2), $2)
"""


class Tombstone(NamedTuple):
    """What is known of somebody who was forgotten."""

    person: str
    """The word that stands where their phone was."""
    forgotten_at: datetime
    wrote: int
    """Messages that have come from them since. Nothing of these was kept."""
    wrote_at: datetime | None
    actor: str | None
    """Who forgot them."""

    @property
    def words(self) -> str:
        """That, in a sentence without its end."""
        by = f" by {self.actor}" if self.actor else ""
        since = (
            f"; {self.wrote} message{'s' if self.wrote != 1 else ''} came since, the last at"
            f" {format_moment(self.wrote_at)}, and nothing of it was kept"
            if self.wrote and self.wrote_at
            else ""
        )
        return f"the person of this phone was forgotten on {format_moment(self.forgotten_at)}{by} ({self.person}){since}"


def pads_of(key: bytes) -> tuple[bytes, bytes]:
    """A key, padded as HMAC-SHA256 does (RFC 2104): what is hashed before the text, and before that hash."""
    padded = (hashlib.sha256(key).digest() if len(key) > BLOCK else key).ljust(BLOCK, b"\0")
    return bytes(byte ^ 0x36 for byte in padded), bytes(byte ^ 0x5C for byte in padded)


def say_keys() -> str:
    """What sessions say in ``drumbeat.forget_keys``: in private mode, a key of tombstones that is not in the ledger. It is
    made of the one of pseudonyms; empty: there is none.
    """
    keys = present_keys()
    if keys is None:
        return ""
    inner, outer = pads_of(hmac.digest(keys.ids, b"forgotten", "sha256"))
    return f"private:{inner.hex()}:{outer.hex()}"


def mark_of(key: bytes, name: str) -> bytes:
    """The tombstone of a phone or name, as ``forgotten_mark()`` in SQL computes it."""
    return hmac.digest(key, name.encode(), "sha256")


async def is_forgotten(connection: Connection | Pool, *names: str) -> bool:
    """Whether the person with one of these phones (E.164), or other names, is to be forgotten."""
    return bool(names) and bool(await connection.fetchval("select is_forgotten(variadic $1::text[])", names))


async def find_tombstone(connection: Connection | Pool, *names: str) -> Tombstone | None:
    """The tombstone of this person, None if there is none."""
    row = await connection.fetchrow(SELECT_TOMBSTONE, names)
    return None if row is None else Tombstone(**dict(row))


async def bury(connection: Connection, names: Sequence[str], person: str) -> None:
    """Makes tombstones for these phones and names, in the caller's transaction, which holds ``forget_lock()`` alone."""
    key = await connection.fetchval(
        "select id from keys_of_forgotten() where id <> $1 order by id desc limit 1", IN_THE_LEDGER
    )
    if key is None:
        key = IN_THE_LEDGER
        await connection.execute(INSERT_KEY, key, *pads_of(secrets.token_bytes(BLOCK)))
    else:
        await connection.execute(INSERT_KEY, key, None, None)
    await connection.execute(INSERT_TOMBSTONES, names, person, key)


async def unbury(connection: Connection, person: str) -> None:
    """Takes the tombstones of a person away: they are a stranger from here on."""
    await connection.execute("delete from forgotten where person = $1", person)


async def note_wrote(connection: Connection, names: Sequence[str]) -> None:
    """Notes that a message came from somebody who is forgotten, and nothing else of it."""
    await connection.execute(NOTE_WROTE, names)


async def erase_workflow(connection: Connection | Pool, phone: str, workflow_id: str) -> None:
    """Notes that the history of a workflow is to be deleted, which was started for somebody who is forgotten."""
    if (known := await find_tombstone(connection, phone)) is not None:
        await connection.execute(ERASE_WORKFLOW, known.person, workflow_id)


def refused_as_forgotten(error: Exception) -> bool:
    """Whether the database has refused to store something as its person is to be forgotten."""
    return isinstance(error, asyncpg.CheckViolationError) and _constraint(error) == "not_forgotten"


def _constraint(error: Any) -> str | None:
    return error.constraint_name  # type: ignore[no-any-return]
