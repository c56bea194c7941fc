"""Where SQL stands: in the domain and the migration runner alone, and as text that can be pasted into psql."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parent.parent.parent
PROGRAM = (
    "activities",
    "cli",
    "messaging",
    "operations",
    "runtime",
    "temporal",
    "webhooks",
    "workflows",
    "starter.py",
    "worker.py",
)
ELSEWHERE = {
    "runtime/database.py",  # the migrations
    "runtime/embedded/postgres.py",  # the embedded servers' own databases
    "runtime/embedded/temporal.py",
    "runtime/embedded/workflow_index.py",
}

# Comments may stand before it.
STATEMENT = re.compile(r"(\s|--.*\n)*(select|insert into|update \w+( \w+)?\s+set|delete from|with \w+ as)\s")


class Sql(NamedTuple):
    """A statement as it stands in a file."""

    place: str
    lines: int
    pastable: bool
    """Whether it is one triple-quoted constant of the module, and not put together of literals that follow each other."""


def statements_of(file: Path) -> Iterator[Sql]:
    """Every string literal that is a statement, or begins one."""
    text = file.read_text()
    tree = ast.parse(text)
    constants = {node.value for node in tree.body if isinstance(node, ast.Assign | ast.AnnAssign)}
    parts: set[ast.expr] = set()  # of an f-string, which is looked at as a whole
    for node in ast.walk(tree):
        first: ast.AST | None = node
        if isinstance(node, ast.JoinedStr):
            parts.update(node.values)
            first = node.values[0] if node.values else None
        if node in parts or not isinstance(first, ast.Constant) or not isinstance(first.value, str):
            continue
        if STATEMENT.match(first.value):
            assert isinstance(node, ast.expr)
            source = ast.get_source_segment(text, node) or ""
            place = f"{file.relative_to(ROOT).as_posix()}:{node.lineno}"
            yield Sql(place, source.count("\n") + 1, node in constants and '"""' in source[:4])


def files() -> list[Path]:
    """The files of the program."""
    return [
        file
        for part in PROGRAM
        for file in ([ROOT / part] if part.endswith(".py") else sorted((ROOT / part).rglob("*.py")))
    ]


def test_there_is_sql_in_the_domain_and_the_migration_runner_alone() -> None:
    found = [
        sql.place
        for file in files()
        if not file.is_relative_to(ROOT / "messaging") and file.relative_to(ROOT).as_posix() not in ELSEWHERE
        for sql in statements_of(file)
    ]
    assert found == [], "a statement belongs into the room of messaging whose tables it reads"


def test_a_statement_of_more_than_two_lines_can_be_pasted() -> None:
    found = [
        sql.place for file in files() for sql in statements_of(file) if sql.lines > 2 and not sql.pastable
    ]
    assert found == [], "name it: a triple-quoted constant of the module, in upper case"


@pytest.mark.parametrize(
    ("code", "pastable"),
    [
        ('X = """\nselect a\n  from b\n where c\n"""', True),
        ('X = """\n-- What is a.\nselect a\n  from b\n where c\n"""', True),
        ('X = f"""\nselect a\n  from {b}\n where c\n"""', True),
        ('def f():\n  return """\nselect a\n  from b\n where c\n"""', False),
        ('X = ("select a"\n  " from b"\n  " where c")', False),
        ('f(f"select a from {b}"\n  " where c"\n  f" and {d}")', False),
        ('f("choose a"\n  " from b"\n  " where c")', None),
    ],
)
def test_statements_are_found(
    code: str, pastable: bool | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"{__name__}.ROOT", tmp_path)
    file = tmp_path / "code.py"
    file.write_text(code)
    assert [sql.pastable for sql in statements_of(file)] == ([] if pastable is None else [pastable])
