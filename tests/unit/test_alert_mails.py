"""Alerts by mail, handed over to a real SMTP server."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from messaging.common.errors import InvalidInput
from messaging.outbox.events import Event
from messaging.outbox.mail import deliver_mail, mail_of
from messaging.outbox.options import EmailOptions, read_options
from tests.support.mail_server import CERTIFICATE, mail_server


def options(port: int, **more: Any) -> EmailOptions:
    given = {
        "to": ["ops@example.com", "boss@example.com"],
        "sender": "drumbeat@example.com",
        "host": "localhost",
        "port": port,
    }
    understood = read_options("email", {**given, "security": "starttls", **more})
    assert isinstance(understood, EmailOptions)
    return understood


def alert(title: str = "1,204 messages are unconfirmed on kl-1 since 2035-11-23 14:03:00 UTC") -> Event:
    data = {
        "state": "open",
        "title": title,
        "detail": "+12015550123: näher weiß es niemand",
        "since": "2035-11-23T14:03:00Z",
        "count": 1204,
        "waiting": 3,
        "remedy": "messages --status unconfirmed lists them",
    }
    return Event(id=uuid4(), type="alert.message_unconfirmed", happened_at=datetime.now(UTC), data=data)


@pytest.fixture
def trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))


@pytest.fixture
def password(tmp_path: Path) -> Path:
    path = tmp_path / "password"
    path.write_text("horse battery\n")
    path.chmod(0o600)
    return path


@pytest.mark.usefixtures("trusted")
@pytest.mark.parametrize("security", ["starttls", "tls"])
async def test_a_mail_says_what_has_happened_and_what_to_do(security: str, password: Path) -> None:
    starts = security == "starttls"
    async with mail_server(password="horse battery" if starts else None, tls=not starts) as server:
        event = alert()
        login = {"username": "me", "password": {"file": str(password)}} if starts else {}
        outcome = await deliver_mail(options(server.port, security=security, **login), event)
        assert outcome.taken, outcome
        assert outcome.text == "it answered: 2.0.0 queued as 1"
        (mail,) = server.mails
        assert server.encrypted == [starts], "else it is below SMTP"
        assert server.logins == [("me", "horse battery")] * starts
        assert (
            mail["Subject"]
            == "Drumbeat: 1,204 messages are unconfirmed on kl-1 since 2035-11-23 14:03:00 UTC"
        )
        assert (mail["From"], mail["To"]) == (
            "Drumbeat <drumbeat@example.com>",
            "ops@example.com, boss@example.com",
        )
        assert mail["Message-ID"] == f"<{event.id}@example.com>", "the same in each try"
        assert mail["Auto-Submitted"] == "auto-generated"
        assert mail.get_content_type() == "text/plain"
        text = mail.get_content()
        for words in (
            "näher weiß es niemand",
            "Reported 1,204 times",
            "3 messages wait",
            "What to do: messages --status",
        ):
            assert words in text
        if not starts:
            return
        password.write_text("wrong")
        outcome = await deliver_mail(options(server.port, security=security, **login), event)
        assert (outcome.taken, outcome.refused) == (False, False)
        assert "535" in outcome.words
        assert "wrong" not in outcome.words


@pytest.mark.usefixtures("trusted")
async def test_what_the_server_answers_is_told_apart() -> None:
    async with mail_server() as server:
        mails = options(server.port)
        server.unknown = "boss@example.com"
        outcome = await deliver_mail(mails, alert())
        assert (outcome.taken, outcome.text) == (
            True,
            "it took the mail, but not for all: boss@example.com: 550 5.1.1 no such user",
        )
        outcome = await deliver_mail(mails.model_copy(update={"to": ("boss@example.com",)}), alert())
        assert (outcome.taken, outcome.refused) == (False, False)
        assert "boss@example.com: 550 5.1.1 no such user" in outcome.text
        server.answer = "554 5.7.1 looks like spam"
        outcome = await deliver_mail(mails, alert())
        assert (outcome.taken, outcome.refused) == (False, True)
        server.answer = "451 4.3.0 later"
        outcome = await deliver_mail(mails, alert())
        assert (outcome.taken, outcome.refused, outcome.text) == (
            False,
            False,
            "it answered 451: 4.3.0 later",
        )
    outcome = await deliver_mail(mails, alert())
    assert (outcome.taken, outcome.answered) == (False, False)
    assert outcome.words == "it refuses connections; check that it runs, and its address"


async def test_a_server_that_cannot_prove_who_it_is_gets_nothing() -> None:
    async with mail_server() as server:
        outcome = await deliver_mail(options(server.port), alert())
        assert (outcome.taken, outcome.answered) == (False, False)
        assert "certificate" in outcome.words
        assert server.mails == []


def test_a_title_cannot_add_headers() -> None:
    mail = mail_of(options(25), alert("kl-1\r\nBcc: everybody@example.com\x00"))
    assert mail["Bcc"] is None
    assert "\n" not in mail["Subject"]


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"to": ["ops"]}, "'ops' is not a mail address"),
        ({"to": ["Ops <ops@example.com>"]}, "is not a mail address"),
        ({"to": ["ops@example.com\nBcc: x@example.com"]}, "is not a mail address"),
        ({"username": "me"}, "a login needs both"),
        (
            {"username": "me", "password": {"env": "X"}, "security": "none"},
            "does not go over a connection without TLS",
        ),
        ({"host": "smtp example"}, "is no SMTP server"),
        ({"username": "me", "password": {"env": "X", "file": "/x"}}, "and not both"),
    ],
)
def test_what_cannot_be_used_is_refused_in_one_line(wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidInput, match=words) as caught:
        options(25, **wrong)
    assert "\n" not in str(caught.value)
