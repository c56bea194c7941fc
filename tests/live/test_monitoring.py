"""What a real worker shows of itself, while its servers answer, hang and go."""

import asyncio
import json
import time
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import aiohttp

from rig.waiting import until
from tests.support.line import line_to
from tests.support.live import Live
from tests.support.ports import free_port

SOON = 4.0
"""Seconds for any answer, whatever hangs."""


async def ask(port: int, path: str) -> tuple[int, str]:
    started = time.monotonic()
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}{path}") as answer:
        text = await answer.text()
    assert time.monotonic() - started < SOON, path
    return answer.status, text


async def ready(port: int) -> dict[str, Any]:
    status, text = await ask(port, "/ready")
    found: dict[str, Any] = json.loads(text)
    assert status == (200 if found["ready"] else 503)
    return found


async def listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


def through(url: str, port: int) -> str:
    """The same server, by another port."""
    parts = urlsplit(url)
    credentials = parts.netloc.rpartition("@")[0]
    return urlunsplit(parts._replace(netloc=f"{credentials}@127.0.0.1:{port}"))


async def test_ready_says_what_is_away_and_nothing_hangs(live: Live) -> None:
    host, _, temporal_port = live.connection.addresses.temporal_address.rpartition(":")
    database_port = urlsplit(live.database_url).port
    assert database_port is not None
    port = free_port()
    async with line_to(database_port) as database, line_to(int(temporal_port), host) as temporal:
        worker = await live.start_worker(
            DRUMBEAT_METRICS_PORT=str(port),
            DATABASE_URL=through(live.database_url, database.port),
            TEMPORAL_ADDRESS=f"127.0.0.1:{temporal.port}",
        )
        await until(lambda: listens(port))

        async def is_ready() -> bool:
            return bool((await ready(port))["ready"])

        await until(is_ready)
        assert await ask(port, "/live") == (200, '{"live": true}')
        status, text = await ask(port, "/metrics")
        assert status == 200
        for name in (
            "drumbeat_info{version=",
            "drumbeat_database_connections{state=",
            "temporal_num_pollers{",
        ):
            assert f"\n{name}" in text
        assert (await ask(port, "/"))[0] == 404

        database.hang()
        found = await ready(port)
        assert (found["database"], found["temporal"]) == ("no answer within 2 s", "ok")
        assert (await ask(port, "/live"))[0] == 200
        assert (await ask(port, "/metrics"))[0] == 200
        database.go_on()
        await until(is_ready)

        temporal.hang()
        found = await ready(port)
        assert (found["database"], found["ready"]) == ("ok", False)
        assert found["worker"] == "Temporal does not say whether it polls"
        temporal.go_on()
        await until(is_ready)
        assert worker.returncode is None
