"""TLS and API keys on the way to Temporal: what is wrong with them, in one sentence.

Temporal's SDK says of a connection that fails what its TLS library says, and tries again. So what can be checked without the
server is checked before, and a connection that has failed is tried once by Python's own library, whose reasons are definite.
"""

import asyncio
import os
import socket
import ssl
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import Any

from temporalio.service import TLSConfig

from messaging.common.errors import InvalidInput
from runtime.variables import find_unusable

__all__ = ["check_connection", "find_tls_problem", "variables"]

WITHIN = 3.0
"""Seconds for each thing that a diagnosis waits for."""

HELLO = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"
"""The beginning of a connection of HTTP/2, with no settings. With TLS 1.3, a server refuses a client's certificate only after it."""

WORDS = {
    "certificate has expired": "the server's certificate has expired",
    "certificate is not yet valid": "the server's certificate is not valid yet; is this machine's clock right?",
    "unable to get local issuer certificate": "the server's certificate is of an authority that is not known here:"
    " TEMPORAL_TLS_SERVER_CA_CERT_PATH names a file with its certificate",
}

REFUSED = "the server closes the connection when it sees the client certificate (TEMPORAL_TLS_CLIENT_CERT_PATH): is it the right one?"

ALERTS = {
    "CERTIFICATE_REQUIRED": "the server asks for a client certificate: set TEMPORAL_TLS_CLIENT_CERT_PATH and TEMPORAL_TLS_CLIENT_KEY_PATH",
    "ALERT_CERTIFICATE_EXPIRED": "the server refuses the client certificate (TEMPORAL_TLS_CLIENT_CERT_PATH), as it has expired",
    "ALERT_UNKNOWN_CA": "the server refuses the client certificate (TEMPORAL_TLS_CLIENT_CERT_PATH): it does not know its authority",
    "ALERT_BAD_CERTIFICATE": "the server refuses the client certificate (TEMPORAL_TLS_CLIENT_CERT_PATH)",
    "ALERT_CERTIFICATE_REVOKED": "the server refuses the client certificate (TEMPORAL_TLS_CLIENT_CERT_PATH), as it was revoked",
    "ALERT_CERTIFICATE_UNKNOWN": "the server refuses the client certificate (TEMPORAL_TLS_CLIENT_CERT_PATH)",
    "ALERT_UNRECOGNIZED_NAME": "the server has no such name: TEMPORAL_TLS_SERVER_NAME sets the one to ask for",
    "WRONG_VERSION_NUMBER": "the server does not speak TLS: unset TEMPORAL_API_KEY and TEMPORAL_TLS…, or name its address for TLS",
    "RECORD_LAYER_FAILURE": "the server does not speak TLS: unset TEMPORAL_API_KEY and TEMPORAL_TLS…, or name its address for TLS",
}
"""By a part of OpenSSL's reason."""


def variables() -> dict[str, str]:
    """The environment as Temporal's SDK is to read it: an empty variable counts as unset, as everywhere in Drumbeat.

    The SDK would turn TLS on for an empty TEMPORAL_TLS or TEMPORAL_API_KEY, and for every other word, such as 'off'. Raises
    InvalidInput for such a word.
    """
    if found := find_unusable(os.environ):
        raise InvalidInput(f"environment: {'; '.join(found)}")
    return {name: value.strip() for name, value in os.environ.items() if value.strip()}


def check_connection(config: Mapping[str, Any]) -> None:
    """Checks what connects to Temporal, as far as that needs no server. Raises InvalidInput."""
    tls = config.get("tls")
    if config.get("api_key") and tls is False:
        raise InvalidInput(
            "Temporal's API key (TEMPORAL_API_KEY) would be sent without encryption, as TEMPORAL_TLS is false: set it to true"
        )
    if isinstance(tls, TLSConfig):
        _context(tls)


