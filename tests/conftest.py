"""Real servers for the tests: one PostgreSQL for the session, a database of its own for each test."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from messaging.common.database import Pool
from runtime.database import open_pool
from runtime.embedded.postgres import Postgres
from tests.support.contact import Contact, enrolled_contact
from tests.support.databases import Databases
from tests.support.live import Live, live_servers
from tests.support.ports import free_port
from tests.support.scenario import Scenario
from tests.support.simulator_process import SimulatorProcess

TOGETHER = {
    "test_hot_": "hot queries",  # a large database is made for them
    "test_embedded": "embedded",  # they choose ports, and see what each other leaves running
    "test_chaos": "chaos",
}
"""Files whose tests one process runs, one after the other, by the beginning of their names. pytest-xdist's own marks do
nothing with this pytest's node IDs.
"""


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> object:
    """Each process gets the next test, or the next of what is to stay together."""
    from xdist.scheduler import LoadScopeScheduling

    class Scheduling(LoadScopeScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            name = Path(nodeid.split("::")[0]).name
            return next((group for start, group in TOGETHER.items() if name.startswith(start)), nodeid)

    return Scheduling(config, log)


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    """The session's PostgreSQL server."""
    directory: Path = tmp_path_factory.mktemp("postgres")
    with asyncio.Runner() as runner:
        server = Postgres(directory, port=free_port(), durable=False)
        runner.run(server.start())
        try:
            yield server
        finally:
            runner.run(server.stop())


@pytest.fixture(scope="session")
def databases(postgres: Postgres) -> Databases:
    """Its databases."""
    made = Databases(postgres)
    asyncio.run(made.prepare())
    return made


@pytest.fixture
async def database_url(postgres: Postgres, databases: Databases) -> AsyncIterator[str]:
    """The URL of a migrated, empty database that nobody else uses."""
    name = await databases.take()
    yield postgres.url(name)
    await databases.give_back(name)


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
