"""What a migration does, as 'upgrade check' tells it from the file."""

from pathlib import Path

import pytest

from runtime.database import MIGRATIONS
from runtime.pending import Effect, read_migration

Found = list[tuple[str, str | None, bool, bool]]


def effects(folder: Path, up: str) -> Found:
    file = folder / "20990101000001_a_test.sql"
    file.write_text(f"-- What it is for; a table.\n-- migrate:up\n{up}\n-- migrate:down\ndrop table leads;\n")
    found = read_migration(file)
    assert (found.number, found.title) == ("20990101000001", "a test")
    return [(one.does, one.table, one.blocks, one.removes) for one in found.effects]


@pytest.mark.parametrize(
    ("up", "told"),
    [
        # Expand.
        ("create table a (id int);\ncreate index a_id on a (id);\nalter table a add b int;", [("adds 1 table, 1 index of a new table", None, False, False)]),
        ("create function f() returns int language sql as $$ drop table leads; $$;", [("adds 1 function", None, False, False)]),
        ("create or replace function f() returns int language sql as 'select 1';", [("replaces the function f", None, False, False)]),
        ("select lock_tables('leads in share mode');\nalter table leads add column a text, add column b int default 0;", [("adds leads.a", "leads", False, False), ("adds leads.b", "leads", False, False)]),
        ("create index concurrently leads_a on leads (a);", [("builds the index leads_a on leads, beside all that goes on", "leads", False, False)]),
        ("create trigger t after insert on leads for each row execute function f();", [("adds the trigger t to leads", "leads", False, False)]),
        ("alter table leads add constraint c check (a > 0) not valid;", [("leads: add constraint c check (a > 0) not valid", "leads", False, False)]),
        # What keeps writers waiting for as long as the table's size takes.
        ("create unique index leads_a on leads (a);", [("builds the index leads_a on leads: writes to it wait", "leads", True, False)]),
        ("ALTER TABLE leads ADD COLUMN a uuid DEFAULT gen_random_uuid();", [("adds leads.a, and rewrites leads", "leads", True, False)]),
        ("alter table leads alter column a set not null;", [("leads: alter column a set not null, and reads all of it", "leads", True, False)]),
        ("alter table leads add constraint c check (a > 0);", [("leads: add constraint c check (a > 0), and reads all of it", "leads", True, False)]),
        ("alter table leads validate constraint c;", [("leads: validate constraint c, and reads all of it", "leads", False, False)]),
        ("update leads set a = 1;", [("changes rows of leads", "leads", False, False)]),
        # Contract.
        ("drop function f;", [("drops function f", None, False, True)]),
        ("drop table if exists leads;", [("drops table leads", None, False, True)]),
        ("drop index concurrently leads_a;", [("drops index leads_a", None, False, False)]),
        ("alter table leads drop column a;", [("leads: drop column a", "leads", False, True)]),
        ("alter table leads rename column a to b;", [("leads: rename column a to b", "leads", False, True)]),
        ("alter table leads alter column a type bigint;", [("changes the type of leads.a, and rewrites leads", "leads", True, True)]),
        # What it does not know it shows as it is.
        ("vacuum leads;", [("runs: vacuum leads", None, False, False)]),
    ],
)  # fmt: skip
def test_the_effects_of_a_migration_are_told(tmp_path: Path, up: str, told: Found) -> None:
    assert effects(tmp_path, up) == told


def test_every_migration_is_understood() -> None:
    found = [effect for file in MIGRATIONS.glob("*.sql") for effect in read_migration(file).effects]
    assert len(found) > 40
    assert [effect for effect in found if effect.does.startswith("runs:")] == []


def test_until_now_every_migration_only_expands() -> None:
    """If one takes something away on purpose, name it here: it may be released only when no older release needs it."""
    found: list[Effect] = [
        effect for file in MIGRATIONS.glob("*.sql") for effect in read_migration(file).effects
    ]
    assert [effect for effect in found if effect.removes] == []
