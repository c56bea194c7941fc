"""What 'upgrade check' reads from the database."""

from messaging.common.database import Pool
from messaging.common.roles import ROLES
from messaging.reporting.schema import applied, rows_of, unused_functions
from messaging.reporting.workers import beat, find_workers, goodbye
from runtime.database import MIGRATIONS

CODE = ["await pool.fetch('select lost_function_v2($1)', 1)"]


async def test_functions_that_nothing_uses_are_found(pool: Pool) -> None:
    before = set(await unused_functions(pool, CODE))
    await pool.execute("""
        create function lost_function(n int) returns int language sql as 'select n';
        create function lost_deep(n int) returns int language sql immutable as 'select n';
        create function lost_helper(n int) returns int language sql as 'select lost_deep (n)';
        create function lost_function_v2(n int) returns int language sql as 'select lost_helper(n)';
        create function lost_index(n text) returns text language sql immutable as 'select n';
        create index leads_lost on leads (lost_index(name));
        create function lost_trigger() returns trigger language plpgsql as 'begin return new; end';
        create trigger lost after insert on leads for each row execute function lost_trigger();
        create function lost_default() returns text language sql as $$ select '' $$;
        alter table leads add column lost text default lost_default()
    """)
    assert set(await unused_functions(pool, CODE)) - before == {"lost_function"}
    assert {"lost_function", "lost_function_v2", "lost_helper", "lost_deep"} <= set(
        await unused_functions(pool, [])
    )


async def test_rows_and_migrations_are_those_of_now(pool: Pool) -> None:
    assert await applied(pool) == {file.name.partition("_")[0] for file in MIGRATIONS.glob("*.sql")}
    await pool.execute(
        "insert into leads (phone, name) select '+1201555010' || n, '' from generate_series(1, 7) n"
    )
    assert await rows_of(pool, ["leads", "devices", "nothing"]) == {"leads": 7, "devices": 0}
    await pool.execute("alter table schema_migrations rename to gone")
    assert await applied(pool) == set()
    await pool.execute("alter table gone rename to schema_migrations")


async def test_workers_whose_version_is_not_current_do_not_count(pool: Pool) -> None:
    await beat(pool, "old", "queue", version="0.2.0", build_id="a")
    await beat(pool, "new", "queue", version="0.3.0", build_id="b", waits=True)
    assert (await find_workers(pool, "queue")).idle is None
    await goodbye(pool, "old")
    found = await find_workers(pool, "queue")
    assert found.idle == (
        "no worker of the current version runs, and those of b get nothing to do: nothing goes out before 'upgrade switch b'"
    )
    assert (found.running[0].build_id, found.running[0].waits, found.running[0].roles) == ("b", True, ROLES)
    await beat(pool, "new", "queue", version="0.3.0", build_id="b")
    assert (await find_workers(pool, "queue")).idle is None


async def test_workers_are_found_on_the_schema_of_0_1_0(pool: Pool) -> None:
    """'upgrade check' reads it before any migration."""
    await pool.execute(
        "alter table workers drop column version, drop column build_id, drop column roles, drop column waits"
    )
    await pool.execute("insert into workers (id, task_queue) values ('old', 'queue')")
    (row,) = (await find_workers(pool, "queue")).running
    assert (row.version, row.build_id, row.roles, row.waits) == (None, None, ROLES, False)
