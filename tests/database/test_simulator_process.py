"""The simulated gateway as a process: starts, stops, kills and what outlives them."""

import asyncio
import itertools
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from rig.gateway_control import accepted, requests_log, set_faults
from rig.waiting import until
from tests.support.simulator_process import PHONE, ROOT, post, raw_send, running_simulator


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


async def test_settings_and_faults_outlive_the_process_but_offline_does_not(
    tmp_path: Path, http: aiohttp.ClientSession
) -> None:
    async with running_simulator(tmp_path, "--no-idempotency", "--no-lookup") as simulator:
        simulator.arguments = ()
        await set_faults(simulator.url, {"kind": "refuse", "device": "a", "count": 3}, {"kind": "offline"})
        async with http.put(
            f"{simulator.control_url}/v1/settings", json={"device": "a", "lookup": True}
        ) as answer:
            assert answer.status == 200
        await asyncio.to_thread(simulator.stop)
        await asyncio.to_thread(simulator.start)
        async with http.get(f"{simulator.url}/v1/settings") as answer:
            assert await answer.json() == {
                "idempotency": False,
                "lookup": False,
                "devices": {"a": {"idempotency": False, "lookup": True}},
            }
        assert (await post(http, simulator.url, "a"))[0] == 422
        await asyncio.to_thread(simulator.kill)
        await asyncio.to_thread(simulator.start)
        statuses = [(await post(http, simulator.url, "a"))[0] for _ in range(3)]
        assert statuses == [422, 422, 200]


async def test_everything_acknowledged_survives_a_kill_in_the_middle_of_load(tmp_path: Path) -> None:
    async with running_simulator(tmp_path) as simulator, aiohttp.ClientSession() as http:
        acknowledged: dict[str, str] = {}
        keys = itertools.count()

        async def client() -> None:
            try:
                for key in keys:
                    status, answer = await post(http, simulator.url, "loaded", f"key-{key}")
                    assert status == 200
                    acknowledged[f"key-{key}"] = answer["id"]
            except aiohttp.ClientError:
                return  # killed

        clients = asyncio.gather(*(client() for _ in range(20)))

        async def busy() -> bool:
            return len(acknowledged) > 200

        await until(busy)
        simulator.kill()  # on the event loop, so that no client comes in between
        await clients
        await asyncio.to_thread(simulator.start)
        kept = {row["idempotency_key"]: row["message_id"] for row in await accepted(simulator.url)}
        assert acknowledged.items() <= kept.items()
        for key in list(kept)[-20:]:
            _, answer = await post(http, simulator.url, "loaded", key)
            assert (answer["id"], answer["duplicate"]) == (kept[key], True)
        assert len(await accepted(simulator.url)) == len(kept)


async def test_sigterm_stops_it_at_once_though_requests_hang(tmp_path: Path) -> None:
    async with running_simulator(tmp_path) as simulator:
        await set_faults(
            simulator.url,
            {"kind": "hang", "device": "hangs"},
            {"kind": "latency", "device": "waits", "seconds": 60},
        )
        sends = [await raw_send(simulator, device) for device in ("hangs", "waits")]

        async def logged() -> bool:
            return len(await requests_log(simulator.url, phone=PHONE)) == 2

        await until(logged)
        began = time.monotonic()
        assert await asyncio.to_thread(simulator.stop) == 0
        assert time.monotonic() - began < 5  # uvicorn's own patience would be 10 s
        for reader, writer in sends:
            assert await reader.read() == b""
            writer.close()


async def run_simulator(*arguments: str) -> tuple[int, str]:
    """Its exit code and what it said on standard error; for starts that fail."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "simulator", *arguments), cwd=ROOT, stdout=-3, stderr=subprocess.PIPE
    )
    try:
        _, said = await asyncio.wait_for(process.communicate(), 20)
    finally:
        if process.returncode is None:  # it did start
            process.kill()
            await process.wait()
    assert process.returncode is not None
    return process.returncode, said.decode()


async def test_what_keeps_it_from_starting_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    async with running_simulator(tmp_path / "data") as simulator:
        taken = str(simulator.port)
        starts = {
            f"port {taken} on 127.0.0.1 is in use": ("--port", taken, "--data", str(tmp_path)),
            "is in use by another simulated gateway": ("--port", "0", "--data", str(simulator.data)),
            "cannot write to": ("--port", "0", "--data", str(tmp_path / "file")),
        }
        ends = await asyncio.gather(*(run_simulator(*start) for start in starts.values()))
    for reason, (code, said) in zip(starts, ends, strict=True):
        assert (code, reason in said, said.count("\n")) == (1, True, 1), said


async def test_it_listens_on_loopback_only(tmp_path: Path) -> None:
    async with running_simulator(tmp_path) as simulator:
        # All of 127.0.0.0/8 reaches this machine: a server on every address would answer here too.
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.2", simulator.port)


async def test_stats(tmp_path: Path, http: aiohttp.ClientSession) -> None:
    async with running_simulator(tmp_path) as simulator:
        for device, phone in (("a", PHONE), ("a", "+12015550124"), ("b", PHONE)):
            await post(http, simulator.url, device, to=phone)
        async with http.get(f"{simulator.url}/v1/stats") as answer:
            assert await answer.json() == {
                "requests": 3,
                "accepted": 3,
                "phones": 2,
                "devices": {"a": 2, "b": 1},
            }
