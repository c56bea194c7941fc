"""The activity of the recovery sweep: it starts and signals the workflows that settle abandoned messages."""

from temporalio import activity
from temporalio.client import Client

from activities.erasures import erase_further
from messaging.campaigns import to_signal as campaigns
from messaging.common.clock import Clock, database_clock
from messaging.common.database import Pool
from messaging.leads import opt_outs
from messaging.privacy.keep import Keep
from messaging.privacy.retention import let_go
from messaging.sending.outcomes import MessageRef
from messaging.sending.recovery import abandoned, close_unwanted, forgotten_leads
from messaging.sending.restores import find_restore, next_mark
from messaging.sending.telling import Tell, any_passed_over, any_to_signal
from temporal.bulk import each, signal_each
from temporal.campaigns import start_lead, tell_campaign
from temporal.ledger_mark import write_mark
from temporal.messages import start_message
from temporal.telling import start_telling
from temporal.watched import show_states

__all__ = ["RecoveryActivities"]


class RecoveryActivities:
    """Reads PostgreSQL and starts workflows. Repeating it is harmless: the workflow IDs are the same."""

    def __init__(
        self, pool: Pool, task_queue: str, clock: Clock = database_clock, keep: Keep | None = None
    ) -> None:
        """``task_queue``: of the workflows. ``keep``: how long contents are kept; None: for ever."""
        self._keep = keep or Keep()
        self._pool = pool
        self._task_queue = task_queue
        self._clock = clock

    @activity.defn
    async def recover_messages(self) -> int:
        """Starts a workflow for each abandoned message; answers how many there are.

        It also closes waiting messages that are not wanted any more, starts the workflow of a campaign's lead again if
        it is gone, notes how far the ledger is, and sends signals that were lost: the process that changed a row died before it could signal the
        workflow, or Temporal could not be reached. And it tells the workflows of devices and sequences their states.
        """
        await close_unwanted(self._pool)
        found = await abandoned(self._pool, now=await self._clock())
        client, task_queue = activity.client(), self._task_queue

        async def start(ref: MessageRef) -> None:
            await start_message(client, ref, task_queue=task_queue, wake=False)

        async def begin(lead: MessageRef) -> None:
            await start_lead(client, lead, task_queue=task_queue)

        await each(found, start)
        await each(await forgotten_leads(self._pool, now=await self._clock()), begin)
        if await any_to_signal(self._pool):
            await start_telling(client, Tell(kind="plans"), task_queue=task_queue)
        if await any_passed_over(self._pool):
            await start_telling(client, Tell(kind="passed-over"), task_queue=task_queue)
        await self._signal_campaigns(client, task_queue)
        for phone in await opt_outs.phones_to_signal(self._pool):
            await signal_each(client, await opt_outs.suppressed(self._pool, phone), "wake")
            await opt_outs.note_signalled(self._pool, [phone])
        await show_states(client, self._pool, task_queue=task_queue)
        if await find_restore(self._pool) is None:
            await write_mark(client, await next_mark(self._pool))
        await erase_further(self._pool, client)
        await let_go(self._pool, self._keep)
        return len(found)

    async def _signal_campaigns(self, client: Client, task_queue: str) -> None:
        async with self._pool.acquire() as connection:
            changed = await campaigns.campaigns_to_signal(connection, now=await self._clock())
        for state in changed:
            await tell_campaign(client, state, task_queue=task_queue)
            if state.over:  # its workflow may have ended
                async with self._pool.acquire() as connection:
                    await campaigns.note_seen(connection, state.campaign)
