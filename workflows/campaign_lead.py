"""The story of one recipient of a campaign."""

from datetime import timedelta

from temporalio import workflow

from workflows.message_delivery import DeliveryResult, MessageDelivery
from workflows.options import DEAD_AFTER, RETRY, SEND_TIMEOUT

with workflow.unsafe.imports_passed_through():
    from activities.messages import MessageActivities
    from messaging.sending.outcomes import CampaignMessageRef, Deferred, Held, Settled

__all__ = ["CampaignLeadWorkflow"]

LOCAL_RETRY = timedelta(seconds=5)
"""A retry that is further away is waited for in a timer of the server's, and the workflow's task ends."""


@workflow.defn
class CampaignLeadWorkflow:
    """Brings one message on its way. Another run for the same lead is harmless: the ledger knows what was sent."""

    @workflow.init
    def __init__(self, ref: CampaignMessageRef) -> None:
        self._ref = ref
        self._message = MessageDelivery(ref)

    @workflow.run
    async def run(self, ref: CampaignMessageRef) -> DeliveryResult:
        """Deliver; that is all."""

        return await self._message.deliver(self._send if ref.local else self._send_by_server)

    async def _send(self) -> Settled | Deferred | Held:
        # In the workflow task itself: six events for a lead, where an activity of the server's makes eleven. Should the
        # worker die with it, the task comes again after ten seconds, and the claim knows what was done.
        return await workflow.execute_local_activity_method(
            MessageActivities.send_campaign_message,
            self._ref,
            start_to_close_timeout=SEND_TIMEOUT,
            retry_policy=RETRY,
            local_retry_threshold=LOCAL_RETRY,
        )

    async def _send_by_server(self) -> Settled | Deferred | Held:
        return await workflow.execute_activity_method(
            MessageActivities.send_campaign_message,
            self._ref,
            start_to_close_timeout=SEND_TIMEOUT,
            heartbeat_timeout=DEAD_AFTER,
            retry_policy=RETRY,
        )

    @workflow.signal
    def wake(self) -> None:
        """A hold has ended, or the campaign was cancelled: look again."""
        self._message.wake()
