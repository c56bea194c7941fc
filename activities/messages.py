"""The activity that sends a message whose row is in the ledger: a campaign's, or one that is sent again or was
abandoned.
"""

from temporalio import activity

from activities.limiter import DeviceLimiter
from activities.refusals import refused_for_good
from messaging.sending.outcomes import MessageOutcome, MessageRef
from messaging.sending.send import Sender

__all__ = ["MessageActivities"]


def _kind(ref: MessageRef) -> str:
    """What the message is of, for counting."""
    if ref.campaign:
        return "campaign"
    return "sequence" if ref.sequence else ref.purpose if ref.purpose == "test" else "other"


class MessageActivities:
    """One instance for a worker."""

    def __init__(self, sender: Sender, limiter: DeviceLimiter) -> None:
        self._sender = sender
        self._limiter = limiter

    @activity.defn
    async def send_message(self, ref: MessageRef) -> MessageOutcome:
        """Sends the message, or answers when to try again or why not. Safe to repeat, whatever happened to the last
        attempt.
        """
        with refused_for_good(f"message {ref.message_id}"):
            return await self._limiter.run(
                ref.device_id, lambda: self._sender.send_stored(ref.message_id, kind=_kind(ref))
            )
