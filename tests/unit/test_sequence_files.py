"""The file of a sequence: each way to get it wrong, and the line that says so."""

from datetime import time, timedelta

import pytest

from messaging.common.errors import InvalidInput
from messaging.sequences.file import SequenceFile, read_sequence
from messaging.times.durations import format_duration, parse_duration

HEAD = "sequence: cold-vitac\ntimezone: Asia/Kuala_Lumpur\n"


def lines_of(source: str) -> list[str]:
    """The problems of a file as they are shown."""
    draft = read_sequence(source, "cold.yaml")
    assert (draft.sequence is None) == bool(draft.document.problems)
    return [str(problem) for problem in sorted(draft.document.problems)]


def of_steps(*steps: str) -> str:
    """A file whose steps are these; the first stands on line 4."""
    return f"{HEAD}steps:\n" + "".join(f"  - {{{step}}}\n" for step in steps)


FIELDS = f"known are {', '.join(SequenceFile.model_fields)}"
NOT_A_NAME = (
    "cannot be a name: use 1 to 64 letters, digits, '.', '-' and '_', beginning with a letter or digit"
)
NOT_A_DURATION = 'is not a duration, write e.g. "48h", "30m", "1h30m" or "2d"'


@pytest.mark.parametrize(
    ("source", "line"),
    [
        ("", "cold.yaml:1: holds no fields, write them as 'name: value' lines"),
        ("- a\n- b\n", "cold.yaml:1: holds no fields, write them as 'name: value' lines"),
        (
            "a: b: c\n",
            (
                "cold.yaml:1: is not YAML: mapping values are not allowed here, put a text with ': ' in it in quotes,"
                " or on lines of its own after '|-'"
            ),
        ),
        (
            "sequence: x\nsteps: [1\n",
            "cold.yaml:2: is not YAML: while parsing a flow sequence expected ',' or ']', but got '<stream end>'",
        ),
        (
            "a: b\n---\nc: d\n",
            "cold.yaml:2: is not YAML: expected a single document in the stream but found another document",
        ),
        (f"{HEAD}", "cold.yaml:1: steps: there is no step, a sequence needs at least one"),
        (f"{HEAD}steps:\n", "cold.yaml:3: steps: there is no step, a sequence needs at least one"),
        (f"{HEAD}steps: []\n", "cold.yaml:3: steps: there is no step, a sequence needs at least one"),
        (
            f"{HEAD}steps: a\n",
            "cold.yaml:3: steps: is not a list, write each item on a line that begins with '- '",
        ),
        (
            f"{HEAD}steps:\n  - hello\n",
            "cold.yaml:4: steps[0]: holds no fields, write them as 'name: value' lines",
        ),
        (
            of_steps("id: a, day: 1, text: x", "id: b, day: 2, text: y", "id: a, day: 3, text: z"),
            "cold.yaml:6: steps[2].id: 'a' is the ID of a step before, each needs its own",
        ),
        (of_steps("day: 1, text: x"), "cold.yaml:4: steps[0].id: is missing"),
        (
            of_steps("id: 7, day: 1, text: x"),
            'cold.yaml:4: steps[0].id: 7 is not a text, put it in quotes: "7"',
        ),
        (
            of_steps("id: a b, day: 1, text: x"),
            f"cold.yaml:4: steps[0].id: 'a b' {NOT_A_NAME}",
        ),
        (
            of_steps("id: a, day: 3, text: x", "id: b, day: 2, text: y"),
            "cold.yaml:5: steps[1].day: goes backwards, the step before it is on day 3",
        ),
        (
            of_steps("id: a, day: 1, text: x", "id: b, after: 72h, text: y", "id: c, day: 3, text: z"),
            "cold.yaml:6: steps[2].day: goes backwards, the step before it is on day 4",
        ),
        (
            of_steps('id: a, day: 2, at: "10:00", text: x', 'id: b, day: 2, at: "09:59", text: y'),
            "cold.yaml:5: steps[1].at: goes backwards, the step before it is later on day 2",
        ),
        (
            of_steps("id: a, text: x"),
            "cold.yaml:4: steps[0].day: is missing, the first step needs 'day: 1', or 'after'",
        ),
        (
            of_steps("id: a, day: 1, text: x", "id: b, text: x"),
            "cold.yaml:5: steps[1].day: is missing, give 'day: 3' or 'after: 48h'",
        ),
        (
            of_steps("id: a, day: 1, after: 3s, text: x"),
            "cold.yaml:4: steps[0].after: stands beside 'day', give one of the two",
        ),
        (
            of_steps('id: a, after: 3s, at: "10:00", text: x'),
            "cold.yaml:4: steps[0].at: goes with 'day', not with 'after'",
        ),
        (
            of_steps("id: a, day: 0, text: x"),
            "cold.yaml:4: steps[0].day: 0 is not a day of a sequence, the first is 1 and the last 3650",
        ),
        (of_steps("id: a, day: 1.5, text: x"), "cold.yaml:4: steps[0].day: '1.5' is not a whole number"),
        (of_steps("id: a, day: true, text: x"), "cold.yaml:4: steps[0].day: true is not a whole number"),
        (
            of_steps('id: a, day: "3", text: x'),
            "cold.yaml:4: steps[0].day: '3' is a text, write the number without quotes: 3",
        ),
        (
            of_steps('id: a, day: 1, at: "25:00", text: x'),
            "cold.yaml:4: steps[0].at: '25:00' is not a time of day, write HH:MM, e.g. \"10:00\"",
        ),
        (
            of_steps("id: a, day: 1, at: 10, text: x"),
            'cold.yaml:4: steps[0].at: 10 is not a time of day, write HH:MM, e.g. "10:00"',
        ),
        (of_steps("id: a, after: soon, text: x"), f"cold.yaml:4: steps[0].after: 'soon' {NOT_A_DURATION}"),
        (of_steps("id: a, after: 48, text: x"), f"cold.yaml:4: steps[0].after: 48 {NOT_A_DURATION}"),
        (
            of_steps("id: a, after: 3651d, text: x"),
            "cold.yaml:4: steps[0].after: '3651d' is longer than ten years",
        ),
        (
            of_steps("id: a, day: 1"),
            "cold.yaml:4: steps[0].text: is empty, write what is to be sent, or give an 'image'",
        ),
        (
            of_steps("id: a, day: 1, text: '  '"),
            "cold.yaml:4: steps[0].text: is empty, write what is to be sent, or give an 'image'",
        ),
        (
            of_steps(f"id: a, day: 1, text: {'x' * 4097}"),
            "cold.yaml:4: steps[0].text: has 4,097 characters, WhatsApp takes 4,096",
        ),
        (
            of_steps(f"id: a, day: 1, image: 'https://example.com/a.jpg', text: {'x' * 1025}"),
            "cold.yaml:4: steps[0].text: has 1,025 characters, WhatsApp takes 1,024 below an image",
        ),
        (
            of_steps("id: a, day: 1, image: ftp://example.com/a.jpg"),
            (
                "cold.yaml:4: steps[0].image: 'ftp://example.com/a.jpg' is not the address of an image,"
                " write one that begins with https://"
            ),
        ),
        (
            of_steps("id: a, day: 1, image: a.jpg"),
            "cold.yaml:4: steps[0].image: 'a.jpg' is not the address of an image, write one that begins with https://",
        ),
        (
            of_steps("id: a, day: 1, txt: x, text: x"),
            "cold.yaml:4: steps[0].txt: is no field here; did you mean 'text'?",
        ),
        (
            "sequence: x\ntimezone: Asia/Kuala_Lumpr\nsteps: [{id: a, day: 1, text: x}]\n",
            "cold.yaml:2: timezone: 'Asia/Kuala_Lumpr' is not an IANA time zone, did you mean 'Asia/Kuala_Lumpur'?",
        ),
        (
            "sequence: x\ntimezone: asia/kuala_lumpur\nsteps: [{id: a, day: 1, text: x}]\n",
            "cold.yaml:2: timezone: 'asia/kuala_lumpur' is not an IANA time zone, did you mean 'Asia/Kuala_Lumpur'?",
        ),
        (
            "sequence: x\ntimezone: UTC+8\nsteps: [{id: a, day: 1, text: x}]\n",
            "cold.yaml:2: timezone: 'UTC+8' is not an IANA time zone, write a place, e.g. Asia/Singapore, Asia/Kuala_Lumpur or Asia/Manila",
        ),
        (
            'sequence: x\nsteps: [{id: a, day: 1, at: "10:00", text: x}]\n',
            "cold.yaml:1: timezone: is missing, and steps[0].at is a local time",
        ),
        (
            "sequence: x\nskip_weekends: sure\nsteps: [{id: a, day: 1, text: x}]\n",
            "cold.yaml:2: skip_weekends: 'sure' is neither true nor false",
        ),
        ("steps: [{id: a, day: 1, text: x}]\n", "cold.yaml:1: sequence: is missing"),
        (
            "sequence: x\ntriger: Y\nsteps: [{id: a, day: 1, text: x}]\n",
            "cold.yaml:2: triger: is no field here; did you mean 'trigger'?",
        ),
        (
            "sequence: x\n1: Y\nsteps: [{id: a, day: 1, text: x}]\n",
            f"cold.yaml:2: 1: is no field here; {FIELDS}",
        ),
        (
            "sequence: x\ntrigger: A,B\nsteps: [{id: a, day: 1, text: x}]\n",
            "cold.yaml:2: trigger: 'A,B' is not a trigger, write one word without commas, e.g. COLDVITAC",
        ),
        (
            "sequence: x\ntrigger: true\nsteps: [{id: a, day: 1, text: x}]\n",
            'cold.yaml:2: trigger: true is not a text, put it in quotes: "true"',
        ),
        (
            "sequence: x\nsequence: y\nsteps: [{id: a, day: 1, text: x}]\n",
            "cold.yaml:2: sequence: is given twice, first on line 1",
        ),
        (
            f"{HEAD}steps:\n  - id: a\n    day: 1\n    text: x\n    text: y\n",
            "cold.yaml:7: steps[0].text: is given twice, first on line 6",
        ),
        (
            "sequence: !!python/object:os.system x\nsteps: [{id: a, day: 1, text: x}]\n",
            "cold.yaml:1: is not YAML: tags (!name) are not supported, put a text that begins with ! in quotes",
        ),
        (
            f"{HEAD}steps: &s\n  - *s\n",
            "cold.yaml:3: steps[0]: an alias (*name) stands inside of what it repeats",
        ),
    ],
)
def test_says_what_is_wrong(source: str, line: str) -> None:
    found = lines_of(source)
    assert line in found
    assert len(found) == 1 or "alias" in line


