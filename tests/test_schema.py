"""The constraints that make duplicates impossible are there, and hold."""

import asyncio

from messaging.database import Pool
from runtime.database import migrate


async def test_constraints_exist_and_are_valid(pool: Pool) -> None:
    names = {
        row["conname"]
        for row in await pool.fetch("select conname from pg_constraint where contype = 'u' and convalidated")
    }
    assert {"unique_sequence_message", "unique_campaign_message", "sequence_contacts_unique"} <= names


async def test_many_processes_may_migrate_at_once(database_url: str) -> None:
    await asyncio.gather(*(migrate(database_url) for _ in range(4)))
