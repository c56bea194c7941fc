"""YAML files as plain data, with the line on which each field stands.

YAML 1.2, and of it what a settings file needs. Only true, false, null and decimal whole numbers are other than text:
``at: 10:00``, a number in base 60 to YAML 1.1, is the text ``10:00``, and ``no`` is a word. A field given twice, which
most readers let win silently, is a problem.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, TypeAlias

from pydantic_core import ErrorDetails
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from messaging.errors import InvalidInput
from messaging.suggestions import did_you_mean

__all__ = ["Document", "FieldPath", "FileProblems", "Problem", "read_yaml"]

FieldPath: TypeAlias = tuple[str | int, ...]
"""Where a field stands: ``("steps", 2, "at")`` is ``steps[2].at``."""

_WHOLE_NUMBER = re.compile(r"[-+]?(0|[1-9][0-9]*)")
_TAG = "tag:yaml.org,2002:"


class Problem(NamedTuple):
    """Something in a file that must be mended (or, as a warning, looked at)."""

    file: str
    line: int
    field: str
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.field + ': ' if self.field else ''}{self.message}"


class FileProblems(InvalidInput):
    """Files cannot be used; ``str(error)`` has a line for each problem."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = tuple(sorted(problems))
        super().__init__("\n".join(str(problem) for problem in self.problems))


class Document:
    """What a file says, and where. Problems found while reading are collected, and more can be noted."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.data: dict[str, Any] = {}
        self.problems: list[Problem] = []
        self._lines: dict[FieldPath, int] = {}

    def line_of(self, path: FieldPath) -> int:
        """The line of a field, counted from 1; of what contains it where the field itself is missing."""
        while path and path not in self._lines:
            path = path[:-1]
        return self._lines.get(path, 1)

    def problem(self, path: FieldPath, message: str) -> Problem:
        """A problem at that field."""
        return Problem(self.file, self.line_of(path), _written(path), " ".join(message.split()))

    def note(self, path: FieldPath, message: str) -> None:
        """Adds a problem at that field."""
        self.problems.append(self.problem(path, message))

    def has_problem(self, path: FieldPath) -> bool:
        """Whether a problem is noted at that very field."""
        return any(problem.field == _written(path) for problem in self.problems)

    def note_invalid(self, errors: list[ErrorDetails], fields_of: Mapping[str, Iterable[str]]) -> None:
        """Adds what pydantic found, in words. ``fields_of``: the fields of each group by its name; '' is the file."""
        for error in errors:
            path = tuple(part for part in error["loc"])
            group = next((part for part in reversed(path[:-1]) if isinstance(part, str)), "")
            known = list(fields_of.get(group, ()))
            self.note(path, _in_words(error, known))

    def read(self, source: str) -> None:
        """Reads the text of the file."""
        try:
            root = YAML(typ="rt", pure=True).compose(source)
        except YAMLError as error:
            self._not_yaml(error)
            return
        except RecursionError:
            self.note((), "is not YAML: it is nested too deeply")
            return
        if not isinstance(root, MappingNode):
            self.note((), "holds no fields, write them as 'name: value' lines")
            return
        self.data = self._mapping(root, (), ())

    def _not_yaml(self, error: YAMLError) -> None:
        message = f"is not YAML: {error}"
        line = 1
        if isinstance(error, MarkedYAMLError):
            message = f"is not YAML: {' '.join(filter(None, (error.context, error.problem)))}"
            if (
                error.problem == "mapping values are not allowed here"
            ):  # the colon of a template's default filter
                message += ", put a text with ': ' in it in quotes, or on lines of its own after '|-'"
            mark = error.problem_mark or error.context_mark
            line = mark.line + 1 if mark else 1
        self.problems.append(Problem(self.file, line, "", " ".join(message.split())))

    def _value(self, node: Node, path: FieldPath, within: tuple[Node, ...]) -> Any:
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
                self.problems.append(Problem(self.file, line, _written(path), what))
                continue
            key = str(key_node.value)
            line = key_node.start_mark.line + 1
            if key in data:
                first = self._lines[(*path, key)]
                message = f"is given twice, first on line {first}"
                self.problems.append(Problem(self.file, line, _written((*path, key)), message))
                continue
            self._lines[(*path, key)] = line
            data[key] = self._value(value_node, (*path, key), (*within, node))
        return data

    def _scalar(self, node: ScalarNode, path: FieldPath) -> str | int | bool | None:
        text = str(node.value)
        kind = str(node.tag).removeprefix(_TAG)
        if kind.startswith(("!", "tag:", "python/")):
            self.note(path, f"the tag {kind!r} is not supported here")
        if node.style is not None:
            return text
        if kind == "null":
            return None
        if kind == "bool" and text.lower() in {"true", "false"}:
            return text.lower() == "true"
        return int(text) if kind == "int" and _WHOLE_NUMBER.fullmatch(text) else text


def read_yaml(source: str, file: str) -> Document:
    """Reads a file's text; ``file`` is its name in the lines that tell of problems."""
    document = Document(file)
    document.read(source)
    return document


def _written(path: FieldPath) -> str:
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def _in_words(error: ErrorDetails, known: list[str]) -> str:
    value = error["input"]
    match error["type"]:
        case "missing":
            return "is missing"
        case "extra_forbidden":
            return f"is no field here, {did_you_mean(str(error['loc'][-1]), known)}"
        case "string_type" if value is None:
            return "is empty"
        case "string_type" if isinstance(value, bool | int):
            return f'{_as_written(value)} is not a text, put it in quotes: "{_as_written(value)}"'
        case "string_type":
            return "is not a text"
        case "int_type" if isinstance(value, str) and _WHOLE_NUMBER.fullmatch(value):
            return f"{value!r} is a text, write the number without quotes: {value}"
        case "int_type":
            return f"{_as_written(value)} is not a whole number"
        case "bool_type":
            return f"{_as_written(value)} is neither true nor false"
        case "list_type":
            return "is not a list, write each item on a line that begins with '- '"
        case "model_type" | "dict_type" | "model_attributes_type":
            return "holds no fields, write them as 'name: value' lines"
        case _:
            return error["msg"]


def _as_written(value: object) -> str:
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
