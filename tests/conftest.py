"""Real servers for the tests: one PostgreSQL for the session, a database of its own for each test."""

import asyncio
import itertools
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest

from messaging.database import Pool
from runtime.database import migrate, open_pool
from runtime.embedded.postgres import Postgres
from tests.contact import Contact, enrolled_contact
from tests.live import Live, live_servers
from tests.scenario import Scenario
from tests.simulator_process import SimulatorProcess

_numbers = itertools.count()


def free_port() -> int:
    """A loopback port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    """The session's PostgreSQL server, with a migrated template database."""
    directory: Path = tmp_path_factory.mktemp("postgres")
    with asyncio.Runner() as runner:
        server = Postgres(directory, port=free_port(), durable=False)
        runner.run(server.start())
        try:
            runner.run(_make_template(server))
            yield server
        finally:
            runner.run(server.stop())


async def _make_template(server: Postgres) -> None:
    connection = await asyncpg.connect(server.url("postgres"))
    try:
        await connection.execute("create database template_drumbeat")
    finally:
        await connection.close()
    await migrate(server.url("template_drumbeat"))


@pytest.fixture
async def database_url(postgres: Postgres) -> AsyncIterator[str]:
    """The URL of a new, migrated, empty database."""
    name = f"test_{next(_numbers)}"
    connection = await asyncpg.connect(postgres.url("postgres"))
    try:
        await connection.execute(f"create database {name} template template_drumbeat strategy file_copy")
        yield postgres.url(name)
        await connection.execute(f"drop database {name} with (force)")
    finally:
        await connection.close()


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[Pool]:
    """A connection pool on the test's own database."""
    async with await open_pool(database_url) as opened:
        yield opened


@pytest.fixture(scope="session")
def simulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimulatorProcess]:
    """The session's simulated gateway; tests tell their messages apart by their devices."""
    process = SimulatorProcess(tmp_path_factory.mktemp("simulator"))
    process.start()
    try:
        yield process
    finally:
        process.close()


@pytest.fixture
def scenario(pool: Pool, simulator: SimulatorProcess) -> Scenario:
    """An empty database, and a device's name that no other test uses."""
    return Scenario(pool, simulator.url)


@pytest.fixture
async def contact(scenario: Scenario) -> AsyncIterator[Contact]:
    """A contact whose first step is due, and whose clock the test turns."""
    async with enrolled_contact(scenario) as one:
        yield one


@pytest.fixture
async def live(scenario: Scenario, database_url: str, tmp_path: Path) -> AsyncIterator[Live]:
    """Everything as it runs, without a worker yet."""
    async with live_servers(scenario, database_url, tmp_path / "worker.log") as servers:
        yield servers
