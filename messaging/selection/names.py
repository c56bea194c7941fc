"""Checks the names in a filter. A misspelt one would find nothing; or, behind ``not``, everything."""

from collections.abc import Iterable

from messaging.common.database import Connection
from messaging.common.phones import quoted
from messaging.common.suggestions import did_you_mean, similar
from messaging.selection.fields import FIELDS, attribute_of, field_of
from messaging.selection.syntax import Filter, FilterError, Word, conditions

__all__ = ["check_names", "is_new_column", "known_attributes", "similar_column"]

HAS_ATTRIBUTE = "select exists (select from leads where attributes ? $1)"

SELECT_ATTRIBUTES = "select distinct jsonb_object_keys(attributes) as name from leads order by name"

# By field: the names that there are.
SELECT_NAMES = {
    "sequence": "select name from sequences order by name",
    "campaign": "select name from campaigns order by name",
    "device": "select id as name from devices order by id",
    "step": "select distinct key as name from sequence_steps where removed_at is null order by name",
}


async def check_names(connection: Connection, filter_: Filter) -> None:
    """Raises FilterError for a column that no lead has, and for a sequence, campaign, device or step that there is
    not."""
    known: dict[str, list[str]] = {}
    for condition in conditions(filter_):
        attribute = attribute_of(condition.field)
        if attribute is not None:
            if not await connection.fetchval(HAS_ATTRIBUTE, attribute):
                raise _unknown(
                    condition.field,
                    "there is no field of that name, and no lead has a column",
                    [*FIELDS, *await known_attributes(connection)],
                )
            continue
        name = field_of(condition.field).name
        if name not in SELECT_NAMES or condition.operator not in ("=", "in"):
            continue
        if name not in known:
            known[name] = [row["name"] for row in await connection.fetch(SELECT_NAMES[name])]
        folded = {one.lower() for one in known[name]}
        for value in condition.values:
            if value.text and value.text.lower() not in folded:
                raise _unknown(value, f"there is no {name}", known[name])


async def known_attributes(connection: Connection) -> list[str]:
    """The columns of imported files that some lead has a value of, by name."""
    return [row["name"] for row in await connection.fetch(SELECT_ATTRIBUTES)]


async def is_new_column(connection: Connection, attribute: str) -> bool:
    """Whether no lead has a value of this column."""
    return not await connection.fetchval(HAS_ATTRIBUTE, attribute)


async def similar_column(connection: Connection, attribute: str) -> str | None:
    """The column that was perhaps meant, None if no name is similar."""
    return similar(attribute, [*FIELDS, *await known_attributes(connection)])


def _unknown(word: Word, problem: str, names: Iterable[str]) -> FilterError:
    hint = did_you_mean(word.text, names)
    return FilterError(word.column, f"{problem} {quoted(word.text)}" + (f": {hint}" if hint else ""))
