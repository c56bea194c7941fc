"""The story of one recipient of a campaign."""

from temporalio import workflow

from workflows.control import Control
from workflows.delivery import RETRY, SEND_TIMEOUT, deliver

with workflow.unsafe.imports_passed_through():
    from activities.campaigns import CampaignActivities
    from messaging.models import Deferred, Held, LeadRef, MessageStatus, Settled, Value
    from naming import attributes

__all__ = ["CampaignLeadWorkflow", "LeadResult"]


class LeadResult(Value):
    """What became of the message, and why if it was not sent."""

    status: MessageStatus
    reason: str | None = None


@workflow.defn
class CampaignLeadWorkflow:
    """Brings one message on its way. Another run for the same lead is harmless: the ledger knows what was sent."""

    @workflow.init
    def __init__(self, ref: LeadRef) -> None:
        self._ref = ref
        self._control = Control()
        self._listed = False

    @workflow.run
    async def run(self, ref: LeadRef) -> LeadResult:
        """Deliver; that is all."""

        async def send() -> Settled | Deferred | Held:
            return await workflow.execute_activity_method(
                CampaignActivities.send_lead,
                ref,
                start_to_close_timeout=SEND_TIMEOUT,
                retry_policy=RETRY,
            )

        settled: Settled | None = None
        while settled is None:
            settled = await deliver(send, self._control, self._show)
            if settled is None and workflow.info().is_continue_as_new_suggested():
                workflow.continue_as_new(ref)
        return LeadResult(status=settled.status, reason=settled.reason)

    @workflow.signal
    def wake(self) -> None:
        """A hold has ended, or the campaign was cancelled: look again."""
        self._control.woken = True

    def _show(self, state: str, why: str) -> None:
        if state == "sending":
            return  # not worth a word: it is over in a moment
        workflow.set_current_details(f"State: **{state}** ({why})\n\nDevice: {self._ref.device_id}")
        if state == "held" and not self._listed:
            self._listed = True
            workflow.upsert_search_attributes([attributes.STATE.value_set(state)])
