"""Operations on the inbox: list what needs a review, and mark it as done."""

from messaging.common.errors import InvalidInput
from messaging.leads.known_phones import find_phone
from messaging.replies import inbox
from messaging.replies.inbox import Cleared, InboundReport, InboxFilter, InboxPage
from operations.connection import Drumbeat

__all__ = ["done", "done_matching", "list_inbox"]

LARGEST = 2**63 - 1


async def list_inbox(
    drumbeat: Drumbeat,
    wanted: InboxFilter | None = None,
    *,
    limit: int = 100,
    before: int | None = None,
    default_region: str | None = None,
) -> InboxPage:
    """Messages that nobody has reviewed yet, the newest first; by default all.

    The filter's phone may have any format. ``before``: the ID of the last message of the page before. Raises NotFound,
    InvalidInput and InvalidPhone.
    """
    if before is not None:
        _check(before)
    found = await _understood(drumbeat, wanted, default_region)
    return await inbox.list_inbox(await drumbeat.pool(), found, limit=limit, before=before)


async def done(drumbeat: Drumbeat, *identifiers: int) -> list[InboundReport]:
    """Takes messages out of the inbox; doing it twice is harmless. Raises NotFound and InvalidInput, and then marks
    none.
    """
    for one in identifiers:
        _check(one)
    return await inbox.mark_reviewed(await drumbeat.pool(), identifiers)


async def done_matching(
    drumbeat: Drumbeat, wanted: InboxFilter, *, newest: int, default_region: str | None = None
) -> Cleared:
    """Takes all matching messages out of the inbox.

    ``newest``: the highest ID that the operator has seen; what has come since stays. Raises NotFound and InvalidPhone.
    """
    found = await _understood(drumbeat, wanted, default_region)
    return await inbox.mark_matching(await drumbeat.pool(), found, newest=newest)


async def _understood(
    drumbeat: Drumbeat, wanted: InboxFilter | None, default_region: str | None
) -> InboxFilter:
    if wanted is None or wanted.phone is None:
        return wanted or InboxFilter()
    phone = await find_phone(await drumbeat.pool(), wanted.phone, default_region)
    return wanted.model_copy(update={"phone": phone})


def _check(identifier: int) -> None:
    if not 0 < identifier <= LARGEST:
        raise InvalidInput(f"{identifier} is no ID of an inbound message: 'inbox' lists them")
