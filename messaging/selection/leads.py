"""Lists of leads, by a selection."""

from collections.abc import Callable
from datetime import datetime
from typing import Literal

from messaging.common.database import Connection
from messaging.common.errors import InvalidInput
from messaging.common.phones import quoted
from messaging.common.suggestions import did_you_mean
from messaging.common.values import Value
from messaging.leads.store import StoredLead
from messaging.selection.fields import FIELDS, OPTED_OUT, REPLIED, STATE, Arguments, attribute_of, field_of
from messaging.selection.names import known_attributes
from messaging.selection.selection import Selection, require_some, selected_leads
from messaging.selection.syntax import Word

__all__ = [
    "ContactState",
    "LeadPage",
    "ListedLead",
    "SelectedLead",
    "SelectedLeads",
    "find_leads",
    "list_leads",
    "selected_phones",
]

MOST = 10_000
"""Leads of one page."""

SORTED_BY = (
    "created",
    "updated",
    "phone",
    "name",
    "target_status",
    "device",
    "time_zone",
    "consent",
    "replied",
    "opted_out",
)

COUNT_LEADS = "select count(*) from leads l where {condition}"

# The leads of the page are found first: what is said of each takes its time.
SELECT_LEADS = """
select l.*, {replied} as replied_at, {opted_out} as opted_out_at, e.contacts
  from (select l.* from leads l where {condition} order by {order} limit {limit} offset {offset}) l
 cross join lateral (select coalesce(jsonb_agg(jsonb_build_object('sequence', s.name, 'state', {state},
                                                                  'step', t.key, 'due_at', c.next_due_at)
                                               order by c.enrolled_at, c.id), '[]') as contacts
                       from sequence_contacts c
                       join sequences s on s.id = c.sequence_id
                       left join sequence_steps t on t.id = c.next_step_id
                      where c.phone = l.phone) e
 order by {order}
"""


# For a command that changes them: a few to show, and all.
SELECT_EXAMPLES = "select l.phone, l.name, l.device_id from leads l where {condition} order by l.id limit 5"

SELECT_PHONES = "select l.phone from leads l where {condition} order by l.phone"

# Keeps these phones from being changed. A lead whose phone is just being changed is waited for, and does not count.
HOLD_PHONES = """
select count(*)
  from (select from leads where phone = any ($1) order by phone for key share) held
"""

Also = Callable[[Arguments], str]
"""The SQL of one more condition on a lead l: which ones a command changes at all."""


class SelectedLead(Value):
    """A lead that a command is about to change."""

    phone: str
    name: str
    device_id: str | None


class SelectedLeads(Value):
    """How many leads a command would change now, and some of them."""

    count: int
    examples: tuple[SelectedLead, ...]


class ContactState(Value):
    """A lead's membership in a sequence, past or present."""

    sequence: str
    state: Literal["active", "paused", "completed", "stopped", "opted_out"]
    step: str | None
    """The step that comes next."""
    due_at: datetime | None


class ListedLead(StoredLead):
    """A lead with its state. Times are aware UTC."""

    replied_at: datetime | None
    """When it replied last."""
    opted_out_at: datetime | None
    contacts: tuple[ContactState, ...]


class LeadPage(Value):
    """One page of leads. ``total``: how many there are on all pages; ``first``: the place of the first one, from 1."""

    total: int
    first: int
    leads: tuple[ListedLead, ...]


async def list_leads(
    connection: Connection, selection: Selection, *, sort: str = "created", page: int = 1, limit: int = 50
) -> LeadPage:
    """One page of the selected leads, of ``limit`` leads.

    ``sort``: a field, or a column of imported files; with ``-`` before it, the largest first. Leads without a value come
    last. Raises FilterError and NotFound for the selection, and InvalidInput for ``sort``, ``page`` and ``limit``.
    """
    if not 1 <= limit <= MOST or page < 1:
        raise InvalidInput(f"a page has 1 to {MOST:,} leads, and the first page is 1")
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        arguments = Arguments()
        condition = await selected_leads(connection, selection, arguments)
        total: int = await connection.fetchval(COUNT_LEADS.format(condition=condition), *arguments.values)
        offset = (page - 1) * limit
        query = SELECT_LEADS.format(
            condition=condition,
            replied=REPLIED,
            opted_out=OPTED_OUT,
            state=STATE,
            order=await _order(connection, sort, arguments),
            limit=arguments.add(limit, "bigint"),
            offset=arguments.add(min(offset, total), "bigint"),
        )
        rows = await connection.fetch(query, *arguments.values)
    return LeadPage(
        total=total, first=offset + 1, leads=tuple(ListedLead.model_validate(dict(row)) for row in rows)
    )


async def find_leads(connection: Connection, selection: Selection, also: Also) -> SelectedLeads:
    """The leads that a command would change. Raises FilterError, NotFound and InvalidInput."""
    arguments = Arguments()
    condition = await _condition(connection, selection, also, arguments)
    count: int = await connection.fetchval(COUNT_LEADS.format(condition=condition), *arguments.values)
    examples = await connection.fetch(SELECT_EXAMPLES.format(condition=condition), *arguments.values)
    return SelectedLeads(
        count=count, examples=tuple(SelectedLead.model_validate(dict(row)) for row in examples)
    )


async def selected_phones(connection: Connection, selection: Selection, also: Also) -> list[str]:
    """The phones of those leads, which do not change until the caller's transaction is over."""
    arguments = Arguments()
    condition = await _condition(connection, selection, also, arguments)
    while True:
        rows = await connection.fetch(SELECT_PHONES.format(condition=condition), *arguments.values)
        phones = [row["phone"] for row in rows]
        if await connection.fetchval(HOLD_PHONES, phones) == len(phones):
            return phones


async def _condition(connection: Connection, selection: Selection, also: Also, arguments: Arguments) -> str:
    require_some(selection)
    return f"{also(arguments)} and ({await selected_leads(connection, selection, arguments)})"


async def _order(connection: Connection, sort: str, arguments: Arguments) -> str:
    """The SQL of an order. Raises InvalidInput for what leads cannot be sorted by."""
    word = Word(sort.removeprefix("-"), 1)
    attribute = attribute_of(word)
    if attribute is not None:
        names = await known_attributes(connection)
        if attribute not in names:
            raise _not_sorted(sort, [*SORTED_BY, *names])
        value = f"lower(l.attributes ->> {arguments.add(attribute, 'text')})"
    else:
        field = FIELDS[field_of(word).name]
        if field.name not in SORTED_BY:
            raise _not_sorted(sort, SORTED_BY)
        value = f"lower({field.sql})" if field.kind == "text" else field.sql
    return f"{value} {'desc' if sort.startswith('-') else 'asc'} nulls last, l.id"


def _not_sorted(sort: str, names: list[str] | tuple[str, ...]) -> InvalidInput:
    return InvalidInput(
        f"leads cannot be sorted by {quoted(sort)}: {did_you_mean(sort.removeprefix('-'), names)}"
    )
