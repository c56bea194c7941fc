"""Meta's WhatsApp Cloud API. Field names are those of Meta's OpenAPI description (Business Messaging API, v23.0)."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator

from messaging.gateways.base import (
    Accepted,
    Capabilities,
    GatewayError,
    Images,
    OutgoingMessage,
    RenderedTemplate,
)
from messaging.gateways.cloud_api_errors import as_error, read_error
from messaging.gateways.cloud_api_inbound import recipient_of_answer
from messaging.gateways.cloud_api_webhooks import answer_to_challenge, read_webhook
from messaging.gateways.http import Answer
from messaging.gateways.http_gateway import HttpGateway
from messaging.gateways.options import Address, Options, header_secret, read_options
from messaging.gateways.signatures import webhook_secret
from messaging.gateways.webhook_events import WebhookEvents

__all__ = ["CloudApiGateway", "CloudApiOptions"]

LINK = re.compile(r"https?://\S", re.IGNORECASE)
"""Meta shows a preview only of links that begin so."""


def _phone_number_id(text: str) -> str:
    if not re.fullmatch(r"[0-9]+", text):
        raise ValueError(
            f"{text!r} is not a phone number ID: digits, from WhatsApp Manager, not the number itself"
        )
    return text


def _version(text: str) -> str:
    if not re.fullmatch(r"v[0-9]+\.[0-9]+", text):
        raise ValueError(f"{text!r} is not a version of the Graph API like v23.0")
    return text


class CloudApiOptions(Options):
    """A device's options. ``app_secret`` and ``verify_token`` are for webhooks only."""

    needs: ClassVar[tuple[str, ...]] = ("token",)
    proofs: ClassVar[Mapping[str, str]] = {
        "app_secret": "copy it from the app's dashboard (App settings, Basic)",
        "verify_token": "make one with 'openssl rand -hex 32', and enter it in the app too (WhatsApp, Configuration)",
    }

    phone_number_id: Annotated[str, AfterValidator(_phone_number_id)]
    token_env: str | None = None
    token_file: str | None = None
    url: Address = "https://graph.facebook.com"
    version: Annotated[str, AfterValidator(_version)] = "v23.0"
    app_secret_env: str | None = None
    app_secret_file: str | None = None
    verify_token_env: str | None = None
    verify_token_file: str | None = None


class CloudApiGateway(HttpGateway):
    """The client of one number at the Cloud API. Create it inside a running event loop; safe for many tasks at once.

    The API takes no idempotency key and cannot be asked for a message. Our ID is sent with each message and comes back
    in its receipts, which settle messages in doubt.
    """

    capabilities: ClassVar[Capabilities] = Capabilities(
        receipts=True,
        templates=True,
        service_window=True,
        images=Images.LINK,
        link_preview=True,
        text_limit=4096,
        caption_limit=1024,
    )

    def __init__(self, options: Mapping[str, Any]) -> None:
        """Raises InvalidInput where the options cannot be used."""
        self._options = self.check(options)
        super().__init__("the WhatsApp Cloud API", self._options.url)

    @staticmethod
    def check(options: Mapping[str, Any]) -> CloudApiOptions:
        """The options, understood. Raises InvalidInput."""
        return read_options("cloud-api", CloudApiOptions, options)

    async def send(self, message: OutgoingMessage, *, timeout: float) -> Accepted:
        """See :class:`messaging.gateways.base.Gateway`.

        A message that Meta holds back at first, to see how a new template is received, counts as accepted: sent again,
        it might arrive twice. If Meta drops it in the end, a receipt says so.
        """
        token = header_secret(self._options, "token")
        path = f"/{self._options.version}/{self._options.phone_number_id}/messages"
        headers = {"Authorization": f"Bearer {token}"}
        answer = await self._client.request(
            "POST", path, timeout=timeout, json=_body(message), headers=headers
        )
        identifier = _message_id(answer.content) if answer.status == 200 else None
        if identifier is None:
            raise self._rejection(answer, token)
        return Accepted(gateway_message_id=identifier, recipient=recipient_of_answer(answer.content))

    def challenge(self, query: Mapping[str, str]) -> str:
        """See :class:`messaging.gateways.base.Gateway`."""
        token = webhook_secret(self._options, "verify_token", self._client.name, signs=False)
        return answer_to_challenge(query, token)

    def read_webhook(self, headers: Mapping[str, str], body: bytes) -> WebhookEvents:
        """See :class:`messaging.gateways.base.Gateway`."""
        key = webhook_secret(self._options, "app_secret", self._client.name)
        return read_webhook(headers, body, key)

    def _rejection(self, answer: Answer, token: str) -> GatewayError:
        """The error for an answer that is not a success."""
        content = answer.content if isinstance(answer.content, Mapping) else {}
        said = read_error(content.get("error"), hide=token)
        if said is not None and said.rule is not None:
            return as_error(str(said), said.rule, self._client, answer.retry_after)
        words = str(said) if said is not None else ""
        if answer.status == 503:
            # Without Meta's own code, a proxy may have answered for a server that has the message already.
            return self._client.maybe(f"it answered 503 {words}".rstrip())
        if 200 <= answer.status < 300:
            return self._client.maybe(f"it answered {answer.status} with no message ID {words}".rstrip())
        code = said.code if said is not None else None
        return self.by_status(answer, words, None if code is None else f"code {code}")


def _body(message: OutgoingMessage) -> dict[str, Any]:
    """The request's JSON. The plus sign stays: without it Meta takes the number for one of the sender's country."""
    return {
        "messaging_product": "whatsapp",
        "recipient_type": "individual",
        "to": message.phone,
        "biz_opaque_callback_data": str(message.message_id),
        **_content(message),
    }


def _content(message: OutgoingMessage) -> dict[str, Any]:
    if message.template is not None:
        return {"type": "template", "template": _template(message.template, message.image_url)}
    if message.image_url is not None:
        caption = {"caption": message.text} if message.text else {}
        return {"type": "image", "image": {"link": message.image_url, **caption}}
    preview = LINK.search(message.text) is not None
    return {"type": "text", "text": {"body": message.text, "preview_url": preview}}


def _template(template: RenderedTemplate, image_url: str | None) -> dict[str, Any]:
    components: list[dict[str, Any]] = []
    if image_url is not None:
        components.append(_component("header", [{"type": "image", "image": {"link": image_url}}]))
    if template.parameters:
        components.append(
            _component("body", [{"type": "text", "text": text} for text in template.parameters])
        )
    # The description calls the policy required, and this is the only one that there is.
    language = {"policy": "deterministic", "code": template.language}
    body: dict[str, Any] = {"name": template.name, "language": language}
    return {**body, "components": components} if components else body


def _component(kind: str, parameters: list[dict[str, Any]]) -> dict[str, Any]:
    return {"type": kind, "parameters": parameters}


def _message_id(content: Any) -> str | None:
    messages = content.get("messages") if isinstance(content, Mapping) else None
    first = messages[0] if isinstance(messages, list) and messages else None
    identifier = first.get("id") if isinstance(first, Mapping) else None
    return identifier if isinstance(identifier, str) and identifier else None
