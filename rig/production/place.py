"""Where the services are on this machine: an address of loopback for each, and a folder for each volume.

In containers each service has an address of its own and the usual port. So it is here: all of 127.0.0.0/8 is loopback.
"""

import re
import socket
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from messaging.common.errors import Unavailable
from rig.production.compose import Compose, Service

__all__ = ["Place", "choose_network"]

EVERYWHERE = re.compile(r"(?<![\w.])(?:0\.0\.0\.0|127\.0\.0\.1|localhost)(?![\w.])")
"""What a service in a container calls itself."""

NAMES_A_HOST = ("HOST", "SEEDS", "ADDRESS", "IP")
"""Endings of variables whose whole value is a host. Elsewhere a host is followed by its port: PGUSER names none."""

PROBED = 5432


@dataclass(frozen=True)
class Place:
    """Translates what a container sees into what this machine has."""

    compose: Compose
    root: Path
    """The folder of the compose file."""
    home: Path
    """Data and logs."""
    network: str
    """The first three parts of the services' addresses."""

    def address(self, service: str, number: int = 0) -> str:
        """Of a service's first replica, or of another one."""
        names = list(self.compose.services)
        return f"{self.network}.{1 + names.index(service) + len(names) * number}"

    def volume(self, source: str) -> Path:
        """The folder of a volume, or the file or folder of the checkout that is mounted."""
        if source in self.compose.volumes:
            return self.home / "volumes" / source
        return (self.root / source).resolve()

    def words(self, text: str, service: Service, number: int = 0) -> str:
        """A word of a command as it is here."""
        for target, source in sorted(service.mounts.items(), key=lambda mount: -len(mount[0])):
            text = re.sub(rf"(?<![\w/]){re.escape(target)}(?=/|:|$)", str(self.volume(source)), text)
        for name in service.secrets:
            text = text.replace(
                f"/run/secrets/{name}", str((self.root / self.compose.secrets[name]).resolve())
            )
        text = EVERYWHERE.sub(self.address(service.name, number), text)
        names = "|".join(map(re.escape, self.compose.services))
        return re.sub(rf"(?<![\w.-])({names})(?=:\d)", lambda match: self.address(match[1]), text)

    def variables(self, service: Service, number: int = 0) -> dict[str, str]:
        """The service's environment as it is here."""
        return {
            name: self.address(value)
            if value in self.compose.services and name.endswith(NAMES_A_HOST)
            else self.words(value, service, number)
            for name, value in service.environment.items()
        }


def choose_network(home: Path, taken: Mapping[str, object] | None = None) -> str:
    """The first three parts of addresses that nobody uses: always the same for a folder, if they are free.

    Raises Unavailable if none is free.
    """
    first = zlib.crc32(str(home).encode())
    for attempt in range(50):
        number = (first + attempt) % (90 * 250)
        network = f"127.{100 + number // 250}.{1 + number % 250}"
        if network not in (taken or {}) and _free(f"{network}.1"):
            return network
    raise Unavailable("no addresses of loopback are free: end what listens on 127.100.0.0 and higher")


def _free(address: str) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, PROBED))
        except OSError:
            return False
    return True
