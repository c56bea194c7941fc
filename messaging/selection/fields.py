"""The fields of filters: what each means, and the SQL of one condition.

No text of a filter becomes part of the SQL: fields and operators are looked up in tables of this module, and values and
names of attributes become parameters of the statement. Comparisons of texts ignore case. A condition on something that
a lead lacks is false, so its negation is true: ``city != KL`` also finds leads without a city.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

from messaging.common.errors import InvalidInput
from messaging.common.phones import parse_phone, quoted
from messaging.common.suggestions import did_you_mean
from messaging.common.words import normalise_words
from messaging.leads.cleaning import attribute_name
from messaging.selection.syntax import Condition, FilterError, Word
from messaging.times.durations import parse_duration

__all__ = ["ATTRIBUTE", "FIELDS", "Arguments", "Field", "attribute_of", "compile_condition", "field_of"]

ATTRIBUTE = "attribute."
"""In front of a column's name, if it is also the name of a field: ``attribute.state = Johor``."""

_NUMBER = re.compile(r"[+-]?[0-9]{1,50}(?:\.[0-9]{1,50})?")
_AGO = re.compile(r"(.+?)\s*ago", re.IGNORECASE)
_COMPARISONS = ("<", "<=", ">", ">=")
_YES = {"yes": True, "true": True, "no": False, "false": False}


class Arguments:
    """The parameters of a statement. ``first``: the number of the first one."""

    def __init__(self, first: int = 1) -> None:
        self._first = first
        self.values: list[Any] = []

    def add(self, value: Any, kind: str) -> str:
        """Adds a value of this type of PostgreSQL; answers what stands for it in the SQL."""
        self.values.append(value)
        return f"${self._first + len(self.values) - 1}::{kind}"


@dataclass(frozen=True)
class Field:
    """``of_contact``: about an enrollment of the lead. ``choices``: the values that it can have, if they are few."""

    name: str
    kind: str
    sql: str
    meaning: str
    of_contact: bool = False
    choices: tuple[str, ...] = ()


REPLIED = """(select max(i.sent_at) from inbound_messages i
               where i.phone = l.phone and not i.from_me and i.kind <> 'reaction')"""
OPTED_OUT = "(select min(o.created_at) from suppressions o where o.phone = l.phone)"
STATE = "case when c.status = 'active' and c.paused_at is not null then 'paused' else c.status end"

# In the SQL of a field, l is the lead; for one of an enrollment, c is the contact, s its sequence and t its next step.
_ALL = (
    Field("phone", "phone", "l.phone", "the phone, in any format with its country code"),
    Field("name", "text", "l.name", "the name"),
    Field("niche", "words", "l.niches", "the niches"),
    Field("trigger", "words", "l.triggers", "the triggers"),
    Field("tag", "words", "words_of(l.attributes ->> 'tags')", "the tags"),
    Field(
        "target_status", "choice", "l.target_status", "prospect or customer", choices=("prospect", "customer")
    ),
    Field("device", "text", "l.device_id", "the lead's device"),
    Field("time_zone", "text", "l.time_zone", "the lead's time zone"),
    Field("created", "moment", "l.created_at", "when the lead was stored"),
    Field("updated", "moment", "l.updated_at", "when the lead was changed last"),
    Field("consent", "flag", "l.consent_at", "whether it has consent; compared with a time, since when"),
    Field("replied", "flag", REPLIED, "whether it has replied; compared with a time, its last reply"),
    Field("opted_out", "flag", OPTED_OUT, "whether it has opted out; compared with a time, since when"),
    Field("campaign", "campaign", "k.name", "a campaign that it has a message of"),
    Field("sequence", "text", "s.name", "a sequence that it is or was in", of_contact=True),
    Field(
        "state",
        "choice",
        STATE,
        "the state of that enrollment",
        of_contact=True,
        choices=("active", "paused", "completed", "stopped", "opted_out"),
    ),
    Field("step", "text", "t.key", "the step that comes next there", of_contact=True),
    Field("due", "moment", "c.next_due_at", "when that step is due", of_contact=True),
)

