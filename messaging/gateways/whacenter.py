"""Whacenter, a hosted platform: https://documenter.getpostman.com/view/8030970/UUy67kCg."""

from collections.abc import Mapping
from typing import Any, ClassVar

import aiohttp

from messaging.gateways.base import Accepted, Capabilities, Images, OutgoingMessage
from messaging.gateways.options import Address, Options, header_secret, read_options
from messaging.gateways.platform import SLOW_ANSWER, PlatformGateway

__all__ = ["WhacenterGateway", "WhacenterOptions"]


class WhacenterOptions(Options):
    """A device's options. ``device_id`` is the credential: it is all that is needed to send."""

    needs: ClassVar[tuple[str, ...]] = ("device_id",)

    url: Address = "https://api.whacenter.com"
    device_id_env: str | None = None
    device_id_file: str | None = None


class WhacenterGateway(PlatformGateway):
    """The client of one device at Whacenter. Create it inside a running event loop; safe for many tasks at once.

    Whacenter reports success when it has the message. Its ID has no further use there, and a success without one counts
    too.
    """

    capabilities: ClassVar[Capabilities] = Capabilities(images=Images.LINK, answers_within=SLOW_ANSWER)

    def __init__(self, options: Mapping[str, Any]) -> None:
        """Raises InvalidInput where the options cannot be used."""
        self._options = self.check(options)
        super().__init__("Whacenter", self._options.url)

    @staticmethod
    def check(options: Mapping[str, Any]) -> WhacenterOptions:
        """The options, understood. Raises InvalidInput."""
        return read_options("whacenter", WhacenterOptions, options)

    async def send(self, message: OutgoingMessage, *, timeout: float) -> Accepted:
        """See :class:`messaging.gateways.base.Gateway`."""
        device_id = header_secret(self._options, "device_id")
        form = aiohttp.FormData(default_to_multipart=True)
        form.add_field("device_id", device_id)
        form.add_field("number", message.phone.removeprefix("+"))
        form.add_field("message", message.text)
        if message.image_url is not None:
            form.add_field("file", message.image_url)
        answer = await self._client.request("POST", "/api/send", timeout=timeout, data=form)
        mend = f"see at {self._options.url} that the device is connected and paid for, and that the device_id is its"
        data = self.yes(answer, hide=device_id, mend=mend)
        return Accepted(gateway_message_id=_message_id(data))


def _message_id(data: Any) -> str | None:
    given = [data.get(name) for name in ("id", "message_id")] if isinstance(data, Mapping) else []
    return next((str(one) for one in given if isinstance(one, str | int) and one), None)
