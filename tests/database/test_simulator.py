"""The simulated gateway's API for senders, over real sockets."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import aiohttp
import pytest

from rig.gateway_control import accepted, requests_log, set_faults
from tests.support.simulator_process import PHONE, SimulatorProcess, outcomes, post

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
    return f"sender-{next(_numbers)}"


async def test_accepted_message_and_its_request_are_in_the_log(
    simulator: SimulatorProcess, http: aiohttp.ClientSession, device: str
) -> None:
    before = datetime.now(UTC)
    text = "Hi Aisyah 😊\nhttps://example.com/?a=1&b=2"
    status, answer = await post(
        http, simulator.url, device, "key-1", text=text, image_url="https://example.com/a.jpg"
    )
    assert status == 200
    assert answer == {"id": answer["id"], "status": "accepted", "duplicate": False}
    [message] = await accepted(simulator.url, device=device)
    [request] = await requests_log(simulator.url, device=device)
    assert message["message_id"] == request["message_id"] == answer["id"]
    assert (message["phone"], message["text"], message["image_url"]) == (
        PHONE,
        text,
        "https://example.com/a.jpg",
    )
    assert (message["idempotency_key"], message["key_honoured"]) == ("key-1", True)
    assert (request["method"], request["path"], request["outcome"], request["status"]) == (
        *("POST", "/v1/messages", "accepted", 200),
    )
    received = datetime.fromisoformat(request["received_at"])
    assert len(request["received_at"]) == len("2026-11-23T22:16:22.971244+00:00")
    assert before <= received <= datetime.fromisoformat(message["accepted_at"]) <= datetime.now(UTC)
    assert message["received_at"] == request["received_at"]


async def test_fifty_at_once_under_one_key_are_one_message(
    simulator: SimulatorProcess, http: aiohttp.ClientSession, device: str
) -> None:
    answers = await asyncio.gather(*(post(http, simulator.url, device, "same") for _ in range(50)))
    assert {status for status, _ in answers} == {200}
    assert len({answer["id"] for _, answer in answers}) == 1
    assert sorted(answer["duplicate"] for _, answer in answers) == [False] + [True] * 49
    assert len(await accepted(simulator.url, device=device)) == 1
    assert sorted(await outcomes(simulator.url, device)) == ["accepted"] + ["duplicate"] * 49


async def test_a_key_belongs_to_its_device(
    simulator: SimulatorProcess, http: aiohttp.ClientSession, device: str
) -> None:
    _, first = await post(http, simulator.url, device, "same")
    _, second = await post(http, simulator.url, f"{device}-other", "same")
    assert first["id"] != second["id"]
    assert second["duplicate"] is False


async def test_without_honoured_keys_the_second_request_is_a_second_delivery(
    simulator: SimulatorProcess, http: aiohttp.ClientSession, device: str
) -> None:
    async with http.put(
        f"{simulator.url}/v1/settings", json={"device": device, "idempotency": False}
    ) as answer:
        assert (await answer.json())["devices"][device] == {"idempotency": False, "lookup": True}
    _, first = await post(http, simulator.url, device, "same")
    _, second = await post(http, simulator.url, device, "same")
    assert first["id"] != second["id"]
    assert len(await accepted(simulator.url, device=device)) == 2
    assert await outcomes(simulator.url, device) == ["accepted", "delivered_again"]
    _, other = await post(http, simulator.url, f"{device}-other", "same")
    _, again = await post(http, simulator.url, f"{device}-other", "same")
    assert (again["id"], again["duplicate"]) == (other["id"], True)


async def test_look_up(simulator: SimulatorProcess, http: aiohttp.ClientSession, device: str) -> None:
    _, sent = await post(http, simulator.url, device, "known")
    url = f"{simulator.url}/v1/messages"
    async with http.get(url, params={"device": device, "key": "known"}) as answer:
        found = await answer.json()
        assert (answer.status, found["id"], found["to"], found["deliveries"]) == (200, sent["id"], PHONE, 1)
    async with http.get(url, params={"device": f"{device}-other", "key": "known"}) as answer:
        assert (answer.status, (await answer.json())["error"]["code"]) == (404, "unknown_message")
    async with http.put(f"{simulator.url}/v1/settings", json={"device": device, "lookup": False}) as answer:
        assert answer.status == 200
    async with http.get(url, params={"device": device, "key": "known"}) as answer:
        assert (answer.status, (await answer.json())["error"]["code"]) == (501, "lookup_unsupported")
    async with http.get(f"{simulator.url}/v1/capabilities", params={"device": device}) as answer:
        assert await answer.json() == {"idempotency": True, "lookup": False}
    assert await outcomes(simulator.url, device) == ["accepted", "found", "unsupported", "reported"]


@pytest.mark.parametrize(
    ("fields", "status", "word"),
    [
        ({"to": "0123456789"}, 422, "to"),
        ({"to": "+٢٠١٥٥٥٠١٢٣"}, 422, "to"),
        ({"device": ""}, 422, "device"),
        ({"text": "x" * 4097}, 422, "4096"),
        ({"text": "x" * 1025, "image_url": "https://example.com/a.jpg"}, 422, "1024"),
        ({"text": "  "}, 422, "text"),
        ({"image_url": "javascript:alert(1)"}, 422, "image_url"),
        ({"colour": "red"}, 422, "colour"),
        ({"text": 7}, 422, "text"),
        ({"text": "x" * 70_000}, 413, "65536"),
    ],
)
async def test_what_cannot_be_a_message_is_refused_and_logged(
    simulator: SimulatorProcess,
    http: aiohttp.ClientSession,
    fields: dict[str, object],
    status: int,
    word: str,
) -> None:
    last = (await requests_log(simulator.url) or [{"id": 0}])[-1]["id"]
    answered, body = await post(http, simulator.url, "validating", **fields)
    assert (answered, word in body["error"]["message"]) == (status, True), body
    assert "\n" not in body["error"]["message"]
    new = [row for row in await requests_log(simulator.url) if row["id"] > last]
    assert [(row["outcome"], row["status"]) for row in new] == [("invalid", status)]


async def test_not_json(simulator: SimulatorProcess, http: aiohttp.ClientSession) -> None:
    kind = {"Content-Type": "application/json"}
    async with http.post(f"{simulator.url}/v1/messages", data=b"{nonsense", headers=kind) as answer:
        assert (answer.status, (await answer.json())["error"]["code"]) == (400, "invalid_json")


async def test_exports_are_paged(
    simulator: SimulatorProcess, http: aiohttp.ClientSession, device: str
) -> None:
    for _ in range(3):
        await post(http, simulator.url, device)
    url = f"{simulator.url}/v1/accepted"
    async with http.get(url, params={"device": device, "limit": "2"}) as answer:
        assert len((await answer.text()).splitlines()) == 2
    async with http.get(url, params={"after": "x"}) as answer:
        assert answer.status == 400
