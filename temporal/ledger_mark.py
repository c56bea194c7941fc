"""How far the ledger is, noted in Temporal, so that a ledger that was put back to an earlier moment is found out.

The note is the one of the Schedule that runs the recovery every minute.
"""

import re

from temporalio.client import Client, ScheduleUpdate, ScheduleUpdateInput
from temporalio.service import RPCError, RPCStatusCode

__all__ = ["RECOVERY_SCHEDULE", "read_mark", "write_mark"]

RECOVERY_SCHEDULE = "message-recovery"
"""The ID of the Schedule, and of the workflows that it starts."""

_NOTE = re.compile(r"^ledger mark (\d+)$")


def _mark_of(note: str | None) -> int | None:
    found = _NOTE.match(note or "")
    return None if found is None else int(found[1])


async def read_mark(client: Client) -> int | None:
    """The highest mark that was noted; None if there is none, as in a new namespace. Raises RPCError."""
    try:
        described = await client.get_schedule_handle(RECOVERY_SCHEDULE).describe()
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            return None
        raise
    return _mark_of(described.schedule.state.note)


async def write_mark(client: Client, mark: int) -> None:
    """Notes the mark, unless a higher one is there; nothing happens if there is no Schedule yet. Raises RPCError."""

    def note(current: ScheduleUpdateInput) -> ScheduleUpdate | None:
        schedule = current.description.schedule
        if (_mark_of(schedule.state.note) or 0) >= mark:
            return None
        schedule.state.note = f"ledger mark {mark}"
        return ScheduleUpdate(schedule)

    try:
        await client.get_schedule_handle(RECOVERY_SCHEDULE).update(note)
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:
            raise
