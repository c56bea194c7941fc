"""The common part of all gateways' device options, and the handling of credentials.

A credential is never an option itself: options are stored in the database and may be shown. The option names the
environment variable or the file that has it, and it is read again for each request, so that a new token is used at
once.
"""

import os
import re
from collections.abc import Container, Mapping
from contextlib import suppress
from typing import Annotated, Any, ClassVar, TypeVar
from urllib.parse import quote, urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, ValidationError

from messaging.common.errors import InvalidInput
from messaging.gateways.base import DeviceUnfit
from messaging.gateways.secret_files import UnusableFile, read_secret_file
from messaging.gateways.well_known_secrets import is_well_known

__all__ = [
    "Address",
    "Flag",
    "Options",
    "check_credentials",
    "header_secret",
    "named",
    "read_options",
    "redacted",
    "secret",
    "secrets_of",
]

ENVIRONMENT, FILE = "_env", "_file"


def _address(url: str) -> str:
    parts = urlsplit(url)
    try:
        usable = parts.scheme in ("http", "https") and parts.hostname and (parts.port is None or parts.port)
    except ValueError:
        usable = False
    if not usable or parts.query or parts.fragment or any(character.isspace() for character in url):
        raise ValueError(f"{url!r} is not an address like http://127.0.0.1:8055")
    if parts.username or parts.password:
        raise ValueError("an address holds no credentials: give them as options of their own")
    return url.rstrip("/")


Address = Annotated[str, AfterValidator(_address)]
"""The address of a gateway, without a slash at the end."""


def _flag(value: Any) -> bool:
    word = str(value).strip().lower()
    if word not in ("true", "false"):
        raise ValueError(f"{value!r} is neither true nor false")
    return word == "true"


Flag = Annotated[bool, BeforeValidator(_flag)]
"""``true`` or ``false``."""


class Options(BaseModel):
    """Base of a gateway's options for one device. A field ``token_env`` with a field ``token_file`` makes a
    credential.
    """

    needs: ClassVar[tuple[str, ...]] = ()
    """Credentials that sending needs."""
    proofs: ClassVar[Mapping[str, str]] = {}
    """Credentials by which webhooks are verified, and how to get each one."""

    model_config = ConfigDict(frozen=True, extra="forbid")


Chosen = TypeVar("Chosen", bound=Options)


def read_options(gateway: str, model: type[Chosen], options: Mapping[str, Any]) -> Chosen:
    """The options, understood. Raises InvalidInput with one line that says what is wrong and never shows a value
    that may be a credential."""
    for name in sorted(options):
        if name not in model.model_fields and f"{name}{ENVIRONMENT}" in model.model_fields:
            raise InvalidInput(
                f"gateway option {name}: credentials are not stored; name where the worker finds it, by"
                f" {name}{ENVIRONMENT}=VARIABLE or {name}{FILE}=PATH"
            )
    try:
        understood = model.model_validate(dict(options))
    except ValidationError as invalid:
        problem = invalid.errors(include_url=False)[0]
        where = ".".join(str(part) for part in problem["loc"])
        what = problem["msg"].removeprefix("Value error, ")
        if problem["type"] == "extra_forbidden":
            what = f"unknown option; the gateway {gateway} knows {', '.join(model.model_fields)}"
        if problem["type"] == "missing":
            what = "is missing"
        raise InvalidInput(f"gateway option {where}: {what}") from None
    for name in _credentials(model):
        given = [suffix for suffix in (ENVIRONMENT, FILE) if getattr(understood, f"{name}{suffix}")]
        if len(given) == 2:
            raise InvalidInput(
                f"gateway option {name}{ENVIRONMENT}: stands beside {name}{FILE}, give one of the two"
            )
        if not given and name in model.needs:
            raise InvalidInput(
                f"gateway option {name}{ENVIRONMENT}: is missing; name where the worker finds the {name}, by"
                f" {name}{ENVIRONMENT}=VARIABLE or {name}{FILE}=PATH"
            )
    return understood


def check_credentials(options: Options, given: Container[str]) -> tuple[str, ...]:
    """Checks the credentials whose options are ``given``, as far as they can be read where this runs, which may be another
    machine than the worker's. Answers a sentence for each one that is missing here.

    Raises InvalidInput if webhooks could be forged: the credential that verifies them is empty or well known.
    """
    missing = []
    for name in _credentials(type(options)):
        variable, path = getattr(options, f"{name}{ENVIRONMENT}"), getattr(options, f"{name}{FILE}")
        option = f"{name}{ENVIRONMENT}" if variable else f"{name}{FILE}"
        if option not in given or not (variable or path):
            continue
        where = f"the variable {variable}" if variable else f"the file {path}"
        try:
            value = os.environ.get(variable) if variable else read_secret_file(path)
        except UnusableFile as unusable:
            missing.append(f"{option}: here, the file {path} {unusable}; the worker needs it")
            continue
        if value is None:
            missing.append(
                f"{option}: there is no variable {variable} here; the worker's environment needs it"
            )
        elif name in options.proofs and (not value.strip() or is_well_known(value)):
            why = "holds a word that everybody knows" if value.strip() else "is empty"
            raise InvalidInput(
                f"gateway option {option}: {where} {why}, so that strangers could forge webhooks; {options.proofs[name]}"
            )
        elif not value.strip():
            missing.append(f"{option}: {where} is empty here; the worker needs the {name} in it")
    return tuple(missing)


def named(options: Options, name: str) -> bool:
    """True if the options say where the credential of that name is."""
    return bool(getattr(options, f"{name}{ENVIRONMENT}") or getattr(options, f"{name}{FILE}"))


def secret(options: Options, name: str) -> str | None:
    """The present credential of that name, from the environment or a file; None if the options name none.

    Raises DeviceUnfit if it does not exist.
    """
    variable, path = getattr(options, f"{name}{ENVIRONMENT}"), getattr(options, f"{name}{FILE}")
    if variable:
        value = os.environ.get(variable, "").strip()
        if not value:
            raise DeviceUnfit(
                f"the worker's environment has no {variable}, which is to hold the device's {name}"
            )
        return value
    if path:
        try:
            value = read_secret_file(path)
        except UnusableFile as unusable:
            raise DeviceUnfit(f"the file {path} with the device's {name} {unusable}") from None
        if not value:
            raise DeviceUnfit(f"the file {path} is empty, and is to hold the device's {name}")
        return value
    return None


def header_secret(options: Options, name: str) -> str:
    """The credential of that name, one word of plain letters, as a header can carry it. Raises DeviceUnfit."""
    word = secret(options, name) or ""
    if not re.fullmatch(r"[!-~]+", word):
        # aiohttp would refuse such a header with an error of its own.
        raise DeviceUnfit(
            f"the device's {name} is not one word of plain letters; check where it is read from"
        )
    return word


def secrets_of(options: Options) -> tuple[str, ...]:
    """All credentials that can be read at present: they must not appear in any text."""
    found: list[str] = []
    for name in _credentials(type(options)):
        with suppress(DeviceUnfit):
            found.append(secret(options, name) or "")
    return tuple(filter(None, found))


def redacted(text: str, *credentials: str) -> str:
    """A gateway's text without credentials that it may repeat. Call it before a text is cut, which could leave half of
    one.
    """
    forms = {form for credential in credentials for form in (credential, quote(credential, safe=""))}
    for form in sorted(forms - {""}, key=len, reverse=True):
        text = text.replace(form, "***")
    return text


def _credentials(model: type[Options]) -> list[str]:
    return [name.removesuffix(ENVIRONMENT) for name in model.model_fields if name.endswith(ENVIRONMENT)]
