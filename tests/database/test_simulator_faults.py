"""Every fault of the simulated gateway, over real sockets."""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any

import aiohttp
import pytest

from rig.gateway_control import accepted, requests_log, set_faults
from rig.waiting import until
from tests.support.simulator_process import PHONE, SimulatorProcess, outcomes, post, raw_send

_numbers = itertools.count(1)


@pytest.fixture
async def simulator(simulator: SimulatorProcess) -> AsyncIterator[SimulatorProcess]:
    """The session's, without faults afterwards. Tests keep apart by their devices."""
    yield simulator
    await set_faults(simulator.control_url)


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
def device() -> str:
    return f"faulty-{next(_numbers)}"


@pytest.mark.parametrize(
    ("fault", "status", "outcome", "deliveries"),
    [
        ({"kind": "refuse"}, 422, "refused", 0),
        ({"kind": "refuse", "status": 403, "code": "banned"}, 403, "refused", 0),
        ({"kind": "rate_limit", "retry_after": 7}, 429, "rate_limited", 0),
        ({"kind": "fail"}, 500, "failed", 0),
        ({"kind": "fail", "after_accepting": True, "status": 502}, 502, "accepted", 1),
        ({"kind": "garble"}, 200, "accepted", 1),
        ({"kind": "offline"}, 503, "unavailable", 0),
    ],
)
async def test_faults_that_answer(
    simulator: SimulatorProcess,
    http: aiohttp.ClientSession,
    device: str,
    fault: dict[str, Any],
    status: int,
    outcome: str,
    deliveries: int,
) -> None:
    await set_faults(simulator.url, {**fault, "device": device})
    async with http.post(
        f"{simulator.url}/v1/messages", json={"device": device, "to": PHONE, "text": "Hello"}
    ) as answer:
        assert answer.status == status
        assert answer.headers.get("Retry-After") == ("7" if status == 429 else None)
    assert len(await accepted(simulator.url, device=device)) == deliveries
    [request] = await requests_log(simulator.url, device=device)
    assert (request["outcome"], request["status"], request["fault"][0]["kind"]) == (
        outcome,
        status,
        fault["kind"],
    )
    assert (await post(http, simulator.url, f"{device}-other"))[0] == 200


@pytest.mark.parametrize("after_accepting", [False, True])
async def test_drop_closes_the_connection_without_a_byte(
    simulator: SimulatorProcess, device: str, after_accepting: bool
) -> None:
    await set_faults(simulator.url, {"kind": "drop", "device": device, "after_accepting": after_accepting})
    reader, writer = await raw_send(simulator, device)
    try:
        assert await asyncio.wait_for(reader.read(), 10) == b""
    finally:
        writer.close()
    assert len(await accepted(simulator.url, device=device)) == int(after_accepting)
    [request] = await requests_log(simulator.url, device=device)
    assert (request["outcome"], request["status"]) == ("accepted" if after_accepting else "dropped", None)


@pytest.mark.parametrize("after_accepting", [False, True])
async def test_hang_says_nothing_and_is_in_the_log_meanwhile(
    simulator: SimulatorProcess, device: str, after_accepting: bool
) -> None:
    await set_faults(simulator.url, {"kind": "hang", "device": device, "after_accepting": after_accepting})
    reader, writer = await raw_send(simulator, device)
    expected = ["accepted" if after_accepting else "hung"]

    async def logged() -> bool:
        return await outcomes(simulator.url, device) == expected

    try:
        await until(logged)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(1), 0.2)
    finally:
        writer.close()
    assert len(await accepted(simulator.url, device=device)) == int(after_accepting)


async def test_hang_ends_after_its_seconds(simulator: SimulatorProcess, device: str) -> None:
    await set_faults(simulator.url, {"kind": "hang", "device": device, "seconds": 0.2})
    began = time.monotonic()
    reader, writer = await raw_send(simulator, device)
    try:
        assert await asyncio.wait_for(reader.read(), 10) == b""
    finally:
        writer.close()
    assert time.monotonic() - began >= 0.2


@pytest.mark.parametrize("after_accepting", [False, True])
async def test_latency_before_and_after_accepting(
    simulator: SimulatorProcess, http: aiohttp.ClientSession, device: str, after_accepting: bool
) -> None:
    await set_faults(
        simulator.url,
        {
            "kind": "latency",
            "seconds": 0.5,
            "to_seconds": 0.6,
            "device": device,
            "after_accepting": after_accepting,
        },
    )
    began = time.monotonic()
    status, _ = await post(http, simulator.url, device)
    assert status == 200
    assert time.monotonic() - began >= 0.5
    [message] = await accepted(simulator.url, device=device)
    took = datetime.fromisoformat(message["accepted_at"]) - datetime.fromisoformat(message["received_at"])
    assert (took >= timedelta(seconds=0.5)) is not after_accepting
    assert await outcomes(simulator.url, device) == ["accepted"]


