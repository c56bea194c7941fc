"""The connection pool, and the migrations that every process applies before it opens one."""

import asyncio
import errno
import json
import os
import re
import shutil
import ssl
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import asyncpg

from messaging.common.database import Connection, Pool
from messaging.common.errors import Unavailable
from messaging.common.storable import storable, storable_json
from messaging.events.acting import ITSELF, Actor, present_actor
from messaging.leads.forgotten import say_keys
from runtime.embedded.processes import plain_environment

__all__ = ["MIGRATIONS", "insist_on_rights", "migrate", "open_pool"]

MIGRATIONS = Path(__file__).parent.parent / "messaging" / "migrations"

PATIENCE = 20
"""Seconds to keep trying a server that is still starting."""

LOCK = 0x6472756D6265  # "drumbe"
"""The advisory lock of the process that brings a database's schema up to date. It goes with the session that holds it."""

LOOK = 0.1
"""Seconds between two attempts to take the lock. Waiting for it in a statement would hold a snapshot, and an index that
is built concurrently waits for all snapshots: that would be a deadlock.
"""

MIGRATE_FIRST = "; first run 'worker.py --migrate-only' with the role that owns the tables"

REFUSALS = ("permission denied", "must be owner", "in a read-only transaction")
"""What PostgreSQL says to a role that may not change the schema."""

BUILT_CONCURRENTLY = re.compile(r"^create (?:unique )?index concurrently (\w+)", re.MULTILINE)
"""In a migration: an index that is built outside a transaction."""

MIGRATOR = "drumbeat-migrations"
"""The application name of dbmate's sessions in PostgreSQL."""

# A table that the role may not use as workers do.
SELECT_FORBIDDEN = """
select current_user as role, current_setting('transaction_read_only') = 'on' as only_reads,
       (select min(relname) from pg_class
         where relnamespace = to_regnamespace(current_schema()) and relkind in ('r', 'p') and relname <> 'schema_migrations'
           and not (has_table_privilege(oid, 'select') and has_table_privilege(oid, 'insert')
                    and has_table_privilege(oid, 'update') and has_table_privilege(oid, 'delete'))) as forbidden
"""

# How long a statement may run, wait for a lock, and leave its transaction open: where the role and the database set no bound
# of their own, nothing that goes wrong holds up the others for ever.
SET_BOUNDS = """
select set_config(name, bound, false)
  from (values ('statement_timeout', '15min'), ('lock_timeout', '5min'), ('idle_in_transaction_session_timeout', '10min')) own (name, bound)
 where current_setting(name) = '0'
"""

SET_ACTOR = "select set_config('drumbeat.actor', $1, false), set_config('drumbeat.via', $2, false)"

# A table that is there, of no extension.
SELECT_STRANGER = """
select c.relname from pg_class c
 where c.relnamespace = to_regnamespace(current_schema()) and c.relkind in ('r', 'p') and c.relname <> 'schema_migrations'
   and not exists (select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')
 order by c.relname limit 1
"""

SAY_KEYS = "select set_config('drumbeat.forget_keys', $1, false)"

NOT_YET = (
    OSError,
    TimeoutError,
    asyncpg.CannotConnectNowError,
    asyncpg.TooManyConnectionsError,
    asyncpg.ConnectionDoesNotExistError,
)
"""Errors of a server that will answer soon."""


async def migrate(
    database_url: str,
    *,
    patience: int = PATIENCE,
    migrations: Path = MIGRATIONS,
    tell: Callable[[str], None] = lambda _: None,
) -> None:
    """Brings the schema up to date. If several processes do so at once, the first one does it and the others wait.

    Keeps trying a server that does not answer for ``patience`` seconds, at least 1; ``tell`` is called if it waits for
    another process. Raises Unavailable, with dbmate's last line if a migration fails.
    """
    connection = await _answering(database_url, patience)
    try:
        if not await _pending(connection, migrations):
            return
        await _insist_on_ours(connection, migrations)
        await _have_to_ourselves(connection, tell)
        if pending := await _pending(connection, migrations):
            await _drop_half_built(connection, pending)
            await _run_dbmate(database_url, migrations)
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        forbidden = (asyncpg.InsufficientPrivilegeError, asyncpg.ReadOnlySQLTransactionError)
        mend = MIGRATE_FIRST if isinstance(error, forbidden) else ""
        raise Unavailable(f"the database schema could not be brought up to date: {error}{mend}") from error
    finally:
        # The lock ends with the session, even if the process is killed.
        with suppress(OSError, TimeoutError):
            await connection.close(timeout=5)


