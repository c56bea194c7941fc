"""The story of one message of a sequence that an operator had sent again, beside its contact's own timeline."""

from temporalio import workflow

from workflows.message_delivery import DeliveryResult, MessageDelivery
from workflows.options import DEAD_AFTER, RETRY, SEND_TIMEOUT

with workflow.unsafe.imports_passed_through():
    from activities.messages import MessageActivities
    from messaging.sending.outcomes import Deferred, Held, ResendRef, Settled

__all__ = ["ResendWorkflow"]


@workflow.defn
class ResendWorkflow:
    """Brings the message on its way. Another run for it is harmless: the ledger knows what was sent."""

    @workflow.init
    def __init__(self, ref: ResendRef) -> None:
        self._message = MessageDelivery(ref)

    @workflow.run
    async def run(self, ref: ResendRef) -> DeliveryResult:
        """Deliver; that is all."""

        async def send() -> Settled | Deferred | Held:
            return await workflow.execute_activity_method(
                MessageActivities.send_again,
                ref,
                start_to_close_timeout=SEND_TIMEOUT,
                heartbeat_timeout=DEAD_AFTER,
                retry_policy=RETRY,
                summary=ref.what,
            )

        return await self._message.deliver(send)

    @workflow.signal
    def wake(self) -> None:
        """A hold has ended: look again."""
        self._message.wake()
