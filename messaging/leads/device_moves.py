"""What another device is to send from now on: of leads that are given to it, or of a device whose place it takes.

Each is one transaction, in the functions of the same names. What has not gone out moves with them: leads, contacts on
their way, and messages that no attempt has in its hands. A message stays the same row with the same ID, so none is sent
twice. What is being sent, or may have been, stays with the device that did it, and is settled there.
"""

from collections.abc import Sequence
from typing import NamedTuple

import asyncpg

from messaging.common.database import Connection, Pool
from messaging.common.errors import InvalidInput, NotFound
from messaging.common.suggestions import did_you_mean
from messaging.common.values import Value

__all__ = ["Moved", "ReplacedDevice", "check_device", "move_leads", "replace_device"]

TRIES = 5
"""A deadlock with a transaction that holds one of many rows is PostgreSQL's word to try again."""


class Moved(Value):
    """How much another device sends now. ``in_flight``: messages that stay with the old one until they are settled."""

    devices: tuple[str, ...]
    """Those at which something waits that has to look anew."""
    leads: int
    contacts: int
    messages: int
    in_flight: int
    campaigns: tuple[str, ...]
    """Those with messages among them: their workflows have to look anew."""

    @classmethod
    def sum(cls, parts: Sequence["Moved"]) -> "Moved":
        """All together."""
        return cls(
            devices=tuple(sorted({device for part in parts for device in part.devices})),
            leads=sum(part.leads for part in parts),
            contacts=sum(part.contacts for part in parts),
            messages=sum(part.messages for part in parts),
            in_flight=sum(part.in_flight for part in parts),
            campaigns=tuple(sorted({name for part in parts for name in part.campaigns})),
        )


class ReplacedDevice(NamedTuple):
    """A device whose place another one has. ``changed``: whether it had not before; ``moved``: what this moved."""

    changed: bool
    moved: Moved


async def check_device(connection: Connection | Pool, device: str) -> None:
    """Raises NotFound where there is no such device."""
    devices = [row["id"] for row in await connection.fetch("select id from devices order by id")]
    if device not in devices:
        hint = did_you_mean(device, devices) or f"add it with 'device add {device} --gateway NAME'"
        raise NotFound(f"there is no device {device!r}: {hint}")


async def move_leads(connection: Connection, phones: Sequence[str], device: str) -> Moved:
    """Gives the leads with these phones (E.164) to a device, with all that is to be sent to them."""
    return Moved.model_validate(
        await connection.fetchval("select move_leads($1, device_in_use($2))", list(phones), device)
    )


async def replace_device(pool: Pool, old: str, new: str) -> ReplacedDevice:
    """Has ``new`` send all that ``old`` was to send, now and later. Raises NotFound and InvalidInput."""
    for device in (old, new):
        await check_device(pool, device)
    if old == new:
        raise InvalidInput(f"device {old} cannot take its own place: name another one")
    for left in reversed(range(TRIES)):
        try:
            async with pool.acquire() as connection, connection.transaction():
                before = await connection.fetchval("select replaced_by from devices where id = $1", old)
                moved = await connection.fetchval("select replace_device($1, $2)", old, new)
            return ReplacedDevice(before != new, Moved.model_validate(moved))
        except asyncpg.DeadlockDetectedError:
            if not left:
                raise
    raise AssertionError("it returns or raises")
