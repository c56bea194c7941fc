"""Settings from the environment. Temporal's own settings, ``TEMPORAL_*``, are read by its SDK."""

import os
import re
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, ValidationError, ValidationInfo, field_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, SettingsConfigDict

from messaging.common.errors import InvalidInput
from messaging.common.keywords import DEFAULT_KEYWORDS, Keywords, parse_keywords
from messaging.common.private_keys import read_keys
from messaging.common.roles import parse_roles
from messaging.events.acting import named
from messaging.gateways.networks import parse_networks
from messaging.gateways.secret_files import SETTING, parse_directories
from messaging.privacy.keep import Keep
from messaging.times.durations import parse_duration
from runtime.database_url import secured
from runtime.variables import PREFIX, find_misspelled, find_unusable

__all__ = ["CHECKOUT", "Ports", "Settings", "load_settings", "variable_of"]

CHECKOUT = Path(__file__).parent.parent

DEPLOYMENT_NAME = re.compile(r"[A-Za-z0-9_-]{1,63}")
BUILD_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,62}")
"""Temporal joins the two by a colon or a dot, and keeps names that begin with ``__`` for itself."""


class Ports(BaseSettings):
    """Loopback ports of the embedded servers. A port that is set by hand is fixed; others change if they are taken."""

    model_config = SettingsConfigDict(env_prefix="DRUMBEAT_", env_ignore_empty=True, frozen=True)

    temporal_port: int = Field(7233, ge=1, le=65535)
    """The embedded Temporal's port. If it is set by hand and taken, that is an error; otherwise another one is used."""
    ui_port: int = Field(8233, ge=1, le=65535)
    """The same for the Temporal Web UI."""
    postgres_port: int = Field(55432, ge=1, le=65535)
    """The same for PostgreSQL."""
    simulator_port: int = Field(8055, ge=1, le=65535)
    """The same for the simulated gateway."""


