"""The activity that sends a message which has its row in the ledger: a campaign's, or one that is sent again."""

from uuid import UUID

from temporalio import activity

from activities.attempts import new_attempt
from activities.clock import Clock, database_clock
from activities.limiter import DeviceLimiter
from activities.refusals import refused_for_good
from messaging.common.database import Pool
from messaging.gateways import Gateways
from messaging.sending.dispatch import Dispatcher
from messaging.sending.ledger import Claim, Ledger, SettledAlready
from messaging.sending.outcomes import CampaignMessageRef, Deferred, Held, MessageOutcome, ResendRef, Settled
from messaging.sending.settling import Outcomes

__all__ = ["MessageActivities"]


class MessageActivities:
    """One instance for a worker; its tasks share the pool and the gateways' connections."""

    def __init__(
        self,
        pool: Pool,
        gateways: Gateways,
        sending: DeviceLimiter,
        clock: Clock = database_clock,
        outcomes: Outcomes | None = None,
    ) -> None:
        self._ledger = Ledger(pool)
        self._dispatcher = Dispatcher(self._ledger, gateways, outcomes)
        self._sending = sending
        self._clock = clock

    @activity.defn
    async def send_campaign_message(self, ref: CampaignMessageRef) -> MessageOutcome:
        """Sends a campaign's message, or says when or why not. Safe to repeat, whatever happened to the last attempt."""
        return await self._sending.send(ref.device_id, lambda: self._send_once(ref.message_id))

    @activity.defn
    async def send_again(self, ref: ResendRef) -> MessageOutcome:
        """The same for a message that an operator had sent again."""
        return await self._sending.send(ref.device_id, lambda: self._send_once(ref.message_id))

    async def _send_once(self, message_id: UUID) -> Settled | Deferred | Held:
        attempt = new_attempt(message_id)
        with refused_for_good(f"message {message_id}"):
            claim = self._ledger.claim_stored(message_id, attempt.token, now=await self._clock())
            answer = await self._dispatcher.ask(attempt, claim)
        match answer:
            case SettledAlready():
                return Settled(message_id=message_id, status=answer.status, reason=answer.reason)
            case Claim():
                return await self._dispatcher.carry_out(attempt, answer, lambda _: None)
            case Deferred() | Held():
                return answer
            case _:
                raise AssertionError(f"a stored message's claim does not answer {answer}")
