"""PostgreSQL as its image runs it: with the superuser and the password that the environment names."""

from collections.abc import Sequence
from pathlib import Path

from messaging.common.database import Connection
from messaging.common.errors import Unavailable
from rig.production.command import Command
from runtime.embedded.postgres import Postgres

__all__ = ["ImagePostgres", "full_postgres"]

NEEDED = "btree_gin"
"""The extension that Temporal's tables for lists of workflows need. The embedded PostgreSQL has no extensions."""


def full_postgres() -> Path:
    """The folder of the programs of this machine's newest PostgreSQL that has its usual extensions. Raises Unavailable."""
    found = [
        Path("/usr/lib/postgresql") / control.parents[1].name / "bin"
        for control in Path("/usr/share/postgresql").glob(f"*/extension/{NEEDED}.control")
    ]
    if not found:
        raise Unavailable(
            f"Temporal needs a PostgreSQL with the extension {NEEDED}: on Debian, apt-get install postgresql"
        )
    return max(found, key=lambda folder: float(folder.parent.name))


class ImagePostgres(Postgres):
    """The server of one service."""

    user = "postgres"

    def __init__(self, directory: Path, address: str, command: Command, log: Path) -> None:
        """``command``: of the service, such as ``postgres -c max_connections=300``."""
        super().__init__(directory, port=5432, log=log)
        self.address = address
        self._command = command

    def command(self) -> Sequence[str]:
        # The last one of a parameter counts.
        return [*super().command(), *self._command.words[1:]]

    def settings(self) -> dict[str, str]:
        # Those of its configuration file but for where it is.
        return {
            "listen_addresses": self.address,
            "port": str(self.port),
            "unix_socket_directories": "",
        }

    def binaries(self) -> Path:
        return full_postgres()

    def new_password(self) -> str:
        environment = self._command.environment
        return Path(environment["POSTGRES_PASSWORD_FILE"]).read_text("utf-8").strip()

    async def complete(self, connection: Connection) -> None:
        """The roles and databases are made by another service."""
