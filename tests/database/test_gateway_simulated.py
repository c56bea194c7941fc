"""The client of the simulated gateway against ``python -m simulator``. What it shares with others is tried in
test_gateway_conformance.py."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID, uuid4

import aiohttp
import pytest

from messaging.common.errors import InvalidInput
from messaging.gateways import NAMES, Gateways, validate_options
from messaging.gateways.base import (
    DeviceUnfit,
    GatewayError,
    MaybeAccepted,
    NotAccepted,
    OutgoingMessage,
    Recovery,
    Refused,
)
from messaging.gateways.simulated import SimulatedGateway
from rig.gateway_control import accepted, requests_log, set_faults
from tests.support.simulator_process import SimulatorProcess

PHONE = "+12015550123"
_numbers = itertools.count(1)


@pytest.fixture
async def simulator(simulator: SimulatorProcess) -> AsyncIterator[SimulatorProcess]:
    """The session's, without faults afterwards. Tests keep apart by their devices."""
    yield simulator
    await set_faults(simulator.control_url)


@pytest.fixture
async def gateway(simulator: SimulatorProcess) -> AsyncIterator[SimulatedGateway]:
    async with opened(simulator.url) as client:
        yield client


@pytest.fixture
def device() -> str:
    return f"client-{next(_numbers)}"


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[SimulatedGateway]:
    client = SimulatedGateway({"url": url})
    try:
        yield client
    finally:
        await client.close()


def message(device: str, text: str = "Hello", **fields: Any) -> OutgoingMessage:
    return OutgoingMessage(message_id=uuid4(), device_id=device, phone=PHONE, text=text, **fields)


async def test_a_message_arrives_as_it_was_written(
    simulator: SimulatorProcess, gateway: SimulatedGateway, device: str
) -> None:
    sent = message(
        device,
        "Hi  Aisyah 😊\r\n\nhttps://example.com/?a=1&b=%20 \u2018Ni\u2019 \u200d",
        image_url="https://example.com/a b.jpg?x=<1>",
    )
    answer = await gateway.send(sent, timeout=5)
    [arrived] = await accepted(simulator.url, device=device)
    assert arrived["message_id"] == answer.gateway_message_id
    assert (arrived["text"], arrived["image_url"]) == (sent.text, sent.image_url)
    assert (arrived["phone"], arrived["idempotency_key"]) == (PHONE, str(sent.message_id))


async def test_sent_again_it_is_the_same_message(
    simulator: SimulatorProcess, gateway: SimulatedGateway, device: str
) -> None:
    sent = message(device)
    answers = await asyncio.gather(*(gateway.send(sent, timeout=5) for _ in range(20)))
    assert len(set(answers)) == 1
    assert len(await accepted(simulator.url, device=device)) == 1


@pytest.mark.parametrize(
    ("fault", "error", "deliveries"),
    [
        ({"kind": "refuse"}, Refused, 0),
        ({"kind": "refuse", "status": 400}, Refused, 0),
        ({"kind": "refuse", "status": 404}, Refused, 0),
        ({"kind": "refuse", "status": 401}, DeviceUnfit, 0),
        ({"kind": "refuse", "status": 403}, DeviceUnfit, 0),
        ({"kind": "rate_limit"}, NotAccepted, 0),
        ({"kind": "offline"}, NotAccepted, 0),
        ({"kind": "fail"}, MaybeAccepted, 0),
        ({"kind": "fail", "status": 502}, MaybeAccepted, 0),
        ({"kind": "fail", "after_accepting": True}, MaybeAccepted, 1),
        ({"kind": "drop"}, MaybeAccepted, 0),
        ({"kind": "drop", "after_accepting": True}, MaybeAccepted, 1),
        ({"kind": "hang"}, MaybeAccepted, 0),
        ({"kind": "hang", "after_accepting": True}, MaybeAccepted, 1),
        ({"kind": "latency", "seconds": 60, "after_accepting": True}, MaybeAccepted, 1),
        ({"kind": "garble"}, MaybeAccepted, 1),
    ],
)
async def test_every_fault_and_what_it_means(
    simulator: SimulatorProcess,
    gateway: SimulatedGateway,
    device: str,
    fault: dict[str, Any],
    error: type[GatewayError],
    deliveries: int,
) -> None:
    await gateway.send(message(f"{device}-before"), timeout=5)  # the fault meets a connection that is in use
    await set_faults(simulator.url, {**fault, "device": device})
    with pytest.raises(error) as caught:
        await gateway.send(message(device), timeout=0.5)
    assert type(caught.value) is error
    assert len(await accepted(simulator.url, device=device)) == deliveries
    assert len(await requests_log(simulator.url, device=device)) == 1, "a POST must go out once"


async def test_a_refusal_gives_the_gateways_reason(
    simulator: SimulatorProcess, gateway: SimulatedGateway, device: str
) -> None:
    await set_faults(
        simulator.url, {"kind": "refuse", "device": device, "code": "blocked", "reason": "They\nblocked you."}
    )
    with pytest.raises(Refused, match=r"They blocked you\. \(blocked\)"):
        await gateway.send(message(device), timeout=5)
    with pytest.raises(Refused, match="4096"):
        await gateway.send(message(f"{device}-other", "x" * 4097), timeout=5)


