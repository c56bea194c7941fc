"""Backups of a test's database, with PostgreSQL's own programs."""

import asyncio
from pathlib import Path

from runtime.embedded.postgres import Postgres

__all__ = ["dump", "put_back"]


async def dump(url: str, file: Path) -> Path:
    """Writes the database into a file, as deploy/backup.sh does."""
    await _run("pg_dump", "--format", "custom", "--file", str(file), "--dbname", url)
    return file


async def put_back(url: str, file: Path) -> None:
    """Replaces what is in the database by what is in the file."""
    await _run(
        *("pg_restore", "--exit-on-error", "--clean", "--if-exists", "--single-transaction"),
        *("--dbname", url, str(file)),
    )


async def _run(program: str, *arguments: str) -> None:
    process = await asyncio.create_subprocess_exec(
        Postgres.program(program), *arguments, stderr=asyncio.subprocess.PIPE
    )
    _, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
