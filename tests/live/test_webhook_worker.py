"""Real workers whose webhooks' port is leaned on by strangers, while messages go out."""

import asyncio
import re
import signal
import socket
from contextlib import suppress

import pytest

from operations import enrollment
from rig.people import phone
from rig.waiting import until
from tests.support.live import Live
from tests.support.ports import free_port

FILES = 200
"""Descriptors that the worker may have. A few dozen it needs for itself."""
SEQUENCE = """
sequence: story
steps:
  - {id: a, day: 1, text: "One"}
"""


async def listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


async def test_half_open_connections_stop_no_sending(live: Live) -> None:
    await live.scenario.add_device()
    await live.scenario.apply(SEQUENCE)
    port = free_port()
    limited = ("sh", "-c", f'ulimit -n {FILES}; exec "$@"', "limited")
    await live.start_worker(*limited, DRUMBEAT_WEBHOOKS_PORT=str(port))
    await until(lambda: listens(port))
    strangers: list[socket.socket] = []

    async def lean_on_it() -> None:
        while True:
            for _ in range(20):
                stranger = socket.socket()
                stranger.setblocking(False)
                strangers.append(stranger)
                with suppress(BlockingIOError):
                    stranger.connect(("127.0.0.1", port))
            await asyncio.sleep(0.01 if len(strangers) < 3 * FILES else 0.1)
            for old in strangers[: -3 * FILES]:
                old.close()
            del strangers[: -3 * FILES]

    leaning = asyncio.create_task(lean_on_it())
    await until(lambda: asyncio.sleep(0, len(strangers) >= 2 * FILES))
    for index in range(10):
        await enrollment.enroll(live.connection, "story", phone(index), device=live.scenario.device)
    await live.all_over(10)
    assert len(await live.scenario.accepted()) == 10
    assert not leaning.done()
    leaning.cancel()
    for stranger in strangers:
        stranger.close()
    told = live.log.read_text()
    assert len(re.findall("those that have not sent their request are closed", told)) == 1
    assert "Too many open files" not in told
    assert len(told) < 20_000


async def test_a_second_worker_works_without_the_port_and_takes_it_over(live: Live) -> None:
    await live.scenario.add_device()
    await live.scenario.apply(SEQUENCE)
    port = free_port()
    first = await live.start_worker(DRUMBEAT_WEBHOOKS_PORT=str(port))
    await until(lambda: listens(port))
    second = await live.start_worker(DRUMBEAT_WEBHOOKS_PORT=str(port))
    await until(lambda: asyncio.sleep(0, live.log.read_text().count("working on task queue") == 2))
    assert f"port {port} of 127.0.0.1 is in use, by another worker or program" in live.log.read_text()
    await live.kill(first)
    await until(lambda: listens(port))
    await enrollment.enroll(live.connection, "story", phone(1), device=live.scenario.device)
    await live.all_over(1)
    assert second.returncode is None


@pytest.mark.long
async def test_a_process_for_webhooks_alone_listens_and_sends_nothing(live: Live) -> None:
    code, _, told = await live.run("worker.py", "--webhooks-only")
    assert code == 1
    assert "--webhooks-only: set DRUMBEAT_WEBHOOKS_PORT, the port to listen on" in told
    await live.scenario.add_device()
    await live.scenario.apply(SEQUENCE)
    port = free_port()
    alone = ("sh", "-c", 'exec "$@" --webhooks-only', "alone")
    process = await live.start_worker(*alone, DRUMBEAT_WEBHOOKS_PORT=str(port))
    await until(lambda: listens(port))
    done = await enrollment.enroll(live.connection, "story", phone(1), device=live.scenario.device)
    assert done.result == "handed_over"
    assert not await live.works()
    await live.start_worker()
    await live.all_over(1)
    process.send_signal(signal.SIGTERM)
    assert await process.wait() == 0
    live.workers.remove(process)
