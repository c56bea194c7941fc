"""Delivers what people write by webhook: signed, and repeated until it is acknowledged."""

import asyncio
import hashlib
import hmac
import json
import random
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Annotated, Any

import aiohttp
from pydantic import BaseModel, ConfigDict, Field

from simulator.store import Store, utc_now

__all__ = ["RECEIPTS", "Courier", "Webhook"]

PATIENCE = 10.0
"""Seconds that an answer may take."""
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 60.0
"""Seconds between two attempts: twice as long each time."""
AT_ONCE = 20
"""Webhooks that are under way at the same time."""
COLUMNS = "id, message_id, device, phone, kind, text, payload, answers, ad, name, user_id, hidden, written_at"


RECEIPTS = ("delivered", "read", "failed")
"""Kinds of rows that report what became of a message of ours; their ``payload`` is its idempotency key."""


class Webhook(BaseModel):
    """The address of the webhook: ``{url}/{device}``, signed with ``secret``."""

    model_config = ConfigDict(extra="forbid", strict=True)

    url: Annotated[str, Field(pattern=r"^https?://\S+$", max_length=2048)]
    secret: Annotated[str, Field(min_length=1, max_length=255)]


class Courier:
    """Delivers the rows of the table ``answers`` that were not acknowledged yet, also after a restart."""

    def __init__(self, store: Store) -> None:
        self._store = store
        row = store.read_now("select url, secret from webhook")
        self.webhook = Webhook(**dict(row[0])) if row else None
        self._room = asyncio.Semaphore(AT_ONCE)
        self._stirred = asyncio.Event()
        self._held: set[str] = set()
        self._http: aiohttp.ClientSession | None = None

    async def point_at(self, webhook: Webhook | None) -> None:
        """Sets the webhook; None: no webhook."""

        def work(connection: sqlite3.Connection) -> None:
            connection.execute("delete from webhook")
            if webhook is not None:
                connection.execute("insert into webhook values (?, ?)", (webhook.url, webhook.secret))

        await self._store.write(work)
        self.webhook = webhook
        self._stirred.set()

    async def run(self) -> None:
        """Delivers what was not acknowledged, again and again, until it is cancelled."""
        pause = FIRST_PAUSE
        try:
            while True:
                self._stirred.clear()
                waiting = await self._store.read(
                    f"select {COLUMNS} from answers where acknowledged_at is null order by id limit 500"  # noqa: S608
                )
                rows = [row for row in waiting if row["message_id"] not in self._held]
                answered = await self.deliver(rows, together=True) if self.webhook is not None else []
                lost = any(not 200 <= status < 300 for status in answered)
                pause = min(2 * pause, LONGEST_PAUSE) if lost else FIRST_PAUSE
                with suppress(TimeoutError):
                    await asyncio.wait_for(
                        self._stirred.wait(), pause if rows and self.webhook is not None else None
                    )
        finally:
            if self._http is not None:
                await self._http.close()

    async def deliver(
        self, rows: Sequence[sqlite3.Row], *, times: int = 1, order: str = "given", together: bool = False
    ) -> list[int]:
        """Delivers each of them ``times`` times; returns the statuses of the answers, 0 for none.

        One request after the other, or all at once with ``together``. What was not acknowledged is delivered again
        later.
        """
        turns = [row for row in rows for _ in range(times)]
        if order == "reversed":
            turns.reverse()
        if order == "shuffled":
            random.shuffle(turns)
        if together:
            return list(await asyncio.gather(*map(self._deliver, turns)))
        return [await self._deliver(row) for row in turns]

    @contextmanager
    def holding(self, identifiers: Sequence[str]) -> Iterator[None]:
        """Reserves these messages for the block: nobody else delivers them during it."""
        self._held.update(identifiers)
        try:
            yield
        finally:
            self._held.difference_update(identifiers)
            self._stirred.set()

    async def _deliver(self, row: sqlite3.Row) -> int:
        webhook = self.webhook
        if webhook is None:
            return 0
        if self._http is None:
            self._http = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(PATIENCE))
        events = "receipts" if row["kind"] in RECEIPTS else "messages"
        content = json.dumps({"device": row["device"], events: [_as_event(row)]}).encode()
        digest = hmac.new(webhook.secret.encode(), content, hashlib.sha256).hexdigest()
        headers = {"Content-Type": "application/json", "X-Hub-Signature-256": f"sha256={digest}"}
        try:
            async with (
                self._room,
                self._http.post(f"{webhook.url}/{row['device']}", data=content, headers=headers) as answer,
            ):
                status = answer.status
        except (aiohttp.ClientError, OSError, TimeoutError):
            return 0
        if 200 <= status < 300:
            await self._store.write(
                lambda connection: connection.execute(
                    "update answers set acknowledged_at = coalesce(acknowledged_at, ?) where id = ?",
                    (utc_now(), row["id"]),
                )
            )
        return status


def _as_event(row: sqlite3.Row) -> dict[str, Any]:
    event = _as_receipt(row) if row["kind"] in RECEIPTS else _as_message(row)
    return {name: value for name, value in event.items() if value is not None}


def _as_receipt(row: sqlite3.Row) -> dict[str, Any]:
    return {
        "id": row["answers"],
        "key": row["payload"],
        "status": row["kind"],
        "at": row["written_at"],
        "reason": row["text"],
    }


def _as_message(row: sqlite3.Row) -> dict[str, Any]:
    return {
        "id": row["message_id"],
        "from": None if row["hidden"] else row["phone"],
        "at": row["written_at"],
        "kind": row["kind"],
        "text": row["text"],
        "payload": row["payload"],
        "answers": row["answers"],
        "referral": row["ad"] and {"source_type": "ad", "source_id": row["ad"]},
        "name": row["name"],
        "user_id": row["user_id"],
    }
