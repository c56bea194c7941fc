"""The story of one message that has its row in the ledger: a campaign's, or one that is sent again."""

from datetime import timedelta

from temporalio import workflow

from workflows.control import Control
from workflows.delivery import deliver
from workflows.display import escape_markdown
from workflows.options import RETRY, SEND_TIMEOUT

with workflow.unsafe.imports_passed_through():
    from activities.messages import MessageActivities
    from messaging.common.values import Value
    from messaging.sending.message_status import MessageStatus
    from messaging.sending.outcomes import Deferred, Held, MessageRef, Settled
    from temporal import search_attributes as attributes

__all__ = ["MessageResult", "MessageWorkflow"]

LOCAL_RETRY = timedelta(seconds=5)
"""A retry that is further away is waited for in a timer of the server's, and the workflow's task ends."""


class MessageResult(Value):
    """What became of the message, and why if it was not sent."""

    status: MessageStatus
    reason: str | None = None


@workflow.defn
class MessageWorkflow:
    """Brings one message on its way. Another run for it is harmless: the ledger knows what was sent."""

    @workflow.init
    def __init__(self, ref: MessageRef) -> None:
        self._ref = ref
        self._control = Control()
        # Attributes go along when a history is continued as a new one.
        self._listed = workflow.info().typed_search_attributes.get(attributes.STATE)

    @workflow.run
    async def run(self, ref: MessageRef) -> MessageResult:
        """From the first attempt to the end; continues as new where the history has grown long."""
        settled: Settled | None = None
        while settled is None:
            settled = await deliver(self._send, self._control, self._show)
            if settled is None and workflow.info().is_continue_as_new_suggested():
                workflow.continue_as_new(ref)
            if settled is not None and settled.status is MessageStatus.UNCONFIRMED and self._control.woken:
                settled = None  # an operator has had the message sent again in the meantime
        self._show(settled.status, settled.reason or "")
        return MessageResult(status=settled.status, reason=settled.reason)

    async def _send(self) -> Settled | Deferred | Held:
        # In the workflow's task itself: six events for a message, where an activity of the server's makes eleven. Should
        # the worker die with it, the task comes again after ten seconds, and the claim knows what was done. A message that
        # is sent again goes the same way: what an operator would look for in the Web UI, what it waits for and how it
        # ended, is in the details and the result, and what the gateway said is in the ledger ('messages', 'contact').
        return await workflow.execute_local_activity_method(
            MessageActivities.send_message,
            self._ref,
            start_to_close_timeout=SEND_TIMEOUT,
            retry_policy=RETRY,
            local_retry_threshold=LOCAL_RETRY,
        )

    @workflow.signal
    def wake(self) -> None:
        """A hold has ended, the message is not wanted any more, or it is sent again: look again."""
        self._control.woken = True

    def _show(self, state: str, why: str) -> None:
        if state == "sending":
            return  # not worth a word: it is over in a moment
        said = f" ({escape_markdown(why)})" if why else ""
        workflow.set_current_details(f"State: **{state}**{said}\n\nDevice: {self._ref.device_id}")
        if state == "held" or self._listed:
            self._list(state)

    def _list(self, state: str) -> None:
        """Attributes cost an event each time they change: only what was held once is listed, from then on truly."""
        if self._listed == state:
            return
        self._listed = state
        workflow.upsert_search_attributes([attributes.STATE.value_set(state)])
