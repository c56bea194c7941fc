"""TLS before a server that has none: its clients must show a certificate of the test authority.

The certificates beside this module are for loopback and for nobody else. They were made with OpenSSL; those that have not expired are valid
until 2120.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["AUTHORITY", "TLSServer", "certificate", "client_settings", "tls_server"]

FOLDER = Path(__file__).parent / "temporal_tls"

AUTHORITY = FOLDER / "authority.pem"


def certificate(name: str) -> Path:
    """A file with a certificate and its key."""
    return FOLDER / f"{name}.pem"


def client_settings(name: str = "client") -> dict[str, str]:
    """What a client of the server needs in its environment, but for the address."""
    path = str(certificate(name))
    return {
        "TEMPORAL_TLS_SERVER_CA_CERT_PATH": str(AUTHORITY),
        "TEMPORAL_TLS_CLIENT_CERT_PATH": path,
        "TEMPORAL_TLS_CLIENT_KEY_PATH": path,
    }


@dataclass
class TLSServer:
    """One that listens. ``received``: all that clients have sent, without the encryption."""

    address: str
    received: bytearray = field(default_factory=bytearray)


@asynccontextmanager
async def tls_server(
    name: str, upstream: str | None = None, *, asks_for_certificates: bool = True
) -> AsyncIterator[TLSServer]:
    """Listens with this certificate, and passes on to ``upstream``; without that, it closes each connection."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate(name))
    context.set_alpn_protocols(["h2"])  # gRPC asks for it
    if asks_for_certificates:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(AUTHORITY)
    found = TLSServer("")
    running: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        running.add(task)
        with suppress(OSError, ssl.SSLError, asyncio.CancelledError):
            if upstream is not None:
                host, _, port = upstream.rpartition(":")
                to_reader, to_writer = await asyncio.open_connection(host, int(port))
                await asyncio.gather(
                    _pass_on(reader, to_writer, found.received), _pass_on(to_reader, writer, bytearray())
                )
        writer.close()
        running.discard(task)

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    found.address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield found
    finally:
        server.close()
        for task in list(running):
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, kept: bytearray) -> None:
    try:
        while some := await reader.read(65536):
            kept += some
            writer.write(some)
            await writer.drain()
    finally:
        writer.close()
