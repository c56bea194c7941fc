"""What several tests with PostgreSQL begin with."""

import asyncio
from collections.abc import Iterator

import pytest

from runtime.embedded.postgres import Postgres
from tests.support.big_ledger import MILLION, TENTH, Big, fill
from tests.support.databases import Databases


@pytest.fixture(
    scope="session",
    params=[TENTH, pytest.param(MILLION, marks=pytest.mark.long)],
    ids=["a tenth", "a million"],
)
def big(postgres: Postgres, databases: Databases, request: pytest.FixtureRequest) -> Iterator[Big]:
    """The big ledger, made once. A tenth of a million shows what a million does, which is tried with the long tests."""
    rows: int = request.param
    with asyncio.Runner() as runner:
        name = runner.run(databases.take())
        try:
            yield runner.run(fill(postgres.url(name), rows))
        finally:
            runner.run(databases.give_back(name))