async def _answering(database_url: str, patience: int) -> Connection:
    """A connection of our own. Raises Unavailable."""
    clock = asyncio.get_running_loop().time
    deadline = clock() + patience
    while True:
        try:
            return await asyncpg.connect(database_url, timeout=max(1.0, deadline - clock()))
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError) as error:
            if not isinstance(error, NOT_YET) or _tls_refused(error) or clock() >= deadline:
                raise _unreachable(error) from error
            await asyncio.sleep(LOOK)


async def _pending(connection: Connection, migrations: Path) -> list[Path]:
    """The migrations that are still to be applied. It does not matter if the database has later ones."""
    files = sorted(migrations.glob("*.sql"))
    if await connection.fetchval("select to_regclass('schema_migrations')") is None:
        return files
    applied = {row[0] for row in await connection.fetch("select version from schema_migrations")}
    return [file for file in files if file.name.partition("_")[0] not in applied]


async def _insist_on_ours(connection: Connection, migrations: Path) -> None:
    """Raises Unavailable if the database holds another program's tables, and none of ours: its name is a mistake."""
    stranger = await connection.fetchval(SELECT_STRANGER)
    if stranger is None:
        return
    if await connection.fetchval("select to_regclass('schema_migrations')") is not None:
        ours = [file.name.partition("_")[0] for file in migrations.glob("*.sql")]
        if await connection.fetchval(
            "select exists (select from schema_migrations where version = any($1::text[]))", ours
        ):
            return
    name = await connection.fetchval("select current_database()")
    raise Unavailable(
        f"the database {name} holds another program's tables, such as {stranger}: name one of Drumbeat's own in DATABASE_URL"
    )


async def _drop_half_built(connection: Connection, pending: Sequence[Path]) -> None:
    """Drops the indexes of pending migrations that are there already.

    A build outside a transaction that was interrupted leaves its index behind, and could never be made again.
    """
    for file in pending:
        up = file.read_text().partition("-- migrate:down")[0]
        for name in BUILT_CONCURRENTLY.findall(up):
            if await connection.fetchval("select to_regclass($1)", name) is not None:
                await connection.execute(f"drop index concurrently if exists {name}")


async def _have_to_ourselves(connection: Connection, tell: Callable[[str], None]) -> None:
    """Waits until no other process changes the schema. A dbmate whose parent process died must end first."""
    announced = False
    while not await connection.fetchval("select pg_try_advisory_lock($1)", LOCK) or await connection.fetchval(
        "select exists (select from pg_stat_activity where datname = current_database() and application_name = $1)",
        MIGRATOR,
    ):
        if not announced:
            tell("waiting for another process, which brings the database schema up to date")
            announced = True
        await asyncio.sleep(LOOK)


async def _run_dbmate(database_url: str, migrations: Path) -> None:
    dbmate = shutil.which("dbmate", path=str(Path(sys.executable).parent)) or shutil.which("dbmate")
    if dbmate is None:
        raise Unavailable("dbmate is not installed: run 'make setup', or install requirements/run.lock")
    process = await asyncio.create_subprocess_exec(
        dbmate,
        *("--env", "DATABASE_URL", "--migrations-dir", str(migrations), "--no-dump-schema", "migrate"),
        # Not as an argument: everybody on the machine can read arguments, and a URL may contain a password.
        env={**plain_environment(), **_of_postgresql(), "DATABASE_URL": _for_dbmate(database_url)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        output, _ = await process.communicate()
    finally:
        if process.returncode is None:  # stop dbmate too; its transaction is undone
            process.terminate()
            await asyncio.shield(process.wait())
    if process.returncode:
        lines = output.decode(errors="replace").strip().splitlines() or ["no output"]
        refused = any(words in lines[-1] for words in REFUSALS)
        mend = MIGRATE_FIRST if refused else ""
        raise Unavailable(f"the database schema could not be brought up to date: {lines[-1]}{mend}")


def _of_postgresql() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.startswith("PG")}


def _for_dbmate(url: str) -> str:
    """By default, dbmate requires TLS, while asyncpg only prefers it: that is left to it on this machine alone (database_url)."""
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query))
    if not os.environ.get("PGSSLMODE"):
        query.setdefault(
            "sslmode", "disable" if parts.hostname in {"localhost", "127.0.0.1", "::1"} else "prefer"
        )
    query["application_name"] = MIGRATOR
    return urlunsplit(parts._replace(query=urlencode(query)))