def _context(tls: TLSConfig | None) -> ssl.SSLContext:
    """Python's equivalent. Raises InvalidInput if a certificate or key cannot be used."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(["h2"])
    if tls is None:
        return context
    if tls.server_root_ca_cert is not None:
        try:
            # Python takes an empty text for the authorities of the system.
            context = ssl.create_default_context(cadata=tls.server_root_ca_cert.decode("ascii") or "none")
            context.set_alpn_protocols(["h2"])
        except (ssl.SSLError, ValueError):
            raise InvalidInput(
                "TEMPORAL_TLS_SERVER_CA_CERT_PATH (or …_DATA): it holds no certificate in PEM"
            ) from None
    if (tls.client_cert is None) != (tls.client_private_key is None):
        given, missing = ("CERT", "KEY") if tls.client_cert is not None else ("KEY", "CERT")
        raise InvalidInput(
            f"TEMPORAL_TLS_CLIENT_{given}_PATH is set, but TEMPORAL_TLS_CLIENT_{missing}_PATH is not: a client certificate"
            " and its key belong together"
        )
    if tls.client_cert is not None and tls.client_private_key is not None:
        with ExitStack() as stack:
            paths = []
            for content in (tls.client_cert, tls.client_private_key):
                file = stack.enter_context(tempfile.NamedTemporaryFile())  # only its owner can read it
                file.write(content)
                file.flush()
                paths.append(file.name)
            try:
                context.load_cert_chain(paths[0], paths[1], password="")  # so that nobody is asked for one
            except (ssl.SSLError, ValueError) as error:
                if "KEY_VALUES_MISMATCH" in str(error):
                    why = "the key is not that of the certificate"
                else:
                    why = "one of them is no certificate, or no key without a password, in PEM"
                raise InvalidInput(
                    f"TEMPORAL_TLS_CLIENT_CERT_PATH and TEMPORAL_TLS_CLIENT_KEY_PATH (or …_DATA): {why}"
                ) from None
        expired_at = _expires_at(tls.client_cert)
        if expired_at is not None and expired_at <= datetime.now(UTC):
            raise InvalidInput(
                f"TEMPORAL_TLS_CLIENT_CERT_PATH (or …_DATA): the certificate has expired on {expired_at:%Y-%m-%d}"
            )
    return context


def _expires_at(certificate: bytes) -> datetime | None:
    """When the first certificate of a file in PEM ends to be valid (RFC 5280, 4.1); None if that cannot be read."""
    try:
        begin, end = (certificate.index(b"-----%s CERTIFICATE-----" % word) for word in (b"BEGIN", b"END"))
        body = certificate[begin : certificate.index(b"-----", end + 5) + 5]
        fields = _parts(_parts(_parts(ssl.PEM_cert_to_DER_cert(body.decode("ascii")))[0][1])[0][1])
        # [version], serial number, signature, issuer, validity; and of the validity, its end
        kind, ends = _parts(fields[4 if fields[0][0] == 0xA0 else 3][1])[1]
        year = "%y" if kind == 0x17 else "%Y"  # UTCTime, or GeneralizedTime
        return datetime.strptime(ends.decode("ascii"), f"{year}%m%d%H%M%SZ").replace(tzinfo=UTC)
    except (ValueError, IndexError):
        return None


def _parts(data: bytes) -> list[tuple[int, bytes]]:
    """Tag and contents of each value in a piece of DER."""
    parts, at = [], 0
    while at < len(data):
        tag, length, at = data[at], data[at + 1], at + 2
        if length & 0x80:
            size = length & 0x7F
            length, at = int.from_bytes(data[at : at + size], "big"), at + size
        parts.append((tag, data[at : at + length]))
        at += length
    return parts


async def find_tls_problem(address: str, config: Mapping[str, Any]) -> str | None:
    """What is wrong with TLS at this address, in a sentence; None if nothing is, or if the server cannot be reached."""
    tls = config.get("tls")
    wanted = bool(tls) or (tls is None and bool(config.get("api_key")))
    return await asyncio.to_thread(_try, address, tls if isinstance(tls, TLSConfig) else None, wanted)


def _try(address: str, tls: TLSConfig | None, wanted: bool) -> str | None:
    host, _, port = address.removeprefix("http://").removeprefix("https://").rpartition(":")
    name = (tls.domain if tls is not None else None) or host.strip("[]")
    context = _context(tls)
    if not wanted:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with (
            socket.create_connection((host.strip("[]"), int(port)), WITHIN) as plain,
            context.wrap_socket(plain, server_hostname=name) as connection,
        ):
            if not wanted:
                return "the server speaks TLS: set TEMPORAL_TLS=true, or TEMPORAL_TLS_SERVER_CA_CERT_PATH and so on"
            connection.sendall(HELLO)
            if connection.recv(1):
                return None
            # Some close the connection without a reason.
            return REFUSED if tls is not None and tls.client_cert else ALERTS["CERTIFICATE_REQUIRED"]
    except ssl.SSLCertVerificationError as error:
        return _of_certificate(error, name)
    except ssl.SSLError as error:
        reason = (error.reason or "").upper().replace(" ", "_")
        found = next((words for part, words in ALERTS.items() if part in reason), None)
        return found if wanted else None
    except (OSError, ValueError):
        return None


def _of_certificate(error: ssl.SSLCertVerificationError, name: str) -> str:
    said = error.verify_message
    if "mismatch" in said.lower() or "not valid for" in said.lower():
        return (
            f"the server's certificate is not for {name}: TEMPORAL_TLS_SERVER_NAME sets the name that it has, if that is"
            " the right server"
        )
    if "self-signed" in said or "self signed" in said:
        said = "unable to get local issuer certificate"
    return WORDS.get(said, f"the server's certificate cannot be trusted: {said}")