class Settings(BaseSettings):
    """Where Drumbeat's servers are, and how its worker runs."""

    # Fields may be given by name; but then the environment is searched for that name too, for HOME without the prefix.
    model_config = SettingsConfigDict(
        env_prefix="DRUMBEAT_",
        frozen=True,
        env_ignore_empty=True,
        populate_by_name=True,
        str_strip_whitespace=True,
    )

    database_url: str | None = Field(None, validation_alias="DATABASE_URL")
    """PostgreSQL. If neither this nor Temporal's address is set, the embedded servers are used. A server that is not on this
    machine has to prove who it is by TLS, unless ``sslmode`` says otherwise (docs/production.md).
    """
    home: Path = Field(CHECKOUT / ".drumbeat", validation_alias="DRUMBEAT_HOME")
    """Data and logs of the embedded servers."""
    task_queue: str = Field("drumbeat", min_length=1, validation_alias="DRUMBEAT_TASK_QUEUE")
    """The task queue in Temporal that workers poll; those of the roles ``sends`` and ``housekeeping`` begin with this name."""
    roles: str = Field("", validation_alias="DRUMBEAT_ROLES")
    """What a worker takes on, separated by commas: ``workflows``, ``sends``, ``housekeeping``; unset: everything."""
    simulator_url: str | None = Field(None, validation_alias="DRUMBEAT_SIMULATOR_URL")
    """The simulated gateway, if the servers are not the embedded ones."""
    pool_size: int = Field(20, ge=1, le=1000, validation_alias="DRUMBEAT_POOL_SIZE")
    """The most connections to PostgreSQL of one process."""
    patience: int = Field(20, ge=1, le=3600, validation_alias="DRUMBEAT_PATIENCE")
    """Seconds to keep trying servers that do not answer yet."""
    webhooks_port: int | None = Field(None, ge=1, le=65535, validation_alias="DRUMBEAT_WEBHOOKS_PORT")
    """The port on which the worker listens for webhooks; unset: none."""
    webhooks_host: str = Field("127.0.0.1", validation_alias="DRUMBEAT_WEBHOOKS_HOST")
    """The address on which it does; ``0.0.0.0`` for all of the machine's."""
    metrics_port: int | None = Field(None, ge=1, le=65535, validation_alias="DRUMBEAT_METRICS_PORT")
    """The port on which the worker answers ``/metrics``, ``/live`` and ``/ready``; unset: none."""
    metrics_host: str = Field("127.0.0.1", validation_alias="DRUMBEAT_METRICS_HOST")
    """The address on which it does."""
    log_format: Literal["text", "json"] = Field("text", validation_alias="DRUMBEAT_LOG_FORMAT")
    """How the worker logs."""
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", validation_alias="DRUMBEAT_LOG_LEVEL"
    )
    """The least severe lines that it logs."""
    stop_keywords: str = Field("", validation_alias="DRUMBEAT_STOP_KEYWORDS")
    """Comma-separated words that opt out a recipient who answers one; unset: the usual words of many languages."""
    start_keywords: str = Field("", validation_alias="DRUMBEAT_START_KEYWORDS")
    """Words that take such an opt-out back."""
    opt_out_confirmation: str = Field("", validation_alias="DRUMBEAT_OPT_OUT_CONFIRMATION")
    """The text, in Liquid, that goes out once after an opt-out by keyword; unset: none."""
    image_networks: str = Field("", validation_alias="DRUMBEAT_IMAGE_NETWORKS")
    """Comma-separated private networks, e.g. ``10.1.2.0/24``, from which images may be fetched."""
    secrets_dirs: str = Field("", validation_alias=SETTING)
    """Colon-separated directories; no credential is read from a file outside of them. Read in
    messaging.gateways.secret_files.
    """
    private_keys: Path | None = Field(None, validation_alias="DRUMBEAT_PRIVATE_KEYS")
    """The file of private keys, made by ``starter.py key new FILE``: Temporal sees no phone, name or text; unset: it does."""
    act_as: str = Field("", validation_alias="DRUMBEAT_AS")
    """Who acts, in the list of events; unset: the user of the command line, or the program of a service."""
    alert_gather: str = Field("10m", validation_alias="DRUMBEAT_ALERT_GATHER")
    """How long further reports of the same alert are gathered into one, e.g. ``10m``."""
    keep_texts: str = Field("", validation_alias="DRUMBEAT_KEEP_TEXTS")
    """How long texts and images of messages are kept after they were settled, e.g. ``180d``; unset: for ever."""
    keep_inbound: str = Field("", validation_alias="DRUMBEAT_KEEP_INBOUND")
    """The same for what people wrote."""
    keep_events: str = Field("", validation_alias="DRUMBEAT_KEEP_EVENTS")
    """The same for the list of events: who did what."""
    deployment_name: str = Field("drumbeat", validation_alias="DRUMBEAT_DEPLOYMENT_NAME")
    """The name of the Worker Deployment in Temporal, if DRUMBEAT_BUILD_ID is set."""
    build_id: str = Field("", validation_alias="DRUMBEAT_BUILD_ID")
    """The version of this worker's code, for Temporal's Worker Versioning; ``auto``: of the code itself. Unset: none, and
    every worker takes all work.
    """
    ports: Ports = Field(default_factory=Ports)

    @field_validator("database_url")
    @classmethod
    def _postgresql(cls, url: str | None) -> str | None:
        if url is not None and not url.startswith(("postgresql://", "postgres://")):
            raise ValueError("it must begin with postgresql://")
        try:
            urlsplit(url or "").port  # noqa: B018 - reading it is the check
        except ValueError as error:
            if "out of range" in str(error):
                raise ValueError("its port must be from 1 to 65535") from None
            # Python's own message may quote a part of the password.
            raise ValueError(
                "it is not a URL; in a password, write : / ? # [ ] @ % as %3A and so on"
            ) from None
        return url and secured(url)

    @field_validator("simulator_url")
    @classmethod
    def _http(cls, url: str | None) -> str | None:
        if url is not None and not url.startswith(("http://", "https://")):
            raise ValueError("it must begin with http:// or https://")
        try:
            named = url is None or (urlsplit(url).hostname and urlsplit(url).port != 0)
        except ValueError:
            named = False
        if not named:
            raise ValueError("it must be http://HOST:PORT")
        return url

    @field_validator("task_queue")
    @classmethod
    def _one_word(cls, name: str) -> str:
        if re.search(r"\s", name) or not name.isprintable():
            raise ValueError("it must be one word, without blanks")
        return name

    @field_validator("log_format", "log_level", mode="before")
    @classmethod
    def _in_small_letters(cls, word: Any) -> Any:
        return word.lower() if isinstance(word, str) else word

    @field_validator("image_networks")
    @classmethod
    def _networks(cls, networks: str) -> str:
        parse_networks(networks)
        return networks

    @field_validator("secrets_dirs")
    @classmethod
    def _directories(cls, directories: str) -> str:
        for directory in parse_directories(directories):
            if not directory.is_dir():
                raise ValueError(f"there is no directory {directory}")
        return directories

    @field_validator("roles")
    @classmethod
    def _roles(cls, roles: str) -> str:
        try:
            parse_roles(roles)
        except InvalidInput as error:
            raise ValueError(str(error)) from None
        return roles

    @field_validator("private_keys")
    @classmethod
    def _private_keys(cls, file: Path | None) -> Path | None:
        try:
            if file is not None:
                read_keys(file)
        except InvalidInput as error:
            raise ValueError(str(error)) from None
        return file

    @field_validator("act_as")
    @classmethod
    def _name(cls, name: str) -> str:
        try:
            return named(name, "").name if name else name
        except InvalidInput as error:
            raise ValueError(str(error)) from None

    @field_validator("deployment_name")
    @classmethod
    def _deployment(cls, name: str) -> str:
        if not DEPLOYMENT_NAME.fullmatch(name):
            raise ValueError("it must be 1 to 63 letters, digits, - or _")
        return name

    @field_validator("build_id")
    @classmethod
    def _build(cls, build: str) -> str:
        if build and not BUILD_ID.fullmatch(build):
            raise ValueError(
                "it must be 1 to 63 letters, digits, ., +, - or _, and begin with a letter or digit"
            )
        return build

    @field_validator("alert_gather")
    @classmethod
    def _gather(cls, text: str) -> str:
        try:
            gather = parse_duration(text)
        except InvalidInput as error:
            raise ValueError(str(error)) from None
        if not timedelta(seconds=1) <= gather <= timedelta(days=1):
            raise ValueError("it must be from 1s to 1d")
        return text

    @field_validator("keep_texts", "keep_inbound", "keep_events")
    @classmethod
    def _keep(cls, text: str) -> str:
        try:
            kept = parse_duration(text) if text else None
        except InvalidInput as error:
            raise ValueError(str(error)) from None
        if kept is not None and not timedelta(days=1) <= kept <= timedelta(days=36500):
            raise ValueError("it must be from 1d to 36500d")
        return text

    @field_validator("stop_keywords", "start_keywords")
    @classmethod
    def _keywords(cls, words: str) -> str:
        try:
            if words and not parse_keywords(words):
                raise ValueError(
                    "it has no word: write some with commas between, or leave it out for the usual ones"
                )
        except InvalidInput as error:
            raise ValueError(str(error)) from None
        return words

    @field_validator("start_keywords")
    @classmethod
    def _begins_only(cls, words: str, info: ValidationInfo) -> str:
        stop = parse_keywords(info.data.get("stop_keywords") or "") or DEFAULT_KEYWORDS.stop
        try:
            Keywords.of(stop, parse_keywords(words))
        except InvalidInput as error:
            raise ValueError(str(error)) from None
        return words

    @field_validator("metrics_port")
    @classmethod
    def _of_its_own(cls, port: int | None, info: ValidationInfo) -> int | None:
        if port is not None and port == info.data.get("webhooks_port"):
            raise ValueError("it must be another port than DRUMBEAT_WEBHOOKS_PORT")
        return port

    @field_validator("opt_out_confirmation")
    @classmethod
    def _confirmation(cls, text: str) -> str:
        if not text:
            return text  # so that commands need not load what reads texts
        from messaging.replies.confirmations import check_confirmation

        try:
            return check_confirmation(text)
        except InvalidInput as error:
            raise ValueError(str(error)) from None

    @property
    def keep(self) -> Keep:
        """How long contents are kept."""
        texts, inbound, events = (
            parse_duration(text) if text else None
            for text in (self.keep_texts, self.keep_inbound, self.keep_events)
        )
        return Keep(texts, inbound, events)

    @property
    def keywords(self) -> Keywords:
        """The keywords of devices that have none of their own."""
        stop, start = (parse_keywords(words) or None for words in (self.stop_keywords, self.start_keywords))
        return DEFAULT_KEYWORDS.instead(stop, start)

    @field_validator("home", mode="before")
    @classmethod
    def _some_path(cls, home: Any) -> Any:
        if isinstance(home, str) and not home.strip():
            raise ValueError("it must be a directory")
        return home

    @field_validator("home")
    @classmethod
    def _absolute(cls, home: Path) -> Path:
        return home.expanduser().absolute()


