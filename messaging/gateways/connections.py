"""Connections to untrusted servers, with limits that aiohttp itself does not have."""

import asyncio
from functools import partial
from typing import Any

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.http import RawResponseMessage
from aiohttp.streams import StreamReader

__all__ = ["Connector"]

MOST_HEADS = 20
"""Responses to one request, of which all but the last are interim ones (RFC 9110, 15.2: "100 Continue", "103 Early
Hints").
"""


class _Protocol(ResponseHandler):
    """Closes the connection to a server that sends endless interim responses; aiohttp would read them for ever."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self._heads = 0

    def set_response_params(self, **given: Any) -> None:
        """A request begins."""
        self._heads = 0
        super().set_response_params(**given)

    async def read(self) -> tuple[RawResponseMessage, StreamReader]:
        """The head of the next answer."""
        self._heads += 1
        if self._heads > MOST_HEADS:
            raise aiohttp.ClientError("it sends interim answers without end")
        return await super().read()


class Connector(aiohttp.TCPConnector):
    """A connector that closes connections to servers which send endless interim responses."""

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self._factory = partial(_Protocol, loop=self._loop)  # type: ignore[assignment]
