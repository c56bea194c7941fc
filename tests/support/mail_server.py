"""A real SMTP server in this process: it keeps what it takes."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from tests.support.ports import free_port

__all__ = ["CERTIFICATE", "MailServer", "mail_server"]

CERTIFICATE = Path(__file__).parent / "smtp" / "certificate.pem"
"""Self-signed, for localhost, and used by nothing else; its key is beside it."""


class MailServer:
    """What it took, and what it answers to the next mails instead: ``answer`` to their data, ``recipients`` to their recipients."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.mails: list[EmailMessage] = []
        self.encrypted: list[bool] = []
        self.logins: list[tuple[str, str]] = []
        self.answer = ""
        self.unknown = ""

    async def handle_RCPT(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """A recipient."""
        del server, session, options
        if address == self.unknown:
            return "550 5.1.1 no such user"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        """A whole mail."""
        del server
        if self.answer:
            return self.answer
        content = envelope.content
        assert isinstance(content, bytes)
        mail = message_from_bytes(content, policy=policy.default)
        assert isinstance(mail, EmailMessage)
        self.mails.append(mail)
        self.encrypted.append(session.ssl is not None)
        return "250 2.0.0 queued as 1"


@asynccontextmanager
async def mail_server(*, password: str | None = None, tls: bool = False) -> AsyncIterator[MailServer]:
    """A server that speaks STARTTLS, or TLS from the beginning. With a password it wants the login ``me`` after STARTTLS."""
    server = MailServer(free_port())
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(CERTIFICATE, CERTIFICATE.with_name("key.pem"))

    def login(smtp: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any) -> AuthResult:
        del smtp, session, envelope, mechanism
        assert isinstance(data, LoginPassword)
        given = (data.login.decode(), data.password.decode())
        server.logins.append(given)
        return AuthResult(success=given == ("me", password), handled=False)

    def connection() -> SMTP:
        return SMTP(
            server,
            hostname="localhost",
            authenticator=login,
            auth_required=password is not None,
            tls_context=None if tls else context,
            loop=asyncio.get_running_loop(),
        )

    listening = await asyncio.get_running_loop().create_server(
        connection, "127.0.0.1", server.port, ssl=context if tls else None
    )
    try:
        yield server
    finally:
        listening.close()
        await listening.wait_closed()