async def insist_on_rights(pool: Pool) -> None:
    """Raises Unavailable if the role may not write: workers and webhooks would go on, and each message would fail."""
    found = await pool.fetchrow(SELECT_FORBIDDEN)
    assert found is not None
    if found["only_reads"]:
        raise Unavailable(
            f"the role {found['role']} of DATABASE_URL may only read (or the server is a standby): workers and webhooks need one"
            " that may write, such as drumbeat_worker"
        )
    if found["forbidden"] is not None:
        raise Unavailable(
            f"the role {found['role']} of DATABASE_URL may not read and write all tables, e.g. {found['forbidden']}:"
            " deploy/databases.sh gives drumbeat_worker what it needs"
        )


async def open_pool(database_url: str, *, size: int = 10, actor: Actor = ITSELF) -> Pool:
    """A pool of at most ``size`` connections, on which jsonb columns are Python values.

    Characters that PostgreSQL cannot store are replaced (:mod:`messaging.common.storable`), so that no text makes a
    statement fail. ``actor``: who acts by what is done on them, but within messaging.events.acting.acting().

    Raises Unavailable when the database cannot be reached.
    """
    connections = _Connections(actor)
    try:
        return await asyncpg.create_pool(
            database_url,
            min_size=1,
            max_size=size,
            init=connections.prepare,
            setup=connections.lend,
            reset=connections.take_back,
            timeout=20,
        )
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError) as error:
        raise _unreachable(error) from error


def _tls_refused(error: Exception) -> str | None:
    """What to do about a connection that failed for its TLS; None if that is not why. Waiting would not help."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return (
            f"PostgreSQL's certificate is not accepted: {error.verify_message.rstrip('.')}; name the certificate of its "
            "authority with sslrootcert=FILE in DATABASE_URL, and its host as the certificate does (sslmode=require "
            "would encrypt, and not check who answers)"
        )
    if isinstance(error, ssl.SSLError):
        return f"PostgreSQL and this machine agree on no TLS: {error.reason or error}; check the server's ssl settings"
    if isinstance(error, ConnectionError) and "rejected SSL upgrade" in str(error):
        return (
            "PostgreSQL offers no TLS, and outside of this machine nothing is sent without: give the server a certificate (ssl = on); "
            "or write sslmode=disable into DATABASE_URL, if nobody else is on the network in between"
        )
    if isinstance(error, asyncpg.InvalidAuthorizationSpecificationError) and "no encryption" in str(error):
        return f"PostgreSQL takes nobody without TLS: {error}; write sslmode=verify-full into DATABASE_URL"
    return None


def _unreachable(error: Exception) -> Unavailable:
    if told := _tls_refused(error):
        return Unavailable(told)
    why = str(error) or "it does not answer"  # a timeout has no text
    if isinstance(error, OSError) and error.errno is not None:
        known = error.errno in errno.errorcode
        why = os.strerror(error.errno).lower() if known else (error.strerror or why).lower()
    return Unavailable(f"PostgreSQL cannot be reached: {' '.join(why.split())}; check DATABASE_URL")


class _Connections:
    """What the connections of a pool know. Who acts is set where it is another one than before: most uses cost no statement."""

    def __init__(self, actor: Actor) -> None:
        self._actor = actor
        self._others: dict[int, Actor] = {}
        """Sessions that know another actor than the process."""

    async def prepare(self, connection: Connection) -> None:
        """Makes a new connection ready."""
        await connection.set_type_codec(
            "jsonb", encoder=storable_json, decoder=json.loads, schema="pg_catalog"
        )
        # Binary, as COPY needs it.
        await connection.set_type_codec(
            "text", encoder=_encode_text, decoder=bytes.decode, schema="pg_catalog", format="binary"
        )
        # Not as parameters of the connection's start, which poolers refuse.
        await connection.execute(SET_ACTOR, *self._actor)
        await connection.execute(SET_BOUNDS)
        if keys := say_keys():
            await connection.execute(SAY_KEYS, keys)
        self._others.pop(connection.get_server_pid(), None)

    async def lend(self, connection: Connection) -> None:
        """Before each use: says for whom it is."""
        session, actor = connection.get_server_pid(), present_actor() or self._actor
        if self._others.get(session, self._actor) == actor:
            return
        await connection.execute(SET_ACTOR, *actor)
        if actor == self._actor:
            del self._others[session]
        else:
            self._others[session] = actor

    async def take_back(self, connection: Connection) -> None:
        """After each use: nothing. asyncpg itself ends an open transaction.

        By default it sends four statements that undo settings, locks and subscriptions of the session. We have no others.
        """


def _encode_text(text: str) -> bytes:
    return storable(text).encode()
