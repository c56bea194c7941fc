"""Goes on with what is still to be erased of persons who are to be forgotten."""

from temporalio.client import Client

from messaging.common.database import Pool
from messaging.privacy.erasing import Erasure, erase, open_erasures, settle
from temporal.deletion import delete_workflows, is_campaigns_own

__all__ = ["erase_further"]


async def erase_further(pool: Pool, client: Client, person: str | None = None) -> list[Erasure]:
    """Erases from the ledger what can be erased now, and has Temporal delete the workflows; answers what is left. Of one
    person, or of all.
    """
    left = []
    for erasure in await open_erasures(pool, person):
        async with pool.acquire() as connection:
            erased = await erase(connection, erasure)
        workflows = erasure.workflows
        if erased:
            workflows = await delete_workflows(client, erasure.workflows)
            await settle(pool, erasure, workflows, of_others=all(map(is_campaigns_own, workflows)))
        if workflows or not erased:
            left.append(erasure._replace(erased=erased, workflows=workflows))
    return left
