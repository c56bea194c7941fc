"""A GOWA server on this machine, as far as its lists of chats and messages go: what it got and what it answers are real HTTP.

As in src/usecase/chat.go and src/infrastructure/chatstorage/sqlite_repository.go of its sources: chats and messages with
the latest first, a page of 100 at most, a chat's ``last_message_time`` that of its latest message.
"""

from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

__all__ = ["GowaServer", "gowa_server", "jid"]

PASSWORD = "corr3ct-horse"


def jid(phone: str) -> str:
    """WhatsApp's name of a phone."""
    return f"{phone.removeprefix('+')}@s.whatsapp.net"


@dataclass
class GowaServer:
    """What it has stored for its devices, and whom it has answered."""

    url: str = ""
    devices: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    answer: Any = None
    """What it answers instead: a status, or a body."""
    requests: list[str] = field(default_factory=list)

    def options(self, device: str = "kl-1") -> dict[str, str]:
        """The options of a device of ours."""
        self.devices.setdefault(device, [])
        return {
            "url": self.url,
            "device": device,
            "username": "drumbeat",
            "password_env": "GOWA_PASSWORD",
            "webhook_secret_env": "GOWA_WEBHOOK_SECRET",
        }

    def store(
        self, identifier: str, chat: str, content: str, at: datetime, *, device: str = "kl-1", **others: Any
    ) -> None:
        """A message of a chat, as it stores both ways."""
        self.devices.setdefault(device, []).append(
            {
                "id": identifier,
                "chat_jid": chat,
                "sender_jid": chat,
                "content": content,
                "sender_display_name": "Aisha",
                "timestamp": _written(at),
                "is_from_me": False,
                "media_type": "",
                "filename": "",
                "url": "",
                "file_length": 0,
                "created_at": _written(at),
                "updated_at": _written(at),
                **others,
            }
        )

    async def chats(self, request: web.Request) -> web.Response:
        """GET /chats"""
        stored = self._stored(request)
        if isinstance(stored, web.Response):
            return stored
        latest: dict[str, str] = {}
        for row in stored:
            latest[row["chat_jid"]] = max(latest.get(row["chat_jid"], ""), row["timestamp"])
        rows = [
            {"jid": name, "name": "Aisha", "last_message_time": at, "archived": False}
            for name, at in sorted(latest.items(), key=lambda one: one[1], reverse=True)
        ]
        return _page(request, rows, 25)

    async def messages(self, request: web.Request) -> web.Response:
        """GET /chat/{jid}/messages"""
        stored = self._stored(request)
        if isinstance(stored, web.Response):
            return stored
        start = request.query.get("start_time", "")
        rows = [
            row
            for row in stored
            if row["chat_jid"] == request.match_info["jid"] and row["timestamp"] >= start
        ]
        return _page(request, sorted(rows, key=lambda row: row["timestamp"], reverse=True), 50)

    def _stored(self, request: web.Request) -> list[dict[str, Any]] | web.Response:
        self.requests.append(f"{request.headers.get('X-Device-Id')} {request.path}")
        if isinstance(self.answer, int):
            return web.json_response({"code": "X", "message": "no"}, status=self.answer)
        if self.answer is not None:
            return web.Response(body=self.answer)
        basic = b64encode(f"drumbeat:{PASSWORD}".encode()).decode()
        if request.headers.get("Authorization") != f"Basic {basic}":
            return web.json_response({"code": "UNAUTHORIZED", "message": "no"}, status=401)
        device = request.headers.get("X-Device-Id", "")
        if device not in self.devices:
            return web.json_response({"code": "DEVICE_NOT_FOUND", "message": "device not found"}, status=404)
        return self.devices[device]


def _page(request: web.Request, rows: list[dict[str, Any]], usual: int) -> web.Response:
    limit, offset = int(request.query.get("limit", usual)), int(request.query.get("offset", 0))
    if not 1 <= limit <= 100:
        return web.json_response({"code": "VALIDATION_ERROR", "message": "limit"}, status=400)
    pagination = {"limit": limit, "offset": offset, "total": len(rows)}
    results = {"data": rows[offset : offset + limit], "pagination": pagination}
    return web.json_response({"code": "SUCCESS", "message": "Success", "results": results})


def _written(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@asynccontextmanager
async def gowa_server() -> AsyncIterator[GowaServer]:
    """Runs during the block."""
    server = GowaServer()
    application = web.Application()
    application.router.add_get("/chats", server.chats)
    application.router.add_get("/chat/{jid}/messages", server.messages)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield server
    finally:
        await runner.cleanup()
