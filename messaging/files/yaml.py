"""Reads YAML files as plain data, with the line of each field.

It reads the part of YAML 1.2 that a settings file needs. Only true, false, null and decimal whole numbers are not text:
``at: 10:00``, which YAML 1.1 reads as a number in base 60, is the text ``10:00``, and ``no`` is a word. A field that is
given twice is a problem; most readers silently take the last one.

Files have limits, which are checked while reading: their length, the number of values (each repetition by an alias
counts) and the depth of nesting. The reader is pure Python, so Ctrl-C can interrupt it.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

from pydantic_core import ErrorDetails
from ruamel.yaml import YAML
from ruamel.yaml.composer import Composer, ComposerError
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.scanner import Scanner, ScannerError

from messaging.common.file_problems import MOST_PROBLEMS, FileProblems, Problem
from messaging.common.suggestions import did_you_mean

__all__ = ["MAX_FILE", "Document", "FieldPath", "FileProblems", "Problem", "read_yaml"]

MAX_FILE = 300_000
"""Characters of a file: room for five hundred steps of several lines each."""

_MAX_VALUES = 12_000
"""The most field names, values, lists and groups of a file; each repetition by an alias counts."""

_MAX_DEPTH = 20

_MAX_DIGITS = 15
"""Digits of a whole number; a value with more digits is a text, which no number field accepts."""

_MAX_MESSAGE = 400
"""Characters of a problem's text, which may quote the file."""

FieldPath: TypeAlias = tuple[str | int, ...]
"""The path of a field: ``("steps", 2, "at")`` is ``steps[2].at``."""

_WHOLE_NUMBER = re.compile(r"[-+]?(0|[1-9][0-9]*)")
_TAG = "tag:yaml.org,2002:"
_TOO_MUCH = f"holds more than {_MAX_VALUES:,} values, which no sequence and no campaign needs"
# PostgreSQL cannot store NUL and halves of surrogate pairs, and the others are not readable.
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff\ufffe\uffff]")


class _Scanner(Scanner):
    def fetch_tag(self) -> None:
        """A tag sets the type of a value, which only the fields do here. Long ones take seconds to read."""
        raise ScannerError(
            None,
            None,
            "tags (!name) are not supported, put a text that begins with ! in quotes",
            self.reader.get_mark(),
        )


class _Composer(Composer):
    values = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Counts the values that are created."""
        self.values += 1
        if self.values > _MAX_VALUES:
            raise ComposerError(None, None, _TOO_MUCH, self.parser.peek_event().start_mark)
        return super().compose_node(parent, index)


class _TooMuch(Exception):
    """Aliases can multiply the contents of a file."""


def _yaml() -> YAML:
    yaml = YAML(typ="safe", pure=True)
    yaml.Scanner, yaml.Composer, yaml.max_depth = _Scanner, _Composer, _MAX_DEPTH
    return yaml


class Document:
    """The contents of a file with their lines. It collects problems found while reading, and more can be noted."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.data: dict[str, Any] = {}
        self.problems: list[Problem] = []
        self._lines: dict[FieldPath, int] = {}
        self._values = 0

    def line_of(self, path: FieldPath) -> int:
        """The line of a field, counted from 1; if the field is missing, the line of what contains it."""
        while path and path not in self._lines:
            path = path[:-1]
        return self._lines.get(path, 1)

    def problem(self, path: FieldPath, message: str) -> Problem:
        """A problem at that field."""
        return Problem(self.file, self.line_of(path), _format_path(path), _one_line(message))

    def note(self, path: FieldPath, message: str) -> None:
        """Adds a problem at that field."""
        self.problems.append(self.problem(path, message))

    def note_file(self, message: str) -> None:
        """Adds a problem of the file itself, which has no line."""
        self.problems.append(Problem(self.file, 0, "", _one_line(message)))

    def has_problem(self, path: FieldPath) -> bool:
        """True if a problem is noted at exactly that field."""
        return any(problem.field == _format_path(path) for problem in self.problems)

    def note_invalid(self, errors: list[ErrorDetails], fields_of: Mapping[str, Iterable[str]]) -> None:
        """Adds the errors that pydantic found, in words. ``fields_of``: the fields of each group by its name; '' is the
        file.
        """
        for error in errors[: 2 * MOST_PROBLEMS]:
            path = tuple(part for part in error["loc"])
            group = next((part for part in reversed(path[:-1]) if isinstance(part, str)), "")
            known = list(fields_of.get(group, ()))
            self.note(path, _format_error(error, known))

    def read(self, source: str) -> None:
        """Reads the text of the file."""
        if len(source) > MAX_FILE:
            self.note((), f"has {len(source):,} characters, at most {MAX_FILE:,}")
            return
        if found := _CONTROL.search(source):
            line = source.count("\n", 0, found.start()) + 1
            message = f"holds the character U+{ord(found[0]):04X}, which is no text: delete it"
            self.problems.append(Problem(self.file, line, "", message))
            return
        try:
            root = _yaml().compose(source)
        except YAMLError as error:
            self._not_yaml(error)
            return
        except (ValueError, OverflowError, RecursionError) as error:  # numbers in escapes
            self.note((), f"is not YAML: {error}")
            return
        if not isinstance(root, MappingNode):
            self.note((), "holds no fields, write them as 'name: value' lines")
            return
        try:
            self.data = self._mapping(root, (), ())
        except _TooMuch:
            self.note((), f"{_TOO_MUCH}: aliases (*name) repeat too much")

    def _not_yaml(self, error: YAMLError) -> None:
        what = str(error)
        line = 1
        if isinstance(error, MarkedYAMLError):
            what = " ".join(filter(None, (error.context, error.problem)))
            mark = error.problem_mark or error.context_mark
            if (error.context or "").startswith(_OPENED):  # what is not closed is noticed far below
                mark = error.context_mark or mark
            line = mark.line + 1 if mark else 1
        hint = next((hint for said, hint in _HINTS.items() if said in what), "")
        if "maximum depth" in what:
            what = f"it is nested more than {_MAX_DEPTH} deep"
        what += f", {hint}" if hint else ""
        message = what if what == _TOO_MUCH else f"is not YAML: {what}"
        self.problems.append(Problem(self.file, line, "", _one_line(message)))

    def _value(self, node: Node, path: FieldPath, within: tuple[Node, ...]) -> Any:
        self._values += 1
        if self._values > _MAX_VALUES:
            raise _TooMuch
        if any(node is outer for outer in within):
            self.note(path, "an alias (*name) stands inside of what it repeats")
            return None
        if isinstance(node, MappingNode):
            return self._mapping(node, path, within)
        if isinstance(node, SequenceNode):
            items = []
            for index, item in enumerate(node.value):
                self._lines[(*path, index)] = item.start_mark.line + 1
                items.append(self._value(item, (*path, index), (*within, node)))
            return items
        assert isinstance(node, ScalarNode)
        return self._scalar(node, path)

    def _mapping(self, node: MappingNode, path: FieldPath, within: tuple[Node, ...]) -> dict[str, Any]:
        data: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, ScalarNode) or key_node.tag == f"{_TAG}merge":
                line = key_node.start_mark.line + 1
                what = (
                    "'<<' is not supported here"
                    if isinstance(key_node, ScalarNode)
                    else "is not a field's name"
                )
                self.problems.append(Problem(self.file, line, _format_path(path), what))
                continue
            key = str(key_node.value)
            line = key_node.start_mark.line + 1
            if key in data:
                first = self._lines[(*path, key)]
                message = f"is given twice, first on line {first}"
                self.problems.append(Problem(self.file, line, _format_path((*path, key)), message))
                continue
            self._lines[(*path, key)] = line
            data[key] = self._value(value_node, (*path, key), (*within, node))
        return data

    def _scalar(self, node: ScalarNode, path: FieldPath) -> str | int | bool | None:
        text = str(node.value)
        kind = str(node.tag).removeprefix(_TAG)
        if node.style is not None:
            return self._decode_escapes(text, path)
        if kind == "null":
            return None
        if kind == "bool" and text.lower() in {"true", "false"}:
            return text.lower() == "true"
        whole = kind == "int" and len(text) <= _MAX_DIGITS and _WHOLE_NUMBER.fullmatch(text)
        return int(text) if whole else text

    def _decode_escapes(self, text: str, path: FieldPath) -> str:
        r"""By escapes, a quoted text may contain anything: ``\0``, and half of a surrogate pair."""
        if (found := _CONTROL.search(text)) is None:
            return text
        whole = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        if (found := _CONTROL.search(whole)) or "\ufffd" in whole:
            which = f"U+{ord(found[0]):04X}" if found else "half a character"
            self.note(path, f"holds {which}, which is no text: delete it")
        return whole


