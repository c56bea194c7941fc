"""What an image runs, as a program of this machine."""

import json
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from messaging.common.errors import InvalidInput
from rig.production.build import MODULES, built_folder
from rig.production.command import Command
from rig.production.compose import Service
from rig.production.place import Place
from rig.production.postgres import full_postgres
from rig.production.prometheus import PROMETHEUS, arguments, prometheus_program
from runtime.embedded.processes import plain_environment

__all__ = ["POSTGRES", "command_of", "image_name"]

SERVER, UI, POSTGRES = "temporalio/server", "temporalio/ui", "postgres"

OWN_COMMANDS = {
    SERVER: ("/etc/temporal/entrypoint.sh",),
    UI: ("./start-ui-server.sh",),
    "caddy": ("caddy", "run", "--config", "/etc/caddy/Caddyfile", "--adapter", "caddyfile"),
}
"""What images run that are given no command, as their Dockerfiles say."""

STAGE = re.compile(r"^FROM \S+ AS (\w+)$", re.MULTILINE)


def image_name(service: Service) -> str | None:
    """The image's name without its tag; None if it is one of ours."""
    return None if service.image is None else service.image.partition(":")[0]


def command_of(
    service: Service, place: Place, programs: Path, number: int = 0, words: Sequence[str] | None = None
) -> Command:
    """The command of a service, or ``words`` where it would run, such as its health check.

    Raises InvalidInput if nothing is known of its image.
    """
    image = image_name(service)
    path, folder = [str(Path(sys.executable).parent)], place.root
    if image in MODULES:
        assert service.image is not None
        folder = built_folder(programs, service.image)
        path.insert(0, str(folder))
    elif image == POSTGRES:
        path.insert(0, str(full_postgres()))
    elif image == PROMETHEUS:
        path.insert(0, str(Path(prometheus_program()).parent))
        folder = place.volume("prometheus")
    elif image not in (None, "caddy"):
        raise InvalidInput(f"service {service.name}: nothing is known of the image {service.image}")
    if words is None and image == PROMETHEUS:
        words = ("prometheus", *arguments(service, place))
    said = tuple(words) if words is not None else _said(service, place.root)
    said = tuple(place.words(word, service, number) for word in said)
    said = tuple(word.replace("/etc/temporal/entrypoint.sh", str(folder / "entrypoint.sh")) for word in said)
    environment = {**plain_environment(), **place.variables(service, number)}
    if image == UI:
        environment["BIND_ON_IP"] = place.address(service.name, number)
    environment["PATH"] = os.pathsep.join([*path, environment["PATH"]])
    return Command(said, environment, folder)


def _said(service: Service, root: Path) -> tuple[str, ...]:
    """Its entrypoint and command, or else those of the image."""
    if service.entrypoint is not None:
        return (*service.entrypoint, *(service.command or ()))
    if service.target is not None:
        entrypoint, command = _of_stage((root / "Dockerfile").read_text(), service.target)
        return (*entrypoint, *(command if service.command is None else service.command))
    if service.command is not None:
        return service.command
    return OWN_COMMANDS[image_name(service) or ""]


def _of_stage(dockerfile: str, target: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The ENTRYPOINT and the CMD of a stage."""
    parts = STAGE.split(dockerfile)
    stage = dict(zip(parts[1::2], parts[2::2], strict=True))[target]

    def words(instruction: str) -> tuple[str, ...]:
        found = re.search(rf"^{instruction} (\[.*\])$", stage, re.MULTILINE)
        return tuple(json.loads(found[1])) if found else ()

    return words("ENTRYPOINT"), words("CMD")
