"""Parses GOWA's lists of chats and messages: ``GET /chats`` and ``GET /chat/{jid}/messages`` of its docs/openapi.yaml, both with
the latest first (src/infrastructure/chatstorage/sqlite_repository.go).
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from messaging.gateways.base import Chat, ChatPage, InboundPage
from messaging.gateways.gowa_inbound import NAME, is_person, who
from messaging.gateways.webhook_bodies import inbound_message, iso_moment, objects, part, words
from messaging.gateways.webhook_events import moment_of_our_time

__all__ = ["CHATS", "MESSAGES", "read_chats", "read_messages"]

CHATS, MESSAGES = 100, 50
"""How many in a page; GOWA gives 100 at most."""

_KINDS = {
    "": "text",
    "image": "image",
    "video": "video",
    "video_note": "video",
    "audio": "audio",
    "ptt": "audio",
    "document": "document",
    "sticker": "sticker",
}
_NO_MESSAGES = ("call",)


def read_chats(content: Any, since: datetime) -> ChatPage | None:
    """The chats with one person each that have a message since then; None if this is no list of chats."""
    rows = _rows(content)
    if rows is None:
        return None
    # A chat without a usable moment may have anything.
    latest = [moment_of_our_time(iso_moment(row.get("last_message_time"))) or since for row in rows]
    chats = [
        Chat(name=name, last_message_at=at)
        for row, at in zip(rows, latest, strict=True)
        if at >= since and (name := words(row, "jid")) is not None and is_person(name)
    ]
    reached = any(at < since for at in latest)
    return ChatPage(chats=tuple(chats), more=len(rows) >= CHATS and not reached)


def read_messages(content: Any, chat: str, receivers: tuple[str, ...]) -> InboundPage | None:
    """The messages of a chat, the earliest first; None if this is no list of messages."""
    rows = _rows(content)
    if rows is None:
        return None
    found = (_message(row, chat, receivers) for row in reversed(rows))
    return InboundPage(messages=tuple(one for one in found if one is not None), more=len(rows) >= MESSAGES)


def _rows(content: Any) -> list[Mapping[str, Any]] | None:
    results = part(content, "results")
    if (
        not isinstance(content, Mapping)
        or content.get("code") != "SUCCESS"
        or not isinstance(results.get("data"), list)
    ):
        return None
    return list(objects(results, "data"))


def _message(row: Mapping[str, Any], chat: str, receivers: tuple[str, ...]) -> Any:
    media, from_me = words(row, "media_type") or "", row.get("is_from_me") is True
    sender = chat if from_me else words(row, "sender_jid") or chat
    # A message without a moment would count as sent now, each time that it is fetched.
    if (
        media in _NO_MESSAGES
        or not is_person(sender)
        or moment_of_our_time(iso_moment(row.get("timestamp"))) is None
    ):
        return None
    kind = _KINDS.get(media, "other")
    return inbound_message(
        NAME,
        gateway_message_id=words(row, "id") or "",
        at=iso_moment(row.get("timestamp")),
        receivers=receivers,
        from_me=from_me,
        kind=kind,
        text=words(row, "content"),
        payload=words(row, "filename") if kind == "document" else None,
        media_id=words(row, "url"),
        **who(sender, chat),
    )
