"""Parses filters on leads, such as ``city = KL and (niche has VITAC or replied) and not opted_out``.

The grammar, with keywords in any case::

    filter      either { "or" either }                        "and" binds stronger than "or"
    either      part { "and" part }
    part        "not" part | "(" filter ")" | condition
    condition   FIELD [ "not" ] OPERATOR VALUE                =, !=, <, <=, >, >=, has, contains, like
                | FIELD [ "not" ] "in" "(" VALUE { "," VALUE } ")"
                | FIELD "is" [ "not" ] "empty"
                | FIELD                                       for fields that are true or false

A value of several words, or one with a sign of the grammar, stands in single or double quotes; a quote within it is
doubled. What the fields mean is in :mod:`messaging.selection.fields`.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from messaging.common.errors import InvalidInput
from messaging.common.phones import quoted

__all__ = [
    "AllOf",
    "AnyOf",
    "Condition",
    "Filter",
    "FilterError",
    "Not",
    "Word",
    "conditions",
    "parse_filter",
]

LONGEST = 10_000
"""Characters of a filter."""

DEEPEST = 30
"""Parentheses and negations within each other. (PostgreSQL's own limit is far higher, Python's is 1,000 calls.)"""

_TOKEN = re.compile(
    r"""(?P<space>\s+)
      | (?P<quoted>'(?:[^']|'')*'|"(?:[^"]|"")*"|“[^”]*”|‘[^’]*’)
      | (?P<operator><=|>=|!=|<>|==|=|<|>)
      | (?P<sign>[(),])
      | (?P<word>[^\s'"“”‘’()<>=,!]+)""",
    re.VERBOSE,
)
_SAME = {"==": "=", "<>": "!="}
_WORD_OPERATORS = ("has", "in", "contains", "like")
_KEYWORDS = {"and", "or", "not", "is", "empty", *_WORD_OPERATORS}
_OPERATORS = "=, !=, <, >, has, in, contains, like or 'is empty'"


class FilterError(InvalidInput):
    """A filter cannot be used. ``column``: where, counted from 1."""

    def __init__(self, column: int, problem: str) -> None:
        super().__init__(f"the filter, column {column}: {problem}")
        self.column = column


class Word(NamedTuple):
    """A field or a value as written, and its column, counted from 1."""

    text: str
    column: int
    quoted: bool = False


@dataclass(frozen=True)
class Condition:
    """One comparison. ``operator``: =, <, <=, >, >=, has, in, contains, like, empty; or true, for the field alone."""

    field: Word
    operator: str
    values: tuple[Word, ...] = ()
    negated: bool = False


@dataclass(frozen=True)
class Not:
    """The part is false."""

    part: "Filter"


@dataclass(frozen=True)
class AllOf:
    """Every part is true."""

    parts: tuple["Filter", ...]


@dataclass(frozen=True)
class AnyOf:
    """At least one part is true."""

    parts: tuple["Filter", ...]


Filter = Condition | Not | AllOf | AnyOf


def parse_filter(text: str) -> Filter:
    """The filter. Raises FilterError with the column of the first problem, and what to write instead."""
    if len(text) > LONGEST:
        raise FilterError(LONGEST + 1, f"it is too long: a filter has at most {LONGEST:,} characters")
    return _Parser(text).parse()


def conditions(filter_: Filter) -> Iterator[Condition]:
    """Every condition of a filter, from left to right."""
    match filter_:
        case Condition():
            yield filter_
        case Not(part):
            yield from conditions(part)
        case AllOf(parts) | AnyOf(parts):
            for part in parts:
                yield from conditions(part)


class _Token(NamedTuple):
    kind: str
    """quoted, operator, sign, word; or end."""
    text: str
    column: int

    @property
    def keyword(self) -> str:
        """The keyword or operator that it is; empty if it is none."""
        if self.kind == "word":
            return self.text.lower() if self.text.lower() in _KEYWORDS else ""
        return _SAME.get(self.text, self.text) if self.kind in ("operator", "sign") else ""


class _Parser:
    def __init__(self, text: str) -> None:
        self._tokens = list(_tokens(text))
        self._place = 0
        self._depth = 0

    @property
    def _next(self) -> _Token:
        return self._tokens[self._place]

    def _take(self, *keywords: str) -> str | None:
        """The keyword that comes next, if it is one of these; then it is done with."""
        found = self._next.keyword
        if found not in keywords:
            return None
        self._place += 1
        return found

    def parse(self) -> Filter:
        if self._next.kind == "end":
            raise FilterError(1, "it is empty: write for example city = KL")
        found = self._any_of()
        left = self._next
        if left.kind != "end":
            hint = "there is no '(' for it"
            if left.text != ")":
                hint = "join conditions with 'and' or 'or', and put a value of several words in quotes"
            raise FilterError(left.column, f"{quoted(left.text)} does not belong there: {hint}")
        return found

    def _any_of(self) -> Filter:
        parts = [self._all_of()]
        while self._take("or"):
            parts.append(self._all_of())
        return parts[0] if len(parts) == 1 else AnyOf(tuple(parts))

    def _all_of(self) -> Filter:
        parts = [self._part()]
        while self._take("and"):
            parts.append(self._part())
        return parts[0] if len(parts) == 1 else AllOf(tuple(parts))

    def _part(self) -> Filter:
        begin = self._next
        if not (opened := self._take("not", "(")):
            return self._condition()
        self._depth += 1
        if self._depth > DEEPEST:
            raise FilterError(begin.column, f"more than {DEEPEST} parentheses or 'not' within each other")
        found: Filter
        if opened == "not":
            found = Not(self._part())
        else:
            found = self._any_of()
            if not self._take(")"):
                raise FilterError(
                    self._next.column, f"a ')' is missing, for the '(' in column {begin.column}"
                )
        self._depth -= 1
        return found

    def _condition(self) -> Condition:
        field = self._word("a field is missing, such as city, niche or sequence")
        if self._take("is"):
            negated = bool(self._take("not"))
            if not self._take("empty"):
                raise FilterError(self._next.column, "behind 'is' comes 'empty' or 'not empty'")
            return Condition(field, "empty", negated=negated)
        begin = self._next
        negated = bool(self._take("not"))
        operator = self._take(*_WORD_OPERATORS, *(() if negated else ("=", "!=", "<", "<=", ">", ">=")))
        if operator is None:
            if negated:
                raise FilterError(
                    begin.column,
                    "behind a field and 'not' comes has, in, contains or like; else write 'not' first",
                )
            if self._next.kind in ("word", "quoted") and not self._next.keyword:
                raise FilterError(
                    self._next.column, f"an operator is missing behind {quoted(field.text)}: {_OPERATORS}"
                )
            return Condition(field, "true")
        if operator == "in":
            return Condition(field, "in", self._list(), negated)
        value = self._word(f"a value is missing behind {operator!r}")
        return Condition(field, "=" if operator == "!=" else operator, (value,), negated or operator == "!=")

    def _list(self) -> tuple[Word, ...]:
        if not self._take("("):
            raise FilterError(self._next.column, "behind 'in' comes a list: in (KL, Ipoh)")
        values = [self._word("a value is missing")]
        while self._take(","):
            values.append(self._word("a value is missing behind ','"))
        if not self._take(")"):
            raise FilterError(
                self._next.column, "the list needs ',' between its values, and ')' behind the last"
            )
        return tuple(values)

    def _word(self, otherwise: str) -> Word:
        token = self._next
        if token.kind not in ("word", "quoted"):
            raise FilterError(token.column, otherwise)
        if token.keyword:
            hint = f"{quoted(token.text)} is a word of the filter language: as a value, put it in quotes"
            raise FilterError(token.column, f"{otherwise}; {hint}")
        self._place += 1
        return Word(token.text, token.column, token.kind == "quoted")


def _tokens(text: str) -> Iterator[_Token]:
    place = 0
    while place < len(text):
        match = _TOKEN.match(text, place)
        if match is None:
            sign = text[place]
            problem = (
                f"the quote {sign} has no end" if sign in "'\"“”‘’" else f"{quoted(sign)} means nothing here"
            )
            raise FilterError(place + 1, problem + (": write != or 'not'" if sign == "!" else ""))
        kind, found = str(match.lastgroup), match[0]
        if kind == "quoted":
            found = found[1:-1].replace(found[0] * 2, found[0])
        if kind != "space":
            yield _Token(kind, found, place + 1)
        place = match.end()
    yield _Token("end", "the end", place + 1)