FIELDS = {field.name: field for field in _ALL}
_ALIASES = {
    "niches": "niche",
    "triggers": "trigger",
    "tags": "tag",
    "status": "target_status",
    "device_id": "device",
    "created_at": "created",
    "updated_at": "updated",
    "timezone": "time_zone",
    "sequences": "sequence",
}
_ANY_ATTRIBUTE = Field("attribute", "text", "l.attributes ->> {}", "a column of the imported file")


def field_of(word: Word) -> Field:
    """The field of this name, else the lead's attribute. Raises FilterError for a name that has no letter or digit."""
    if word.text.lower().startswith(ATTRIBUTE):
        return _ANY_ATTRIBUTE
    name = attribute_name(word.text)
    if not name:
        raise FilterError(word.column, f"{quoted(word.text)} is no field")
    return FIELDS.get(_ALIASES.get(name, name), _ANY_ATTRIBUTE)


def attribute_of(word: Word) -> str | None:
    """The name of the attribute that a field's name means; None for the fields of Drumbeat."""
    if field_of(word) is not _ANY_ATTRIBUTE:
        return None
    return attribute_name(
        word.text[len(ATTRIBUTE) :] if word.text.lower().startswith(ATTRIBUTE) else word.text
    )


def compile_condition(condition: Condition, arguments: Arguments) -> str:
    """The SQL of one condition: true or false, never null. Raises FilterError for a value that does not fit its field."""
    field = field_of(condition.field)
    sql = field.sql
    if (attribute := attribute_of(condition.field)) is not None:
        sql = sql.format(arguments.add(attribute, "text"))
    compiled = _KINDS[field.kind](_Use(field, sql, condition, arguments))
    return f"{'not ' if condition.negated else ''}coalesce({compiled}, false)"


class _Use(NamedTuple):
    """One condition on a field."""

    field: Field
    sql: str
    condition: Condition
    arguments: Arguments

    @property
    def operator(self) -> str:
        return self.condition.operator

    @property
    def value(self) -> Word:
        return self.condition.values[0]

    def text(self, text: str) -> str:
        return self.arguments.add(text, "text")

    def texts(self) -> str:
        return self.arguments.add([word.text.lower() for word in self.condition.values], "text[]")

    def unfit(self, usable: str) -> FilterError:
        name = quoted(self.condition.field.text)
        if self.operator == "true":
            return FilterError(
                self.condition.field.column, f"an operator is missing behind {name}: use {usable}"
            )
        operator = self.operator if self.operator != "empty" else "is empty"
        return FilterError(self.condition.field.column, f"{operator!r} does not fit {name}: use {usable}")


def _text(use: _Use) -> str:
    match use.operator:
        case "empty":
            return f"coalesce({use.sql}, '') = ''"
        case "=":
            return f"lower({use.sql}) = lower({use.text(use.value.text)})"
        case "in":
            return f"lower({use.sql}) = any ({use.texts()})"
        case "contains" | "like":
            return f"{use.sql} ilike {use.text(_pattern(use))}"
        case "<" | "<=" | ">" | ">=" as operator:
            return _ordered(use, operator)
    raise use.unfit("=, !=, <, >, in, contains, like or 'is empty'")


def _ordered(use: _Use, operator: str) -> str:
    """A comparison by size: as numbers if the value is one, otherwise as texts."""
    written = use.value.text.strip()
    if _NUMBER.fullmatch(written):
        number = use.arguments.add(Decimal(written), "numeric")
        stored = f"case when {use.sql} ~ '^\\s*[+-]?[0-9]+([.][0-9]+)?\\s*$' then ({use.sql})::numeric end"
        return f"{stored} {operator} {number}"
    return f'lower({use.sql}) collate "C" {operator} lower({use.text(written)}) collate "C"'


def _pattern(use: _Use) -> str:
    r"""The pattern for ILIKE, in which ``%``, ``_`` and ``\`` stand for themselves; of ``like``, ``*`` is any text."""
    escaped = re.sub(r"([\\%_])", r"\\\1", use.value.text)
    return f"%{escaped}%" if use.operator == "contains" else escaped.replace("*", "%")