def test_tells_everything_at_once_and_in_order() -> None:
    source = (
        "sequence: cold vitac\n"
        "triger: X\n"
        "timezone: Nowhere\n"
        "steps:\n"
        "  - id: a\n"
        "    day: 3\n"
        "    at: 24:00\n"
        "    text: x\n"
        "  - id: a\n"
        "    day: 2\n"
        "    image: nowhere\n"
    )
    assert [line.split(": ")[0] + " " + line.split(": ")[1] for line in lines_of(source)] == [
        "cold.yaml:1 sequence",
        "cold.yaml:2 triger",
        "cold.yaml:3 timezone",
        "cold.yaml:7 steps[0].at",
        "cold.yaml:9 steps[1].id",
        "cold.yaml:10 steps[1].day",
        "cold.yaml:11 steps[1].image",
    ]


@pytest.mark.parametrize(
    ("written", "at"),
    [
        ('"10:00"', time(10)),
        ("10:00", time(10)),
        ("9:05", time(9, 5)),
        ("23:59:58", time(23, 59, 58)),
        ("00:00", time(0)),
    ],
)
def test_a_time_needs_no_quotes(written: str, at: time) -> None:
    draft = read_sequence(of_steps(f"id: a, day: 1, at: {written}, text: x"), "cold.yaml")
    assert draft.sequence is not None
    assert draft.sequence.steps[0].at == at