def variable_of(name: str, field: FieldInfo) -> str:
    """The environment variable of a field."""
    return field.validation_alias if isinstance(field.validation_alias, str) else f"{PREFIX}{name.upper()}"


def _known() -> set[str]:
    fields = {**Ports.model_fields, **Settings.model_fields}
    return {variable_of(name, field) for name, field in fields.items() if name != "ports"}


def load_settings() -> Settings:
    """Reads the environment. Raises InvalidInput with the variable's name if a value cannot be used, or if a variable is
    misspelled.
    """
    if found := find_misspelled(os.environ, _known()) or find_unusable(os.environ):
        raise InvalidInput(f"environment: {'; '.join(found)}")
    try:
        return Settings()
    except ValidationError as error:
        problems = "; ".join(_problem(dict(problem)) for problem in error.errors())
        raise InvalidInput(f"environment: {problems}") from error


def _problem(problem: dict[str, Any]) -> str:
    name = str(problem["loc"][-1]).upper()
    variable = name if name.startswith(("DRUMBEAT_", "DATABASE_")) else f"DRUMBEAT_{name}"
    reason = problem["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    bounds = problem.get("ctx") or {}
    match problem["type"]:
        case "int_parsing" | "int_from_float":
            reason = "it must be a whole number"
        case "greater_than_equal":
            reason = f"it must be {bounds['ge']} or more"
        case "less_than_equal":
            reason = f"it must be {bounds['le']} or less"
        case "string_too_short":
            reason = "it must not be empty"
    # A URL may contain a password, which must not appear on a screen or in a log.
    value = "" if variable.endswith("_URL") else f", not {problem['input']!r}"
    return f"{variable}: {reason}{value}"
