"""Every statement of the domain that stands in a constant is one that PostgreSQL takes, with the schema as it is."""

import importlib
import pkgutil
import re
from collections.abc import Iterator

import asyncpg
import pytest

import messaging
from messaging.common.database import Pool
from messaging.leads.csv_fold import CREATE_TABLES

BEGINS = re.compile(r"(\s|--.*\n)*(select|insert|update|delete|with)\b")
FILLED_IN = re.compile(r"\{\w+\}")  # a pattern for str.format, which is not one statement but several


def statements() -> Iterator[tuple[str, str]]:
    """Each constant that is a statement, with the module that it stands in."""
    for module in pkgutil.walk_packages(messaging.__path__, "messaging."):
        for name, value in vars(importlib.import_module(module.name)).items():
            if (
                name.isupper()
                and isinstance(value, str)
                and BEGINS.match(value)
                and not FILLED_IN.search(value)
            ):
                yield f"{module.name}.{name}", value


async def test_every_statement_can_be_prepared(pool: Pool) -> None:
    found = dict(statements())
    assert len(found) > 50
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute(CREATE_TABLES)  # those of an import, which some of the statements read
        for name, statement in found.items():
            try:
                await connection.prepare(statement)
            except asyncpg.PostgresError as error:
                pytest.fail(f"{name}: {error}")
