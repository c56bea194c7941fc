"""Usage lines and help texts name the program, arguments and values in one way."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from cli.app import app
from cli.usage import describe_values, program_name, reflowed
from cli.who import offer_as


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("python starter.py pause", "python starter.py"),
        (".venv/bin/python starter.py", ".venv/bin/python starter.py"),
        ("python3 -X dev starter.py pause x", "python3 starter.py"),
        ("/usr/venv/bin/python starter.py", "python starter.py"),
        ("/usr/venv/bin/python /usr/drumbeat/starter.py pause", "drumbeat"),
        ("python -m pytest", "drumbeat"),
    ],
)
def test_the_program_is_named_as_it_was_called(typed: str, name: str) -> None:
    assert program_name(typed.split()) == name


def all_commands(command: Any) -> Iterator[Any]:
    yield command
    for one in getattr(command, "commands", {}).values():
        yield from all_commands(one)


def test_help_names_what_options_take_and_no_types() -> None:
    root: Any = typer.main.get_command(app)
    offer_as(root)
    describe_values(root)
    said = {}
    for command in all_commands(root):
        context = typer.Context(command)
        for one in command.get_params(context):
            shown = one.display_type_rich(ctx=context)
            if one.param_type_name == "argument":
                said[command.name, one.name] = one.get_usage_pieces(context)[0]
                assert not shown
            else:
                assert bool(shown) is not one.is_flag, (command.name, one.name)
                assert "<" not in (shown or "")
    assert said["why", "phone"] == "PHONE"
    assert said["why", "name"] == "[SEQUENCE|CAMPAIGN]"
    assert said["done", "identifiers"] == "[ID]..."
    words = re.compile(r"\[?[A-Z_a-z./|=\[\]]+\]?(?:\.\.\.)?|\[PHONE\] COLUMN=VALUE\.\.\.")
    assert [name for name in said.values() if not words.fullmatch(name) or "[[" in name] == []


def test_help_is_not_broken_where_the_source_is() -> None:
    long = "word " * 20
    assert reflowed(f"Do it.\n\n{long.strip()}\nand more.\n\nExample: a\nExample: b") == (
        f"Do it.\n\n{long.strip()} and more.\n\nExample: a\nExample: b"
    )


def test_a_campaign_is_not_compared_with_itself() -> None:
    refused = CliRunner().invoke(app, ["report", "campaign", "sale", "sale"])
    assert refused.exit_code == 2
    assert "is the same campaign" in refused.output
