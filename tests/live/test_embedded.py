"""The embedded servers: they keep their data through everything, are shared by all, and leave nothing behind."""

import asyncio
import json
import os
import signal
import socket
import sqlite3
import subprocess
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, closing
from pathlib import Path

import asyncpg
import pytest
from temporalio.common import SearchAttributeKey, SearchAttributePair, TypedSearchAttributes

from messaging.common.errors import Unavailable
from rig.waiting import until
from runtime.embedded.lease import leased
from runtime.embedded.locks import is_held
from runtime.embedded.state import SUPERVISOR, Running, read_running, read_state
from runtime.embedded.workflow_index import WHOLE
from runtime.settings import Ports
from runtime.temporal_client import ensure_search_attributes
from temporal import search_attributes as attributes
from tests.support.embedded_set import (
    WITHIN,
    Innocent,
    User,
    kill_all,
    left,
    pids,
    read_data,
    remember_free_ports,
    temporal_of,
    write_data,
)

KEPT = ("drum", "RUNNING", 1)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory whose servers have run before: to make one takes most of the time of a first start."""
    directory = tmp_path_factory.mktemp("made") / "home"
    remember_free_ports(directory)

    async def make() -> None:
        async with using(directory):
            pass

    asyncio.run(make())
    return directory


@pytest.fixture
def home(made: Path, new_home: Path) -> Path:
    """A directory of the test's own whose servers have run before."""
    ports = (new_home / "ports.json").read_text()
    subprocess.run(["cp", "-a", f"{made}/.", str(new_home)], check=True)
    (new_home / "ports.json").write_text(ports)
    return new_home


@pytest.fixture
async def new_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Path]:
    """A directory for a set of servers, of which nothing is left running behind the test."""
    for name in Ports.model_fields:
        monkeypatch.delenv(f"DRUMBEAT_{name.upper()}", raising=False)
    for name in ("DATABASE_URL", "TEMPORAL_ADDRESS", "TEMPORAL_PROFILE", "TEMPORAL_CONFIG_FILE"):
        monkeypatch.delenv(name, raising=False)
    directory = tmp_path / "home"
    remember_free_ports(directory)
    yield directory
    await kill_all(directory)


def using(home: Path, ports: Ports | None = None) -> AbstractAsyncContextManager[Running]:
    """One more user of the servers; locks are per descriptor, so several can be in one process."""
    return leased(home, ports or Ports(), lambda _: None)


async def test_data_and_addresses_survive_a_restart(home: Path) -> None:
    async with using(home) as before:
        await write_data(before)
        assert (home / "servers.json").stat().st_mode & 0o777 == 0o600
    assert left(home) == {}
    async with using(home) as after:
        assert await read_data(after) == KEPT
    assert after == before
    assert (home / "temporal" / "complete").exists()


