"""Opts out the leads of a selection, in one transaction."""

from functools import partial
from typing import NamedTuple

from messaging.common.database import Connection
from messaging.common.transactions import all_or_nothing
from messaging.events.record import say_more
from messaging.leads.opt_outs import OptOutCategory, record_opt_outs
from messaging.selection.fields import Arguments
from messaging.selection.leads import selected_phones
from messaging.selection.selection import Selection

__all__ = ["OptedOut", "not_opted_out", "opt_out_leads"]

# An operator's own opt-out counts here: one by a reply can be taken back by a reply. {} is the category.
OPTED_OUT = """exists (select from suppressions o
                     where o.phone = l.phone and o.source = 'operator' and o.category in ('all', {}))"""


class OptedOut(NamedTuple):
    """What an opt-out of many has done. ``enrollments``: those that it ended."""

    phones: list[str]
    enrollments: list[int]
    workflows: list[str]
    """The workflows of messages that it closed and that wait for a slot or for a hold to end."""


def not_opted_out(category: OptOutCategory, arguments: Arguments) -> str:
    """The condition on a lead l that no operator has opted it out of this category."""
    return f"not {OPTED_OUT.format(arguments.add(category, 'text'))}"


async def opt_out_leads(
    connection: Connection, selection: Selection, reason: str, category: OptOutCategory = "all"
) -> OptedOut:
    """Opts the leads out, ends their enrollments and closes their messages that no attempt holds; all or nothing."""
    return await all_or_nothing(connection, partial(_opt_out, connection, selection, reason, category))


async def _opt_out(
    connection: Connection, selection: Selection, reason: str, category: OptOutCategory
) -> OptedOut:
    await say_more(connection, chosen=selection.words)
    phones = await selected_phones(connection, selection, partial(not_opted_out, category))
    done = await record_opt_outs(connection, phones, reason, category=category)
    return OptedOut(phones, done.enrollments, done.workflows)
