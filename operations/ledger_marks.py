"""Finds out whether the ledger was restored to an earlier moment, and keeps the mark by which that is found."""

import logging

from messaging.sending.restores import (
    ensure_home,
    find_restore,
    find_restored,
    next_mark,
    note_restore,
)
from operations.connection import Drumbeat
from temporal.ledger_mark import read_mark, write_mark

__all__ = ["check_ledger", "note_mark"]

logger = logging.getLogger("drumbeat")

MOVED = "it is a copy of the ledger that was written, or PostgreSQL has begun another timeline"
BEHIND = "Temporal knows that it was further"


async def check_ledger(drumbeat: Drumbeat) -> bool:
    """Pauses everything if the ledger was restored; answers whether it is paused for that. Call it before work begins."""
    pool = await drumbeat.pool()
    if await find_restore(pool) is None:
        ledger = await find_restored(pool)
        noted = await read_mark(drumbeat.temporal)
        how = MOVED if ledger.moved else BEHIND if noted is not None and noted > (ledger.mark or 0) else None
        if how is None:
            await ensure_home(pool)
            return False
        await note_restore(pool, how)
    logger.error(
        "everything is paused: the ledger was restored to an earlier moment;"
        " 'audit --repair --dry-run' says what may have been sent since, 'audit --repair' goes on"
    )
    return True


async def note_mark(drumbeat: Drumbeat) -> None:
    """Counts the ledger's mark up, in the ledger first and then in Temporal."""
    pool = await drumbeat.pool()
    if await find_restore(pool) is None:
        await write_mark(drumbeat.temporal, await next_mark(pool))
