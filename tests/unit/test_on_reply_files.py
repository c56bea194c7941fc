"""The fields on_reply and reply_within of a sequence's file: what they mean, and what is wrong with them."""

from datetime import timedelta

import pytest

from messaging.sequences.file import REPLY_WITHIN, read_sequence
from messaging.sequences.on_reply import Action, action_for, as_stored, format_on_reply, read_rules

STEPS = "steps: [{id: a, day: 1, text: x}]\n"
EXAMPLE = "e.g. pause, or [{when: [yes], do: stop}]"
ACTIONS = "is not an action, write continue, pause, stop, or go and the name of a step or sequence"


def problems(more: str) -> list[str]:
    return [
        str(problem) for problem in read_sequence(f"sequence: s\n{more}\n{STEPS}", "s.yaml").document.problems
    ]


@pytest.mark.parametrize(
    ("written", "stored", "said"),
    [
        ("on_reply: pause", [{"when": None, "do": "pause"}], "pause"),
        ("on_reply: Stop", [{"when": None, "do": "stop"}], "stop"),
        ("on_reply: go  prices", [{"when": None, "do": "go prices"}], "go prices"),
        ("on_reply: {when: Yes!, do: continue}", [{"when": ["yes"], "do": "continue"}], "yes: continue"),
        (
            "on_reply:\n  - {when: [YES, yes!, Ya, 1], do: go b}\n  - {when: no, do: stop}\n  - {do: continue}",
            [
                {"when": ["yes", "ya", "1"], "do": "go b"},
                {"when": ["no"], "do": "stop"},
                {"when": None, "do": "continue"},
            ],
            "yes, ya, 1: go b; no: stop; else continue",
        ),
        ("on_reply:", [], ""),
    ],
)
def test_an_action_or_rules_are_read(written: str, stored: list[object], said: str) -> None:
    sequence = read_sequence(f"sequence: s\n{written}\n{STEPS}", "s.yaml").sequence
    assert sequence is not None
    assert as_stored(sequence.on_reply) == stored
    assert read_rules(stored) == sequence.on_reply
    assert format_on_reply(sequence.on_reply) == said


@pytest.mark.parametrize(
    ("written", "line"),
    [
        ("on_reply: jump", f"on_reply: 'jump' {ACTIONS}"),
        ("on_reply: go", f"on_reply: 'go' {ACTIONS}"),
        ("on_reply: stop it", f"on_reply: 'stop it' {ACTIONS}"),
        ("on_reply: 3", f"on_reply: is neither an action nor a list of rules, write {EXAMPLE}"),
        (
            "on_reply: []",
            "on_reply: is empty, write an action, e.g. pause, or rules, e.g. [{when: [yes], do: stop}]",
        ),
        (
            "on_reply: [{do: stop}, {when: x, do: pause}]",
            "on_reply: has rules after one without 'when', which is for all replies: put that one last",
        ),
        (
            "on_reply: [{when: '!!', do: stop}]",
            "on_reply[0].when: '!!' cannot be a keyword: give it letters or digits",
        ),
        (
            "on_reply: [{when: [], do: stop}]",
            "on_reply[0].when: is empty, give the replies that the rule is for, or leave it out",
        ),
        (
            "on_reply: [{when: [[a]], do: stop}]",
            "on_reply[0].when: is no list of replies, write e.g. [yes, ya]",
        ),
        ("on_reply: [{when: yes}]", "on_reply[0].do: is missing"),
        ("on_reply: [{when: yes, do: [stop]}]", f"on_reply[0].do: {ACTIONS}"),
        ("on_reply: [{when: yes, go: b, do: stop}]", "on_reply[0].go: is no field here; known are when, do"),
        (
            "reply_within: 0s",
            "reply_within: '0s' would leave every reply out, write e.g. \"3d\"; with on_reply: continue, replies do nothing",
        ),
        (
            "reply_within: soon",
            'reply_within: \'soon\' is not a duration, write e.g. "48h", "30m", "1h30m" or "2d"',
        ),
    ],
)
def test_a_mistake_is_one_line(written: str, line: str) -> None:
    assert problems(written) == [f"s.yaml:2: {line}"]


def test_a_reply_counts_for_three_days_unless_the_file_says_otherwise() -> None:
    for more, within in (("", REPLY_WITHIN), ("reply_within: 36h", timedelta(hours=36))):
        sequence = read_sequence(f"sequence: s\n{more}\n{STEPS}", "s.yaml").sequence
        assert sequence is not None
        assert sequence.reply_within == within == timedelta(hours=72 if not more else 36)


@pytest.mark.parametrize(
    ("said", "action"),
    [
        (("OPT IN",), Action("go", "b")),
        (("optin!",), Action("go", "b")),
        ((None, "opt-in"), Action("go", "b")),
        (("opt in now",), Action("pause")),
        (("x" * 2000,), Action("pause")),
        ((None,), Action("pause")),
    ],
)
def test_a_rule_compares_as_keywords_are_compared(said: tuple[str | None, ...], action: Action) -> None:
    rules = read_rules([{"when": ["opt in"], "do": "go b"}, {"when": None, "do": "pause"}])
    assert action_for(rules, said) == action
    assert action_for(rules[:1], ("no",)) is None
