"""Operations on the inbox: list what needs a review, and mark it as done."""

from messaging.common.errors import InvalidInput
from messaging.common.phones import parse_phone
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
    return await inbox.list_inbox(
        await drumbeat.pool(), _understood(wanted, default_region), limit=limit, before=before
    )


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
    return await inbox.mark_matching(
        await drumbeat.pool(), _understood(wanted, default_region), newest=newest
    )


def _understood(wanted: InboxFilter | None, default_region: str | None) -> InboxFilter:
    if wanted is None or wanted.phone is None:
        return wanted or InboxFilter()
    return wanted.model_copy(update={"phone": parse_phone(wanted.phone, default_region)})


def _check(identifier: int) -> None:
    if not 0 < identifier <= LARGEST:
        raise InvalidInput(f"{identifier} is no ID of an inbound message: 'inbox' lists them")
