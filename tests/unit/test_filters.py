"""Filters on leads: how they are read, what is said of mistakes, and that no text of them gets into the SQL."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from messaging.selection.compile import condition_on_contacts, condition_on_leads
from messaging.selection.fields import Arguments
from messaging.selection.syntax import AllOf, AnyOf, Condition, FilterError, Not, Word, parse_filter
from tests.support.filters import FILTERS


def test_and_binds_stronger_than_or_and_not_stronger_than_both() -> None:
    def one(name: str, column: int) -> Condition:
        return Condition(Word(name, column), "true")

    assert parse_filter("a or b AND not c") == AnyOf((one("a", 1), AllOf((one("b", 6), Not(one("c", 16))))))
    assert parse_filter("(a or b) and c") == AllOf((AnyOf((one("a", 2), one("b", 7))), one("c", 14)))


@pytest.mark.parametrize(
    ("text", "operator", "values", "negated"),
    [
        ("city = KL", "=", ["KL"], False),
        ("city == KL", "=", ["KL"], False),
        ("city != KL", "=", ["KL"], True),
        ("city<>KL", "=", ["KL"], True),
        ("city = 'Kuala Lumpur'", "=", ["Kuala Lumpur"], False),
        ('city = "Joe\'s"', "=", ["Joe's"], False),
        ("city = 'Joe''s'", "=", ["Joe's"], False),
        ("city = “Kuala Lumpur”", "=", ["Kuala Lumpur"], False),
        ("created>=2026-11-30", ">=", ["2026-11-30"], False),
        ("niche HAS vitac", "has", ["vitac"], False),
        ("niche not has vitac", "has", ["vitac"], True),
        ("city in (KL, 'Johor Bahru')", "in", ["KL", "Johor Bahru"], False),
        ("city not in (KL)", "in", ["KL"], True),
        ("name like A*", "like", ["A*"], False),
        ("city is empty", "empty", [], False),
        ("city is not empty", "empty", [], True),
        ("replied", "true", [], False),
        ("'First Name' contains 'and'", "contains", ["and"], False),
    ],
)
def test_conditions(text: str, operator: str, values: list[str], negated: bool) -> None:
    found = parse_filter(text)
    assert isinstance(found, Condition)
    assert (found.operator, [word.text for word in found.values], found.negated) == (
        operator,
        values,
        negated,
    )


@pytest.mark.parametrize(
    ("text", "column", "problem"),
    [
        ("", 1, "it is empty"),
        ("city KL", 6, "an operator is missing behind 'city': =, !=,"),
        ("city", 1, "an operator is missing behind 'city': use ="),
        ("city = Kuala Lumpur", 14, "'Lumpur' does not belong there: join conditions with 'and' or 'or'"),
        ("city = KL niche has VITAC", 11, "'niche' does not belong there: join"),
        ("city = ", 8, "a value is missing behind '='"),
        ("city = KL and", 14, "a field is missing"),
        ("city = and", 8, "as a value, put it in quotes"),
        ("(city = KL", 11, "a ')' is missing, for the '(' in column 1"),
        ("city = KL)", 10, "')' does not belong there: there is no '(' for it"),
        ("name = O'Brien", 9, "the quote ' has no end"),
        ("city ! KL", 6, "'!' means nothing here: write != or 'not'"),
        ("city is KL", 9, "behind 'is' comes 'empty' or 'not empty'"),
        ("city in KL", 9, "behind 'in' comes a list: in (KL, Ipoh)"),
        ("city in (KL Ipoh)", 13, "the list needs ',' between its values"),
        ("city not = KL", 6, "behind a field and 'not' comes has, in, contains or like"),
        ("niche > 3", 1, "'>' does not fit 'niche': use has, in"),
        ("city has KL", 1, "'has' does not fit 'city': use ="),
        ("niche has 'VITAC, SKIN'", 11, "'VITAC, SKIN' is not one word: use in (…, …) for several"),
        ("state = pausd", 9, "'pausd' is no state: did you mean 'paused'?; for a column of that name write attribute.state"),
        ("status = Active", 10, "'Active' is no target_status: known are prospect, customer; for a column"),
        ("created > yesterday", 11, "'yesterday' is no time: write 2026-11-30"),
        ("created > 9999-12-31", 11, "is no time"),
        ("phone = 12", 9, "'12' has no country code"),
        ("... = 3", 1, "'...' is no field"),
        ("not " * 31 + "replied", 121, "more than 30 parentheses or 'not' within each other"),
        ("x" * 10_001, 10_001, "it is too long: a filter has at most 10,000 characters"),
    ],
)  # fmt: skip
def test_mistakes_are_said_with_their_column(text: str, column: int, problem: str) -> None:
    with pytest.raises(FilterError) as error:
        condition_on_leads(parse_filter(text), Arguments())
    assert str(error.value).startswith(f"the filter, column {column}: ")
    assert problem in str(error.value)
    assert error.value.column == column


WORDS = {
    *(
        "and",
        "or",
        "not",
        "any",
        "is",
        "null",
        "true",
        "false",
        "exists",
        "select",
        "from",
        "join",
        "left",
        "on",
        "where",
    ),
    *(
        "coalesce",
        "lower",
        "collate",
        "case",
        "when",
        "then",
        "else",
        "end",
        "like",
        "ilike",
        "unnest",
        "max",
        "min",
    ),
    *(
        "text",
        "numeric",
        "timestamptz",
        "interval",
        "clock_timestamp",
        "paused",
        "active",
        "reaction",
        "C",
        "word",
    ),
    *("l", "c", "s", "t", "k", "m", "i", "o", "w"),
    *("leads", "sequence_contacts", "sequences", "sequence_steps", "campaigns", "broadcast_messages"),
    *(
        "inbound_messages",
        "suppressions",
        "attributes",
        "phone",
        "name",
        "niches",
        "triggers",
        "target_status",
    ),
    *(
        "consent_at",
        "device_id",
        "time_zone",
        "created_at",
        "updated_at",
        "sent_at",
        "from_me",
        "kind",
        "status",
        "paused_at",
        "key",
    ),
    *("id", "sequence_id", "campaign_id", "next_step_id", "next_due_at", "recipient_phone"),
    *("words_of", "tags"),
}
"""All that the SQL of a condition may consist of, beside numbered parameters, operators and one pattern for numbers."""

NUMBERS = r"'^\s*[+-]?[0-9]+([.][0-9]+)?\s*$'"


@given(FILTERS, st.booleans())
def test_no_text_of_a_filter_gets_into_the_sql(text: str, of_leads: bool) -> None:
    arguments: Any = Arguments()
    try:
        sql = (condition_on_leads if of_leads else condition_on_contacts)(parse_filter(text), arguments)
    except FilterError:
        return
    for number in range(1, len(arguments.values) + 1):
        assert f"${number}::" in sql, "PostgreSQL refuses a parameter that is not used"
        sql = sql.replace(f"${number}::", "::")
    assert "$" not in sql.replace(NUMBERS, "")
    assert set(re.findall(r"\w+", sql.replace(NUMBERS, ""))) <= WORDS
    assert re.fullmatch(r"[\w\s().,:=<>&@\[\]'\"{}~*-]*", sql.replace(NUMBERS, ""))
    assert set(re.findall(r"'([^']*)'", sql.replace(NUMBERS, ""))) <= {
        "tags",
        "",
        "{}",
        "active",
        "paused",
        "reaction",
    }
    assert set(re.findall(r'"([^"]*)"', sql)) <= {"C"}


@given(st.text(max_size=60))
def test_any_text_is_a_filter_or_a_mistake_in_a_column_of_it(text: str) -> None:
    column = 1
    try:
        condition_on_leads(parse_filter(text), Arguments())
    except FilterError as error:
        column = error.column
    assert 1 <= column <= len(text) + 1