_OPENED = ("while parsing a flow ", "while scanning a quoted scalar")

_HINTS = {
    # the colon of a template's default filter
    "mapping values are not allowed here": "put a text with ': ' in it in quotes, or on lines of its own after '|-'",
    "undefined alias": "put a text that begins with * in quotes",
    "'\\t' that cannot start any token": "indent with blanks instead of tabs",
    "cannot start any token": "put a text that begins so in quotes",
    "maximum depth": "which no sequence and no campaign needs",
}
"""How to mend it, by the message of the YAML reader."""


def read_yaml(source: str, file: str) -> Document:
    """Reads a file's text; ``file`` is its name in the lines of problems."""
    document = Document(file)
    document.read(source)
    return document


def _one_line(message: str) -> str:
    line = " ".join(message.split())
    if len(line) <= _MAX_MESSAGE:
        return line
    return (
        f"{line[: _MAX_MESSAGE // 3]} … {line[-_MAX_MESSAGE // 2 :]}"  # the value, and what is wrong with it
    )


def _format_path(path: FieldPath) -> str:
    text = ""
    for part in path:
        name = part if isinstance(part, int) else part if len(part) <= 60 else part[:59] + "…"
        text += f"[{name}]" if isinstance(name, int) else f".{name}" if text else name
    return text


def _format_error(error: ErrorDetails, known: list[str]) -> str:
    value = error["input"]
    match error["type"]:
        case "missing":
            return "is missing"
        case "extra_forbidden":
            return f"is no field here; {did_you_mean(str(error['loc'][-1]), known)}"
        case "string_type" if value is None:
            return "is empty"
        case "string_type" if isinstance(value, bool | int):
            return f'{_format_value(value)} is not a text, put it in quotes: "{_format_value(value)}"'
        case "string_type":
            return "is not a text"
        case "int_type" if isinstance(value, str) and _WHOLE_NUMBER.fullmatch(value):
            return f"{value!r} is a text, write the number without quotes: {value}"
        case "int_type":
            return f"{_format_value(value)} is not a whole number"
        case "bool_type":
            return f"{_format_value(value)} is neither true nor false"
        case "list_type":
            return "is not a list, write each item on a line that begins with '- '"
        case "model_type" | "dict_type" | "model_attributes_type":
            return "holds no fields, write them as 'name: value' lines"
        case _:
            return error["msg"]


def _format_value(value: object) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    return (
        "a list"
        if isinstance(value, list)
        else "a group of fields"
        if isinstance(value, dict)
        else repr(value)
    )
