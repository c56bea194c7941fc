"""Reads ``docker-compose.yml``: the services, with their variables filled in.

Only the part of the Compose Specification (https://github.com/compose-spec/compose-spec) that our file uses. Anything
else is an error, so that nothing in the file is left undone silently.
"""

import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from messaging.common.errors import InvalidInput

__all__ = ["Compose", "Healthcheck", "Service", "fill_in", "read_compose", "seconds"]

VARIABLE = re.compile(r"\$(?:\$|(\w+)|\{(\w+)(?:(:?[-?])([^}]*))?\})")
DURATION = re.compile(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?")

DONE_BY_DOCKER = frozenset(
    {
        *("cap_drop", "deploy", "init", "logging", "networks", "ports", "read_only", "security_opt"),
        *("shm_size", "tmpfs", "user", "cap_add", "mem_limit", "pids_limit"),
    }
)
"""Keys about containers, which plain processes do not have."""


@dataclass(frozen=True)
class Healthcheck:
    """How to find out whether a service is ready. Times are in seconds."""

    test: tuple[str, ...]
    interval: float
    timeout: float
    retries: int
    start_period: float


@dataclass(frozen=True)
class Service:
    """One service of the file."""

    name: str
    image: str | None
    """The image's name with its tag; None if it is built here."""
    target: str | None
    """The stage of our Dockerfile, if it is built here."""
    entrypoint: tuple[str, ...] | None
    command: tuple[str, ...] | None
    environment: Mapping[str, str]
    needs: Mapping[str, str]
    """The conditions of the services that it waits for."""
    healthcheck: Healthcheck | None
    restart: str
    profiles: tuple[str, ...]
    mounts: Mapping[str, str]
    """Source (a path below the file's folder, or a volume's name) by the path in the container."""
    secrets: tuple[str, ...]
    stop_within: float
    stop_signal: str | None
    replicas: int


@dataclass(frozen=True)
class Compose:
    """The file's services, and the files of its secrets by their names."""

    services: Mapping[str, Service]
    secrets: Mapping[str, str] = field(default_factory=dict)
    volumes: frozenset[str] = frozenset()

    def in_profiles(self, profiles: frozenset[str]) -> dict[str, Service]:
        """The services that start with these profiles: those without any, and those in one of these."""
        return {
            name: service
            for name, service in self.services.items()
            if not service.profiles or profiles & set(service.profiles)
        }


def read_compose(path: Path, variables: Mapping[str, str]) -> Compose:
    """Raises InvalidInput: a variable is missing, or the file has something that is not understood here."""
    content = YAML(typ="safe").load(path)
    filled = {
        key: _filled_in(content.get(key) or {}, variables, f"{path.name}: {key}")
        for key in ("services", "secrets", "volumes")
    }
    return Compose(
        {name: _service(name, one) for name, one in filled["services"].items()},
        {name: str(one["file"]) for name, one in filled["secrets"].items()},
        frozenset(filled["volumes"]),
    )


def fill_in(text: str, variables: Mapping[str, str]) -> str:
    """Replaces ``$NAME``, ``${NAME}``, ``${NAME:-default}``, ``${NAME:?what is missing}`` and ``$$``.

    Raises InvalidInput with the words after the question mark if such a variable is missing.
    """

    def value(match: re.Match[str]) -> str:
        name = match[1] or match[2]
        if name is None:
            return "$"
        found, how = variables.get(name), match[3] or ""
        if found is None or (not found and how.startswith(":")):
            if how.endswith("?"):
                raise InvalidInput(f"{name} is not set: {match[4]}")
            return match[4] if how else ""
        return found

    return VARIABLE.sub(value, text)


def seconds(duration: str) -> float:
    """Of ``1m30s`` and the like."""
    match = DURATION.fullmatch(duration)
    if not duration or match is None:
        raise InvalidInput(f"{duration!r} is no duration such as 90s or 2m")
    hours, minutes, rest = (int(part or 0) for part in match.groups())
    return 3600.0 * hours + 60 * minutes + rest


def _filled_in(content: Any, variables: Mapping[str, str], where: str) -> Any:
    match content:
        case str():
            try:
                return fill_in(content, variables)
            except InvalidInput as error:
                raise InvalidInput(f"{where}: {error}") from None
        case dict():
            return {key: _filled_in(one, variables, f"{where}.{key}") for key, one in content.items()}
        case list():
            return [_filled_in(one, variables, where) for one in content]
        case _:
            return content


def _service(name: str, content: dict[str, Any]) -> Service:
    content = {key: value for key, value in content.items() if not key.startswith("x-")}
    deploy = content.get("deploy", {})
    rest = dict(content)

    def take(key: str, default: Any = None) -> Any:
        return rest.pop(key, default)

    build = take("build")
    service = Service(
        name=name,
        image=take("image"),
        target=build["target"] if build else None,
        entrypoint=_words(take("entrypoint")),
        command=_words(take("command")),
        environment={key: str(value) for key, value in (take("environment") or {}).items()},
        needs={other: how["condition"] for other, how in (take("depends_on") or {}).items()},
        healthcheck=_healthcheck(take("healthcheck")),
        restart=take("restart", "no"),
        profiles=tuple(take("profiles", ())),
        mounts=dict(_mounts(take("volumes", ()))),
        secrets=tuple(take("secrets", ())),
        stop_within=seconds(take("stop_grace_period", "10s")),
        stop_signal=take("stop_signal"),
        replicas=int(take("scale", deploy.get("replicas", 1))),
    )
    if unknown := set(rest) - DONE_BY_DOCKER:
        raise InvalidInput(f"service {name} has {', '.join(sorted(unknown))}, which is not understood here")
    return service


def _words(command: str | list[str] | None) -> tuple[str, ...] | None:
    if command is None:
        return None
    return tuple(shlex.split(command) if isinstance(command, str) else map(str, command))


def _healthcheck(content: dict[str, Any] | None) -> Healthcheck | None:
    if content is None:
        return None
    return Healthcheck(
        test=tuple(content["test"]),
        interval=seconds(content.get("interval", "30s")),
        timeout=seconds(content.get("timeout", "30s")),
        retries=int(content.get("retries", 3)),
        start_period=seconds(content.get("start_period", "0s")),
    )


def _mounts(volumes: list[str]) -> Iterator[tuple[str, str]]:
    for volume in volumes:
        source, target, *_ = volume.split(":")
        yield target, source
