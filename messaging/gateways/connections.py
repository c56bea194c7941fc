"""Connections to servers that are not trusted, which bound what aiohttp itself does not."""

import asyncio
from functools import partial
from typing import Any

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.http import RawResponseMessage
from aiohttp.streams import StreamReader

__all__ = ["Connector"]

MOST_HEADS = 20
"""Answers to one request, which all but the last are interim ones (RFC 9110, 15.2: "100 Continue", "103 Early Hints")."""


class _Protocol(ResponseHandler):
    """Gives up a server that sends interim answers without end: aiohttp passes over them, for as long as they come."""

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
    """Its connections are closed where a server sends interim answers without end."""

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self._factory = partial(_Protocol, loop=self._loop)  # type: ignore[assignment]
