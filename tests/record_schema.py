"""Writes messaging/schema.sql, the schema as the migrations make it: ``make schema``."""

import asyncio
import os
import re
import tempfile
from pathlib import Path
from urllib.parse import unquote, urlsplit

from runtime.database import MIGRATIONS, migrate
from runtime.embedded.postgres import Postgres
from tests.support.ports import free_port

__all__ = ["SCHEMA", "dumped_schema"]

SCHEMA = MIGRATIONS.parent / "schema.sql"

HEADER = """\
-- The schema as the migrations make it: tables, constraints, indexes and functions. Nothing reads this file but people,
-- who see here what a change of the schema comes to. Written by 'make schema'; change the migrations, which also say what
-- each table, column and function is for.

SET check_function_bodies = false;

"""

_HEADINGS = re.compile(r"^--\n-- (?:Name|PostgreSQL database dump).*\n--\n", re.MULTILINE)
# Versions, settings of the session, and psql's \restrict with a key that is another one in each dump.
_OF_THIS_DUMP = re.compile(
    r"^(?:-- Dumped |SET |SELECT pg_catalog\.set_config|\\(?:un)?restrict ).*\n", re.MULTILINE
)
_BLANK_LINES = re.compile(r"\n{3,}")


async def dumped_schema(server: Postgres, database: str) -> str:
    """What messaging/schema.sql is to hold for a database: pg_dump's words, without what differs from dump to dump."""
    url = urlsplit(server.url(database))
    process = await asyncio.create_subprocess_exec(
        str(server.program("pg_dump")),
        *("--schema-only", "--no-owner", "--no-privileges", "--exclude-table", "schema_migrations"),
        *("--host", "127.0.0.1", "--port", str(server.port), "--username", str(url.username), database),
        env={**os.environ, "PGPASSWORD": unquote(url.password or "")},
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate()
    if process.returncode:
        raise RuntimeError(f"pg_dump ended with {process.returncode}")
    text = _OF_THIS_DUMP.sub("", _HEADINGS.sub("", output.decode()))
    return HEADER + _BLANK_LINES.sub("\n\n", text).strip() + "\n"


async def _main() -> None:
    with tempfile.TemporaryDirectory() as directory:
        server = Postgres(Path(directory), port=free_port(), durable=False)
        await server.start()
        try:
            await migrate(server.url())
            SCHEMA.write_text(await dumped_schema(server, "drumbeat"))
        finally:
            await server.stop()
    print(f"Wrote {SCHEMA.relative_to(Path.cwd())}")  # noqa: T201


if __name__ == "__main__":
    asyncio.run(_main())