def _words(use: _Use) -> str:
    match use.operator:
        case "empty":
            return f"{use.sql} = '{{}}'"
        case "has" | "=":
            return f"{use.sql} @> {use.arguments.add([_one_word(use.value)], 'text[]')}"
        case "in":
            return f"{use.sql} && {use.arguments.add([_one_word(word) for word in use.condition.values], 'text[]')}"
        case "contains" | "like":
            return f"exists (select from unnest({use.sql}) w (word) where w.word ilike {use.text(_pattern(use))})"
    raise use.unfit("has, in, contains, like or 'is empty'")


def _one_word(word: Word) -> str:
    try:
        found = normalise_words(word.text)
    except InvalidInput as error:
        raise FilterError(word.column, str(error)) from error
    if len(found) != 1:
        raise FilterError(word.column, f"{quoted(word.text)} is not one word: use in (…, …) for several")
    return found[0]


def _choice(use: _Use) -> str:
    if use.operator not in ("=", "in"):
        raise use.unfit("=, != or in")
    for word in use.condition.values:
        if word.text.lower() not in use.field.choices:
            raise FilterError(
                word.column,
                f"{quoted(word.text)} is no {use.field.name}: {did_you_mean(word.text, use.field.choices)};"
                f" for a column of that name write {ATTRIBUTE}{attribute_name(use.condition.field.text)}",
            )
    return f"{use.sql} = any ({use.texts()})"


def _phone(use: _Use) -> str:
    match use.operator:
        case "=" | "in":
            phones = [_parsed_phone(word) for word in use.condition.values]
            return f"{use.sql} = any ({use.arguments.add(phones, 'text[]')})"
        case "contains" | "like":
            return f"{use.sql} like {use.text(''.join(_pattern(use).split()))}"
    raise use.unfit("=, !=, in, contains or like")


def _parsed_phone(word: Word) -> str:
    try:
        return parse_phone(word.text, None)
    except InvalidInput as error:
        raise FilterError(word.column, str(error)) from error


def _moment(use: _Use) -> str:
    if use.operator == "empty":
        return f"{use.sql} is null"
    if use.operator not in ("=", *_COMPARISONS):
        raise use.unfit("=, !=, <, <=, >, >= or 'is empty'")
    begins, ends = _period(use.value)
    if ends is not None:  # a day
        match use.operator:
            case "=":
                return f"({use.sql} >= {_at(use, begins)} and {use.sql} < {_at(use, ends)})"
            case ">":
                return f"{use.sql} >= {_at(use, ends)}"
            case "<=":
                return f"{use.sql} < {_at(use, ends)}"
    return f"{use.sql} {use.operator} {_at(use, begins)}"


def _at(use: _Use, moment: datetime | timedelta) -> str:
    if isinstance(moment, timedelta):
        return f"(clock_timestamp() - {use.arguments.add(moment, 'interval')})"
    return use.arguments.add(moment, "timestamptz")


def _period(word: Word) -> tuple[datetime | timedelta, datetime | None]:
    """The moment that a value means, or how long ago it was; of a day, its beginning and end."""
    text = word.text.strip()
    try:
        if ago := _AGO.fullmatch(text):
            return parse_duration(ago[1]), None
        if len(text) <= len("2026-11-30"):
            begins = datetime.combine(date.fromisoformat(text), datetime.min.time(), UTC)
            return begins, begins + timedelta(days=1)
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC), None
    except (InvalidInput, ValueError, OverflowError):
        raise FilterError(
            word.column,
            f"{quoted(word.text)} is no time: write 2026-11-30, '2026-11-30 17:00' (UTC),"
            " '2026-11-30 17:00+08:00' or '3d ago'",
        ) from None


def _flag(use: _Use) -> str:
    if use.operator == "true":
        return f"{use.sql} is not null"
    if use.operator == "=" and use.value.text.lower() in _YES:
        return f"{use.sql} is {'not ' if _YES[use.value.text.lower()] else ''}null"
    return _moment(use)


def _campaign(use: _Use) -> str:
    messages = "select from broadcast_messages m join campaigns k on k.id = m.campaign_id where m.recipient_phone = l.phone"
    if use.operator == "empty":
        return f"not exists ({messages})"
    return f"exists ({messages} and {_text(use)})"


_KINDS: dict[str, Callable[[_Use], str]] = {
    "text": _text,
    "words": _words,
    "choice": _choice,
    "phone": _phone,
    "moment": _moment,
    "flag": _flag,
    "campaign": _campaign,
}
