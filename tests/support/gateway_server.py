"""A gateway's HTTP server on this machine, and the message that its client sends there."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar
from uuid import UUID

import pytest

from messaging.gateways.base import Gateway, GatewayError, OutgoingMessage
from tests.support.wire import Reply, Wire

__all__ = ["OURS", "PHONE", "GatewayServer", "failure_of", "message", "opened"]

PHONE = "+12015550123"
OURS = UUID("0191f3a4-5b6c-7d8e-9f01-23456789abcd")

Client = TypeVar("Client", bound=Gateway)


class GatewayServer(Wire):
    """Notes what it is asked, and gives every request the answer that is set at that moment."""

    def __init__(self, answer: Any) -> None:
        super().__init__()
        self.status = 200
        self.answer = answer
        """Bytes as they are, everything else as JSON."""
        self.headers: Mapping[str, str] = {}

    def _next(self) -> Reply:
        return Reply(self.status, self.answer, self.headers)


@asynccontextmanager
async def opened(client: Client) -> AsyncIterator[Client]:
    """The client, which is closed at the end."""
    try:
        yield client
    finally:
        await client.close()


def message(text: str = "Hello", **fields: Any) -> OutgoingMessage:
    """A message to ``PHONE``."""
    return OutgoingMessage(message_id=OURS, device_id="any", phone=PHONE, text=text, **fields)


async def failure_of(client: Gateway, secrets: Sequence[str]) -> GatewayError:
    """The error of a message that is not sent: one line; neither it nor its cause shows a secret."""
    with pytest.raises(GatewayError) as caught:
        await client.send(message(), timeout=5)
    error = caught.value
    assert "\n" not in str(error)
    shown = f"{error} {error!r} {error.__cause__!r} {error.__context__!r}"
    assert [secret for secret in secrets if secret in shown] == []
    return error
