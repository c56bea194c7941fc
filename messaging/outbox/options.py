"""Where a receiver is, and where the worker finds the credential for it. Credentials are never stored."""

import os
import re
from email.utils import parseaddr
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError, model_validator

from messaging.common.errors import InvalidInput
from messaging.gateways.secret_files import UnusableFile, read_secret_file

__all__ = ["Credential", "EmailOptions", "Options", "Unfit", "WebhookOptions", "read_options"]

LONGEST_URL = 2000


class Unfit(Exception):
    """Something of the receiver's that an operator has to mend: the credential cannot be read, for example."""


def _url(url: str) -> str:
    parts = urlsplit(url)
    try:
        usable = parts.scheme in ("http", "https") and parts.hostname and (parts.port is None or parts.port)
    except ValueError:
        usable = False
    if (
        not usable
        or parts.fragment
        or len(url) > LONGEST_URL
        or re.search(r"[\s\x00-\x1f\x7f]", url) is not None
    ):
        raise ValueError(f"{url!r} is not an address like https://example.com/drumbeat")
    if parts.username or parts.password:
        raise ValueError("an address holds no credentials: a webhook is signed instead")
    return url


def _mailbox(text: str) -> str:
    name, address = parseaddr(text)
    if name or address != text.strip() or not re.fullmatch(r"[!-?A-~]+@[!-?A-~]+", address):
        raise ValueError(f"{text!r} is not a mail address like ops@example.com")
    return address


Mailbox = Annotated[str, AfterValidator(_mailbox)]


class Credential(BaseModel):
    """The variable of the worker's environment, or the file, that holds a credential."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    env: str | None = None
    file: str | None = None

    @model_validator(mode="after")
    def _one(self) -> "Credential":
        if (self.env is None) == (self.file is None):
            raise ValueError("name where the worker finds it: a variable, or a file, and not both")
        return self

    def read(self) -> str:
        """The present credential, read anew each time. Raises Unfit."""
        if self.env is not None:
            value = os.environ.get(self.env, "").strip()
            if not value:
                raise Unfit(f"the worker's environment has no {self.env}")
            return value
        assert self.file is not None
        try:
            value = read_secret_file(self.file)
        except UnusableFile as unusable:
            raise Unfit(f"the file {self.file} {unusable}") from None
        if not value:
            raise Unfit(f"the file {self.file} is empty")
        return value


class WebhookOptions(BaseModel):
    """A webhook: its address, and the secret that it is signed with."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: Annotated[str, AfterValidator(_url)]
    secret: Credential

    @property
    def address(self) -> str:
        """For lists. A query may hold a credential."""
        parts = urlsplit(self.url)
        return parts._replace(query="…" if parts.query else "").geturl()


class EmailOptions(BaseModel):
    """Mailboxes, and the SMTP server that takes mail for them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    to: tuple[Mailbox, ...]
    sender: Mailbox
    host: str
    port: int
    security: Literal["starttls", "tls", "none"]
    username: str | None = None
    password: Credential | None = None

    @model_validator(mode="after")
    def _login(self) -> "EmailOptions":
        if (self.username is None) != (self.password is None):
            raise ValueError("a login needs both: --user, and --password-file or --password-env")
        if self.password is not None and self.security == "none":
            raise ValueError(
                "a password does not go over a connection without TLS: use --tls starttls or tls"
            )
        if not self.to:
            raise ValueError("name at least one mail address")
        if not re.fullmatch(r"[A-Za-z0-9.:_-]+", self.host) or not 1 <= self.port <= 65535:
            raise ValueError(f"{self.host}:{self.port} is no SMTP server like smtp.example.com:587")
        return self

    @property
    def address(self) -> str:
        """For lists."""
        return f"{', '.join(self.to)} by {self.host}:{self.port}"


Options = WebhookOptions | EmailOptions


def read_options(channel: str, options: dict[str, Any]) -> Options:
    """The options of a receiver, checked. Raises InvalidInput with one line."""
    model: type[WebhookOptions | EmailOptions] = WebhookOptions if channel == "webhook" else EmailOptions
    try:
        return model.model_validate(options)
    except ValidationError as invalid:
        problem = invalid.errors(include_url=False)[0]
        where = ".".join(str(part) for part in problem["loc"])
        what = problem["msg"].removeprefix("Value error, ")
        raise InvalidInput(f"{channel}{f' {where}' if where else ''}: {what}") from None
