"""The workflow of one message whose row is in the ledger: a campaign's message, or one that is sent again or was
abandoned.
"""

from datetime import timedelta

from temporalio import workflow

from workflows.control import Control
from workflows.delivery import deliver
from workflows.options import DEAD_AFTER, RETRY, SEND_TIMEOUT

with workflow.unsafe.imports_passed_through():
    from activities.messages import MessageActivities
    from messaging.common.markdown import escape_markdown
    from messaging.common.values import Value
    from messaging.sending.message_status import MessageStatus
    from messaging.sending.outcomes import Deferred, Held, MessageRef, Settled
    from temporal import search_attributes as attributes

__all__ = ["MessageResult", "MessageWorkflow"]

LOCAL_RETRY = timedelta(seconds=5)
"""A retry that is further away than this waits in a durable timer, and the workflow task ends."""


class MessageResult(Value):
    """What became of the message, and why if it was not sent."""

    status: MessageStatus
    reason: str | None = None


@workflow.defn
class MessageWorkflow:
    """Delivers one message. A second run for it is harmless: the ledger knows what was sent."""

    @workflow.init
    def __init__(self, ref: MessageRef) -> None:
        self._ref = ref
        self._control = Control()
        # Continue-as-new carries search attributes over.
        self._listed = workflow.info().typed_search_attributes.get(attributes.STATE)

    @workflow.run
    async def run(self, ref: MessageRef) -> MessageResult:
        """Delivers the message until it is settled; continues as new when the history has grown long."""
        settled: Settled | None = None
        while settled is None:
            settled = await deliver(self._send, self._control, self._show)
            if settled is None and workflow.info().is_continue_as_new_suggested():
                workflow.continue_as_new(ref)
            if settled is not None and settled.status is MessageStatus.UNCONFIRMED and self._control.woken:
                settled = None  # an operator asked for a resend while the last attempt ran
        self._show(settled.status, settled.reason or "")
        return MessageResult(status=settled.status, reason=settled.reason)

    async def _send(self) -> Settled | Deferred | Held:
        # A local activity: a message takes six events, where a normal activity takes eleven. If the worker dies,
        # Temporal gives the workflow task out again after ten seconds, and the claim knows what was done. A message
        # that is sent again is sent in the same way: what it waits for and how it ended is in the Web UI's details and
        # the result, and what the gateway said is in the ledger ('messages', 'contact').
        outcome = await workflow.execute_local_activity_method(
            MessageActivities.send_message,
            self._ref,
            start_to_close_timeout=SEND_TIMEOUT,
            retry_policy=RETRY,
            local_retry_threshold=LOCAL_RETRY,
            summary=self._ref.what,
        )
        if not isinstance(outcome, Deferred) or not outcome.elsewhere:
            return outcome
        return await workflow.execute_activity_method(
            MessageActivities.send_message,
            self._ref,
            start_to_close_timeout=SEND_TIMEOUT,
            heartbeat_timeout=DEAD_AFTER,
            retry_policy=RETRY,
            summary=self._ref.what,
        )

    @workflow.signal(description="Sent by Drumbeat: look at the message's row again.")
    def wake(self) -> None:
        """Look again: a hold has ended, the message is not wanted any more, or it is to be sent again."""
        self._control.woken = True

    def _show(self, state: str, why: str) -> None:
        if state == "sending":
            return  # not shown: it is over in a moment
        said = f" ({escape_markdown(why)})" if why else ""
        workflow.set_current_details(f"State: **{state}**{said}\n\nDevice: {self._ref.device_id}")
        if state == "held" or self._listed:
            self._list(state)

    def _list(self, state: str) -> None:
        """Each change of a search attribute costs an event, so it is set only once the message was held, and kept true
        from then on.
        """
        if self._listed == state:
            return
        self._listed = state
        workflow.upsert_search_attributes([attributes.STATE.value_set(state)])
