"""The codec server, over HTTP."""

import io
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import ClientSession, CookieJar
from aiohttp.test_utils import TestServer
from google.protobuf.json_format import MessageToJson, Parse
from temporalio.api.common.v1 import Payload, Payloads

from messaging.common.private_keys import new_keys, read_keys
from operations.codec_server import LARGEST, application
from temporal.codec import Codec

UI, PASSWORD = "https://ui.example.com", "correct-horse-battery"
BEARER = {"Authorization": f"Bearer {PASSWORD}"}


@pytest.fixture
def codec(tmp_path: Path) -> Codec:
    new_keys(tmp_path / "keys")
    return Codec(read_keys(tmp_path / "keys"))


@pytest.fixture
async def server(codec: Codec) -> AsyncIterator[str]:
    async with TestServer(application(codec, PASSWORD, UI)) as running:
        yield str(running.make_url("/")).rstrip("/")


async def sealed(codec: Codec) -> str:
    return MessageToJson(Payloads(payloads=await codec.encode([Payload(data=b"Ada")])))


async def test_it_decrypts_for_the_web_ui_after_a_login(codec: Codec, server: str) -> None:
    body = await sealed(codec)
    async with ClientSession(cookie_jar=CookieJar(unsafe=True)) as session:
        async with session.post(f"{server}/decode", data=body, headers={"Origin": UI}) as answer:
            assert answer.status == 401
            assert "log in" in await answer.text()
        async with session.post(f"{server}/login", data={"password": "wrong"}) as answer:
            assert answer.status == 401
            assert not answer.cookies
        async with session.post(f"{server}/login", data={"password": PASSWORD}) as answer:
            cookie = answer.cookies["drumbeat-codec"]
            assert (answer.status, cookie["samesite"], cookie["httponly"]) == (200, "Strict", True)
            assert PASSWORD not in cookie.value
        async with session.post(f"{server}/decode", data=body, headers={"Origin": UI}) as answer:
            assert answer.headers["Access-Control-Allow-Origin"] == UI
            assert answer.headers["Access-Control-Allow-Credentials"] == "true"
            assert Parse(await answer.text(), Payloads()).payloads[0].data == b"Ada"


async def test_programs_bring_the_password_and_can_encrypt(codec: Codec, server: str) -> None:
    async with ClientSession(headers=BEARER) as session:
        plain = MessageToJson(Payloads(payloads=[Payload(data=b"Ada")]))
        async with session.post(f"{server}/encode", data=plain) as answer:
            hidden = Parse(await answer.text(), Payloads())
        assert hidden.payloads[0].metadata["encoding"] == b"binary/encrypted"
        assert (await codec.decode(hidden.payloads))[0].data == b"Ada"


async def test_no_other_page_gets_an_answer(codec: Codec, server: str) -> None:
    async with ClientSession(headers=BEARER) as session:
        other = {"Origin": "https://evil.example.com"}
        async with session.post(f"{server}/decode", data=await sealed(codec), headers=other) as answer:
            assert answer.status == 403
            assert "Access-Control-Allow-Origin" not in answer.headers
        for origin, allowed in ((UI, UI), (other["Origin"], None)):
            async with session.options(f"{server}/decode", headers={"Origin": origin}) as answer:
                assert answer.headers.get("Access-Control-Allow-Origin") == allowed


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"\xff", b'{"payloads": 3}', b"[" * 100_000])
async def test_what_is_no_payload_is_refused(server: str, body: bytes) -> None:
    async with (
        ClientSession(headers=BEARER) as session,
        session.post(f"{server}/decode", data=body) as answer,
    ):
        assert answer.status == 400, await answer.text()


async def test_what_is_too_large_or_not_ours_is_refused(codec: Codec, server: str, tmp_path: Path) -> None:
    new_keys(tmp_path / "other")
    async with ClientSession(headers=BEARER) as session:
        async with session.post(f"{server}/decode", data=io.BytesIO(b" " * (LARGEST + 1))) as answer:
            assert answer.status == 413
        foreign = await sealed(Codec(read_keys(tmp_path / "other")))
        async with session.post(f"{server}/decode", data=foreign) as answer:
            assert answer.status == 400
            assert "does not have" in await answer.text()
