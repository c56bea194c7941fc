"""What a web page of somebody else, open in a browser on this machine, can do to the simulated gateway: nothing."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import aiohttp
import pytest

from tests.support.simulator_process import SimulatorProcess, running_simulator

FAULT = '{"kind": "offline"}'
JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimulatorProcess]:
    one = SimulatorProcess(tmp_path_factory.mktemp("guarded"))
    one.start()
    try:
        yield one
    finally:
        one.close()


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


async def ask(
    http: aiohttp.ClientSession, method: str, url: str, headers: dict[str, str], body: str | None = None
) -> tuple[int, str]:
    data = None if body is None else body.encode()
    async with http.request(method, url, headers=headers, data=data) as answer:
        code: Any = (await answer.json(content_type=None)) if answer.status >= 400 else {}
        return answer.status, code.get("error", {}).get("code", "")


@pytest.mark.parametrize(
    ("headers", "refused"),
    [
        ({"Content-Type": "text/plain"}, (415, "not_json")),
        ({"Content-Type": "application/x-www-form-urlencoded"}, (415, "not_json")),
        ({"Content-Type": "multipart/form-data; boundary=application/json"}, (415, "not_json")),
        ({**JSON, "Origin": "http://evil.example"}, (403, "wrong_origin")),
        ({**JSON, "Origin": "null"}, (403, "wrong_origin")),
        ({**JSON, "Origin": "http://127.0.0.1:1"}, (403, "wrong_origin")),
        ({**JSON, "Sec-Fetch-Site": "cross-site"}, (403, "wrong_origin")),
        ({**JSON, "Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "cors"}, (403, "wrong_origin")),
        ({**JSON, "Host": "evil.example"}, (403, "wrong_host")),
        ({**JSON, "Host": "evil.example:8055", "Origin": "http://evil.example:8055"}, (403, "wrong_host")),
        ({**JSON, "Host": "localhost.evil.example"}, (403, "wrong_host")),
        ({**JSON, "Host": "127.0.0.1.evil.example"}, (403, "wrong_host")),
        ({**JSON, "Host": "evil.example:x@127.0.0.1"}, (403, "wrong_host")),
        ({**JSON, "Host": "192.168.0.1"}, (403, "wrong_host")),
        ({**JSON, "Host": "simulator"}, (403, "wrong_host")),
        ({**JSON, "Host": ""}, (403, "wrong_host")),
    ],
    ids=str,
)
async def test_others_change_nothing(
    process: SimulatorProcess, http: aiohttp.ClientSession, headers: dict[str, str], refused: tuple[int, str]
) -> None:
    for url in (process.url, process.control_url):
        for method, path in (("POST", "/v1/faults"), ("PUT", "/v1/settings"), ("POST", "/v1/messages")):
            assert await ask(http, method, url + path, headers, FAULT) == refused
        if refused[0] == 403:
            assert await ask(http, "DELETE", f"{url}/v1/faults", headers) == refused
            assert await ask(http, "GET", f"{url}/v1/log", headers) == refused
            assert await ask(http, "GET", f"{url}/", headers) == refused
    async with http.get(f"{process.url}/v1/faults") as answer:
        assert await answer.json() == {"faults": []}


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "LOCALHOST:1", "[::1]:8055", "127.0.0.2:80", "a.localhost"]
)
async def test_this_machine_and_its_own_pages_do(
    process: SimulatorProcess, http: aiohttp.ClientSession, host: str
) -> None:
    own = {**JSON, "Host": host, "Origin": f"http://{host}", "Sec-Fetch-Site": "same-origin"}
    for headers in ({**JSON, "Host": host}, own, {**JSON, "Host": host, "Sec-Fetch-Site": "none"}):
        assert await ask(http, "PUT", f"{process.url}/v1/settings", headers, "{}") == (200, "")
        assert await ask(http, "GET", f"{process.url}/", headers) == (200, "")


async def test_a_link_to_the_inbox_may_be_followed(
    process: SimulatorProcess, http: aiohttp.ClientSession
) -> None:
    link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    async with http.get(f"{process.url}/", headers=link) as answer:
        assert answer.status == 200
        assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
    assert await ask(http, "PUT", f"{process.url}/v1/settings", {**JSON, **link}, "{}") == (
        403,
        "wrong_origin",
    )


async def test_in_a_network_it_answers_to_addresses_and_its_names(
    tmp_path: Any, http: aiohttp.ClientSession
) -> None:
    async with running_simulator(tmp_path, "--host", "0.0.0.0", "--name", "gateway.example.com") as process:
        for host in ("simulator:8055", "192.168.0.1:8055", "localhost", "Gateway.example.com"):
            assert await ask(http, "PUT", f"{process.url}/v1/settings", {**JSON, "Host": host}, "{}") == (
                200,
                "",
            )
        for host in ("evil.example", "evil.example.", "simulator.", ""):
            headers = {**JSON, "Host": host}
            assert await ask(http, "PUT", f"{process.url}/v1/settings", headers, "{}") == (403, "wrong_host")
