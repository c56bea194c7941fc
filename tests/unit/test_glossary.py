"""The glossary names what there is, and the commands bear the names of what they do."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest
import typer.main

from cli.app import app
from messaging.campaigns.contract import CampaignStatus
from messaging.devices.device import DeviceStatus
from messaging.sending.message_status import MessageStatus
from messaging.sequences.contract import EnrollmentStatus
from messaging.sequences.store import SequenceStatus

ROOT = Path(__file__).parents[2]
GLOSSARY = (ROOT / "docs" / "glossary.md").read_text()
OURS = ("messaging", "operations", "activities", "workflows", "temporal")


def entries() -> Iterator[tuple[str, str]]:
    """Each word with a name that its last column says it has."""
    for line in GLOSSARY.splitlines():
        if line.startswith("| ") and not line.startswith(("| Word", "| ---")):
            word, _, where = line.strip("| ").split(" | ")
            yield from ((word, name) for name in re.findall(r"`([^`]+)`", where))


def names_in_python() -> set[str]:
    trees = [ast.parse(file.read_text()) for room in OURS for file in (ROOT / room).rglob("*.py")]
    nodes = [node for tree in trees for node in tree.body]
    return {node.name for node in nodes if isinstance(node, ast.ClassDef)} | {
        target.id
        for node in nodes
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }


def names_in_the_database() -> set[str]:
    """Tables, ``table.column`` and ``function()``."""
    schema = (ROOT / "messaging" / "schema.sql").read_text()
    found = {f"{name}()" for name in re.findall(r"CREATE FUNCTION public\.(\w+)\(", schema)}
    for table, columns in re.findall(r"CREATE TABLE public\.(\w+) \(\n(.*?)\n\);", schema, re.DOTALL):
        found |= {
            table,
            *(f"{table}.{column}" for column in re.findall(r"^    (\w+) ", columns, re.MULTILINE)),
        }
    return found


def test_every_name_in_the_glossary_exists() -> None:
    there = names_in_python() | names_in_the_database()
    named = list(entries())
    assert len(named) > 80
    assert [f"{word}: {name}" for word, name in named if name not in there] == []


def test_every_table_is_in_the_glossary() -> None:
    tables = {name for name in names_in_the_database() if "." not in name and "(" not in name}
    assert tables - {name.split(".")[0] for _, name in entries()} == set()


@pytest.mark.parametrize(
    ("statuses", "of"),
    [
        (list(MessageStatus), "MessageStatus"),
        (get_args(EnrollmentStatus), "EnrollmentStatus"),
        (get_args(CampaignStatus), "CampaignStatus"),
        (get_args(DeviceStatus), "DeviceStatus"),
        (get_args(SequenceStatus), "SequenceStatus"),
    ],
)
def test_every_status_is_in_the_glossary(statuses: list[str], of: str) -> None:
    (paragraph,) = (part for part in GLOSSARY.split("\n\n") if f"`{of}`" in part)
    assert [status for status in statuses if f"`{status}`" not in paragraph] == []


def functions(module: Path) -> set[str]:
    return {
        node.name for node in ast.parse(module.read_text()).body if isinstance(node, ast.AsyncFunctionDef)
    }


def commands() -> list[tuple[str, str]]:
    """Each command, with the kind of thing that it is about: empty for those without a group."""
    groups = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    return [
        (group, verb) if verb else ("", group)
        for group, command in groups.items()
        for verb in getattr(command, "commands", ("",))
    ]


@pytest.mark.parametrize(
    ("group", "verb"), [one for one in commands() if one[1] not in ("demo", "completion")]
)
def test_a_command_has_the_name_of_the_operation(group: str, verb: str) -> None:
    """``campaign pause`` is ``pause`` of operations.campaigns, or the operation bears the noun: ``list_campaigns``."""
    verb, operations = verb.replace("-", "_"), ROOT / "operations"
    there = {name for file in operations.glob("*.py") for name in functions(file)}
    if group:
        module = f"{group}es" if group.endswith("x") else f"{group}s"
        there |= {f"{module}.{name}" for name in functions(operations / f"{module}.py")}
        right = {f"{module}.{verb}", f"{verb}_{group}", f"{verb}_{group}s", f"{group}_{verb}"}
        right |= {group} if verb == "show" else set()
    else:
        verb_first = "_".join(reversed(verb.split("_")))  # test-send is send_test
        right = {verb, f"{verb}_contact", f"{verb}_step", f"list_{verb}", verb_first}
    assert right & there, f"operations has none of {sorted(right)}"
