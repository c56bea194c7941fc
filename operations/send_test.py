"""Sends a test: one message for real, to one phone, which counts for nothing."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

from messaging.common.phones import parse_phone
from messaging.sending.test_messages import SentTest, find_subject, insert_test, look_at_test
from operations.connection import Drumbeat
from operations.signals import signalled_later
from operations.workers import idle
from temporal.messages import start_message

__all__ = ["SentTest", "send_test"]

LOOK_EVERY = 0.1
"""Seconds."""

LOOK_FOR_A_WORKER = 20
"""After so many looks without news."""

GRACE = timedelta(seconds=30)
"""How long after its end a test that was claimed is waited for."""


async def send_test(
    drumbeat: Drumbeat,
    name: str,
    to: str,
    *,
    lead: str | None = None,
    device: str | None = None,
    default_region: str | None = None,
    within: timedelta = timedelta(minutes=10),
    wait: bool = True,
    message_id: UUID | None = None,
    tell: Callable[[str], None] = lambda _: None,
) -> SentTest:
    """Sends the campaign's message, or a step's (``SEQUENCE`` for the first, ``SEQUENCE/STEP``), to the phone ``to`` as a test.

    It goes the way of every message: at its device's pace, in its hours and its daily limit, and never after an opt-out. It has
    the values of ``lead`` (a phone), or those of the recipient's own lead. If it cannot go out ``within`` that time, it expires.
    ``wait``: returns with the outcome, or at once. ``tell`` is called with what it waits for. The same ``message_id`` sends it once.
    Raises NotFound, InvalidInput, InvalidPhone and Conflict.
    """
    phone = parse_phone(to, default_region)
    values = parse_phone(lead, default_region) if lead is not None else None
    pool = await drumbeat.pool()
    async with pool.acquire() as connection:
        subject = await find_subject(connection, name)
        ref, of_lead = await insert_test(
            connection, subject, phone, lead=values, device=device, within=within, message_id=message_id
        )
    client = await drumbeat.reach_temporal()
    with signalled_later(drumbeat):
        await start_message(client, ref, task_queue=drumbeat.settings.task_queue)
    found = await look_at_test(pool, ref.message_id, of_lead)
    said, looks = "", 0
    ends = asyncio.get_running_loop().time() + (within + GRACE).total_seconds()
    while wait and not found.settled and asyncio.get_running_loop().time() < ends:
        if found.reason and found.reason != said:
            said, looks = found.reason, 0
            tell(
                f"waits: {found.reason}"
                + (f" ({found.goes_out_at:%H:%M:%S} UTC)" if found.goes_out_at else "")
            )
        if not found.reason and looks == LOOK_FOR_A_WORKER and (sentence := await idle(drumbeat)):
            tell(sentence)
            break
        looks += 1
        await asyncio.sleep(LOOK_EVERY)
        found = await look_at_test(pool, ref.message_id, of_lead)
    return found
