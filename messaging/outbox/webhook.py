"""Delivers an event to a webhook, signed as Standard Webhooks (standardwebhooks.com, version 1.0) says."""

import base64
import binascii
import hashlib
import hmac
import secrets
import time
from types import TracebackType
from typing import Self

import aiohttp

from messaging.gateways.http import format_cause, one_line, retry_after
from messaging.outbox.events import Event, Outcome
from messaging.outbox.options import Unfit, WebhookOptions

__all__ = ["Webhooks", "new_secret", "read_secrets", "sign"]

PREFIX = "whsec_"
SHORTEST, LONGEST = 24, 64
"""Bytes of a secret, by the standard."""
TIMEOUT = 15.0
"""Seconds for one try, as the standard recommends: 15 to 30."""
CONNECT_TIMEOUT = 5.0
SHOWN = 300
"""Bytes of an answer that says no."""
ABOUT_THE_EVENT = frozenset({400, 405, 406, 409, 411, 413, 414, 415, 417, 422, 431})
"""Answers by which a receiver refuses this one request. Others, such as 401 or 503, would meet the next one as well."""


def new_secret() -> str:
    """A new secret to sign with."""
    return PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


def read_secrets(text: str) -> list[bytes]:
    """The keys of one secret, or of several with blanks between, while a receiver changes from one to the other. Raises Unfit."""
    keys = []
    for word in text.split():
        try:
            key = base64.b64decode(word.removeprefix(PREFIX), validate=True)
        except binascii.Error:
            key = b""
        if not word.startswith(PREFIX) or not SHORTEST <= len(key) <= LONGEST:
            raise Unfit(
                f"the secret is not {PREFIX} and {SHORTEST} to {LONGEST} bytes in base64; 'alert secret' makes one"
            )
        keys.append(key)
    if not keys:
        raise Unfit("the secret is empty; 'alert secret' makes one")
    return keys


def sign(event_id: str, timestamp: int, body: bytes, keys: list[bytes]) -> str:
    """The header webhook-signature: one signature for each key."""
    signed = f"{event_id}.{timestamp}.".encode() + body
    return " ".join(
        "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode() for key in keys
    )


class Webhooks:
    """The connections to all webhooks. Use it as a context, inside a running event loop.

    An address may be private or loopback: operators choose it, and nobody else can.
    """

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=TIMEOUT, connect=CONNECT_TIMEOUT),
            headers={"User-Agent": "Drumbeat", "Accept-Encoding": "identity"},
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    async def deliver(self, options: WebhookOptions, event: Event) -> Outcome:
        """Posts the event once; redirects are not followed. What came of it, whatever that is."""
        try:
            keys = read_secrets(options.secret.read())
        except Unfit as unfit:
            return Outcome(taken=False, answered=False, words=str(unfit))
        body, event_id, now = event.body(), str(event.id), int(time.time())
        headers = {
            "Content-Type": "application/json",
            "webhook-id": event_id,
            "webhook-timestamp": str(now),
            "webhook-signature": sign(event_id, now, body, keys),
        }
        try:
            async with self._session.post(
                options.url, data=body, headers=headers, allow_redirects=False
            ) as answer:
                if 200 <= answer.status < 300:
                    return Outcome(taken=True, words=f"it answered {answer.status}")
                said = one_line((await answer.content.read(SHOWN)).decode("utf-8", "replace"))
                answer.close()
                words = f"it answered {answer.status}"
                if 300 <= answer.status < 400:
                    words = f"it answered {answer.status}, and redirects are not followed: give the address that it names"
                return Outcome(
                    taken=False,
                    words=words,
                    said=said,
                    refused=answer.status in ABOUT_THE_EVENT,
                    retry_after=retry_after(answer),
                )
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            return Outcome(taken=False, answered=False, words=format_cause(error))
