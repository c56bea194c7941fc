"""A worker that was away fetches what people sent meanwhile, when it starts and by its schedule."""

from datetime import UTC, datetime

import pytest

from messaging.devices.device import DeviceSettings
from messaging.devices.store import add_device
from operations.schedule import fetch_missed_now
from rig.people import phone
from rig.waiting import until
from tests.support.gowa_server import PASSWORD, gowa_server, jid
from tests.support.live import Live


async def test_a_stop_that_no_webhook_brought(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    pool, secrets = live.scenario.pool, {"GOWA_PASSWORD": PASSWORD, "GOWA_WEBHOOK_SECRET": "of-the-tests"}
    for name, value in secrets.items():
        monkeypatch.setenv(name, value)
    async with gowa_server() as gowa:
        async with pool.acquire() as connection:
            await add_device(connection, DeviceSettings(id="kl-1", gateway="gowa", options=gowa.options()))
        await live.scenario.add_leads(2, device="kl-1")
        gowa.store("in-1", jid(phone(0)), "STOP", datetime.now(UTC))

        async def stopped(index: int) -> bool:
            query = "select exists (select from suppressions where phone = $1)"
            return bool(await pool.fetchval(query, phone(index)))

        await live.start_worker(**secrets)
        await until(lambda: stopped(0), what="the first run, at the worker's start")
        gowa.store("in-2", jid(phone(1)), "STOP", datetime.now(UTC))

        async def stopped_by_another_run() -> bool:
            # While the first run is not over yet, nothing happens.
            await fetch_missed_now(live.connection)
            return await stopped(1)

        await until(stopped_by_another_run, every=0.5)
        assert await pool.fetchval("select count(*) from inbound_messages") == 2
