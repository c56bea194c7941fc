"""The document that says what the commands print with --json."""

import ast
import inspect
import json
import textwrap
from collections.abc import Iterator
from typing import Any

import pytest
import typer.main

from cli.app import app
from tests.json_results import RESULTS
from tests.record_json import DOCUMENT, document


def commands(group: Any = None, path: str = "") -> Iterator[tuple[str, Any]]:
    """Each command that has --json, with its function."""
    root: Any = group or typer.main.get_command(app)
    for name, command in root.commands.items():
        if getattr(command, "commands", None):
            yield from commands(command, f"{path}{name} ")
        if any(parameter.name == "as_json" for parameter in command.params):
            yield path + name, inspect.unwrap(command.callback)


def test_it_has_each_command_with_json_and_no_other() -> None:
    assert sorted(RESULTS) == sorted(name for name, _ in commands())
    assert sorted(json.loads(DOCUMENT.read_text())["properties"]) == sorted(RESULTS)


def test_it_is_as_the_types_are() -> None:
    assert DOCUMENT.read_text() == document(), "run 'make schema'"


NOT_PRINTED = {"None", "NeedsConsent", "ActPage", "InboxPage", "tuple"}
"""What work of a command answers besides: lists are taken from pages."""


@pytest.mark.parametrize("name", sorted(RESULTS))
def test_what_a_command_works_out_is_among_its_types(name: str) -> None:
    function = dict(commands())[name]
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    answered = {
        part.id
        for node in ast.walk(tree)
        if isinstance(node, ast.AsyncFunctionDef) and node.returns is not None
        for part in ast.walk(node.returns)
        if isinstance(part, ast.Name) and part.id != "list"
    }
    known = {
        part.id
        for one in RESULTS[name]
        for part in ast.walk(ast.parse(_written(one)))
        if isinstance(part, ast.Name)
    }
    assert answered - NOT_PRINTED <= known


def _written(one: Any) -> str:
    return (
        one.__name__
        if isinstance(one, type) and not hasattr(one, "__args__")
        else f"list[{one.__args__[0].__name__}]"
    )
