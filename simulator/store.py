"""The durable log: every request, every accepted message, the settings and the faults, in one SQLite file.

WAL with ``synchronous=NORMAL``: a commit survives ``kill -9``; a power cut may take the last moments with it.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

from simulator.writer import Writer

__all__ = ["Acceptance", "Arrival", "Store", "utc_now"]

T = TypeVar("T")

SCHEMA = """
create table if not exists requests (
    id integer primary key autoincrement,
    received_at text not null,
    method text not null,
    path text not null,
    device text,
    phone text,
    idempotency_key text,
    outcome text not null,
    fault text,
    status integer,
    message_id text,
    body text
);
create table if not exists messages (
    id integer primary key autoincrement,
    message_id text not null unique,
    request_id integer not null references requests (id),
    received_at text not null,
    accepted_at text not null,
    device text not null,
    phone text not null,
    idempotency_key text,
    honoured_key text,
    text text not null,
    image_url text
);
-- The gateway's promise: a device sends one message for each honoured key.
create unique index if not exists one_message_per_honoured_key on messages (device, honoured_key)
    where honoured_key is not null;
create index if not exists messages_by_key on messages (device, idempotency_key);
create index if not exists messages_by_phone on messages (phone, id);
create index if not exists messages_by_device on messages (device, id);
-- messages, written: how many the phone received and wrote; latest: when the last of both was.
create table if not exists phones (
    phone text primary key,
    messages integer not null default 0,
    written integer not null default 0,
    last_message integer references messages (id),
    last_answer integer references answers (id),
    latest text not null
);
create index if not exists phones_by_latest on phones (latest, phone);
create table if not exists devices (device text primary key, messages integer not null);
create table if not exists settings (scope text primary key, setting text not null);
create table if not exists faults (id integer primary key, fault text not null);
-- What people write back, and the webhook for it; hidden: the phone is not reported; acknowledged_at: when it was acknowledged.
create table if not exists answers (
    id integer primary key autoincrement,
    message_id text not null,
    device text not null,
    phone text,
    kind text not null,
    text text,
    payload text,
    answers text,
    ad text,
    name text,
    user_id text,
    hidden integer not null default 0,
    written_at text not null,
    place text not null,
    acknowledged_at text,
    unique (device, message_id)
);
create index if not exists answers_to_message on answers (answers) where answers is not null;
create index if not exists answers_by_phone on answers (phone, place);
create index if not exists answers_to_deliver on answers (id) where acknowledged_at is null;
create table if not exists webhook (url text not null, secret text not null);
"""


def utc_now() -> str:
    """This moment, in UTC, to the microsecond; sorts as text."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


@dataclass(frozen=True, slots=True)
class Arrival:
    """A received request. ``received_at`` is from before its body was read."""

    received_at: str
    method: str
    path: str
    device: str | None = None
    phone: str | None = None
    key: str | None = None
    body: str | None = None


@dataclass(frozen=True, slots=True)
class Acceptance:
    """An accepted message. ``duplicate``: the gateway had it already under the same key."""

    message_id: str
    duplicate: bool


