"""Opts phones out, and takes that back."""

from collections.abc import Sequence

from messaging.common.storable import LONGEST_REASON, storable
from messaging.common.values import Value
from messaging.common.whatsapp_numbers import canonical_phone
from messaging.leads import opt_outs
from messaging.leads.opt_outs import (
    OptOutCategory,
    has_lead,
    note_signalled,
    opt_out_owner,
    suppress_waiting,
    suppressed,
)
from messaging.leads.phone_changes import present_phone
from messaging.sending.recovery import to_one_phone
from messaging.sending.under_way import UnderWay, nothing_begins_any_more
from operations.connection import Drumbeat
from operations.signals import signalled_later
from temporal.bulk import signal_each
from temporal.messages import start_message

__all__ = ["OptOut", "carry_out", "opt_out", "withdraw"]


class OptOut(Value):
    """A recipient's opt-out. ``changed``: False if it was so before. ``ended``: how many enrollments it ended."""

    phone: str
    opted_out: bool
    """True if it has opted out now, by this or another source."""
    category: OptOutCategory | None = None
    """From what: from everything (``all``) or from marketing; None if it has not opted out."""
    changed: bool
    ended: int = 0
    is_lead: bool = True
    """Whether there is a lead with this phone. Without one, the opt-out holds all the same."""
    under_way: tuple[UnderWay, ...] = ()
    """Messages that were being sent already."""


async def opt_out(
    drumbeat: Drumbeat, phone: str, reason: str = "opted out", *, category: OptOutCategory = "all"
) -> OptOut:
    """Opts a phone out: it gets nothing more, or no marketing, from any sequence, campaign or device. ``phone`` is
    E.164, in any of its spellings.

    Returns when no more message can begin to be sent: after some milliseconds, or up to three seconds if an attempt was
    just about to send one.
    """
    async with (await drumbeat.pool()).acquire() as connection:
        words = storable(reason, LONGEST_REASON)
        phone, recorded = await opt_out_owner(connection, canonical_phone(phone), words, category=category)
        is_lead = await has_lead(connection, phone)
    under_way = await carry_out(drumbeat, phone, recorded.workflows)
    return OptOut(
        phone=phone,
        opted_out=True,
        category=recorded.category,
        changed=recorded.changed,
        ended=recorded.ended,
        is_lead=is_lead,
        under_way=under_way,
    )


async def carry_out(drumbeat: Drumbeat, phone: str, workflows: Sequence[str]) -> tuple[UnderWay, ...]:
    """Completes a recorded opt-out: signals its workflows, waits until no more message can begin to be sent, and then has
    the opt-out confirmed, if it is to be.

    Answers the messages that were being sent already.
    """
    pool = await drumbeat.pool()
    with signalled_later(drumbeat):
        await signal_each(drumbeat.temporal, workflows, "opt_out")
    under_way = await nothing_begins_any_more(pool, phones=[phone])
    await suppress_waiting(pool, [phone])  # also what an attempt has given back meanwhile
    with signalled_later(drumbeat):
        await signal_each(drumbeat.temporal, await suppressed(pool, phone), "wake")
        await note_signalled(pool, [phone])
        for confirmation in await to_one_phone(pool, phone):
            await start_message(
                drumbeat.temporal, confirmation, task_queue=drumbeat.settings.task_queue, wake=False
            )
    return under_way


async def withdraw(drumbeat: Drumbeat, phone: str, *, category: OptOutCategory | None = None) -> OptOut:
    """Takes back a phone's opt-outs of this category, or all of them. Enrollments that they ended stay ended."""
    pool = await drumbeat.pool()
    phone = await present_phone(pool, canonical_phone(phone))
    done = await opt_outs.withdraw(pool, phone, category)
    return OptOut(
        phone=phone,
        opted_out=done.left is not None,
        category=done.left,
        changed=done.changed,
        is_lead=await has_lead(pool, phone),
    )
