"""The base of hosted WhatsApp platforms: the field ``status`` of their body says success or failure, whatever the HTTP
status.
"""

import re
from collections.abc import Mapping
from typing import Any

from messaging.gateways.base import DeviceUnfit, GatewayError, NotAccepted, Refused
from messaging.gateways.http import Answer, alike, format_words
from messaging.gateways.http_gateway import BUSY, BUSY_FOR, UNFIT, HttpGateway

__all__ = ["SLOW_ANSWER", "PlatformGateway"]

SLOW_ANSWER = 120.0
"""Seconds. Busy platforms may answer this late, and have sent the message."""

OF_THE_DEVICE = re.compile(
    r"token|secret|device|connect|log(ged)?[ -]?(in|out)|scan|quota|kuota|package|paket|expired|suspend|subscri|perangkat",
    re.IGNORECASE,
)
"""Words of a failure that every message of the device would get."""
OF_THE_RECIPIENT = re.compile(
    r"not (on|registered|exist|found)|unregistered|(tidak|belum) (terdaftar|valid|ditemukan)|recipient|penerima|tujuan"
    r"|(invalid|wrong) (\w+ )?(phone|number)|(phone|number|nomor)\b.*\b(invalid|wrong|salah)",
    re.IGNORECASE,
)
"""Words of a failure that is about one recipient: the next one may succeed."""
TOO_FAST = re.compile(r"too many|rate limit", re.IGNORECASE)
OF_THE_MOMENT = re.compile(r"maintenance|try again|coba lagi", re.IGNORECASE)


class PlatformGateway(HttpGateway):
    """Base of platforms that take one credential and answer ``{"status": bool, "message": why, "data"}``."""

    def yes(self, answer: Answer, *, hide: str, mend: str) -> Any:
        """The ``data`` of a success. Raises a GatewayError for everything else.

        ``hide``: the credential, which the platform may repeat; ``mend``: what the operator can do for the device.
        """
        content = answer.content if isinstance(answer.content, Mapping) else {}
        words = next(
            filter(None, (format_words(content.get(name), hide) for name in ("message", "msg", "reason"))), ""
        )
        if content.get("status") is False:
            raise self._no(answer, words, mend)
        if answer.status == 503:
            # A proxy may have answered for a server that has the message already.
            raise self._client.maybe(f"it answered 503 {words}".rstrip())
        if not 200 <= answer.status < 300:
            raise self.by_status(answer, words)
        if content.get("status") is not True:
            raise self._client.maybe(f"it answered {answer.status} and neither yes nor no {words}".rstrip())
        return content.get("data")

    def _no(self, answer: Answer, words: str, mend: str) -> GatewayError:
        said = f"{self._client.name} refuses: {words or f'it answered {answer.status} and does not say why'}"
        wait = BUSY_FOR if answer.retry_after is None else answer.retry_after
        if answer.status in BUSY or TOO_FAST.search(words):
            return NotAccepted(said, retry_after=wait)
        if answer.status in UNFIT or OF_THE_DEVICE.search(words):
            return DeviceUnfit(f"{said}; {mend}")
        if OF_THE_MOMENT.search(words):
            return NotAccepted(said, retry_after=wait)
        return Refused(said, sign=None if OF_THE_RECIPIENT.search(words) else alike(answer.status, words))
