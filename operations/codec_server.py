"""The codec server of private mode, which decrypts for the Temporal Web UI and command line.

The protocol is Temporal's "remote codec": POST ``/encode`` and ``/decode`` with ``Payloads`` as JSON. Nobody gets an answer without the
password: as a bearer token, or as the cookie that the page of this server sets. No answer is for any page but the Web UI's (CORS).
"""

import asyncio
import hmac
import json
import logging
import re
import signal
from collections.abc import Awaitable, Callable
from hashlib import sha256
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from aiohttp import web
from google.protobuf.json_format import MessageToJson, ParseDict, ParseError
from temporalio.api.common.v1 import Payloads

from messaging.common.errors import InvalidInput, Unavailable
from messaging.common.private_keys import read_keys
from messaging.gateways.secret_files import UnusableFile, read_secret_file
from runtime.settings import Settings
from temporal.codec import Codec

__all__ = ["application", "serve_codec"]

logger = logging.getLogger("drumbeat.codec")

LARGEST = 8 * 1024 * 1024
"""Bytes of a request: a page of a history, whose events have 2 MB each at most."""

SHORTEST = 16
COOKIE = "drumbeat-codec"
WEEK = 7 * 24 * 3600
PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Drumbeat: read private contents</title>
<style>:root {{ color-scheme: light dark }} body {{ font: 1rem/1.5 system-ui, sans-serif; max-width: 30rem; margin: 4rem auto; padding: 0 1rem }}</style>
<h1>Read private contents</h1><p>{words}</p>
<form method="post" action="/login"><label>Password <input name="password" type="password" autofocus autocomplete="current-password"></label>
<button>Log in</button></form></html>"""
FIRST = "Log in, and the Temporal Web UI shows in this browser what workflows contain, for a week."


def application(codec: Codec, password: str, origin: str) -> web.Application:
    """The paths. ``origin``: of the Web UI, whose pages alone may read answers."""
    server = web.Application(client_max_size=LARGEST)
    token = hmac.digest(password.encode(), b"drumbeat:codec-cookie", "sha256").hex()

    def known(request: web.Request) -> bool:
        given = request.headers.get("Authorization", "").removeprefix("Bearer ")
        return _same(given, password) or _same(request.cookies.get(COOKIE, ""), token)

    def allowing(answer: web.StreamResponse, request: web.Request) -> web.StreamResponse:
        answer.headers["Vary"] = "Origin"
        answer.headers["Cache-Control"] = "no-store"
        if request.headers.get("Origin") == origin:
            answer.headers["Access-Control-Allow-Origin"] = origin
            answer.headers["Access-Control-Allow-Credentials"] = "true"
            answer.headers["Access-Control-Allow-Headers"] = "authorization, content-type, x-namespace"
            answer.headers["Access-Control-Allow-Methods"] = "POST"
        return answer

    async def preflight(request: web.Request) -> web.StreamResponse:
        return allowing(web.Response(status=204), request)

    def refuse(request: web.Request, status: int, words: str) -> web.StreamResponse:
        logger.warning("refused %s from %s: %s", request.path, request.remote, words)
        return allowing(web.Response(status=status, text=f"{words}\n"), request)

    def each(
        work: Callable[[Codec, Payloads], Awaitable[Payloads]],
    ) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def handle(request: web.Request) -> web.StreamResponse:
            if request.headers.get("Origin", origin) != origin:
                return refuse(request, 403, "another page than the Web UI's")
            if not known(request):
                return refuse(request, 401, "log in: open the address of this server in the browser")
            try:
                payloads = ParseDict(_object(await request.read()), Payloads())
                answer = await work(codec, payloads)
            except (ParseError, ValueError, RecursionError):
                return refuse(request, 400, "no payloads in JSON")
            except InvalidInput as error:
                return refuse(request, 400, str(error))
            return allowing(
                web.Response(text=MessageToJson(answer), content_type="application/json"), request
            )

        return handle

    async def page(_: web.Request) -> web.StreamResponse:
        return _page(FIRST)

    async def login(request: web.Request) -> web.StreamResponse:
        given = (await request.post()).get("password")
        if not isinstance(given, str) or not _same(given, password):
            await asyncio.sleep(1)  # which makes trying slow
            logger.warning("refused a login from %s", request.remote)
            return _page("That is not the password. " + FIRST, status=401)
        answer = _page("You are logged in: reload the page of the Temporal Web UI.")
        # Pages of the same site may bring it along: the Web UI is there under another name or port. Others may not.
        secure = request.headers.get("X-Forwarded-Proto", request.scheme) == "https"
        answer.set_cookie(
            COOKIE, token, max_age=WEEK, httponly=True, samesite="Strict", secure=secure, path="/"
        )
        return answer

    server.router.add_get("/", page)
    server.router.add_post("/login", login)
    for path, work in (("/encode", _encode), ("/decode", _decode)):
        server.router.add_post(path, each(work))
        server.router.add_options(path, preflight)
    return server


async def serve_codec(
    settings: Settings, *, origin: str, password_file: Path, host: str, port: int, tell: Callable[[str], None]
) -> None:
    """Serves until SIGINT or SIGTERM. Raises InvalidInput, and Unavailable if the port cannot be used."""
    if settings.private_keys is None:
        raise InvalidInput(
            "there is nothing to decrypt with: set DRUMBEAT_PRIVATE_KEYS to the file of the private keys"
        )
    origin = _origin(origin)
    codec = Codec(read_keys(settings.private_keys))
    runner = web.AppRunner(
        application(codec, _password(password_file), origin), access_log=None, shutdown_timeout=5
    )
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError as error:
            raise Unavailable(
                f"{host} port {port} cannot be used: {error.strerror or error}; --port or --host names another"
            ) from None
        stop = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        tell(f"decrypting for {origin} at http://{host}:{port}")
        await stop.wait()
    finally:
        await runner.cleanup()


def _origin(text: str) -> str:
    parts = urlsplit(text)
    if (
        parts.scheme not in ("http", "https")
        or not re.fullmatch(r"[^/@?#\s]+", parts.netloc)
        or parts.path.strip("/")
        or parts.query
    ):
        raise InvalidInput(
            f"--origin {text}: give the address of the Web UI as in https://temporal.example.com"
        )
    return f"{parts.scheme}://{parts.netloc}".lower()


def _password(file: Path) -> str:
    try:
        password = read_secret_file(str(file))
    except UnusableFile as error:
        raise InvalidInput(f"--password-file {file}: it {error}") from None
    if len(password) < SHORTEST:
        raise InvalidInput(f"--password-file {file}: the password needs {SHORTEST} letters or more")
    return password


async def _encode(codec: Codec, payloads: Payloads) -> Payloads:
    return Payloads(payloads=await codec.encode(payloads.payloads))


async def _decode(codec: Codec, payloads: Payloads) -> Payloads:
    return Payloads(payloads=await codec.decode(payloads.payloads))


def _object(text: bytes) -> dict[str, Any]:
    found = json.loads(text)
    if not isinstance(found, dict):
        raise ValueError("no object")  # noqa: TRY004 - of the text, not of the code
    return found


def _same(given: str, wanted: str) -> bool:
    # Of digests, so that the time tells nothing of the length either.
    return hmac.compare_digest(
        sha256(given.encode(errors="surrogateescape")).digest(), sha256(wanted.encode()).digest()
    )


def _page(words: str, status: int = 200) -> web.Response:
    return web.Response(text=PAGE.format(words=escape(words)), status=status, content_type="text/html")
