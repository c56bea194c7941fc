"""Time-outs of statements, locks and transactions: what runs away is ended, and no message is lost by it."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import pytest

from messaging.sending.message_status import MessageStatus
from messaging.sending.outcomes import Settled
from rig.waiting import until
from runtime.database import open_pool
from tests.support.contact import enrolled_contact
from tests.support.scenario import Scenario
from tests.support.simulator_process import SimulatorProcess

SHOW = """
select concat_ws(' ', current_setting('statement_timeout'), current_setting('lock_timeout'),
                 current_setting('idle_in_transaction_session_timeout'))
"""


@asynccontextmanager
async def _held(database_url: str) -> AsyncIterator[None]:
    """Nobody else can read or write a message during the block."""
    connection = await asyncpg.connect(database_url)
    try:
        async with connection.transaction():
            await connection.execute("lock table broadcast_messages in access exclusive mode")
            yield
    finally:
        await connection.close()


async def _bound(database_url: str, **bounds: str) -> None:
    connection = await asyncpg.connect(database_url)
    name = await connection.fetchval("select current_database()")
    for setting, bound in bounds.items():
        await connection.execute(f"alter database {name} set {setting} = '{bound}'")
    await connection.close()


async def test_a_statement_that_runs_away_is_ended_and_the_message_goes_out_once(
    database_url: str, simulator: SimulatorProcess, caplog: pytest.LogCaptureFixture
) -> None:
    await _bound(database_url, statement_timeout="500ms")
    async with (
        await open_pool(database_url) as pool,
        enrolled_contact(Scenario(pool, simulator.url)) as contact,
    ):
        # No keys and no look-ups: an attempt that forgot its outcome would leave the message unconfirmed.
        await contact.scenario.offer(keys=False, look_up=False)
        async with _held(database_url):
            with pytest.raises(asyncpg.QueryCanceledError):
                await contact.send()
        assert await contact.scenario.requests() == []

        await contact.scenario.faults({"kind": "latency", "seconds": 0.7})
        sending = asyncio.create_task(contact.send())

        async def at_the_gateway() -> bool:
            return bool(
                await pool.fetchval("select count(*) from broadcast_messages where status = 'processing'")
            )

        await until(at_the_gateway)
        with caplog.at_level(logging.WARNING):
            async with _held(database_url):

                async def tried() -> bool:
                    return "QueryCanceledError" in caplog.text

                await until(tried)
        outcome = await sending
        assert isinstance(outcome, Settled)
        assert outcome.status is MessageStatus.SENT
        assert len(await contact.scenario.requests()) == 1


async def test_bounds_are_there_and_those_of_a_role_or_database_go_before(database_url: str) -> None:
    async with await open_pool(database_url) as pool:
        assert await pool.fetchval(SHOW) == "15min 5min 10min"
    await _bound(database_url, statement_timeout="7min", idle_in_transaction_session_timeout="200ms")
    async with await open_pool(database_url) as pool:
        assert await pool.fetchval(SHOW) == "7min 5min 200ms"
        forgetful = await pool.acquire()
        await forgetful.execute("begin")
        pid = forgetful.get_server_pid()

        async def ended() -> bool:
            return not await pool.fetchval("select exists (select from pg_stat_activity where pid = $1)", pid)

        await until(ended)
