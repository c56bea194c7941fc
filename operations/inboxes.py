"""Operations on the inbox: list what needs a review, and mark it as done."""

from messaging.common.errors import InvalidInput
from messaging.replies import inbox
from messaging.replies.inbox import InboundReport, ReviewReason
from operations.connection import Drumbeat

__all__ = ["done", "list_inbox"]

LARGEST = 2**63 - 1


async def list_inbox(
    drumbeat: Drumbeat, reasons: tuple[ReviewReason, ...] = (), *, device: str | None = None, limit: int = 100
) -> list[InboundReport]:
    """Messages that nobody has reviewed yet, the newest first."""
    return await inbox.list_inbox(await drumbeat.pool(), reasons, device=device, limit=limit)


async def done(drumbeat: Drumbeat, identifier: int) -> InboundReport:
    """Takes one message out of the inbox; doing it twice is harmless. Raises NotFound and InvalidInput."""
    if not 0 < identifier <= LARGEST:
        raise InvalidInput(f"{identifier} is no ID of an inbound message: 'inbox' lists them")
    return await inbox.mark_reviewed(await drumbeat.pool(), identifier)
