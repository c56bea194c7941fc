"""The inbox page of the simulated gateway."""

from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import quote

import aiohttp
import pytest

from rig.gateway_control import set_faults
from tests.support.simulator_process import SimulatorProcess, running_simulator

PHONE = "+12015550123"


@pytest.fixture
async def simulator(tmp_path: Path) -> AsyncIterator[SimulatorProcess]:
    async with running_simulator(tmp_path) as running:
        yield running


async def send(http: aiohttp.ClientSession, simulator: SimulatorProcess, phone: str, **fields: str) -> None:
    body = {"device": "sales-1", "to": phone, "text": "Hello", **fields}
    async with http.post(f"{simulator.url}/v1/messages", json=body) as answer:
        assert answer.status == 200, await answer.text()


async def page(http: aiohttp.ClientSession, simulator: SimulatorProcess, path: str, status: int = 200) -> str:
    async with http.get(simulator.url + path) as answer:
        assert (answer.status, answer.content_type) == (status, "text/html")
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
        return await answer.text()


async def test_inbox_and_chat(simulator: SimulatorProcess) -> None:
    async with aiohttp.ClientSession() as http:
        assert "No messages yet" in await page(http, simulator, "/")
        await send(http, simulator, PHONE, text="<script>alert(1)</script> & 'more'")
        await send(http, simulator, PHONE, text="", image_url='https://example.com/?a=1&b="><i>')
        await send(http, simulator, PHONE, device="sales-2", text="The latest")

        inbox = await page(http, simulator, "/")
        assert "3 messages to 1 phone" in inbox
        assert "sales-1 <b>2</b>" in inbox
        assert "The latest" in inbox
        assert f'href="/phones/{quote(PHONE)}"' in inbox

        chat = await page(http, simulator, f"/phones/{quote(PHONE)}")
        assert "<script>alert" not in chat
        assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp; &#x27;more&#x27;" in chat
        assert 'href="https://example.com/?a=1&amp;b=&quot;&gt;&lt;i&gt;"' in chat
        assert chat.index("alert(1)") < chat.index("The latest")
        assert "3 messages received" in chat

        await page(http, simulator, "/phones/%3Cb%3E", status=404)
        search = await page(http, simulator, "/?q=%22%3E%3Cscript%3E")
        assert '"><script>' not in search
        for name in ("inbox.css", "live.js", "answer.js"):
            async with http.get(f"{simulator.url}/assets/{name}") as answer:
                assert answer.status == 200
        async with http.get(f"{simulator.url}/assets/..%2Fstore.py") as answer:
            assert answer.status == 404


async def test_pages_through_many_phones_and_messages(simulator: SimulatorProcess) -> None:
    async with aiohttp.ClientSession() as http:
        for number in range(60):
            await send(http, simulator, f"+120155501{number:02}")
        for number in range(101):
            await send(http, simulator, PHONE, text=f"No. {number}")
        await set_faults(simulator.url, {"kind": "rate_limit", "device": "sales-9"})

        first = await page(http, simulator, "/")
        assert "rate limit for sales-9" in first
        older = first.split("Older")[0].rsplit('href="', 1)[1].split('"')[0]
        second = await page(http, simulator, older)
        phones = [text.count('class="phone"') for text in (first, second)]
        assert phones == [50, 10]
        assert "Older" not in second
        assert "Newest" in second
        assert (await page(http, simulator, "/?q=555-0142")).count('class="phone"') == 1
        assert (await page(http, simulator, "/?q=nobody")).count('class="phone"') == 0

        chat = await page(http, simulator, f"/phones/{quote(PHONE)}")
        assert "No. 0<" not in chat
        assert "No. 100<" in chat
        before = chat.split("Earlier messages")[0].rsplit('href="', 1)[1].split('"')[0]
        earlier = await page(http, simulator, f"/phones/{quote(PHONE)}{before}")
        assert "No. 0<" in earlier
        assert "No. 100<" not in earlier


async def test_a_second_delivery_under_one_key_is_marked(simulator: SimulatorProcess) -> None:
    async with aiohttp.ClientSession(headers={"Idempotency-Key": "same"}) as http:
        async with http.put(f"{simulator.url}/v1/settings", json={"idempotency": False}) as answer:
            assert answer.status == 200
        for _ in range(2):
            await send(http, simulator, PHONE)
        chat = await page(http, simulator, f"/phones/{quote(PHONE)}")
        assert chat.count("delivered again under the same key") == 1