async def test_rate_limits_say_when(
    simulator: SimulatorProcess, gateway: SimulatedGateway, device: str
) -> None:
    for fault, least, most in (
        ({"retry_after": 7.5}, 7.5, 7.5),
        ({"retry_after": 30, "as_date": True}, 28, 31),
        ({"retry_after": 0}, 0, 0),
    ):
        await set_faults(simulator.url, {"kind": "rate_limit", "device": device, **fault})
        with pytest.raises(NotAccepted) as caught:
            await gateway.send(message(device), timeout=5)
        assert caught.value.retry_after is not None
        assert least <= caught.value.retry_after <= most
    await set_faults(simulator.url, {"kind": "rate_limit", "device": device, "retry_after": None})
    with pytest.raises(NotAccepted) as caught:
        await gateway.send(message(device), timeout=5)
    assert caught.value.retry_after is None


async def test_wrong_path_at_the_right_server_is_no_refusal(simulator: SimulatorProcess) -> None:
    async with opened(f"{simulator.url}/api") as client:
        with pytest.raises(NotAccepted, match="address") as caught:
            await client.send(message("any"), timeout=5)
    assert type(caught.value) is NotAccepted


async def test_offline_everywhere_is_not_accepted(
    simulator: SimulatorProcess, gateway: SimulatedGateway, device: str
) -> None:
    await gateway.send(message(device), timeout=5)  # leaves a connection open, which is cut
    await set_faults(simulator.url, {"kind": "offline"})
    for _ in range(2):
        with pytest.raises(NotAccepted):
            await gateway.send(message(device), timeout=5)
    with pytest.raises(NotAccepted):
        await gateway.recovery(device)
    await set_faults(simulator.control_url)
    await gateway.send(message(device), timeout=5)
    assert len(await accepted(simulator.url, device=device)) == 2


async def test_hundreds_at_once(simulator: SimulatorProcess, gateway: SimulatedGateway, device: str) -> None:
    answers = await asyncio.gather(*(gateway.send(message(device), timeout=20) for _ in range(600)))
    assert len({answer.gateway_message_id for answer in answers}) == 600
    assert len(await accepted(simulator.url, device=device)) == 600


async def test_recovery_is_what_the_gateway_says_now(
    simulator: SimulatorProcess, gateway: SimulatedGateway, device: str
) -> None:
    async with aiohttp.ClientSession() as http:
        for setting, recovery in (
            ({}, Recovery.RESEND),
            ({"idempotency": False}, Recovery.LOOK_UP),
            ({"lookup": False}, Recovery.NONE),
            ({"idempotency": True}, Recovery.RESEND),
        ):
            async with http.put(f"{simulator.url}/v1/settings", json={"device": device, **setting}) as answer:
                assert answer.status == 200
            assert await gateway.recovery(device) is recovery


async def test_look_up(simulator: SimulatorProcess, gateway: SimulatedGateway, device: str) -> None:
    sent = message(device)
    assert await gateway.look_up(device, sent.message_id) is None
    answer = await gateway.send(sent, timeout=5)
    assert await gateway.look_up(device, sent.message_id) == answer
    assert await gateway.look_up(f"{device}-other", sent.message_id) is None


async def test_a_look_up_at_a_wrong_address_is_never_a_no(simulator: SimulatorProcess) -> None:
    async with opened(f"{simulator.url}/api") as client:
        with pytest.raises(NotAccepted):
            await client.look_up("any", UUID(int=1))


async def test_where_messages_cannot_be_looked_up(
    simulator: SimulatorProcess, gateway: SimulatedGateway, device: str
) -> None:
    async with (
        aiohttp.ClientSession() as http,
        http.put(f"{simulator.url}/v1/settings", json={"device": device, "lookup": False}) as answer,
    ):
        assert answer.status == 200
    with pytest.raises(MaybeAccepted, match="answers no look-ups"):
        await gateway.look_up(device, UUID(int=1))


async def test_gateways_are_opened_once_for_each_set_of_options(
    simulator: SimulatorProcess, device: str
) -> None:
    assert "simulated" in NAMES
    validate_options("simulated", {})
    with pytest.raises(InvalidInput, match=r"pigeon.*simulated"):
        validate_options("pigeon", {})
    gateways = Gateways(simulator.url)
    try:
        by_default = await gateways.of("simulated", {})
        assert await gateways.of("simulated", {"url": simulator.url}) is by_default
        other = await gateways.of("simulated", {"url": "http://127.0.0.1:1"})
        assert other is not by_default
        await by_default.send(message(device), timeout=5)
        with pytest.raises(NotAccepted):
            await other.send(message(device), timeout=5)
    finally:
        await gateways.close()
    homeless = Gateways()
    with pytest.raises(InvalidInput, match="'url'"):
        await homeless.of("simulated", {})
    await homeless.close()