async def test_a_slow_message_is_accepted_though_its_sender_gave_up(
    simulator: SimulatorProcess, device: str
) -> None:
    await set_faults(simulator.url, {"kind": "latency", "seconds": 1.0, "device": device})
    _, writer = await raw_send(simulator, device)

    async def waits() -> bool:
        return await outcomes(simulator.url, device) == ["delayed"]

    async def arrived() -> bool:
        return len(await accepted(simulator.url, device=device)) == 1

    await until(waits)
    writer.close()
    assert await accepted(simulator.url, device=device) == []
    await until(arrived)


async def test_offline_refuses_connections_until_told_otherwise(
    simulator: SimulatorProcess, http: aiohttp.ClientSession, device: str
) -> None:
    assert (await post(http, simulator.url, device))[0] == 200  # leaves a connection open
    reader, writer = await asyncio.open_connection("127.0.0.1", simulator.port)
    await set_faults(simulator.url, {"kind": "offline"})
    with pytest.raises(ConnectionResetError):
        await asyncio.wait_for(reader.read(), 10)
    writer.close()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", simulator.port)
    with pytest.raises(aiohttp.ClientConnectorError):
        await post(http, simulator.url, device)
    async with http.get(f"{simulator.control_url}/health") as answer:
        assert (await answer.json())["offline"] is True
    async with http.delete(f"{simulator.control_url}/v1/faults") as answer:
        assert await answer.json() == {"faults": []}
    assert (await post(http, simulator.url, device))[0] == 200
    assert await outcomes(simulator.url, device) == ["accepted", "accepted"]


async def test_offline_ends_by_itself(
    simulator: SimulatorProcess, http: aiohttp.ClientSession, device: str
) -> None:
    await set_faults(simulator.url, {"kind": "offline", "for_seconds": 0.3})
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", simulator.port)

    async def back() -> bool:
        try:
            return (await post(http, simulator.url, device))[0] == 200
        except aiohttp.ClientConnectorError:
            return False

    await until(back)


async def test_the_next_three_requests(
    simulator: SimulatorProcess, http: aiohttp.ClientSession, device: str
) -> None:
    await set_faults(simulator.url, {"kind": "fail", "device": device, "count": 3})
    statuses = await asyncio.gather(*(post(http, simulator.url, device) for _ in range(10)))
    assert sorted(status for status, _ in statuses) == [200] * 7 + [500] * 3
    async with http.get(f"{simulator.url}/v1/faults") as answer:
        assert await answer.json() == {"faults": []}


async def test_probability_hits_some(
    simulator: SimulatorProcess, http: aiohttp.ClientSession, device: str
) -> None:
    await set_faults(simulator.url, {"kind": "fail", "device": device, "probability": 0.5})
    statuses = await asyncio.gather(*(post(http, simulator.url, device) for _ in range(200)))
    assert 40 < sum(status == 500 for status, _ in statuses) < 160  # beyond that once in 10^17


async def test_the_most_particular_fault_acts(
    simulator: SimulatorProcess, http: aiohttp.ClientSession, device: str
) -> None:
    await set_faults(
        simulator.url,
        {"kind": "fail", "device": device},
        {"kind": "refuse", "phone": PHONE},
        {"kind": "rate_limit", "device": device, "phone": PHONE},
    )
    assert (await post(http, simulator.url, device))[0] == 429
    assert (await post(http, simulator.url, f"{device}-other"))[0] == 422
    assert (await post(http, simulator.url, device, to="+12015550124"))[0] == 500
    assert (await post(http, simulator.url, f"{device}-other", to="+12015550124"))[0] == 200


async def test_faults_are_added_and_ended_one_by_one(
    simulator: SimulatorProcess, http: aiohttp.ClientSession, device: str
) -> None:
    url = f"{simulator.url}/v1/faults"
    for kind in ("fail", "refuse"):
        async with http.post(url, json={"kind": kind, "device": device}) as answer:
            faults = (await answer.json())["faults"]
    assert [fault["kind"] for fault in faults] == ["fail", "refuse"]
    async with http.delete(f"{url}/{faults[0]['id']}") as answer:
        assert [fault["kind"] for fault in (await answer.json())["faults"]] == ["refuse"]
    async with http.delete(f"{url}/{faults[0]['id']}") as answer:
        assert answer.status == 404
    async with http.delete(url, params={"device": f"{device}-other"}) as answer:
        assert len((await answer.json())["faults"]) == 1
    async with http.delete(url, params={"device": device}) as answer:
        assert (await answer.json())["faults"] == []


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "explode"},
        {"kind": "latency"},
        {"kind": "latency", "seconds": -1},
        {"kind": "drop", "probability": 0},
        {"kind": "drop", "count": 0},
        {"kind": "drop", "colour": "red"},
        {"kind": "offline", "count": 3},
        {"kind": "refuse", "status": 200},
    ],
)
async def test_a_fault_that_makes_no_sense_changes_nothing(
    simulator: SimulatorProcess, http: aiohttp.ClientSession, device: str, fault: dict[str, Any]
) -> None:
    await set_faults(simulator.url, {"kind": "fail", "device": device})
    async with http.put(f"{simulator.url}/v1/faults", json={"faults": [fault]}) as answer:
        message = (await answer.json())["error"]["message"]
        assert (answer.status, "\n" in message) == (422, False)
    assert (await post(http, simulator.url, device))[0] == 500
