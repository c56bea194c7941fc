"""Plan files: JSON lines, one action each, or YAML; see docs/chaos.md."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from chaos.plan import CONTACTS, LEADS, LONGEST, Action, Plan, parse_action, plain
from chaos.topology import MOST_PEOPLE
from messaging.common.suggestions import did_you_mean
from messaging.files.yaml import FieldPath, FileProblems, Problem, read_yaml

__all__ = ["read_plan", "write_plan"]

YAML = (".yaml", ".yml")

AFTERWARDS = 2.0
"""Seconds that a plan which does not say how long it is goes on after its last action."""


class _Settings(BaseModel):
    """What a plan file may say of the whole run."""

    model_config = ConfigDict(extra="forbid")

    seed: int = 0
    seconds: Annotated[float, Field(gt=0, le=LONGEST, allow_inf_nan=False)] | None = None
    contacts: Annotated[int, Field(ge=0, le=MOST_PEOPLE)] = CONTACTS
    leads: Annotated[int, Field(ge=0, le=MOST_PEOPLE)] = LEADS


class _Entry(NamedTuple):
    """A group of fields of the file, and where each of them stands."""

    data: object
    problem: Callable[[FieldPath, str], Problem]


def read_plan(file: Path, **instead: float | None) -> Plan:
    """The plan of a file. ``instead``: seed, seconds, contacts and leads, over what the file says; None leaves it.

    Raises FileProblems, with a line for each mistake, and OSError.
    """
    try:
        source = file.read_text()
    except UnicodeDecodeError as error:
        raise FileProblems([Problem(file.name, 1, "", "is not a text in UTF-8")]) from error
    read = _read_yaml if file.suffix in YAML else _read_lines
    settings_entry, action_entries, problems = read(source, file.name)
    settings = _settings(settings_entry, problems)
    actions = [_action(entry, problems) for entry in action_entries]
    found = [
        (action, entry) for action, entry in zip(actions, action_entries, strict=True) if action is not None
    ]
    settings = settings.model_copy(
        update={name: value for name, value in instead.items() if value is not None}
    )
    seconds = settings.seconds
    if seconds is None:
        seconds = max((action.at for action, _ in found), default=0.0) + AFTERWARDS
    problems += [
        entry.problem(("at",), f"is after the end of the plan, which has {seconds:g} seconds")
        for action, entry in found
        if action.at > seconds
    ]
    if problems:
        raise FileProblems(problems)
    return Plan(
        seed=settings.seed,
        seconds=seconds,
        contacts=settings.contacts,
        leads=settings.leads,
        actions=tuple(sorted((action for action, _ in found), key=lambda action: action.at)),
    )


def write_plan(file: Path, plan: Plan) -> None:
    """Writes the plan as JSON lines, the first of which says how it is to be run."""
    lines: list[dict[str, Any]] = [plan.model_dump(exclude={"actions"}), *map(plain, plan.actions)]
    file.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))


_Parts = tuple[_Entry | None, list[_Entry], list[Problem]]


def _read_lines(source: str, name: str) -> _Parts:
    settings: _Entry | None = None
    actions: list[_Entry] = []
    problems: list[Problem] = []
    for number, line in enumerate(source.splitlines(), 1):
        if not line.strip():
            continue
        try:
            data = json.loads(line)
        except ValueError as error:
            problems.append(Problem(name, number, "", f"is not JSON: {error}"))
            continue

        def problem(path: FieldPath, message: str, number: int = number) -> Problem:
            return Problem(name, number, _written(path), message)

        entry = _Entry(data, problem)
        if not isinstance(data, dict):
            problems.append(
                problem((), 'holds no fields, write {"at": 3.2, "do": "kill-worker", "worker": 0}')
            )
        elif "do" in data or "at" in data:
            actions.append(entry)
        elif settings is not None or actions:
            problems.append(problem((), "is no action: 'at' and 'do' are missing"))
        else:
            settings = entry
    return settings, actions, problems


def _read_yaml(source: str, name: str) -> _Parts:
    document = read_yaml(source, name)
    problems = list(document.problems)
    listed = document.data.pop("actions", [])
    if not isinstance(listed, list):
        problems.append(document.problem(("actions",), "is not a list, begin each action with '- '"))
        listed = []

    def entry(index: int, data: object) -> _Entry:
        return _Entry(data, lambda path, message: document.problem(("actions", index, *path), message))

    return (
        _Entry(document.data, document.problem),
        [entry(index, data) for index, data in enumerate(listed)],
        problems,
    )


def _settings(entry: _Entry | None, problems: list[Problem]) -> _Settings:
    if entry is None:
        return _Settings()
    try:
        return _Settings.model_validate(entry.data)
    except ValidationError as error:
        problems += [_problem(entry, one, one["loc"], list(_Settings.model_fields)) for one in error.errors()]
    return _Settings()


def _action(entry: _Entry, problems: list[Problem]) -> Action | None:
    try:
        return parse_action(entry.data)
    except ValidationError as error:
        # pydantic names the kind of an action, and of each fault, as a step of its own on the way to a field.
        for one in error.errors():
            path = one["loc"][1:]
            path = tuple(
                part for index, part in enumerate(path) if index == 0 or not isinstance(path[index - 1], int)
            )
            problems.append(_problem(entry, one, path, []))
    return None


def _problem(entry: _Entry, error: ErrorDetails, path: FieldPath, known: Sequence[str]) -> Problem:
    context = error.get("ctx", {})
    match error["type"]:
        case "missing":
            return entry.problem(path, "is missing")
        case "extra_forbidden":
            return entry.problem(path, f"is no field here, {did_you_mean(str(path[-1]), known)}".rstrip(", "))
        case "union_tag_not_found":
            return entry.problem((*path, str(context["discriminator"]).strip("'")), "is missing")
        case "union_tag_invalid":
            known = [tag.strip("' ") for tag in str(context["expected_tags"]).split(",")]
            where = (*path, str(context["discriminator"]).strip("'"))
            return entry.problem(
                where, f"{context['tag']!r} is not known, {did_you_mean(context['tag'], known)}"
            )
        case "value_error":
            return entry.problem(path, error["msg"].removeprefix("Value error, "))
        case "model_attributes_type":
            return entry.problem(path, "holds no fields")
        case _:
            return entry.problem(path, f"{error['msg']}, not {error['input']!r}")


def _written(path: FieldPath) -> str:
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text