async def test_data_survives_a_kill_of_everything_and_what_that_leaves_behind(home: Path) -> None:
    user, innocent = User(home), Innocent()
    try:
        await user.addresses()
        running = read_running(home)
        assert running is not None
        await write_data(running)
        # The user last: without one the servers would leave politely, and take their record with them.
        await kill_all(home)
        user.kill()
        # The number of the dead PostgreSQL now belongs to somebody else, and a record was cut off in the middle.
        pid_file = home / "postgres" / "data" / "postmaster.pid"
        number, rest = pid_file.read_text().split("\n", 1)
        assert int(number) != innocent.pid
        pid_file.write_text(f"{innocent.pid}\n{rest}")
        record = (home / "servers.json").read_text()
        (home / "servers.json").write_text(record[: len(record) // 2])
        async with using(home) as after:
            assert await read_data(after) == KEPT
            assert innocent.alive
        assert after == running
    finally:
        innocent.end()


async def test_a_server_that_hangs_on_from_before_is_ended_and_nobody_else(home: Path) -> None:
    user, innocent = User(home), Innocent()
    try:
        await user.addresses()
        running = read_running(home)
        assert running is not None
        await write_data(running)
        before = pids(home)
        os.kill(before["postgres"], signal.SIGSTOP)  # deaf to the kernel's polite signal
        os.kill(before["supervisor"], signal.SIGKILL)
        user.kill()
        await until(lambda: set(left(home)) == {before["postgres"]})
        # A number that is on record, but was given to another process since.
        record = json.loads((home / "servers.json").read_text())
        record["children"]["temporal"]["pid"] = innocent.pid
        (home / "servers.json").write_text(json.dumps(record))
        async with using(home) as after:
            assert before["postgres"] not in left(home)
            assert await read_data(after) == KEPT
        assert innocent.alive
    finally:
        innocent.end()


async def test_the_servers_stay_for_the_last_user_and_end_with_it(home: Path) -> None:
    first = User(home)
    addresses = await first.addresses()
    async with using(home) as running:
        assert running.database_url == addresses["database_url"]
        before = pids(home)
        assert len(before) == 4
        # Ctrl-C in the first user's terminal is not for the servers.
        assert first.session not in {os.getsid(pid) for pid in before.values()}
        assert await first.leave() == 0
        await write_data(running)
        assert pids(home) == before
    assert left(home) == {}
    assert not (home / "servers.json").exists()


async def test_users_who_leave_at_once_both_see_them_off(home: Path) -> None:
    async with AsyncExitStack() as first, AsyncExitStack() as second:
        await first.enter_async_context(using(home))
        await second.enter_async_context(using(home))
        await asyncio.gather(*(leave(home, user) for user in (first, second)))


async def leave(home: Path, user: AsyncExitStack) -> None:
    """One of two users leaves; whoever is the last must not return before nothing is left."""
    await user.aclose()
    if not is_held(home / SUPERVISOR):
        assert left(home) == {}


@pytest.mark.long
async def test_who_comes_while_the_servers_stop_gets_new_ones(home: Path) -> None:
    async with using(home) as before:
        await write_data(before)
        old = pids(home)
    user = User(home)
    await user.addresses()
    leaving = asyncio.create_task(user.leave())
    await until(lambda: read_state(home) is None)  # they are stopping
    async with using(home) as after:
        assert await read_data(after) == KEPT
        assert set(pids(home).values()).isdisjoint(old.values())
        async with asyncio.timeout(WITHIN):
            assert await leaving == 0
        assert read_running(home) == after


async def test_many_processes_at_once_start_one_set(new_home: Path) -> None:
    users = [User(new_home) for _ in range(4)]
    found = [await user.addresses() for user in users]
    assert len({addresses["database_url"] for addresses in found}) == 1
    assert set(left(new_home)) == set(pids(new_home).values())
    assert [await user.leave() for user in users] == [0, 0, 0, 0]
    assert left(new_home) == {}


async def test_a_starter_that_is_killed_leaves_the_start_to_the_others(new_home: Path) -> None:
    starter = User(new_home)
    await until(lambda: is_held(new_home / SUPERVISOR))
    async with asyncio.timeout(WITHIN), AsyncExitStack() as stack:
        waiting = asyncio.create_task(stack.enter_async_context(using(new_home)))
        await asyncio.sleep(0)  # it holds the lease from its first step on
        starter.kill()
        running = await waiting
        await write_data(running)
        assert set(left(new_home)) == set(pids(new_home).values())
    assert left(new_home) == {}


async def test_a_first_start_that_is_cut_off_can_be_repeated(new_home: Path) -> None:
    user = User(new_home)
    await until((new_home / "postgres" / "data.new" / "PG_VERSION").exists)
    user.kill()
    await kill_all(new_home)
    assert not (new_home / "postgres" / "data").exists()
    async with using(new_home) as running:
        await write_data(running)
        assert await read_data(running) == KEPT


@pytest.mark.parametrize(
    "ruin",
    [
        pytest.param("", marks=pytest.mark.long),  # killed before the first table
        "create table namespaces (id blob)",  # between two tables
        pytest.param(
            "create table namespaces (id blob); create table executions (shard_id integer)",
            marks=pytest.mark.long,
        ),
    ],
)
async def test_a_temporal_database_whose_creation_was_cut_off_is_made_anew(new_home: Path, ruin: str) -> None:
    """The window is some ten milliseconds wide, and the server itself takes what it finds for complete."""
    (new_home / "temporal").mkdir()
    with closing(sqlite3.connect(new_home / "temporal" / "temporal.db")) as database:
        database.execute("pragma journal_mode = wal")
        database.executescript(ruin)
    async with using(new_home) as running:
        await write_data(running)
        assert await read_data(running) == KEPT


async def test_a_temporal_database_in_use_is_never_made_anew(home: Path) -> None:
    """Also one of which nothing was noted, as long as it holds a workflow. That of a noted one is kept by every restart."""
    async with using(home) as running:
        await write_data(running)
    (home / "temporal" / "complete").unlink()
    async with using(home) as running:
        assert await read_data(running) == KEPT


async def test_a_start_that_is_cancelled_leaves_nothing(new_home: Path) -> None:
    starting = asyncio.create_task(AsyncExitStack().enter_async_context(using(new_home)))
    await until((new_home / "postgres" / "data.new").exists)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert left(new_home) == {}
    assert not (new_home / "postgres" / "data").exists()


def runs_under_another(home: Path, supervisor: int) -> bool:
    state = read_state(home)
    return state is not None and state.running is not None and state.supervisor.pid != supervisor


async def test_a_supervisor_that_is_killed_is_replaced_for_who_still_uses_the_servers(home: Path) -> None:
    async with using(home) as running:
        await write_data(running)
        client = await temporal_of(running)
        old = pids(home)
        os.kill(old["supervisor"], signal.SIGKILL)
        await until(lambda: runs_under_another(home, old["supervisor"]))
        assert set(pids(home).values()).isdisjoint(old.values())
        assert set(left(home)) == set(pids(home).values())
        assert await read_data(running) == KEPT  # on the same ports
        assert (await client.get_workflow_handle("kept").describe()).id == "kept"
        async with using(home) as same:
            assert same == running
    assert left(home) == {}


async def test_servers_that_are_killed_alone_come_back_on_their_ports(home: Path) -> None:
    async with using(home) as running:
        await write_data(running)
        client = await temporal_of(running)
        old = pids(home)
        for name in ("postgres", "temporal", "simulator"):
            os.kill(old[name], signal.SIGKILL)
        await until(lambda: len(set(pids(home).values()) - set(old.values())) == 3)
        assert pids(home)["supervisor"] == old["supervisor"]
        async with asyncio.timeout(WITHIN):
            while (kept := await data_or_none(running)) is None:
                await asyncio.sleep(0.1)
        assert kept == KEPT
        assert (await client.get_workflow_handle("kept").describe()).id == "kept"
    assert left(home) == {}


async def data_or_none(running: Running) -> tuple[str, str, int] | None:
    """What the servers kept; None as long as one of them does not answer."""
    try:
        return await read_data(running)
    except (OSError, asyncpg.PostgresError, Unavailable):
        return None


async def test_a_port_in_use_gives_way_and_is_told_once(home: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        remembered = json.loads((home / "ports.json").read_text())
        (home / "ports.json").write_text(json.dumps({**remembered, "ui_port": port}))
        async with using(home) as running:
            other = running.ports["ui_port"]
            assert running.notices == (
                (
                    f"port {port} is in use, the Temporal Web UI listens on {other} instead; "
                    "set DRUMBEAT_UI_PORT to choose"
                ),
            )
            assert running.ui_url == f"http://127.0.0.1:{other}"
            async with using(home, Ports(ui_port=port)) as second:
                assert second.notices == (
                    f"the servers run already: the Temporal Web UI listens on {other}, not on {port} (DRUMBEAT_UI_PORT)",
                )
            async with using(home) as third:
                assert third.notices == ()
    async with using(home) as again:
        assert again.ports == running.ports
        assert again.notices == ()


async def test_a_port_that_was_asked_for_and_is_in_use_is_an_error(new_home: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(Unavailable) as caught:
            async with using(new_home, Ports(temporal_port=port)):
                pytest.fail("started on a port that is in use")
    assert str(caught.value) == (
        f"port {port} is in use: set DRUMBEAT_TEMPORAL_PORT to another one for Temporal"
    )
    assert left(new_home) == {}


async def test_two_servers_cannot_be_given_one_port(new_home: Path) -> None:
    port = json.loads((new_home / "ports.json").read_text())["ui_port"]
    with pytest.raises(Unavailable, match="DRUMBEAT_TEMPORAL_PORT and DRUMBEAT_UI_PORT both name port"):
        async with using(new_home, Ports(temporal_port=port, ui_port=port)):
            pytest.fail("started two servers on one port")


async def test_a_server_that_does_not_start_is_named_with_its_reason(new_home: Path) -> None:
    (new_home / "temporal").mkdir()
    (new_home / "temporal" / "temporal.db").mkdir()
    with pytest.raises(
        Unavailable, match=r"^Temporal did not start: .*database file.*\(log: .*temporal\.log\)$"
    ):
        async with using(new_home):
            pytest.fail("started without a database")
    assert left(new_home) == {}


async def test_a_place_that_cannot_be_written_to_is_named(new_home: Path) -> None:
    (new_home / "file").touch()
    with pytest.raises(Unavailable, match=r"cannot be written to .*set DRUMBEAT_HOME"):
        async with using(new_home / "file"):
            pytest.fail("started in a file")


async def test_search_attributes_are_registered_once_and_used_at_once(home: Path) -> None:
    async with using(home) as running:
        client = await temporal_of(running)
        await asyncio.gather(*(ensure_search_attributes(client, attributes.ALL) for _ in range(3)))
        await start_found(running)
        async with asyncio.timeout(WITHIN):
            while (await client.count_workflows(f"{attributes.PHONE.name} = '+12015550123'")).count != 1:
                await asyncio.sleep(0.05)
        other = SearchAttributeKey.for_int(attributes.PHONE.name)
        with pytest.raises(Unavailable, match="DrumbeatPhone of namespace default is not of type Int"):
            await ensure_search_attributes(client, [other])


async def start_found(running: Running) -> None:
    """A workflow with a phone, that nobody works on."""
    client = await temporal_of(running)
    await client.start_workflow(
        "Nobodys",
        id="found",
        task_queue="nobodys",
        search_attributes=TypedSearchAttributes([SearchAttributePair(attributes.PHONE, "+12015550123")]),
    )


FROM_BEFORE = "create index by_task_queue on executions_visibility (namespace_id, task_queue)"


async def test_the_index_of_workflows_is_small_and_finds_them_all(home: Path) -> None:
    """Also that of a database from before, by what has an index, by what has none, and by what is not there."""
    database = home / "temporal" / "temporal.db"
    async with using(home) as running:
        made = indexes_of_workflows(database)
        assert {name for name, sql in made.items() if "is not null" not in sql} == WHOLE
        assert len(made) > 2 * len(WHOLE)
        await start_found(running)
    with closing(sqlite3.connect(database)) as connection:
        connection.execute(FROM_BEFORE)
    async with using(home) as running:
        assert indexes_of_workflows(database) == made
        client = await temporal_of(running)
        for asked in ("DrumbeatPhone = '+12015550123'", "TaskQueue = 'nobodys'", "DrumbeatDevice IS NULL"):
            async with asyncio.timeout(WITHIN):
                while (await client.count_workflows(f"{asked} and WorkflowType = 'Nobodys'")).count != 1:
                    await asyncio.sleep(0.05)


def indexes_of_workflows(database: Path) -> dict[str, str]:
    with closing(sqlite3.connect(database)) as connection:
        return dict(
            connection.execute(
                "select name, sql from sqlite_master"
                " where type = 'index' and tbl_name = 'executions_visibility' and sql is not null"
            )
        )
