"""The base class of most gateways: one HTTP client, no idempotency key, no look-ups, no webhooks.

A gateway overrides what it does better. It maps its own error bodies to errors first; ``by_status`` is for answers that
have only an HTTP status.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import ClassVar
from uuid import UUID

from messaging.gateways.base import (
    Accepted,
    Capabilities,
    ChatPage,
    DeviceUnfit,
    GatewayError,
    InboundPage,
    NotAccepted,
    Recovery,
    Refused,
    Unauthentic,
)
from messaging.gateways.http import Answer, HttpClient, alike
from messaging.gateways.webhook_events import WebhookEvents

__all__ = ["HttpGateway"]

UNFIT = frozenset({401, 403, 407})
ELSEWHERE = frozenset({301, 302, 303, 307, 308, 404, 405})
"""Statuses of something that is not the gateway's endpoint."""
LATER = frozenset({408, 409, 421, 423, 425})
"""RFC 9110: not processed, or in conflict with what goes on at present."""
BUSY = frozenset({429, 503})
"""Too many requests, from this device or from all."""
BUSY_FOR = 10.0
"""Seconds that a device waits if a busy gateway does not say how long."""


class HttpGateway:
    """Base of gateways with an HTTP API. Create it inside a running event loop."""

    capabilities: ClassVar[Capabilities] = Capabilities()

    def __init__(self, what: str, url: str) -> None:
        """``what`` names the gateway in errors; ``url`` is its address, without a slash at the end."""
        self._client = HttpClient(what, url)

    async def close(self) -> None:
        """Closes the connections."""
        await self._client.close()

    async def recovery(self, device_id: str) -> Recovery:
        """None, unless the gateway overrides this."""
        del device_id
        return Recovery.NONE

    async def look_up(self, device_id: str, message_id: UUID) -> Accepted | None:
        """No look-ups, unless the gateway overrides this."""
        raise NotAccepted(f"{self._client.name} cannot be asked what became of {message_id} of {device_id}")

    def challenge(self, query: Mapping[str, str]) -> str:
        """No webhooks, unless the gateway has them."""
        raise Unauthentic(f"{self._client.name} asks no questions of this kind: {sorted(query)}")

    def read_webhook(self, headers: Mapping[str, str], body: bytes) -> WebhookEvents:
        """No webhooks, unless the gateway has them."""
        del headers, body
        raise Unauthentic(f"{self._client.name} sends no webhooks that Drumbeat knows")

    async def list_chats(self, since: datetime, page: int) -> ChatPage:
        """No lists, unless the gateway has them."""
        raise NotAccepted(f"{self._client.name} has no list of chats since {since}, page {page}")

    async def list_messages(self, chat: str, since: datetime, page: int) -> InboundPage:
        """No lists, unless the gateway has them."""
        raise NotAccepted(f"{self._client.name} has no list of messages of {chat} since {since}, page {page}")

    def by_status(self, answer: Answer, words: str = "", sign: str | None = None) -> GatewayError:
        """The error for an answer that is not a success, if its body says no more than ``words``.

        ``sign``: what such answers have in common (see Refused); by default status and words, without numbers.
        """
        status = answer.status
        said = f"{self._client.name} answered {status}" + (f" {words}" if words else "")
        if status in UNFIT:
            return DeviceUnfit(f"{said}; check the device's credentials and that it is logged in")
        if status in ELSEWHERE:
            return DeviceUnfit(f"{said}; check the device's option url")
        if status in BUSY:
            wait = BUSY_FOR if answer.retry_after is None else answer.retry_after
            return NotAccepted(said, retry_after=wait)
        if status in LATER:
            return NotAccepted(said, retry_after=answer.retry_after, concerns="message")
        if 400 <= status < 500:
            return Refused(f"{said}: it refused the message", sign=sign or alike(status, words))
        return self._client.maybe(f"it answered {status}" + (f" {words}" if words else ""))
