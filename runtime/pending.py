"""What a migration does, read from its file: what it adds, which tables it locks and for how long, and what it takes away."""

import re
from collections.abc import Iterator
from pathlib import Path

from messaging.common.counts import count_of
from messaging.common.values import Value

__all__ = ["Effect", "Migration", "read_migration"]

BODY = re.compile(r"\$(\w*)\$.*?\$\1\$", re.DOTALL)
COMMENT = re.compile(r"--[^\n]*")
NAME = r"(?:only )?\"?(\w+)\"?"
VOLATILE = re.compile(
    r"default .*\b(clock_timestamp|random|gen_random_uuid|uuid_generate_v4|nextval)\b|\bgenerated\b|serial\b"
)


class Effect(Value):
    """One thing that a migration does. ``table``: that it concerns, if it was there before."""

    does: str
    table: str | None = None
    blocks: bool = False
    """Writes to the table wait as long as it takes, which depends on the table's size."""
    removes: bool = False
    """An older version may need what is gone then."""


class Migration(Value):
    """A migration's number, title, and effects in their order."""

    number: str
    title: str
    effects: tuple[Effect, ...]


def read_migration(file: Path) -> Migration:
    """What its ``migrate:up`` does."""
    number, _, title = file.stem.partition("_")
    up = file.read_text().partition("-- migrate:down")[0]
    plain = BODY.sub("''", COMMENT.sub("", BODY.sub("''", up)))
    statements = [" ".join(one.split()).lower() for one in plain.split(";")]
    own = set(re.findall(r"create table (?:if not exists )?(\w+)", " ".join(statements)))
    effects = [effect for one in statements if one for effect in _effects(one, own)]
    return Migration(number=number, title=title.replace("_", " "), effects=tuple(_short(effects)))


def _short(effects: list[Effect]) -> Iterator[Effect]:
    """What is only added, in one line for each kind."""
    added: dict[str, int] = {}
    for effect in effects:
        if effect.does in ADDED:
            added[effect.does] = added.get(effect.does, 0) + 1
    if added:
        yield Effect(
            does="adds " + ", ".join(count_of(number, word, ADDED[word]) for word, number in added.items())
        )
    seen = set()
    for effect in effects:
        if effect.does not in ADDED and effect not in seen:
            seen.add(effect)
            yield effect


ADDED = {
    **{word: f"{word}s" for word in ("table", "function", "procedure", "view", "type")},
    "index of a new table": "indexes of new tables",
}


def _effects(statement: str, own: set[str]) -> Iterator[Effect]:
    kind = re.match(r"create (?:or replace )?(table|function|procedure|view|type)\b", statement)
    if kind:
        replaced = statement.startswith("create or replace") and kind[1] in ("function", "procedure")
        name = re.search(r"(?:function|procedure) (\w+)", statement)
        yield Effect(does=f"replaces the function {name[1]}" if replaced and name else kind[1])
    elif match := re.match(
        rf"create (?:unique )?index (concurrently )?(?:if not exists )?(\w+) on {NAME}", statement
    ):
        yield _index(*match.groups(), own=own)
    elif match := re.match(rf"create (?:constraint )?trigger (\w+) .*? on {NAME}", statement):
        if match[2] not in own:
            yield Effect(does=f"adds the trigger {match[1]} to {match[2]}", table=match[2])
    elif match := re.match(rf"alter table (?:if exists )?{NAME} (.*)", statement):
        if match[1] not in own:
            for change in re.split(r",(?![^(]*\))", match[2]):
                yield _alter(match[1], change.strip())
    elif match := re.match(rf"(?:update|delete\s+from|insert\s+into|truncate) {NAME}", statement):
        if match[1] not in own:
            yield Effect(does=f"changes rows of {match[1]}", table=match[1])
    elif match := re.match(r"drop (\w+) (?:concurrently )?(?:if exists )?(.*)", statement):
        yield Effect(does=f"drops {match[1]} {match[2]}", removes=match[1] not in ("index", "trigger"))
    elif match := re.fullmatch(r"(?:select) (\w+)\(\)", statement.strip()):
        yield Effect(does=f"calls {match[1]}()")
    elif "lock_tables(" not in statement:  # what it locks them for is told by what follows
        yield Effect(does=f"runs: {statement[:100]}")


def _index(concurrently: str | None, name: str, table: str, *, own: set[str]) -> Effect:
    if table in own:
        return Effect(does="index of a new table")
    if concurrently:
        return Effect(does=f"builds the index {name} on {table}, beside all that goes on", table=table)
    return Effect(does=f"builds the index {name} on {table}: writes to it wait", table=table, blocks=True)


def _alter(table: str, change: str) -> Effect:
    if match := re.match(r"add column (?:if not exists )?(\w+) (.*)", change):
        if VOLATILE.search(match[2]):
            return Effect(does=f"adds {table}.{match[1]}, and rewrites {table}", table=table, blocks=True)
        return Effect(does=f"adds {table}.{match[1]}", table=table)
    if match := re.match(r"alter (?:column )?(\w+) (?:set data )?type ", change):
        return Effect(
            does=f"changes the type of {table}.{match[1]}, and rewrites {table}",
            table=table,
            blocks=True,
            removes=True,
        )
    if change.startswith(("drop constraint", "alter", "add", "validate")):
        reads = re.search(r"set not null|^add .*(check|foreign key|references)|^validate", change)
        if reads and "not valid" not in change:
            # To validate lets others write; the rest does not.
            blocks = not change.startswith("validate")
            return Effect(does=f"{table}: {change}, and reads all of it", table=table, blocks=blocks)
        return Effect(does=f"{table}: {change}", table=table)
    return Effect(does=f"{table}: {change}", table=table, removes=change.startswith(("drop", "rename")))
