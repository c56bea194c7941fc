"""Prometheus as its image runs it, with this machine's addresses where its configuration asks for names."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from ruamel.yaml import YAML

from messaging.common.errors import Unavailable
from rig.production.compose import Service
from rig.production.place import Place

__all__ = ["PROMETHEUS", "arguments", "configure", "prometheus_program"]

PROMETHEUS = "prom/prometheus"
FILE = "prometheus.yml"


def prometheus_program() -> str:
    """Raises Unavailable if this machine has none."""
    program = shutil.which("prometheus")
    if program is None:
        raise Unavailable(
            "--monitoring runs this machine's Prometheus: on Debian, apt-get install prometheus"
        )
    return program


def arguments(service: Service, place: Place) -> Sequence[str]:
    """Its command, with the configuration of :func:`configure`."""
    (source,) = (source for source, inside in _mounts(service) if inside == "/etc/prometheus")
    said = [place.words(word, service) for word in service.command or ()]
    own = str(place.volume(source))
    said = [word.replace(f"{own}/{FILE}", str(_folder(place) / FILE)) for word in said]
    return [*said, f"--web.listen-address={place.address(service.name)}:9090"]


def configure(service: Service, services: Mapping[str, Service], place: Place) -> None:
    """Writes its configuration: each name that containers find by DNS as the addresses of all its replicas."""
    (source,) = (source for source, inside in _mounts(service) if inside == "/etc/prometheus")
    folder = _folder(place)
    shutil.copytree(place.volume(source), folder, dirs_exist_ok=True)
    yaml = YAML(typ="safe")
    content = yaml.load(folder / FILE)
    for job in content["scrape_configs"]:
        targets = [
            f"{place.address(name, number)}:{one['port']}"
            for one in job.pop("dns_sd_configs")
            for name in one["names"]
            if name in services
            for number in range(services[name].replicas)
        ]
        job["static_configs"] = [{"targets": targets}]
    yaml.dump(content, folder / FILE)


def _mounts(service: Service) -> list[tuple[str, str]]:
    return [(source, inside) for inside, source in service.mounts.items()]


def _folder(place: Place) -> Path:
    return place.home / "prometheus"
