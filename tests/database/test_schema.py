"""The schema is what it is said to be; the constraints that make duplicates impossible are there, and hold."""

import asyncio
import re
import shutil
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from messaging.common.database import Pool
from messaging.common.errors import Unavailable
from messaging.sending.message_status import UNSETTLED, WAITING, MessageStatus
from rig.waiting import until
from runtime import database
from runtime.database import MIGRATIONS, migrate, open_pool
from runtime.embedded.postgres import Postgres
from tests.record_schema import SCHEMA, dumped_schema
from tests.support.databases import TEMPLATE, Databases


async def test_constraints_exist_and_are_valid(pool: Pool) -> None:
    names = {
        row["conname"]
        for row in await pool.fetch("select conname from pg_constraint where contype = 'u' and convalidated")
    }
    assert {"unique_sequence_message", "unique_campaign_message", "sequence_contacts_unique"} <= names


async def test_the_schema_in_the_repository_is_what_the_migrations_make(
    postgres: Postgres,
    databases: Databases,  # which has made the template
) -> None:
    made = await dumped_schema(postgres, TEMPLATE)
    assert made == SCHEMA.read_text(), (
        "messaging/schema.sql is not what the migrations make: run 'make schema'"
    )


async def test_the_sets_of_statuses_are_those_of_the_code(pool: Pool) -> None:
    rows = await pool.fetch(
        "select status, is_waiting(status), is_unsettled(status) from unnest($1::text[]) status",
        list(MessageStatus),
    )
    assert {row["status"] for row in rows if row["is_waiting"]} == WAITING
    assert {row["status"] for row in rows if row["is_unsettled"]} == UNSETTLED
    allowed = await pool.fetchval(
        "select pg_get_constraintdef(oid) from pg_constraint where conname = 'broadcast_messages_status'"
    )
    assert set(re.findall("'([a-z]+)'", allowed)) == set(MessageStatus)


TEN = 10
INDEX = "concurrently_built"
WORK = (
    "import asyncio, pathlib, sys\nfrom runtime.database import migrate\n"
    "asyncio.run(migrate(sys.argv[1], migrations=pathlib.Path(sys.argv[2])))\n"
)


@pytest.fixture
async def empty_url(postgres: Postgres) -> AsyncIterator[str]:
    """The URL of a database with nothing in it."""
    connection = await asyncpg.connect(postgres.url("postgres"))
    try:
        await connection.execute("create database empty_one")
        yield postgres.url("empty_one")
        await connection.execute("drop database empty_one with (force)")
    finally:
        await connection.close()


def later_versions(folder: Path, *statements: str) -> Path:
    """The migrations, and these statements after them, each in a file of its own and outside a transaction."""
    shutil.copytree(MIGRATIONS, folder)
    for number, statement in enumerate(statements):
        text = f"-- migrate:up transaction:false\n{statement};\n-- migrate:down\n"
        (folder / f"2999010100000{number}_later.sql").write_text(text)
    return folder


async def ten_at_once(url: str, migrations: Path = MIGRATIONS) -> None:
    """Each has its session, and runs dbmate in a process of its own."""
    async with asyncio.timeout(60):
        await asyncio.gather(*(migrate(url, migrations=migrations) for _ in range(TEN)))


async def test_ten_begin_at_once_on_an_empty_database(empty_url: str) -> None:
    await ten_at_once(empty_url)
    async with await open_pool(empty_url) as pool:
        assert await pool.fetchval("select count(*) from schema_migrations") == len(
            list(MIGRATIONS.glob("*.sql"))
        )


async def test_ten_begin_at_once_on_a_database_that_is_a_version_behind(
    pool: Pool, database_url: str, tmp_path: Path
) -> None:
    # An index that is built concurrently waits for every snapshot, also for those of who waits for its migration.
    behind = later_versions(
        tmp_path / "migrations",
        f"create index concurrently {INDEX} on leads (name)",
        f"create index concurrently {INDEX}_too on leads (name)",
    )
    await ten_at_once(database_url, behind)
    built = await pool.fetch(
        "select indexrelid::regclass::text as name, indisvalid as valid from pg_index"
        " where indexrelid::regclass::text like $1 || '%' order by 1",
        INDEX,
    )
    assert [(row["name"], row["valid"]) for row in built] == [(INDEX, True), (f"{INDEX}_too", True)]


async def test_who_dies_with_a_migration_holds_up_nobody(
    pool: Pool, database_url: str, tmp_path: Path
) -> None:
    migrations = later_versions(
        tmp_path / "migrations",
        "select pg_sleep(2)",
        f"create index concurrently {INDEX} on leads (name)",
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", WORK, database_url, str(migrations), cwd=MIGRATIONS.parent.parent
    )

    async def asleep() -> bool:
        return bool(
            await pool.fetchval(
                "select exists (select from pg_stat_activity where query like '%pg_sleep(2)%'"
                " and datname = current_database() and pid <> pg_backend_pid())"
            )
        )

    await until(asleep)
    process.kill()  # dbmate, which it has started, goes on without it
    await process.wait()
    await ten_at_once(database_url, migrations)
    assert await pool.fetchval("select indisvalid from pg_index where indexrelid::regclass::text = $1", INDEX)


