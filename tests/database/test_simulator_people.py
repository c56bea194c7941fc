"""What people write back to the simulated gateway: by its control API, and from the box of its inbox page."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp
import pytest

from messaging.gateways.simulated import SimulatedGateway
from messaging.gateways.webhook_events import InboundMessage
from rig.waiting import until
from tests.support.simulator_process import PHONE, SimulatorProcess, post, running_simulator
from tests.support.wire import Reply, Request, wire

SECRET = "a-secret-of-the-tests"


@pytest.fixture
async def simulator(tmp_path: Path) -> AsyncIterator[SimulatorProcess]:
    async with running_simulator(tmp_path) as running:
        yield running


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@asynccontextmanager
async def reader(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[SimulatedGateway]:
    monkeypatch.setenv("SIMULATED_SECRET", SECRET)
    gateway = SimulatedGateway({"url": "http://127.0.0.1:1", "webhook_secret_env": "SIMULATED_SECRET"})
    yield gateway
    await gateway.close()


async def call(
    http: aiohttp.ClientSession, method: str, url: str, body: Any = None, status: int = 200
) -> Any:
    async with http.request(method, url, json=body) as answer:
        assert answer.status == status, await answer.text()
        return await answer.json()


async def point(http: aiohttp.ClientSession, simulator: SimulatorProcess, url: str) -> None:
    await call(http, "PUT", f"{simulator.url}/v1/webhook", {"url": f"{url}/webhooks", "secret": SECRET})


def read(gateway: SimulatedGateway, request: Request) -> tuple[InboundMessage, ...]:
    headers = {name.lower(): value for name, value in request.headers.items()}
    return gateway.read_webhook(headers, request.body).inbound


async def test_it_is_told_signed_and_once(
    http: aiohttp.ClientSession, simulator: SimulatorProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with reader(monkeypatch) as gateway, wire(Reply(200, {})) as server:
        await point(http, simulator, server.url)
        message = {"device": "sales-1", "from": PHONE, "text": "STOP", "name": "Aisha", "answers": "sim-1"}
        told = await call(http, "POST", f"{simulator.url}/v1/inbound", {"messages": [message]})
        assert told["answered"] == [200]
        [request] = server.requests
        assert (request.method, request.path) == ("POST", "/webhooks/sales-1")
        [found] = read(gateway, request)
        assert found.gateway_message_id == told["ids"][0]
        assert (found.phone, found.kind, found.text) == (PHONE, "text", "STOP")
        assert (found.name, found.answers, found.receivers) == ("Aisha", "sim-1", ("sales-1",))
        assert (await call(http, "GET", f"{simulator.url}/v1/webhook"))["waiting"] == 0


async def test_it_is_repeated_and_reordered_on_request(
    http: aiohttp.ClientSession, simulator: SimulatorProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with reader(monkeypatch) as gateway, wire(Reply(200, {})) as server:
        await point(http, simulator, server.url)
        messages = [{"device": "sales-1", "from": PHONE, "text": text} for text in ("STOP", "START")]
        for order, together in (("reversed", False), ("shuffled", True)):
            server.requests.clear()
            body = {"messages": messages, "times": 3, "order": order, "together": together}
            told = await call(http, "POST", f"{simulator.url}/v1/inbound", body)
            assert told["answered"] == [200] * 6
            found = [one for request in server.requests for one in read(gateway, request)]
            assert len(found) == 6
            assert {one.gateway_message_id for one in found} == set(told["ids"])
            if not together:
                assert [one.text for one in found] == ["START"] * 3 + ["STOP"] * 3
        told = await call(
            http, "POST", f"{simulator.url}/v1/inbound", {"messages": [{**messages[0], "id": "mine"}]}
        )
        assert told["ids"] == ["mine"]


async def test_what_nobody_acknowledges_is_told_again_also_after_a_restart(
    http: aiohttp.ClientSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with (
        reader(monkeypatch) as gateway,
        running_simulator(tmp_path) as simulator,
        wire(Reply(503, {})) as away,
        wire(Reply(200, {})) as server,
    ):
        message = {"device": "sales-1", "from": PHONE, "text": "STOP"}
        told = await call(http, "POST", f"{simulator.url}/v1/inbound", {"messages": [message]})
        assert told["answered"] == [0], "nobody was to be told yet"
        await point(http, simulator, away.url)
        await until(lambda: len(away.requests) >= 2)
        await asyncio.to_thread(simulator.kill)
        await asyncio.to_thread(simulator.start)
        async with aiohttp.ClientSession() as anew:
            await point(anew, simulator, server.url)
            await until(lambda: len(server.requests) >= 1)
            assert read(gateway, server.requests[0])[0].gateway_message_id == told["ids"][0]

            async def acknowledged() -> bool:
                return bool((await call(anew, "GET", f"{simulator.url}/v1/webhook"))["waiting"] == 0)

            await until(acknowledged)
        assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("webhook", {"url": "nowhere", "secret": "x"}),
        ("webhook", {"url": "http://127.0.0.1:1", "secret": ""}),
        ("inbound", {"messages": []}),
        ("inbound", {"messages": [{"device": "sales-1", "text": "STOP"}]}),
        ("inbound", {"messages": [{"device": "sales-1", "from": "0123", "text": "STOP"}]}),
        ("inbound", {"messages": [{"device": "sales-1", "from": PHONE, "text": " "}]}),
        ("inbound", {"messages": [{"device": "sales-1", "from": PHONE, "text": "Hi", "hide_phone": True}]}),
        ("inbound", {"messages": [{"device": "../x", "from": PHONE, "text": "STOP"}]}),
    ],
)
async def test_what_cannot_be_written(
    http: aiohttp.ClientSession, simulator: SimulatorProcess, path: str, body: Any
) -> None:
    method = "PUT" if path == "webhook" else "POST"
    problem = await call(http, method, f"{simulator.url}/v1/{path}", body, 422)
    assert problem["error"]["code"] == f"invalid_{path}"


async def test_the_conversation_and_the_box(http: aiohttp.ClientSession, simulator: SimulatorProcess) -> None:
    await post(http, simulator.url, "sales-1", text="Hello. Reply STOP at any time")
    await post(http, simulator.url, "sales-2", text="The latest")
    message = {"device": "sales-1", "from": PHONE, "text": "<b>STOP</b>"}
    await call(http, "POST", f"{simulator.url}/v1/inbound", {"messages": [message]})
    async with http.get(f"{simulator.url}/phones/{quote(PHONE)}") as answer:
        page = await answer.text()
    assert (
        page.index("Reply STOP at any time")
        < page.index("The latest")
        < page.index("&lt;b&gt;STOP&lt;/b&gt;")
    )
    assert "2 messages received · 1 message written" in page
    assert "nobody has acknowledged it yet" in page
    assert f'data-from="{PHONE}"' in page
    assert "<option>sales-2</option><option>sales-1</option>" in page, "that which wrote last comes first"
    stranger = {"device": "sales-1", "from": "+12015550188", "text": "Hi"}
    await call(http, "POST", f"{simulator.url}/v1/inbound", {"messages": [stranger]})
    async with http.get(f"{simulator.url}/phones/{quote('+12015550188')}") as answer:
        assert answer.status == 200
        assert "Hi" in await answer.text()


async def test_all_that_a_person_can_do_is_shown_and_told(
    http: aiohttp.ClientSession, simulator: SimulatorProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with reader(monkeypatch) as gateway, wire(Reply(200, {})) as server:
        await point(http, simulator, server.url)
        _, sent = await post(http, simulator.url, "sales-1", text="Is it <red>?")
        person = {"device": "sales-1", "from": PHONE}
        messages = [
            {**person, "kind": "reaction", "text": "😂", "answers": sent["id"]},
            {**person, "kind": "reaction", "text": "❤️", "answers": sent["id"]},
            {**person, "text": "Yes & no", "answers": sent["id"], "name": "Aisha <b>"},
            {**person, "kind": "image", "text": "see"},
            {**person, "kind": "button", "text": "Order", "payload": "ORDER_1"},
            {**person, "text": "by user ID", "user_id": "SIM.1", "hide_phone": True},
        ]
        told = await call(http, "POST", f"{simulator.url}/v1/inbound", {"messages": messages})
        assert told["answered"] == [200] * 6
        found = [one for request in server.requests for one in read(gateway, request)]
        assert [one.phone for one in found] == [PHONE] * 5 + [None]
        assert found[-1].identities == ("user_id:SIM.1",)
    async with http.get(f"{simulator.url}/phones/{quote(PHONE)}") as answer:
        page = await answer.text()
    assert page.count('class="reaction"') == 1, "the last reaction, with the message"
    assert "❤️" in page
    assert "<blockquote" in page
    assert page.count("Is it &lt;red&gt;?") == 3, "as text, as a quotation, and to quote"
    assert "as Aisha &lt;b&gt;" in page
    assert 'value="Aisha &lt;b&gt;"' in page, "the name that they had last"
    for words in ("Image</span>", "ORDER_1", "by user ID", "1 message received · 6 messages written"):
        assert words in page
    assert f'data-message="{sent["id"]}"' in page
    async with http.get(simulator.url) as answer:
        inbox = await answer.text()
    assert "Wrote:</span> by user ID" in inbox, "the latest message of both sides"
    assert "6 written back" in inbox


async def test_receipts_are_reported_once_and_shown(
    http: aiohttp.ClientSession, simulator: SimulatorProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = "6b1f3a2c-0000-4000-8000-000000000001"
    async with reader(monkeypatch) as gateway, wire(Reply(200, {})) as server:
        await point(http, simulator, server.url)
        _, sent = await post(http, simulator.url, "sales-1", key, text="Hello")
        person = {"device": "sales-1", "from": PHONE, "answers": sent["id"]}
        async with http.get(f"{simulator.url}/phones/{quote(PHONE)}") as answer:
            assert 'data-unread="yes"' in await answer.text()
        for kind in ("delivered", "read", "failed"):
            server.requests.clear()
            reason = {"text": "no such phone"} if kind == "failed" else {}
            body = {"messages": [{**person, "kind": kind, **reason}]}
            first = await call(http, "POST", f"{simulator.url}/v1/inbound", body)
            again = await call(http, "POST", f"{simulator.url}/v1/inbound", body)
            assert first["ids"] == again["ids"] == [f"{kind}-{sent['id']}"]
            headers = {name.lower(): value for name, value in server.requests[0].headers.items()}
            events = gateway.read_webhook(headers, server.requests[0].body)
            assert events.inbound == ()
            (receipt,) = events.receipts
            assert (receipt.status, receipt.gateway_message_id) == (kind, sent["id"])
            assert str(receipt.message_id) == key
            assert receipt.reason == reason.get("text")
    async with http.get(f"{simulator.url}/phones/{quote(PHONE)}") as answer:
        page = await answer.text()
    assert '<span class="receipt">read</span>' in page
    assert "data-unread" not in page
    assert "1 message received</p>" in page, "a receipt is no message"
    assert page.count('<li class="bubble') == 1
    problem = {"messages": [{"device": "sales-1", "from": PHONE, "kind": "read"}]}
    await call(http, "POST", f"{simulator.url}/v1/inbound", problem, 422)


async def test_somebody_new_can_write_first(http: aiohttp.ClientSession, simulator: SimulatorProcess) -> None:
    new = "+12015550177"
    async with http.get(f"{simulator.url}/?q=1%20201%20555%200177") as answer:
        assert f'href="/phones/{quote(new)}">Write as {new}' in await answer.text()
    async with http.get(f"{simulator.url}/phones", params={"phone": "1 (201) 555-0177"}) as answer:
        assert (answer.status, answer.url.path) == (200, f"/phones/{new}")
        page = await answer.text()
    assert '<input name="device"' in page, "no device has sent anything yet"
    await post(http, simulator.url, "sales-1", text="To somebody else")
    async with http.get(f"{simulator.url}/phones/{quote(new)}") as answer:
        assert "<option>sales-1</option>" in await answer.text()
    async with http.get(f"{simulator.url}/phones/nobody") as answer:
        assert answer.status == 404
        assert 'id="answer"' not in await answer.text()


async def test_a_wrong_secret_is_not_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    from messaging.gateways.base import Unauthentic

    async with reader(monkeypatch) as gateway:
        with pytest.raises(Unauthentic):
            gateway.read_webhook({"x-hub-signature-256": "sha256=0"}, json.dumps({"messages": []}).encode())
