"""TLS and API keys on the way to Temporal: each mistake is one line, at once, and nothing is sent in plain text."""

import asyncio
from pathlib import Path

import pytest

from messaging.common.errors import InvalidInput, Unavailable
from runtime.temporal_client import configured_address, connect
from tests.support.tls_server import AUTHORITY, certificate, client_settings, tls_server


async def refusal(monkeypatch: pytest.MonkeyPatch, address: str, **variables: str) -> str:
    """What a process with these variables says, at once."""
    monkeypatch.setenv("TEMPORAL_ADDRESS", address)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    clock = asyncio.get_running_loop().time
    began = clock()
    with pytest.raises((InvalidInput, Unavailable)) as refused:
        await connect(configured_address(), patience=60)
    assert clock() - began < 10
    for name in variables:
        monkeypatch.delenv(name)
    said = str(refused.value)
    assert "\n" not in said
    return said.removeprefix(f"Temporal at {address} cannot be used: ")


async def test_a_certificate_that_cannot_be_used_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    mine, authority = str(certificate("client")), {"TEMPORAL_TLS_SERVER_CA_CERT_PATH": str(AUTHORITY)}
    (tmp_path / "empty.pem").touch()
    empty, missing = str(tmp_path / "empty.pem"), str(tmp_path / "missing.pem")

    async def with_client(cert: str, key: str) -> str:
        return await refusal(
            monkeypatch,
            "127.0.0.1:1",
            **authority,
            TEMPORAL_TLS_CLIENT_CERT_PATH=cert,
            TEMPORAL_TLS_CLIENT_KEY_PATH=key,
        )

    pair = "TEMPORAL_TLS_CLIENT_CERT_PATH and TEMPORAL_TLS_CLIENT_KEY_PATH (or …_DATA): "
    assert (
        await with_client(mine, str(certificate("server"))) == f"{pair}the key is not that of the certificate"
    )
    assert (await with_client(str(AUTHORITY.parent / "authority.pem"), empty)).startswith(
        f"{pair}one of them is no"
    )
    assert (
        await with_client(mine, missing)
        == f"environment: TEMPORAL_TLS_CLIENT_KEY_PATH: {missing} cannot be read: no such file or directory"
    )
    expired = str(certificate("expired-client"))
    assert (
        await with_client(expired, expired)
        == "TEMPORAL_TLS_CLIENT_CERT_PATH (or …_DATA): the certificate has expired on 2021-01-01"
    )
    assert await with_client(mine, "") == (
        "TEMPORAL_TLS_CLIENT_CERT_PATH is set, but TEMPORAL_TLS_CLIENT_KEY_PATH is not: a client certificate and its key belong"
        " together"
    )
    assert (
        await refusal(monkeypatch, "127.0.0.1:1", TEMPORAL_TLS_SERVER_CA_CERT_PATH=empty)
        == "TEMPORAL_TLS_SERVER_CA_CERT_PATH (or …_DATA): it holds no certificate in PEM"
    )


async def test_why_two_do_not_come_together(monkeypatch: pytest.MonkeyPatch) -> None:
    async with (
        tls_server("server") as server,
        tls_server("expired-server") as expired,
        tls_server("elsewhere") as elsewhere,
    ):
        said = await refusal(monkeypatch, expired.address, **client_settings())
        assert said == "the server's certificate has expired"
        said = await refusal(monkeypatch, elsewhere.address, **client_settings())
        assert said.startswith("the server's certificate is not for 127.0.0.1: TEMPORAL_TLS_SERVER_NAME sets")
        without_authority = {**client_settings(), "TEMPORAL_TLS_SERVER_CA_CERT_PATH": ""}
        said = await refusal(monkeypatch, server.address, **without_authority)
        assert said.startswith("the server's certificate is of an authority that is not known here")
        said = await refusal(monkeypatch, server.address, TEMPORAL_TLS_SERVER_CA_CERT_PATH=str(AUTHORITY))
        assert said.startswith(
            "the server asks for a client certificate: set TEMPORAL_TLS_CLIENT_CERT_PATH and"
        )
        said = await refusal(monkeypatch, server.address)
        assert said.startswith("the server speaks TLS: set TEMPORAL_TLS=true")

    async def no_tls(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    plain = await asyncio.start_server(no_tls, "127.0.0.1", 0)
    async with plain:
        address = f"127.0.0.1:{plain.sockets[0].getsockname()[1]}"
        said = await refusal(monkeypatch, address, TEMPORAL_API_KEY="secret")  # which asks for TLS
        assert said.startswith("the server does not speak TLS: ")


async def test_a_key_is_never_sent_in_plain_text_and_words_mean_what_they_say(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for word in ("false", "0", "FALSE"):
        said = await refusal(monkeypatch, "127.0.0.1:1", TEMPORAL_API_KEY="secret", TEMPORAL_TLS=word)
        assert said == (
            "Temporal's API key (TEMPORAL_API_KEY) would be sent without encryption, as TEMPORAL_TLS is false: set it to true"
        )
    said = await refusal(monkeypatch, "127.0.0.1:1", TEMPORAL_TLS="off")
    assert said == "environment: TEMPORAL_TLS: it must be true or false, not 'off'"
    said = await refusal(monkeypatch, "127.0.0.1:1", TEMPORAL_TLS_DISABLE_HOST_VERIFICATION="true")
    assert said.startswith("environment: TEMPORAL_TLS_DISABLE_HOST_VERIFICATION: Drumbeat always checks")


def test_an_empty_variable_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    from runtime.temporal_client import _connection

    monkeypatch.setenv("TEMPORAL_ADDRESS", "127.0.0.1:7233")
    for name in (
        "TEMPORAL_TLS",
        "TEMPORAL_API_KEY",
        "TEMPORAL_TLS_CLIENT_CERT_PATH",
        "TEMPORAL_TLS_SERVER_NAME",
    ):
        monkeypatch.setenv(name, " ")
    assert _connection() == {"target_host": "127.0.0.1:7233"}
