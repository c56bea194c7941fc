"""Says why a command for many would change nothing: no lead matches, or the command has nothing to do for those that do."""

from collections.abc import Iterator
from typing import Literal

from messaging.common.counts import count_of
from messaging.common.database import Connection
from messaging.common.errors import NotFound
from messaging.common.suggestions import similar
from messaging.selection.contacts import FROM_CONTACTS
from messaging.selection.fields import Arguments, attribute_of, compile_condition, field_of
from messaging.selection.selection import Selection, selected_contacts, selected_leads
from messaging.selection.syntax import AllOf, AnyOf, Condition, Filter, conditions, parse_filter

__all__ = ["ManyCommand", "why_no_lead", "why_nobody"]

ManyCommand = Literal["pause", "resume", "stop", "skip", "move", "opt-out", "lead set", "lead move"]

_SHOWN = 10
"""Values that are named, at most."""

# What is true of those that match and that the command would not change.
NOTHING_TO_DO = {
    "pause": "all are paused already",
    "resume": "none is paused",
    "stop": "none is left to stop",
    "skip": "none has this step next",
    "move": "none can enter that sequence, or all are in it already",
    "opt-out": "all have been opted out already",
    "lead set": "there is nothing to change",
    "lead move": "all belong to that device already",
}
OF_LEADS = ("opt-out", "lead set", "lead move")

COUNT_LEADS = "select count(*) from leads l where {condition}"

COUNT_UNDER_WAY = f"select count(*) {FROM_CONTACTS}"

ANY_LEAD = "select exists (select from leads)"

HAS_VALUE = "select exists (select from leads l where {condition})"

SELECT_VALUES = "select distinct {value} as value from leads l limit 10000"


async def why_nobody(connection: Connection, command: ManyCommand, selection: Selection) -> str:
    """Why the command would change nobody now.

    Raises NotFound if no lead matches, and the filter has a value that no lead has: it is probably misspelt.
    """
    leads = await _count_leads(connection, selection.model_copy(update={"sequence": None}))
    if not leads:
        return await why_no_lead(connection, selection.where)
    matching = count_of(leads, "lead matches", "leads match")
    if command in OF_LEADS:
        if selection.sequence is not None and not await _count_leads(connection, selection):
            return f"{matching}, none is in sequence {selection.sequence} now"
        return f"{matching}, {NOTHING_TO_DO[command]}"
    arguments = Arguments()
    condition = f"c.status = 'active' and ({await selected_contacts(connection, selection, arguments)})"
    under_way: int = await connection.fetchval(COUNT_UNDER_WAY.format(condition=condition), *arguments.values)
    if under_way:
        return f"{count_of(under_way, 'contact matches', 'contacts match')}, {NOTHING_TO_DO[command]}"
    if selection.device is not None or _of_enrollments(selection.where):
        return f"{matching}, none has an enrollment under way that does"
    where = "a sequence" if selection.sequence is None else f"sequence {selection.sequence}"
    return f"{matching}, none is in {where} now"


async def why_no_lead(connection: Connection, where: str) -> str:
    """Why no lead matches. Raises NotFound for a value in the filter that no lead has: it is probably misspelt."""
    if not await connection.fetchval(ANY_LEAD):
        return "there is no lead yet: import some with 'lead import FILE.csv'"
    if where.strip():
        await _require_known_values(connection, parse_filter(where))
    return "no lead matches"


def _of_enrollments(where: str) -> bool:
    return bool(where.strip()) and any(
        field_of(one.field).of_contact for one in conditions(parse_filter(where))
    )


async def _count_leads(connection: Connection, selection: Selection) -> int:
    arguments = Arguments()
    condition = await selected_leads(connection, selection, arguments)
    count: int = await connection.fetchval(COUNT_LEADS.format(condition=condition), *arguments.values)
    return count


async def _require_known_values(connection: Connection, filter_: Filter) -> None:
    """Raises NotFound for a value that no lead has."""
    for condition in _wanted(filter_):
        field = field_of(condition.field)
        if field.of_contact or field.kind not in ("text", "words", "phone"):
            continue
        if condition.operator not in ("=", "in", "has"):
            continue
        for value in condition.values:
            arguments = Arguments()
            one = compile_condition(Condition(condition.field, "=", (value,)), arguments)
            if await connection.fetchval(HAS_VALUE.format(condition=one), *arguments.values):
                continue
            sign = "has" if condition.operator == "has" else "="
            hint = "" if field.kind == "phone" else await _hint(connection, condition, value.text)
            raise NotFound(f"no lead matches {condition.field.text} {sign} {value.text}{hint}")


def _wanted(filter_: Filter) -> Iterator[Condition]:
    """The conditions of which a lead must have the value."""
    match filter_:
        case Condition(negated=False):
            yield filter_
        case AllOf(parts) | AnyOf(parts):
            for part in parts:
                yield from _wanted(part)


async def _hint(connection: Connection, condition: Condition, text: str) -> str:
    field, arguments = field_of(condition.field), Arguments()
    sql = field.sql
    if (attribute := attribute_of(condition.field)) is not None:
        sql = sql.format(arguments.add(attribute, "text"))
    if field.kind == "words":
        sql = f"unnest({sql})"
    rows = await connection.fetch(SELECT_VALUES.format(value=sql), *arguments.values)
    values = sorted(row["value"] for row in rows if row["value"])
    if (meant := similar(text, values)) is not None:
        return f": did you mean {meant!r}?"
    return f": known are {', '.join(values)}" if 0 < len(values) <= _SHOWN else ""
