"""The simulated gateway of ``python -m simulator``; its API is described in docs/simulator.md."""

from collections.abc import Mapping
from typing import Any, ClassVar
from uuid import UUID

from messaging.common.errors import InvalidInput
from messaging.gateways.base import (
    Accepted,
    Capabilities,
    DeviceUnfit,
    GatewayError,
    Images,
    MaybeAccepted,
    NotAccepted,
    OutgoingMessage,
    Recovery,
    Refused,
)
from messaging.gateways.http import Answer, one_line
from messaging.gateways.http_gateway import HttpGateway
from messaging.gateways.options import Address, Flag, Options, read_options
from messaging.gateways.signatures import webhook_secret
from messaging.gateways.simulated_webhooks import read_webhook
from messaging.gateways.webhook_events import WebhookEvents
from messaging.gateways.well_known_secrets import MAKE_ONE

__all__ = ["SimulatedGateway"]

ASK_TIMEOUT = 10.0
"""Seconds for a read request: capabilities, look-up."""

ABOUT_A_MESSAGE = ("unknown_message", "lookup_unsupported")
"""Its error codes that are an answer to a question."""

NOT_THE_GATEWAY = ("unknown_path", "wrong_method")
"""Error codes that mean a wrong address: they are not about the message."""


OF_THE_RECIPIENT = ("recipient_unavailable",)
"""Error codes that are about this recipient only."""


class SimulatedOptions(Options):
    """A device's options. ``url``: where the gateway listens, e.g. ``http://127.0.0.1:8055``. ``service_window``: whether
    the device is to be like one of the Cloud API, with a service window and templates. ``webhook_secret``: for webhooks
    only."""

    proofs: ClassVar[Mapping[str, str]] = {"webhook_secret": MAKE_ONE}

    url: Address | None = None
    service_window: Flag = False
    webhook_secret_env: str | None = None
    webhook_secret_file: str | None = None


class SimulatedGateway(HttpGateway):
    """The client of a simulated gateway. Create it inside a running event loop; safe for many tasks at once."""

    capabilities: ClassVar[Capabilities] = Capabilities(idempotency=True, look_up=True, images=Images.UNSEEN)

    def __init__(self, options: Mapping[str, Any]) -> None:
        """Raises InvalidInput where the options have no usable ``url``."""
        self._options = self.check(options)
        url = self._options.url
        if url is None:
            raise InvalidInput("the simulated gateway has no address: give the device the option 'url'")
        super().__init__("the simulated gateway", url)
        if self._options.service_window:
            # What other gateways can do is the same for all their devices.
            like_meta = {"service_window": True, "templates": True}
            self.capabilities = self.capabilities.model_copy(update=like_meta)  # type: ignore[misc]

    @staticmethod
    def check(options: Mapping[str, Any]) -> SimulatedOptions:
        """The options, understood. Raises InvalidInput."""
        return read_options("simulated", SimulatedOptions, options)

    async def send(self, message: OutgoingMessage, *, timeout: float) -> Accepted:
        """See :class:`messaging.gateways.base.Gateway`."""
        text = message.text if message.template is None else message.template.wording
        body = {"device": message.device_id, "to": message.phone, "text": text}
        if message.image_url is not None:
            body["image_url"] = message.image_url
        headers = {"Idempotency-Key": str(message.message_id)}
        answer = await self._client.request(
            "POST", "/v1/messages", timeout=timeout, json=body, headers=headers
        )
        if not 200 <= answer.status < 300:
            raise self._rejection(answer)
        accepted = _accepted(answer.content)
        if accepted is None:
            raise self._client.maybe(f"it answered {answer.status} with no message ID")
        return accepted

    async def recovery(self, device_id: str) -> Recovery:
        """Asks the gateway each time, as its settings may change."""
        content = await self._ask("/v1/capabilities", {"device": device_id})
        if content.get("idempotency") is True:
            return Recovery.RESEND
        return Recovery.LOOK_UP if content.get("lookup") is True else Recovery.NONE

    async def look_up(self, device_id: str, message_id: UUID) -> Accepted | None:
        """See :class:`messaging.gateways.base.Gateway`."""
        content = await self._ask("/v1/messages", {"device": device_id, "key": str(message_id)})
        if _code(content) == "unknown_message":
            return None
        if _code(content) == "lookup_unsupported":
            raise MaybeAccepted(f"{self._client.name} answers no look-ups")
        accepted = _accepted(content)
        if accepted is None:
            raise NotAccepted(f"{self._client.name} answered a look-up with something that is none")
        return accepted

    def read_webhook(self, headers: Mapping[str, str], body: bytes) -> WebhookEvents:
        """See :class:`messaging.gateways.base.Gateway`."""
        return read_webhook(headers, body, webhook_secret(self._options, "webhook_secret", self._client.name))

    async def _ask(self, path: str, query: dict[str, str]) -> dict[str, Any]:
        """The answer to a read request. It sends nothing, so every failure is NotAccepted."""
        answer = await self._client.ask(path, query, timeout=ASK_TIMEOUT)
        content = answer.content
        if isinstance(content, dict) and (answer.status == 200 or _code(content) in ABOUT_A_MESSAGE):
            return content
        raise NotAccepted(
            f"{self._client.name} could not be asked: it answered {_format_answer(answer)}",
            retry_after=answer.retry_after,
        )

    def _rejection(self, answer: Answer) -> GatewayError:
        """The error for an answer that is not a success."""
        said = f"{self._client.name} answered {_format_answer(answer)}"
        if answer.status in (429, 503):
            return NotAccepted(said, retry_after=answer.retry_after)
        if answer.status >= 500:
            return self._client.maybe(f"it answered {_format_answer(answer)}")
        if answer.status in (401, 403):
            return DeviceUnfit(said)
        code = _code(answer.content)
        if 400 <= answer.status < 500 and code is not None and code not in NOT_THE_GATEWAY:
            sign = None if code in OF_THE_RECIPIENT else code
            return Refused(f"{self._client.name} refused the message: {_format_answer(answer)}", sign=sign)
        # This is not the gateway's endpoint. Once the address is mended, the message can be sent.
        return NotAccepted(f"{said}; is its address right?")


def _accepted(content: Any) -> Accepted | None:
    identifier = content.get("id") if isinstance(content, dict) else None
    if not isinstance(identifier, str) or not identifier:
        return None
    return Accepted(gateway_message_id=identifier)


def _error(content: Any) -> dict[str, Any]:
    error = content.get("error") if isinstance(content, dict) else None
    return error if isinstance(error, dict) else {}


def _code(content: Any) -> str | None:
    code = _error(content).get("code")
    return code if isinstance(code, str) else None


def _format_answer(answer: Answer) -> str:
    """The status and what the gateway says, in one line."""
    words = one_line(str(_error(answer.content).get("message") or ""))
    code = _code(answer.content)
    return " ".join(filter(None, (str(answer.status), words, code and f"({code})")))
