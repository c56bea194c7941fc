"""GOWA (go-whatsapp-web-multidevice), self-hosted: version 9 of its docs/openapi.yaml."""

from base64 import b64encode
from collections.abc import Mapping
from datetime import UTC, datetime
from io import BytesIO
from typing import Annotated, Any, ClassVar
from urllib.parse import quote

import aiohttp
from pydantic import Field

from messaging.common.errors import InvalidInput
from messaging.gateways.base import (
    Accepted,
    Capabilities,
    ChatPage,
    Images,
    InboundPage,
    NotAccepted,
    OutgoingMessage,
    Picture,
)
from messaging.gateways.gowa_answers import message_id_of, read_webhook, refusal_of
from messaging.gateways.gowa_lists import CHATS, MESSAGES, read_chats, read_messages
from messaging.gateways.http_gateway import HttpGateway
from messaging.gateways.options import Address, Options, read_options, secret, secrets_of
from messaging.gateways.signatures import webhook_secret
from messaging.gateways.webhook_events import WebhookEvents
from messaging.gateways.well_known_secrets import MAKE_ONE

__all__ = ["GowaGateway", "GowaOptions"]

LARGEST_LIST = 4 * 1024 * 1024
"""Bytes of a page: fifty of the longest messages."""


class GowaOptions(Options):
    """A device's options. ``device``: which of the server's devices it is, where there are several. ``username`` and
    ``password``: of the server's basic authentication. ``webhook_secret``: for webhooks only."""

    proofs: ClassVar[Mapping[str, str]] = {"webhook_secret": MAKE_ONE}

    url: Address
    device: Annotated[str, Field(pattern=r"^\S+$")] | None = None
    username: Annotated[str, Field(pattern=r"^[^:]+$")] | None = None
    password_env: str | None = None
    password_file: str | None = None
    webhook_secret_env: str | None = None
    webhook_secret_file: str | None = None


class GowaGateway(HttpGateway):
    """The client of one device of a GOWA server. Create it inside a running event loop; safe for many tasks at once.

    The server takes no ID of ours and cannot be asked about a message. Its webhooks contain only its own ID: they
    report a message as delivered or read, but do not help with a message in doubt. So it does not have the capability
    ``receipts``.
    """

    capabilities: ClassVar[Capabilities] = Capabilities(images=Images.UPLOAD, keeps_messages=True)

    def __init__(self, options: Mapping[str, Any]) -> None:
        """Raises InvalidInput if the options cannot be used."""
        self._options = self.check(options)
        super().__init__("GOWA", self._options.url)

    @staticmethod
    def check(options: Mapping[str, Any]) -> GowaOptions:
        """The options, understood. Raises InvalidInput."""
        understood = read_options("gowa", GowaOptions, options)
        if bool(understood.username) != bool(understood.password_env or understood.password_file):
            raise InvalidInput(
                "gateway option username: goes with password_env=VARIABLE or password_file=PATH; give both or none"
            )
        return understood

    async def send(self, message: OutgoingMessage, *, timeout: float) -> Accepted:
        """See :class:`messaging.gateways.base.Gateway`."""
        headers, hide = self._headers()
        phone = f"{message.phone.removeprefix('+')}@s.whatsapp.net"
        body: dict[str, Any] = {"json": {"phone": phone, "message": message.text}}
        if message.picture is not None:
            body = {"data": _image_form(phone, message, message.picture)}
        path = "/send/message" if message.picture is None else "/send/image"
        answer = await self._client.request("POST", path, timeout=timeout, headers=headers, **body)
        identifier = message_id_of(answer)
        if identifier is not None:
            return Accepted(gateway_message_id=identifier)
        refusal, words = refusal_of(answer, self._client.name, self._options.url, hide=hide)
        if refusal is not None:
            raise refusal
        if answer.status == 408 or 200 <= answer.status < 300:  # 408: GOWA itself gave up on WhatsApp
            raise self._client.maybe(f"it answered {answer.status} with no message ID {words}".rstrip())
        raise self.by_status(answer, words)

    async def list_chats(self, since: datetime, page: int) -> ChatPage:
        """See :class:`messaging.gateways.base.Gateway`."""
        query = {"limit": str(CHATS), "offset": str(page * CHATS)}
        found = read_chats(await self._list("/chats", query), since)
        if found is None:
            raise NotAccepted(f"the list of chats of {self._client.name} cannot be understood")
        return found

    async def list_messages(self, chat: str, since: datetime, page: int) -> InboundPage:
        """See :class:`messaging.gateways.base.Gateway`."""
        start = since.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        query = {"limit": str(MESSAGES), "offset": str(page * MESSAGES), "start_time": start}
        receivers = (self._options.device,) if self._options.device else ()
        path = f"/chat/{quote(chat, safe='@')}/messages"
        found = read_messages(await self._list(path, query), chat, receivers)
        if found is None:
            raise NotAccepted(f"the list of messages of {self._client.name} cannot be understood")
        return found

    async def _list(self, path: str, query: Mapping[str, str]) -> Any:
        """The content of a list. Raises a GatewayError."""
        headers, hide = self._headers()
        within = self.capabilities.answers_within
        answer = await self._client.ask(path, query, timeout=within, headers=headers, largest=LARGEST_LIST)
        if answer.status != 200:
            refusal, words = refusal_of(answer, self._client.name, self._options.url, hide=hide)
            raise refusal or self.by_status(answer, words)
        return answer.content

    def _headers(self) -> tuple[dict[str, str], tuple[str, ...]]:
        """The headers of a request, and the credentials in them."""
        password = secret(self._options, "password") or ""
        basic = b64encode(f"{self._options.username}:{password}".encode()).decode()
        headers = {"Authorization": f"Basic {basic}"} if password else {}
        if self._options.device:
            headers["X-Device-Id"] = quote(self._options.device, safe="@:")  # the server unquotes it
        return headers, (basic, *secrets_of(self._options))

    def read_webhook(self, headers: Mapping[str, str], body: bytes) -> WebhookEvents:
        """See :class:`messaging.gateways.base.Gateway`."""
        key = webhook_secret(self._options, "webhook_secret", self._client.name)
        return read_webhook(headers, body, key)


def _image_form(phone: str, message: OutgoingMessage, picture: Picture) -> aiohttp.FormData:
    form = aiohttp.FormData({"phone": phone, "compress": "false"})
    if message.text:
        form.add_field("caption", message.text)
    # The server stores the file under this name while it sends, so each message needs a name of its own.
    name = f"{message.message_id}-{picture.file_name}"
    form.add_field("image", BytesIO(picture.content), filename=name, content_type=picture.media_type)
    return form
