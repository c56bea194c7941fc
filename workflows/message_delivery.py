"""A workflow that brings one message on its way, and does nothing else: a campaign's, or one that is sent again."""

from collections.abc import Awaitable, Callable

from temporalio import workflow

from workflows.control import Control
from workflows.delivery import deliver
from workflows.display import escape_markdown

with workflow.unsafe.imports_passed_through():
    from messaging.common.values import Value
    from messaging.sending.message_status import MessageStatus
    from messaging.sending.outcomes import CampaignMessageRef, Deferred, Held, ResendRef, Settled
    from temporal import search_attributes as attributes

__all__ = ["DeliveryResult", "MessageDelivery"]


class DeliveryResult(Value):
    """What became of the message, and why if it was not sent."""

    status: MessageStatus
    reason: str | None = None


class MessageDelivery:
    """The message, from the first attempt to its end; and what the Web UI shows of it meanwhile."""

    def __init__(self, ref: CampaignMessageRef | ResendRef) -> None:
        self._ref = ref
        self._control = Control()
        # Attributes go along when a history is continued as a new one.
        self._listed = workflow.info().typed_search_attributes.get(attributes.STATE)

    async def deliver(self, send: Callable[[], Awaitable[Settled | Deferred | Held]]) -> DeliveryResult:
        """Delivers it with ``send``; continues as new where the history has grown long."""
        settled: Settled | None = None
        while settled is None:
            settled = await deliver(send, self._control, self._show)
            if settled is None and workflow.info().is_continue_as_new_suggested():
                workflow.continue_as_new(self._ref)
            if settled is not None and settled.status is MessageStatus.UNCONFIRMED and self._control.woken:
                settled = None  # an operator has had the message sent again in the meantime
        self._show(settled.status, settled.reason or "")
        return DeliveryResult(status=settled.status, reason=settled.reason)

    def wake(self) -> None:
        """A hold has ended, or the message is not wanted any more: look again."""
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
