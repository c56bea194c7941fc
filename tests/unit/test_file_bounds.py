"""Files that are not what they should be: refused within a second, with a line or a few that say how to mend them."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from messaging.campaigns.file import read_campaign
from messaging.files.yaml import FileProblems
from messaging.sequences.file import SequenceDraft, read_sequence
from operations.files import check_readable, read_draft

N = 299_000
HEAD = "sequence: x\ntimezone: UTC\n"
MANY = "f.yaml:1: holds more than 12,000 values, which no sequence and no campaign needs"


def step(*fields: str) -> str:
    return f"{HEAD}steps:\n  - {{id: a, {', '.join(fields)}}}\n"


def bomb(levels: int) -> str:
    lines = ["  a0: &a0 [l,l,l,l,l,l,l,l,l,l]"]
    for level in range(1, levels):
        lines.append(f"  a{level}: &a{level} [{','.join([f'*a{level - 1}'] * 10)}]")
    return f"{HEAD}x:\n" + "\n".join(lines) + "\nsteps:\n  - {id: a, day: 1, text: hi}\n"


def problems(source: str, read: Callable[[str, str], SequenceDraft] = read_sequence) -> list[str]:
    began = time.thread_time()
    document = read(source, "f.yaml").document
    lines = str(FileProblems(document.problems)).splitlines() if document.problems else []
    assert time.thread_time() - began < 1
    assert all(len(line) < 600 for line in lines)
    return lines


@pytest.mark.parametrize(
    ("source", "line"),
    [
        (bomb(6), f"{MANY}: aliases (*name) repeat too much"),
        (bomb(19), f"{MANY}: aliases (*name) repeat too much"),
        ("x: &x [*x]", "f.yaml:1: x[0]: an alias (*name) stands inside of what it repeats"),
        ("a: [" + "x," * (N // 2) + "]", MANY),
        ("{" + "a: b," * (N // 6) + "}", MANY),
        (
            "\n".join(f"k{i}: v" for i in range(N // 10)),
            "f.yaml:6000: holds more than 12,000 values, which no sequence",
        ),
        (
            "{" * 100_000,
            "f.yaml:1: is not YAML: it is nested more than 20 deep, which no sequence and no campaign needs",
        ),
        ("[" * N, "f.yaml:1: is not YAML: it is nested more than 20 deep, "),
        ("- " * (N // 2), "f.yaml:1: is not YAML: it is nested more than 20 deep, "),
        ("{a: " * (N // 4), "f.yaml:1: is not YAML: it is nested more than 20 deep, "),
        ("a" * 300_001, "f.yaml:1: has 300,001 characters, at most 300,000"),
        (
            "!" + "a" * N,
            "f.yaml:1: is not YAML: tags (!name) are not supported, put a text that begins with ! in quotes",
        ),
        ("a: !!python/object:os.system x", "f.yaml:1: is not YAML: tags (!name) are not supported"),
        ("%YAML " + "1" * N, "f.yaml:1: is not YAML: Exceeds the limit (4300 digits)"),
        ("---\n" * 50_000, "f.yaml:2: is not YAML: expected a single document"),
        ("#\n" * (N // 2), "f.yaml:1: holds no fields, write them as 'name: value' lines"),
        ("a: b\n" + " c\n" * (N // 3), "f.yaml:1: a: is no field here; "),
        (f"{'s' * 900}: x", "f.yaml:1: ssssss"),
        (
            f"{HEAD}steps:\n" + "".join(f"  - {{id: a{n}, day: {n}, text: x}}\n" for n in range(1, 502)),
            "f.yaml:3: steps: there are 501 steps, at most 500",
        ),
        (
            step("day: 999999999999", "text: x"),
            "f.yaml:4: steps[0].day: 999999999999 is not a day of a sequence",
        ),
        (step(f"day: {'1' * N}", "text: x"), "f.yaml:4: steps[0].day: '1111"),
        (step(f"after: {'9' * N}d", "text: x"), "f.yaml:4: steps[0].after: '9999"),
        (step("after: 99999d", "text: x"), "f.yaml:4: steps[0].after: '99999d' is longer than ten years"),
        (
            step("day: 1", f"image: 'https://{'a' * N}'"),
            "f.yaml:4: steps[0].image: has 299,008 characters, at most 2,048",
        ),
        (
            step("day: 1", f"text: '{'{{' * 50_000}'"),
            "f.yaml:4: steps[0].text: has 100,000 characters, WhatsApp takes 4,096",
        ),
        (
            step("day: 1", "text: *bold* x"),
            "f.yaml:4: is not YAML: found undefined alias 'bold*', put a text that begins",
        ),
        (
            "a:\n\tb: 1",
            "f.yaml:2: is not YAML: while scanning for the next token found character '\\t' that cannot start",
        ),
        (f"{HEAD}a: \0", "f.yaml:3: holds the character U+0000, which is no text: delete it"),
        (
            step("day: 1", 'text: "a\\0b"'),
            "f.yaml:4: steps[0].text: holds U+0000, which is no text: delete it",
        ),
        (
            step("day: 1", 'text: "a\\ud800b"'),
            "f.yaml:4: steps[0].text: holds half a character, which is no text: delete it",
        ),
        ('a: "\\U99999999"', "f.yaml:1: is not YAML: Python int too large to convert to C int"),
        ("a: &a {b: c}\n<<: *a", "f.yaml:2: '<<' is not supported here"),
    ],
)
def test_refused_in_a_second(source: str, line: str) -> None:
    found = problems(source)
    assert [one for one in found if one.startswith(line)] == [one for one in found if line in one] != []
    assert len(found) <= 5
    problems(source, read_campaign)  # type: ignore[arg-type]


def test_many_mistakes_are_told_in_a_few_lines() -> None:
    found = problems("".join(f"sequenc{n}: v\n" for n in range(5_000)))
    assert found[0] == "f.yaml:1: sequenc0: is no field here; did you mean 'sequence'?"
    assert (len(found), found[-1]) == (51, "f.yaml: and 51 more problems")


def test_what_is_wrong_stands_behind_a_long_value() -> None:
    (found,) = [one for one in problems(step(f"after: {'9' * N}d", "text: x")) if "after" in one]
    assert found.endswith('99d\' is not a duration, write e.g. "48h", "30m", "1h30m" or "2d"')


def test_a_long_sequence_is_read() -> None:
    steps = "".join(f"  - {{id: a{n}, day: {n}, at: '10:00', text: x}}\n" for n in range(1, 501))
    assert problems(f"{HEAD}steps:\n{steps}") == []


def test_what_is_never_closed_is_told_where_it_was_opened() -> None:
    (found,) = problems("sequence: x\ntriggers: [a,\nname: y\nsteps:\n  - {id: a}\n")
    assert found.startswith("f.yaml:2: is not YAML: while parsing a flow sequence")
    (found,) = problems('sequence: x\nname: "never closed\nsteps: []\n')
    assert found.startswith("f.yaml:2: is not YAML: while scanning a quoted scalar")


def test_json_is_read() -> None:
    source = '{\n\t"sequence": "x",\n\t"steps": [{"id": "a", "day": 1, "text": "Hi \\ud83d\\udc4b"}]\n}'
    sequence = read_sequence(source, "f.json").sequence
    assert sequence is not None
    assert sequence.steps[0].text == "Hi 👋"


def unreadable(path: Path) -> str:
    (problem,) = read_draft(
        path, read_sequence, lambda document: SequenceDraft(document, None)
    ).document.problems
    return problem.message


def test_only_files_of_text_are_read(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    assert unreadable(pipe) == "cannot be read: it is no file but a pipe or a device"
    assert unreadable(Path("/dev/zero")) == "cannot be read: it is no file but a pipe or a device"
    assert unreadable(tmp_path) == "cannot be read: Is a directory"
    assert unreadable(tmp_path / "none") == "cannot be read: No such file or directory"
    assert unreadable(Path("a\0b")) == "cannot be read: embedded null byte"
    with pytest.raises(FileProblems, match=f"^{tmp_path}/none: cannot be read: No such file"):
        check_readable([tmp_path / "none"])
    file = tmp_path / "f.yaml"
    for content, problem in (
        ("sequence: x".encode("utf-16"), "is UTF-16, save it as UTF-8"),
        (b"a: \xe9", "is not UTF-8 in its byte 3, save it as UTF-8"),
        (b"a" * 1_200_001, "has more than 1,200,000 bytes"),
    ):
        file.write_bytes(content)
        assert unreadable(file) == problem


def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path: Path) -> None:
    file = tmp_path / "f.yaml"
    file.write_bytes(b"\xef\xbb\xbf" + step("day: 1", "text: x").encode())
    draft = read_draft(file, read_sequence, lambda document: SequenceDraft(document, None))
    assert draft.sequence is not None