class Store:
    """Writes go through one thread in groups, reads through another; neither blocks the event loop."""

    def __init__(self, directory: Path) -> None:
        """Opens or creates the log in ``directory``. Raises OSError or sqlite3.Error when it cannot."""
        directory.mkdir(parents=True, exist_ok=True)
        self._path = directory / "gateway.sqlite3"
        self._reading = self._connect()
        try:
            self._reading.executescript(SCHEMA)
        except BaseException:
            self._reading.close()
            raise
        self._reader = ThreadPoolExecutor(1, "log reader")
        self._writer = Writer(self._connect)

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, timeout=10, isolation_level=None, check_same_thread=False)
        connection.row_factory = sqlite3.Row
        connection.execute("pragma journal_mode = wal")
        connection.execute("pragma synchronous = normal")
        return connection

    def close(self) -> None:
        """Finishes pending writes and closes the file."""
        self._writer.close()
        self._reader.shutdown()
        self._reading.close()

    async def read(self, sql: str, parameters: Sequence[Any] | dict[str, Any] = ()) -> list[sqlite3.Row]:
        """The rows of a query."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._reader, lambda: self.read_now(sql, parameters))

    def read_now(self, sql: str, parameters: Sequence[Any] | dict[str, Any] = ()) -> list[sqlite3.Row]:
        """The rows of a query, at start: nothing else reads yet."""
        return self._reading.execute(sql, parameters).fetchall()

    async def write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Runs ``work`` in a transaction; returns once it is committed."""
        return await self._writer.run(work)

    async def record(
        self, arrival: Arrival, outcome: str, *, status: int | None = None, fault: str | None = None
    ) -> int:
        """Logs a request without an accepted message; returns its number in the log."""
        return await self.write(lambda connection: _log(connection, arrival, outcome, status, fault, None))

    async def conclude(self, request: int, outcome: str, *, status: int | None = None) -> None:
        """Records the outcome of a request that was logged before."""
        await self.write(
            lambda connection: connection.execute(
                "update requests set outcome = ?, status = ? where id = ?", (outcome, status, request)
            )
        )

    async def accept(
        self,
        arrival: Arrival,
        text: str,
        image_url: str | None,
        *,
        honour_key: bool,
        status: int | None,
        fault: str | None = None,
        request: int | None = None,
    ) -> Acceptance:
        """Accepts a message, and logs its request in the same transaction.

        ``status``: the answer it will get, None for none. ``request``: its number in the log, if it is logged already.
        If the device has used the honoured key before, answers the first message and delivers nothing.
        """

        def work(connection: sqlite3.Connection) -> Acceptance:
            seen = _message_of(connection, arrival, "honoured_key" if honour_key else "idempotency_key")
            duplicate = seen is not None and honour_key
            message_id = str(seen) if duplicate else f"sim-{uuid4().hex}"
            outcome = "duplicate" if duplicate else "accepted" if seen is None else "delivered_again"
            if request is None:
                number = _log(connection, arrival, outcome, status, fault, message_id)
            else:
                number = request
                connection.execute(
                    "update requests set outcome = ?, status = ?, message_id = ? where id = ?",
                    (outcome, status, message_id, number),
                )
            if not duplicate:
                _deliver(connection, arrival, number, message_id, text, image_url, honour_key=honour_key)
            return Acceptance(message_id, duplicate)

        return await self.write(work)


def _log(
    connection: sqlite3.Connection,
    arrival: Arrival,
    outcome: str,
    status: int | None,
    fault: str | None,
    message_id: str | None,
) -> int:
    cursor = connection.execute(
        "insert into requests (received_at, method, path, device, phone, idempotency_key, outcome, fault, status,"
        " message_id, body) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            *(arrival.received_at, arrival.method, arrival.path, arrival.device, arrival.phone, arrival.key),
            *(outcome, fault, status, message_id, arrival.body),
        ),
    )
    assert cursor.lastrowid is not None
    return cursor.lastrowid


def _message_of(connection: sqlite3.Connection, arrival: Arrival, column: str) -> str | None:
    if arrival.key is None:
        return None
    row = connection.execute(
        f"select message_id from messages where device = ? and {column} = ? order by id limit 1",  # noqa: S608
        (arrival.device, arrival.key),
    ).fetchone()
    return row and str(row[0])


def _deliver(
    connection: sqlite3.Connection,
    arrival: Arrival,
    request: int,
    message_id: str,
    text: str,
    image_url: str | None,
    *,
    honour_key: bool,
) -> None:
    accepted_at = utc_now()
    number = connection.execute(
        "insert into messages (message_id, request_id, received_at, accepted_at, device, phone, idempotency_key,"
        " honoured_key, text, image_url) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            *(message_id, request, arrival.received_at, accepted_at, arrival.device, arrival.phone),
            *(arrival.key, arrival.key if honour_key else None, text, image_url),
        ),
    ).lastrowid
    connection.execute(
        "insert into phones (phone, messages, last_message, latest) values (?, 1, ?, ?) on conflict (phone) do update"
        " set messages = messages + 1, last_message = excluded.last_message, latest = excluded.latest",
        (arrival.phone, number, accepted_at),
    )
    connection.execute(
        "insert into devices values (?, 1) on conflict (device) do update set messages = messages + 1",
        (arrival.device,),
    )
