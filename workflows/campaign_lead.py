"""The story of one recipient of a campaign."""

from temporalio import workflow

from workflows.delivery import RETRY, SEND_TIMEOUT
from workflows.single import Single, SingleResult

with workflow.unsafe.imports_passed_through():
    from activities.messages import MessageActivities
    from messaging.models import Deferred, Held, LeadRef, Settled

__all__ = ["CampaignLeadWorkflow"]


@workflow.defn
class CampaignLeadWorkflow:
    """Brings one message on its way. Another run for the same lead is harmless: the ledger knows what was sent."""

    @workflow.init
    def __init__(self, ref: LeadRef) -> None:
        self._message = Single(ref)

    @workflow.run
    async def run(self, ref: LeadRef) -> SingleResult:
        """Deliver; that is all."""

        async def send() -> Settled | Deferred | Held:
            return await workflow.execute_activity_method(
                MessageActivities.send_lead,
                ref,
                start_to_close_timeout=SEND_TIMEOUT,
                retry_policy=RETRY,
            )

        return await self._message.deliver(send)

    @workflow.signal
    def wake(self) -> None:
        """A hold has ended, or the campaign was cancelled: look again."""
        self._message.wake()
