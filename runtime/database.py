"""The connection pool, and the migrations that every entry point applies before it opens one."""

import asyncio
import json
import os
import shutil
import sys
from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import asyncpg

from messaging.database import Connection, Pool
from messaging.errors import Unavailable

__all__ = ["migrate", "open_pool"]

MIGRATIONS = Path(__file__).parent.parent / "messaging" / "migrations"

PATIENCE = 20
"""Seconds for which a server that is still starting is tried."""


async def migrate(database_url: str, *, patience: int = PATIENCE) -> None:
    """Brings the schema up to date. Processes that do so at once wait for each other (an advisory lock).

    A server that does not answer is tried for ``patience`` seconds, at least 1. Raises Unavailable, with dbmate's own
    last line, when the database cannot be reached or a migration fails.
    """
    dbmate = shutil.which("dbmate", path=str(Path(sys.executable).parent)) or shutil.which("dbmate")
    if dbmate is None:
        raise Unavailable("dbmate is not installed: run 'make setup', or install requirements/run.lock")
    process = await asyncio.create_subprocess_exec(
        dbmate,
        *("--env", "DATABASE_URL", "--migrations-dir", str(MIGRATIONS), "--no-dump-schema"),
        *("--migration-lock", "--wait", "--wait-timeout", f"{patience}s", "migrate"),
        # Not as an argument: those can be read by everybody on the machine, and a URL may contain a password.
        env={**os.environ, "DATABASE_URL": _with_sslmode(database_url)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        output, _ = await process.communicate()
    finally:
        if process.returncode is None:  # we were told to stop, and so is it; its transaction is undone
            process.terminate()
            await asyncio.shield(process.wait())
    if process.returncode:
        lines = output.decode(errors="replace").strip().splitlines() or ["no output"]
        raise Unavailable(f"the database schema could not be brought up to date: {lines[-1]}")


def _with_sslmode(url: str) -> str:
    """dbmate insists on TLS unless told otherwise; asyncpg prefers it but does without. Make both alike."""
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query))
    query.setdefault(
        "sslmode", "disable" if parts.hostname in {"localhost", "127.0.0.1", "::1"} else "prefer"
    )
    return urlunsplit(parts._replace(query=urlencode(query)))


async def open_pool(database_url: str, *, size: int = 10) -> Pool:
    """A pool of at most ``size`` connections, on which jsonb columns are Python values.

    Raises Unavailable when the database cannot be reached.
    """
    try:
        return await asyncpg.create_pool(
            database_url, min_size=1, max_size=size, init=_prepare, reset=_leave, timeout=20
        )
    except (OSError, asyncpg.PostgresError, TimeoutError) as error:
        raise Unavailable(f"PostgreSQL cannot be reached: {error}; check DATABASE_URL") from error


async def _prepare(connection: Connection) -> None:
    await connection.set_type_codec("jsonb", encoder=json.dumps, decoder=json.loads, schema="pg_catalog")


async def _leave(connection: Connection) -> None:
    """What asyncpg does after each use, besides ending a transaction that was left open: nothing.

    By default it sends four statements, to undo settings, locks and subscriptions of the session. We have none.
    """