@pytest.mark.parametrize("directive", ["", "%YAML 1.1\n---\n"])
def test_yaml_1_1_reads_the_same(directive: str) -> None:
    draft = read_sequence(directive + of_steps("id: no, day: 1, at: 10:00, text: on"), "cold.yaml")
    assert draft.document.problems == []
    assert draft.sequence is not None
    step = draft.sequence.steps[0]
    assert (step.id, step.at, step.text) == ("no", time(10), "on")


def test_a_whole_file() -> None:
    source = (
        "sequence: cold-vitac\ntrigger: ' coldvitac '\nnext_trigger: warmvitac\ntimezone: Asia/Kuala_Lumpur\n"
        "skip_weekends: true\ndevice: main\nsteps:\n"
        "  - id: welcome\n    after: 0s\n    text: |\n      Hi\n\n      https://example.com/?a=1&b=2\n"
        "  - id: picture\n    day: 3\n    image: https://example.com/a.jpg\n"
        "  - id: last\n    after: 1d12h\n    text: x\n"
    )
    sequence = read_sequence(source, "cold.yaml").sequence
    assert sequence is not None
    assert (sequence.trigger, sequence.next_trigger, sequence.device) == ("COLDVITAC", "WARMVITAC", "main")
    assert sequence.skip_weekends
    assert sequence.steps[0].text == "Hi\n\nhttps://example.com/?a=1&b=2\n"
    assert sequence.steps[0].after == timedelta(0)
    assert sequence.steps[1].text == ""
    assert sequence.steps[2].after == timedelta(hours=36)


def test_steps_may_share_a_text_by_alias() -> None:
    source = f"{HEAD}steps:\n  - {{id: a, day: 1, text: &t Hello}}\n  - {{id: b, day: 2, text: *t}}\n"
    sequence = read_sequence(source, "cold.yaml").sequence
    assert sequence is not None
    assert [step.text for step in sequence.steps] == ["Hello", "Hello"]


@pytest.mark.parametrize(
    ("text", "duration"),
    [
        ("48h", timedelta(hours=48)),
        ("30m", timedelta(minutes=30)),
        ("5s", timedelta(seconds=5)),
        ("2d", timedelta(days=2)),
        ("1h30m", timedelta(minutes=90)),
        ("1h 30m", timedelta(minutes=90)),
        ("0s", timedelta(0)),
    ],
)
def test_durations(text: str, duration: timedelta) -> None:
    assert parse_duration(text) == duration
    assert parse_duration(format_duration(duration)) == duration


@pytest.mark.parametrize("text", ["", "h", "5", "-5s", "5x", "30m1h", "1.5h", "5 s s", "9999999999s"])
def test_no_durations(text: str) -> None:
    with pytest.raises(InvalidInput):
        parse_duration(text)


@pytest.mark.parametrize(
    ("duration", "text"),
    [(timedelta(hours=36), "36h"), (timedelta(hours=50), "2d2h"), (timedelta(seconds=90), "1m30s")],
)
def test_durations_as_text(duration: timedelta, text: str) -> None:
    assert format_duration(duration) == text