async def test_an_index_whose_build_was_interrupted_is_built_anew(
    pool: Pool, database_url: str, tmp_path: Path
) -> None:
    behind = later_versions(tmp_path / "migrations", f"create index concurrently {INDEX} on leads (name)")
    await pool.execute(f"create index {INDEX} on leads (phone)")
    await pool.execute("update pg_index set indisvalid = false where indexrelid = $1::regclass", INDEX)
    await migrate(database_url, migrations=behind)
    built = await pool.fetchrow(
        "select indisvalid as valid, pg_get_indexdef(indexrelid) as text from pg_index where indexrelid = $1::regclass",
        INDEX,
    )
    assert built is not None
    assert built["valid"]
    assert built["text"].endswith("(name)")


@pytest.mark.parametrize(
    ("version", "first", "second"),
    [
        ("20261201000001", "sequence_contacts", "broadcast_messages"),
        ("20261201000004", "sequences", "devices"),
    ],
)
async def test_a_migration_is_no_deadlock_with_who_writes_meanwhile(
    empty_url: str, tmp_path: Path, version: str, first: str, second: str
) -> None:
    before, present = tmp_path / "before", tmp_path / "present"
    for folder in (before, present):
        folder.mkdir()
        for file in MIGRATIONS.glob("*.sql"):
            if file.name < version or (folder is present and file.name.startswith(version)):
                shutil.copy(file, folder)
    await migrate(empty_url, migrations=before)
    async with await open_pool(empty_url) as pool, pool.acquire() as writer:
        async with writer.transaction():
            await writer.execute(f"lock table {first} in row exclusive mode")
            migrating = asyncio.create_task(migrate(empty_url, migrations=present))

            async def waits() -> bool:
                return bool(
                    await pool.fetchval(
                        "select exists (select from pg_locks where not granted and relation = $1::regclass)",
                        first,
                    )
                )

            await until(waits)
            await writer.execute(f"lock table {second} in row exclusive mode")
        await migrating


async def test_a_migration_waits_until_an_autovacuum_lets_go(pool: Pool) -> None:
    async with pool.acquire() as holder, pool.acquire() as migrating:

        async def lock() -> None:
            async with migrating.transaction():
                await migrating.execute("set local deadlock_timeout = '400ms'")
                before = await migrating.fetchval("show lock_timeout")
                await migrating.execute("select lock_tables('leads in access exclusive mode')")
                assert await migrating.fetchval("show lock_timeout") == before

        # PostgreSQL ends an autovacuum for whoever has waited for deadlock_timeout.
        async def waits_for_long() -> bool:
            return bool(
                await pool.fetchval(
                    "select exists (select from pg_locks where not granted and relation = 'leads'::regclass"
                    " and clock_timestamp() - waitstart > interval '420 ms')"
                )
            )

        async with holder.transaction():
            await holder.execute("lock table leads in row exclusive mode")
            locking = asyncio.create_task(lock())
            await until(waits_for_long)
        await locking


def test_each_migration_takes_the_locks_of_older_tables_patiently() -> None:
    made: set[str] = set()
    for file in sorted(MIGRATIONS.glob("*.sql")):
        up = file.read_text().partition("-- migrate:down")[0]
        up = re.sub(r"^create (?:or replace )?function .*?^\$\$;$", "", up, flags=re.MULTILINE | re.DOTALL)
        before, _, _ = up.partition("select lock_tables(")
        own = set(re.findall(r"^create table (\w+)", up, re.MULTILINE))
        changed = set(
            re.findall(r"^(?:alter table|create trigger [^;]*? on) (\w+)", before, re.MULTILINE | re.DOTALL)
        )
        assert not (changed & made) - own, f"{file.name}: lock_tables() comes first"
        made |= own
    assert {"leads", "events"} <= made


async def test_a_schema_that_is_up_to_date_is_left_alone(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "_run_dbmate", None)  # not to be called
    await migrate(database_url)


async def test_a_database_that_cannot_be_used_is_said_at_once(postgres: Postgres) -> None:
    with pytest.raises(
        Unavailable, match=r'PostgreSQL cannot be reached: database "nowhere" does not exist; check'
    ):
        await migrate(postgres.url("nowhere"))


async def test_the_database_of_another_program_is_left_alone(empty_url: str) -> None:
    connection = await asyncpg.connect(empty_url)
    try:
        await connection.execute("create table executions (shard_id int)")
        refused = (
            r"holds another program's tables, such as executions: name one of Drumbeat's own in DATABASE_URL"
        )
        with pytest.raises(Unavailable, match=refused):
            await migrate(empty_url)
        # Others use a table of this name as well.
        await connection.execute(
            "create table schema_migrations (version text); insert into schema_migrations values ('1')"
        )
        with pytest.raises(Unavailable, match=refused):
            await migrate(empty_url)
        assert await connection.fetchval("select to_regclass('leads')") is None
    finally:
        await connection.close()
