"""Refuses requests of foreign web pages, which a browser on this machine could send to the gateway."""

import re
from collections.abc import Collection
from ipaddress import ip_address

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from simulator.answers import error

__all__ = ["Guard", "is_loopback"]

ANY_HOST = re.compile(r"(?P<host>\[[0-9a-fA-F:.]+\]|[^:\[\]]*)(?::[0-9]*)?")


def is_loopback(host: str) -> bool:
    """True if that name or address can only be this machine's own."""
    name = host.strip("[]").lower()
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return name == "localhost" or name.endswith(".localhost")


class Guard:
    """Refuses requests that a page of another site can make a browser send.

    - By its *Host*: a page may have its own name lead to this machine (DNS rebinding), and would then count as ours. So
      only loopback names are answered to, and those in ``names``; with ``network`` also addresses, and names without a
      dot, which nobody can register.
    - By *Origin* and *Sec-Fetch-Site* (Fetch Metadata), which a browser adds by itself. Following a link is permitted.
    - By *Content-Type*: a page can send forms and plain text anywhere, but JSON only where it was permitted to.
    """

    def __init__(self, app: ASGIApp, *, names: Collection[str] = (), network: bool = False) -> None:
        self._app = app
        self._names = {name.lower() for name in names}
        self._network = network

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] == "http":
            refusal = self._refusal(scope["method"], Headers(scope=scope))
            if refusal is not None:
                await error(*refusal)(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _refusal(self, method: str, headers: Headers) -> tuple[int, str, str] | None:
        host = headers.get("host", "")
        if not self._answers_to(host):
            return 403, "wrong_host", "The gateway does not answer to that name: --name permits it."
        origin = headers.get("origin")
        if origin is not None and origin.partition("://")[2].lower() != host.lower():
            return 403, "wrong_origin", "Pages of other sites may not use the gateway."
        follows = method in ("GET", "HEAD") and headers.get("sec-fetch-mode") == "navigate"
        if headers.get("sec-fetch-site", "none") not in ("none", "same-origin") and not follows:
            return 403, "wrong_origin", "Pages of other sites may not use the gateway."
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        if method in ("POST", "PUT") and kind != "application/json":
            return 415, "not_json", "The body is JSON, and Content-Type has to say so: application/json."
        return None

    def _answers_to(self, host: str) -> bool:
        found = ANY_HOST.fullmatch(host)
        name = found["host"].lower() if found else ""
        if is_loopback(name) or name in self._names:
            return True
        if not self._network or not name:
            return False
        try:
            ip_address(name.strip("[]"))
        except ValueError:
            return "." not in name
        return True
