"""What stands in for the activities that send, on a worker that does not have the role ``sends``.

They answer that the message is to be sent by another worker. So the place is decided by the worker, and recorded by the answer:
a replay does not depend on the roles of the worker that it runs on.
"""

from datetime import UTC, datetime

from temporalio import activity

from messaging.sending.outcomes import Deferred, MessageOutcome, MessageRef
from messaging.sequences.contract import SendOutcome, StepRef

__all__ = ["Elsewhere"]

REASON = "a worker with the role sends has it"


class Elsewhere:
    """One instance for a worker."""

    @activity.defn
    async def send_step(self, ref: StepRef) -> SendOutcome:  # noqa: ARG002 - the signature of the real one
        """For an attempt that waited in the queue when the worker that sent was replaced by one that does not."""
        return _elsewhere()

    @activity.defn
    async def send_message(self, ref: MessageRef) -> MessageOutcome:  # noqa: ARG002
        """For the local activity of each message."""
        return _elsewhere()


def _elsewhere() -> Deferred:
    return Deferred(until=datetime.now(UTC), reason=REASON, elsewhere=True)
