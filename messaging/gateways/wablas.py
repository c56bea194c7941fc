"""Wablas, a hosted platform: https://wablas.com/documentation/api (version of July 2025)."""

from collections.abc import Mapping
from typing import Any, ClassVar

from messaging.gateways.base import Accepted, Capabilities, Images, OutgoingMessage
from messaging.gateways.options import Address, Options, header_secret, read_options
from messaging.gateways.platform import SLOW_ANSWER, PlatformGateway

__all__ = ["WablasGateway", "WablasOptions"]


class WablasOptions(Options):
    """A device's options. ``url``: the server of the account, such as ``https://solo.wablas.com``; a token is good at
    one server only. ``token``: as Wablas shows it, with a secret key as ``token.secret_key``."""

    needs: ClassVar[tuple[str, ...]] = ("token",)

    url: Address = "https://my.wablas.com"
    token_env: str | None = None
    token_file: str | None = None


class WablasGateway(PlatformGateway):
    """The client of one device at Wablas. Create it inside a running event loop; safe for many tasks at once.

    Wablas reports success when a message is in its queue, even while the device is disconnected.
    """

    capabilities: ClassVar[Capabilities] = Capabilities(images=Images.LINK, answers_within=SLOW_ANSWER)

    def __init__(self, options: Mapping[str, Any]) -> None:
        """Raises InvalidInput where the options cannot be used."""
        self._options = self.check(options)
        super().__init__("Wablas", self._options.url)

    @staticmethod
    def check(options: Mapping[str, Any]) -> WablasOptions:
        """The options, understood. Raises InvalidInput."""
        return read_options("wablas", WablasOptions, options)

    async def send(self, message: OutgoingMessage, *, timeout: float) -> Accepted:
        """See :class:`messaging.gateways.base.Gateway`."""
        token = header_secret(self._options, "token")
        form = {"phone": message.phone.removeprefix("+")}
        if message.image_url is None:
            path, form["message"] = "/api/send-message", message.text
        else:
            path, form["image"] = "/api/send-image", message.image_url
            if message.text:
                form["caption"] = message.text
        answer = await self._client.request(
            "POST", path, timeout=timeout, data=form, headers={"Authorization": token}
        )
        mend = f"see at {self._options.url} that the device is connected and its package paid, and that the token is its"
        data = self.yes(answer, hide=token, mend=mend)
        return Accepted(gateway_message_id=_message_id(data))


def _message_id(data: Any) -> str | None:
    messages = data.get("messages") if isinstance(data, Mapping) else None
    first = messages[0] if isinstance(messages, list) and messages else None
    identifier = first.get("id") if isinstance(first, Mapping) else None
    return str(identifier) if isinstance(identifier, str | int) and identifier else None
