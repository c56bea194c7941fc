"""Plan files: YAML, see docs/chaos.md."""

import json
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from chaos.plan import CONTACTS, FAULTS, LEADS, ListedAction, Number, Plan, PlanSeconds, plain
from messaging.files.yaml import FileProblems, read_yaml
from operations.files import read_draft

__all__ = ["read_plan", "write_plan"]

AFTERWARDS = 2.0
"""Seconds after the last action, for a plan that does not give its length."""


class _File(BaseModel):
    """The fields of a plan file."""

    model_config = ConfigDict(extra="forbid")

    seed: int = 0
    seconds: PlanSeconds | None = None
    contacts: Number = CONTACTS
    leads: Number = LEADS
    actions: tuple[ListedAction, ...] = ()


FIELDS = {
    "": [*_File.model_fields],
    "actions": [
        "at",
        "do",
        "worker",
        "for",
        "faults",
        "person",
        "says",
        "times",
        "campaign",
        "sequence",
        "device",
        "note",
    ],
    "faults": sorted({field for fault in FAULTS for field in fault.model_fields}),
}
"""The fields of each group, for suggestions."""


def read_plan(file: Path, **instead: float | None) -> Plan:
    """The plan of a file. ``instead``: seed, seconds, contacts and leads that replace those of the file; None keeps
    them.

    Raises FileProblems, with a line for each mistake.
    """
    document = read_draft(file, read_yaml, lambda unreadable: unreadable)
    if document.problems:
        raise FileProblems(document.problems)
    asked = {name: value for name, value in instead.items() if value is not None}
    try:
        found = _File.model_validate({**document.data, **asked})
    except ValidationError as error:
        document.note_invalid([_without_kinds(one) for one in error.errors()], FIELDS)
        raise FileProblems(document.problems) from None
    seconds = found.seconds
    if seconds is None:
        seconds = max((action.at for action in found.actions), default=0.0) + AFTERWARDS
    for index, action in enumerate(found.actions):
        if action.at > seconds:
            document.note(
                ("actions", index, "at"), f"is after the end of the plan, which has {seconds:g} seconds"
            )
    if document.problems:
        raise FileProblems(document.problems)
    return Plan(
        seed=found.seed,
        seconds=seconds,
        contacts=found.contacts,
        leads=found.leads,
        actions=tuple(sorted(found.actions, key=lambda action: action.at)),
    )


def write_plan(file: Path, plan: Plan) -> None:
    """Writes the plan, each action on a line of its own, so that single ones can be deleted."""
    settings = plan.model_dump(exclude={"actions"})
    lines = [f"{name}: {value}" for name, value in settings.items()]
    lines += [
        "actions:",
        *(f"  - {json.dumps(plain(action), ensure_ascii=False)}" for action in plan.actions),
    ]
    file.write_text("\n".join(lines if plan.actions else [*lines[:-1], "actions: []"]) + "\n")


def _without_kinds(error: ErrorDetails) -> ErrorDetails:
    """pydantic puts the kind of an action or a fault into the path of a field."""
    path = error["loc"]
    found = tuple(
        part for before, part in zip((None, *path), path, strict=False) if not isinstance(before, int)
    )
    return {**error, "loc": found}
