"""The simulated gateway as a run sees it: by its control port, which stays open while it is offline."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import aiohttp

from chaos.patience import insist
from runtime.embedded.state import read_state
from simulator.faults import Latency, Terminal

__all__ = ["Control", "control_url"]

PAGE = 10_000

TIMEOUT = aiohttp.ClientTimeout(total=10)


def control_url(home: Path) -> str:
    """Where the embedded gateway is controlled. The port outlives a restart."""
    state = read_state(home)
    assert state is not None, "the servers run"
    assert state.running is not None, "the servers run"
    return f"http://127.0.0.1:{state.running.ports['simulator_control_port']}"


class Control:
    """Each of its methods waits for a gateway that is just being started. Raises NeverHappened."""

    def __init__(self, url: str) -> None:
        self._url = url

    async def set_faults(self, faults: Sequence[Latency | Terminal]) -> None:
        """These faults and no others."""
        plain = [fault.model_dump(mode="json", exclude_unset=True) for fault in faults]
        await self._change("/v1/faults", {"faults": plain})

    async def set_device(self, device: str, *, idempotency: bool, lookup: bool) -> None:
        """What the gateway honours for a device."""
        await self._change("/v1/settings", {"device": device, "idempotency": idempotency, "lookup": lookup})

    async def answers(self) -> None:
        """Returns when it answers."""
        await insist("the gateway answers", lambda: self._get("/health"))

    async def accepted(self) -> list[dict[str, Any]]:
        """Every delivery, oldest first."""
        return await self._pages("/v1/accepted")

    async def log(self) -> list[dict[str, Any]]:
        """Every request, in the order in which they were written."""
        return await self._pages("/v1/log")

    async def _pages(self, path: str) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = []

        async def read_on() -> bool:
            after = rows[-1]["id"] if rows else 0
            text = await self._get(f"{path}?after={after}&limit={PAGE}")
            page = [json.loads(line) for line in text.splitlines()]
            rows.extend(page)
            return bool(page)

        while await insist("the gateway shows its log", read_on):
            pass
        return rows

    async def _get(self, path: str) -> str:
        async with aiohttp.ClientSession(timeout=TIMEOUT) as session, session.get(self._url + path) as answer:
            answer.raise_for_status()
            return await answer.text()

    async def _change(self, path: str, body: dict[str, Any]) -> None:
        async def put() -> None:
            async with (
                aiohttp.ClientSession(timeout=TIMEOUT) as session,
                session.put(self._url + path, json=body) as answer,
            ):
                assert answer.status == 200, await answer.text()

        await insist("the gateway takes its faults and settings", put)
