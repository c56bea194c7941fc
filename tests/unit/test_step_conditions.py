"""Conditions and waits of steps, as files write them."""

from datetime import timedelta

import pytest

from messaging.sequences.condition_words import format_conditions
from messaging.sequences.file import read_sequence
from messaging.times.durations import format_when

HEAD = "sequence: cold\nsteps:\n  - {id: a, day: 1, text: Hello}\n"


def lines_of(step: str, first: str = "", head: str = "") -> list[str]:
    """The problems of a file with this step on line 4, or on line 3 as the first."""
    source = f"sequence: cold\nsteps:\n  - {{{first}}}\n" if first else f"{head}{HEAD}  - {{{step}}}\n"
    draft = read_sequence(source, "cold.yaml")
    assert (draft.sequence is None) == bool(draft.document.problems)
    return [str(problem).removeprefix("cold.yaml:") for problem in draft.document.problems]


@pytest.mark.parametrize(
    ("conditions", "stored", "words"),
    [
        ("replied: false", {"replied": False}, "replied: false"),
        (
            "read: true, delivered: true",
            {"read": True, "delivered": True},
            "read: true, delivered: true",
        ),
        ("read: , replied: true", {"replied": True}, "replied: true"),
        ("attribute: {City: ' KL '}", {"attribute": {"city": ["KL"]}}, "city: KL"),
        (
            "attribute: {First Visit: [2024, true, '', no, 2024]}",
            {"attribute": {"first_visit": ["2024", "true", "", "no"]}},
            'first_visit: 2024 or true or "" or no',
        ),
        (
            "niche: ' vitac', status: Customer, attribute: {a: x, b: y}",
            {"niche": ["VITAC"], "status": "customer", "attribute": {"a": ["x"], "b": ["y"]}},
            "a: x, b: y, niche: VITAC, status: customer",
        ),
        ("niche: [a, A, b]", {"niche": ["A", "B"]}, "niche: A or B"),
    ],
)
def test_conditions_are_stored_as_leads_have_their_values(
    conditions: str, stored: dict[str, object], words: str
) -> None:
    draft = read_sequence(f"{HEAD}  - {{id: b, day: 2, if: {{{conditions}}}, text: x}}\n", "cold.yaml")
    assert draft.sequence is not None, draft.document.problems
    asked = draft.sequence.steps[1].conditions
    assert asked is not None
    assert asked.stored() == stored
    assert format_conditions(asked.stored()) == words


def test_a_step_that_waits_for_a_reply() -> None:
    draft = read_sequence(f"{HEAD}  - {{id: b, wait_for: {{reply: 1h30m}}, text: x}}\n", "cold.yaml")
    assert draft.sequence is not None, draft.document.problems
    waits = draft.sequence.steps[1].wait_for
    assert waits is not None
    assert waits.reply == timedelta(minutes=90)
    assert format_when(None, None, None, waits.reply) == "on a reply, or after 1h30m"
    assert format_conditions(None) == ""


@pytest.mark.parametrize(
    ("step", "line"),
    [
        ("if: {}", "if: holds no condition, write e.g. {replied: false}"),
        ("if: {read: }", "if: holds no condition, write e.g. {replied: false}"),
        ("if: replied", "if: holds no fields, write them as 'name: value' lines"),
        ("if: {replid: false}", "if.replid: is no field here; did you mean 'replied'?"),
        (
            "if: {xyz: 1}",
            "if.xyz: is no field here; known are replied, read, delivered, attribute, niche, status",
        ),
        ("if: {replied: no}", "if.replied: 'no' is neither true nor false"),
        ("if: {attribute: KL}", "if.attribute: holds no attributes, write e.g. {city: KL}"),
        (
            "if: {attribute: {city: }}",
            'if.attribute: city has no value, write e.g. city: KL, or city: "" for leads without one',
        ),
        (
            "if: {attribute: {city: []}}",
            "if.attribute: the list of city is empty, write e.g. city: [KL, Penang]",
        ),
        (
            "if: {attribute: {Niche: VITAC}}",
            "if.attribute: 'Niche' is no attribute, write 'niche' beside 'attribute'",
        ),
        (
            "if: {attribute: {name: Aisha}}",
            "if.attribute: 'name' is no attribute, write the name of another column of your leads' files",
        ),
        (
            "if: {attribute: {City: KL, city: Penang}}",
            "if.attribute: 'city' is given twice: leads have it as 'city'",
        ),
        (
            "if: {niche: 3}",
            "if.niche: is neither a niche nor a list of niches, write e.g. VITAMINS",
        ),
        (
            "if: {niche: [a, 'b,c']}",
            "if.niche: 'b,c' is not a niche, write one word without commas, e.g. VITAMINS",
        ),
        ("if: {status: lead}", "if.status: 'lead' is no status of leads, write prospect or customer"),
        ("if: {status: ''}", "if.status: '' is no status of leads, write prospect or customer"),
    ],
)
def test_says_what_is_wrong_with_conditions(step: str, line: str) -> None:
    assert lines_of(f"id: b, day: 2, {step}, text: x") == [f"4: steps[1].{line}"]


@pytest.mark.parametrize(
    ("step", "line"),
    [
        ("wait_for: 24h", "wait_for: '24h' does not say what is waited for, write e.g. {reply: 24h}"),
        ("wait_for: {}", "wait_for.reply: is missing"),
        ("wait_for: {read: 24h}", "wait_for.read: is no field here; known are reply"),
        (
            "wait_for: {reply: 0s}",
            "wait_for.reply: '0s' is no time to wait, write how long at most, e.g. \"24h\"",
        ),
        (
            "wait_for: {reply: soon}",
            'wait_for.reply: \'soon\' is not a duration, write e.g. "48h", "30m", "1h30m" or "2d"',
        ),
        ("day: 2, wait_for: {reply: 24h}", "wait_for: stands beside 'day', give one of the two"),
        ("after: 2h, wait_for: {reply: 24h}", "wait_for: stands beside 'after', give one of the two"),
        ("wait_for: {reply: 24h}, at: 10:00", "at: goes with 'day', not with 'wait_for'"),
    ],
)
def test_says_what_is_wrong_with_a_wait(step: str, line: str) -> None:
    found = lines_of(f"id: b, {step}, text: x", head="timezone: UTC\n")
    assert f"5: steps[1].{line}" in found
    assert len(found) == 1 or "5: steps[1].wait_for.reply: is missing" in found


def test_the_first_step_has_nothing_before_it() -> None:
    assert lines_of("", "id: a, wait_for: {reply: 24h}, text: x") == [
        (
            "3: steps[0].wait_for: the first step has no message before it that could be replied to,"
            " give 'day: 1' or 'after'"
        )
    ]
    assert lines_of("", "id: a, day: 1, if: {read: true, delivered: false}, text: x") == [
        "3: steps[0].if.read: asks about the message before, and this is the first step",
        "3: steps[0].if.delivered: asks about the message before, and this is the first step",
    ]
    assert lines_of("", "id: a, after: 1h, if: {replied: false}, text: x") == []


def test_a_day_must_come_after_the_longest_wait() -> None:
    steps = f"{HEAD}  - {{id: b, wait_for: {{reply: 3d}}, text: x}}\n"
    early = read_sequence(f"{steps}  - {{id: c, day: 3, text: y}}\n", "cold.yaml")
    assert [str(problem) for problem in early.document.problems] == [
        "cold.yaml:5: steps[2].day: goes backwards, the step before it is on day 4"
    ]
    assert read_sequence(f"{steps}  - {{id: c, day: 4, text: y}}\n", "cold.yaml").sequence is not None
