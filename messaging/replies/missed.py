"""Fetches what a gateway's webhooks could not deliver from the gateway's own lists of messages.

GOWA gives up on a webhook after half a minute (src/infrastructure/whatsapp/webhook.go). What it has stored is listed chat by chat. Each
message is recorded as if its webhook had come, once: what is known already changes nothing.

A device's row holds how far it was fetched. If the time is over in the middle, the next run goes on with the chats that
are left.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from messaging.common.database import Connection, Pool, Record
from messaging.common.errors import InvalidInput
from messaging.common.keywords import Keywords
from messaging.common.observer import NOBODY, Observer
from messaging.gateways import NAMES, Gateways, capabilities_of, has_webhooks
from messaging.gateways.base import Chat, Gateway, GatewayError
from messaging.gateways.webhook_events import InboundMessage
from messaging.replies.consequences import Consequences
from messaging.replies.record import record_inbound

__all__ = ["CarryOut", "MissedMessages"]

logger = logging.getLogger(__name__)

CarryOut = Callable[[Consequences], Awaitable[object]]
"""Called with what messages have done."""

OVERLAP = timedelta(minutes=5)
"""Fetched again each time: a message may be stored some time after it was sent."""
AFTER_AN_OUTAGE = timedelta(days=1)
"""The same, if nothing was fetched for longer than ``OUTAGE``: the gateway may have been away too, and have got messages late."""
OUTAGE = timedelta(minutes=15)

TIME_FOR_DEVICE = 40.0
"""Seconds after which no other chat of a device is begun; the next run goes on."""
TIME_IN_ALL = 80.0
"""Seconds for a device, whatever its gateway does."""
DEVICES_TOGETHER = 4
CHAT_PAGES = 100
MESSAGE_PAGES = 40
"""The most pages that are read; a gateway may have no last one."""

SELECT_DEVICES = """
select id, gateway, gateway_options as options, created_at, fetched_until, fetched_chats_until, clock_timestamp() as now
  from devices
 where gateway = any ($1)
 order by id
"""

NOTE_FETCHED = "update devices set fetched_until = $2, fetched_chats_until = $3 where id = $1"

# Those that are neither recorded nor our own sends.
SELECT_UNKNOWN = """
select told.id
  from unnest($2::text[]) as told (id)
 where not exists (select from inbound_messages where gateway_message_id = told.id and device_id = $1)
   and not exists (select from broadcast_messages where gateway_message_id = told.id)
"""


class _Device(NamedTuple):
    id: str
    kind: str
    gateway: Gateway
    since: datetime
    chats_until: datetime | None
    """The run before has read the chats whose last message is before this."""
    now: datetime


class MissedMessages:
    """Fetches what was missed, for all devices that have webhooks and whose gateway keeps messages. One for a worker."""

    def __init__(
        self,
        pool: Pool,
        gateways: Gateways,
        keywords: Keywords,
        *,
        confirmation: str = "",
        carry_out: CarryOut | None = None,
        observer: Observer = NOBODY,
    ) -> None:
        """``keywords``, ``confirmation``: as :func:`messaging.replies.record.record_inbound` takes them. ``carry_out``: called with
        what messages have done; without it, the recovery carries it out.
        """
        self._pool, self._gateways = pool, gateways
        self._keywords, self._confirmation, self._carry_out = keywords, confirmation, carry_out
        self._observer = observer
        self._failing: set[str] = set()

    async def fetch(self) -> int:
        """How many messages were new. A device whose gateway fails does not affect the others; the log has it once."""
        names = [name for name in NAMES if capabilities_of(name).keeps_messages]
        devices = [
            row
            for row in await self._pool.fetch(SELECT_DEVICES, names)
            if has_webhooks(row["gateway"], row["options"])
        ]
        turns = asyncio.Semaphore(DEVICES_TOGETHER)

        async def one(row: Record) -> int:
            async with turns:
                return await self._fetch_device(row)

        return sum(await asyncio.gather(*(one(row) for row in devices)))

    async def _fetch_device(self, row: Record) -> int:
        until = row["fetched_until"] or row["created_at"]
        overlap = AFTER_AN_OUTAGE if row["now"] - until > OUTAGE else OVERLAP
        new = 0
        try:
            device = _Device(
                *(row["id"], row["gateway"], await self._gateways.of(row["gateway"], row["options"])),
                *(max(until - overlap, row["created_at"] - OVERLAP), row["fetched_chats_until"], row["now"]),
            )
            async with asyncio.timeout(TIME_IN_ALL):
                new = await self._fetch_chats(device, until)
        except (GatewayError, InvalidInput, TimeoutError) as error:
            if row["id"] not in self._failing:
                self._failing.add(row["id"])
                logger.warning(
                    "what device %s has missed cannot be fetched, and is tried again: %s",
                    *(row["id"], str(error) or "its gateway is too slow"),
                )
        else:
            if row["id"] in self._failing:
                self._failing.discard(row["id"])
                logger.info("what device %s has missed can be fetched again", row["id"])
        if new:
            logger.info("device %s: fetched %d messages that no webhook brought", row["id"], new)
        return new

    async def _fetch_chats(self, device: _Device, until: datetime) -> int:
        clock = asyncio.get_running_loop().time
        deadline, new, read = clock() + TIME_FOR_DEVICE, 0, False
        # The earliest first, so that what is left for the next run are the chats after a moment.
        chats = sorted(await self._chats(device), key=lambda chat: chat.last_message_at)
        for chat in chats:
            if device.chats_until is not None and chat.last_message_at < device.chats_until:
                continue
            if read and clock() > deadline:
                await self._pool.execute(NOTE_FETCHED, device.id, until, chat.last_message_at)
                return new
            new += await self._fetch_chat(device, chat)
            read = True
        await self._pool.execute(NOTE_FETCHED, device.id, device.now, None)
        return new

    @staticmethod
    async def _chats(device: _Device) -> list[Chat]:
        found: dict[str, Chat] = {}
        for page in range(CHAT_PAGES):
            some = await device.gateway.list_chats(device.since, page)
            found |= {chat.name: chat for chat in some.chats}
            if not some.more:
                break
        return list(found.values())

    async def _fetch_chat(self, device: _Device, chat: Chat) -> int:
        new = 0
        for page in range(MESSAGE_PAGES):
            some = await device.gateway.list_messages(chat.name, device.since, page)
            in_time = [one for one in some.messages if one.at >= device.since]
            async with self._pool.acquire() as connection:
                unknown = await _unknown(connection, device.id, in_time)
                recorded = await record_inbound(
                    *(connection, device.kind, device.id, unknown, self._keywords),
                    confirmation=self._confirmation,
                )
            new += recorded.new
            self._observer.inbound_recorded(recorded.effects)
            if self._carry_out is not None and any(recorded.then):
                await self._carry_out(recorded.then)
            if not some.more or not in_time:
                break
        return new


async def _unknown(
    connection: Connection, device: str, messages: Sequence[InboundMessage]
) -> list[InboundMessage]:
    if not messages:
        return []
    rows = await connection.fetch(SELECT_UNKNOWN, device, [one.gateway_message_id for one in messages])
    unknown = {row["id"] for row in rows}
    return [one for one in messages if one.gateway_message_id in unknown]
