"""Controls the simulated gateway over its HTTP API: its faults, its settings and its log.

``url`` is the address for clients, or that of its control port, which stays open while the gateway is offline. Each
function waits for a gateway that is just starting, and raises NeverHappened if it does not answer.
"""

import json
from collections.abc import Mapping
from typing import Any

import aiohttp

from rig.waiting import insist

__all__ = ["accepted", "answers", "listen", "offer", "requests_log", "set_faults", "write", "written"]

PAGE = 10_000
"""Rows of the log that are read at a time: the most that it gives."""

TIMEOUT = aiohttp.ClientTimeout(total=10)


async def set_faults(url: str, *faults: Mapping[str, Any]) -> None:
    """Sets these faults and no others, each for its device or phone, or for all."""
    await _put(f"{url}/v1/faults", {"faults": list(faults)})


async def offer(url: str, device: str, *, keys: bool, look_up: bool) -> None:
    """Sets whether the gateway honours keys and answers look-ups, for a device or for all."""
    await _put(f"{url}/v1/settings", {"device": device, "idempotency": keys, "lookup": look_up})


async def listen(url: str, webhooks: str, secret: str) -> None:
    """Sets the webhook for inbound messages: ``{webhooks}/{device}``, signed with the secret."""
    await _put(f"{url}/v1/webhook", {"url": webhooks, "secret": secret})


async def write(url: str, *messages: Mapping[str, Any], **how: Any) -> list[int]:
    """Lets people write these messages, each ``{"device", "from", "text"}``; returns the answers to their webhooks.

    ``how``: ``times``, ``order``, ``together``, as docs/simulator.md has them.
    """

    async def post() -> list[int]:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60)) as session,
            session.post(f"{url}/v1/inbound", json={"messages": list(messages), **how}) as answer,
        ):
            statuses: list[int] = json.loads(await _text(answer))["answered"]
            return statuses

    return await insist("the gateway takes what people write", post)


async def accepted(url: str, **query: str) -> list[dict[str, Any]]:
    """Every message that the gateway accepted, oldest first. ``query``: filters such as ``device``."""
    return await _export(f"{url}/v1/accepted", query)


async def written(url: str, **query: str) -> list[dict[str, Any]]:
    """Everything that people wrote, oldest first, with the moment at which it was acknowledged."""
    return await _export(f"{url}/v1/inbound", query)


async def requests_log(url: str, **query: str) -> list[dict[str, Any]]:
    """Every request that the gateway received with its outcome, in the order of the log."""
    return await _export(f"{url}/v1/log", query)


async def answers(url: str) -> None:
    """Returns when it answers."""
    await insist("the gateway answers", lambda: _get(f"{url}/health", {}))


async def _export(url: str, query: Mapping[str, str]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []

    async def read_on() -> bool:
        after = str(rows[-1]["id"]) if rows else "0"
        text = await _get(url, {**query, "after": after, "limit": str(PAGE)})
        page = [json.loads(line) for line in text.splitlines()]
        rows.extend(page)
        return len(page) == PAGE

    while await insist("the gateway shows its log", read_on):
        pass
    return rows


async def _get(url: str, query: Mapping[str, str]) -> str:
    async with aiohttp.ClientSession(timeout=TIMEOUT) as session, session.get(url, params=query) as answer:
        return await _text(answer)


async def _put(url: str, body: Mapping[str, Any]) -> None:
    async def put() -> str:
        async with (
            aiohttp.ClientSession(timeout=TIMEOUT) as session,
            session.put(url, json=body) as answer,
        ):
            return await _text(answer)

    await insist("the gateway takes its faults and settings", put)


async def _text(answer: aiohttp.ClientResponse) -> str:
    if answer.status >= 500:
        answer.raise_for_status()  # it is stopping or starting
    text = await answer.text()
    assert answer.status == 200, text
    return text
