"""The activity that has abandoned messages settled."""

from temporalio import activity

from messaging.common.clock import Clock, database_clock
from messaging.common.database import Pool
from messaging.sending.outcomes import MessageRef
from messaging.sending.recovery import abandoned, close_unwanted, forgotten_leads
from messaging.sending.telling import Tell, any_unplanned
from temporal.bulk import each
from temporal.campaigns import start_lead
from temporal.messages import start_message
from temporal.telling import start_telling

__all__ = ["RecoveryActivities"]


class RecoveryActivities:
    """Reads PostgreSQL and starts workflows. Repeating it is harmless: the workflow IDs are the same."""

    def __init__(self, pool: Pool, clock: Clock = database_clock) -> None:
        self._pool = pool
        self._clock = clock

    @activity.defn
    async def recover_messages(self) -> int:
        """Starts a workflow for each abandoned message; answers how many they are.

        What waits though it is not wanted any more is closed, a campaign's lead whose workflow is gone gets another, and
        a telling that was ended by hand begins anew.
        """
        await close_unwanted(self._pool)
        found = await abandoned(self._pool, now=await self._clock())
        client, task_queue = activity.client(), activity.info().task_queue

        async def start(ref: MessageRef) -> None:
            await start_message(client, ref, task_queue=task_queue, wake=False)

        async def begin(lead: MessageRef) -> None:
            await start_lead(client, lead, task_queue=task_queue)

        await each(found, start)
        await each(await forgotten_leads(self._pool, now=await self._clock()), begin)
        if await any_unplanned(self._pool):
            await start_telling(client, Tell(kind="plans"), task_queue=task_queue)
        return len(found)
