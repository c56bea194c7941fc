"""Notes what triggers cannot know (messaging/migrations/20261201000002_events.sql), in the transaction that does it."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

from messaging.common.database import Connection
from messaging.common.storable import storable_json
from messaging.events.acting import Actor

__all__ = ["act_as", "note", "note_each", "say_more", "told_together"]

NOTE_EVENT = "select note_event($1, $2, $3, $4, $5, $6, $7, $8)"

SAY_MORE = "select set_config('drumbeat.data', $1, true)"

TOLD_TOGETHER = "select set_config('drumbeat.moved_together', $1, true)"

ACT_AS = "select set_config('drumbeat.actor', $1, true), set_config('drumbeat.via', $2, true)"


async def note(
    connection: Connection,
    kind: str,
    *,
    phone: str | None = None,
    sequence: str | None = None,
    campaign: str | None = None,
    device: str | None = None,
    message_id: UUID | None = None,
    reason: str | None = None,
    **data: Any,
) -> None:
    """Notes an event in the present transaction. ``data``: what else there is to say."""
    await connection.execute(NOTE_EVENT, kind, phone, sequence, campaign, device, message_id, reason, data)


async def note_each(connection: Connection, kind: str, told: Iterable[tuple[str, dict[str, Any]]]) -> None:
    """Notes an event for each of these phones, with what there is to say of it."""
    await connection.executemany(
        NOTE_EVENT, [(kind, phone, None, None, None, None, None, data) for phone, data in told]
    )


async def say_more(connection: Connection, **data: Any) -> None:
    """What the triggers' events of the present transaction say too, from here on; nothing: no more.

    For example the filter by which contacts were chosen.
    """
    await connection.execute(SAY_MORE, storable_json(data) if data else "")


async def act_as(connection: Connection, actor: Actor) -> None:
    """The present transaction is this actor's, from here on."""
    await connection.execute(ACT_AS, *actor)


@asynccontextmanager
async def told_together(connection: Connection) -> AsyncIterator[None]:
    """Leads that are moved within, in the present transaction, have no event each: the caller notes one for all of them.

    For a whole device: a million events would hold its locks for a minute.
    """
    await connection.execute(TOLD_TOGETHER, "on")
    yield
    await connection.execute(TOLD_TOGETHER, "")
