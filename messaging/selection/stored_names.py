"""The names that are stored, for the completion of commands: by a connection of its own, which brings nothing up to date."""

from collections.abc import Sequence

import asyncpg

__all__ = ["stored_names"]

# By kind of thing.
SELECT_NAMES = {
    "sequence": "select name from sequences order by name",
    "campaign": "select name from campaigns order by id desc",
    "device": "select id as name from devices order by id",
    "trigger": "select trigger as name from sequences where trigger is not null order by name",
    "steps": "select s.name || '/' || t.key as name from sequences s join sequence_steps t on t.sequence_id = s.id"
    " where t.removed_at is null order by s.name, t.position",
}


async def stored_names(url: str, kinds: Sequence[str]) -> list[str]:
    """The names of these kinds. Raises what asyncpg raises."""
    connection = await asyncpg.connect(url, statement_cache_size=0)
    try:
        return [row["name"] for kind in kinds for row in await connection.fetch(SELECT_NAMES[kind])]
    finally:
        await connection.close()
