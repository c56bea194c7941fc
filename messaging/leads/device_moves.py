"""Moves leads, or all that a replaced device was to send, to another device.

Each move is one transaction, in the SQL function of the same name. Leads, active contacts and messages that no attempt
holds move. A message keeps its row and its ID, so none is sent twice. A message that is being sent, or may have been,
stays with the old device and is settled there.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import asyncpg

from messaging.common.database import Connection, Pool
from messaging.common.errors import InvalidInput, NotFound
from messaging.common.suggestions import did_you_mean
from messaging.common.values import Value
from messaging.events.record import note, told_together

__all__ = ["Moved", "ReplacedDevice", "check_device", "move_leads", "replace_device"]

TRIES = 5
"""Attempts. After a deadlock with another transaction, PostgreSQL says to try again."""


class Moved(Value):
    """How much was moved. ``in_flight``: messages that stay with the old device until they are settled."""

    devices: tuple[str, ...]
    """Devices with waiting messages whose workflows must look again."""
    leads: int
    contacts: int
    messages: int
    in_flight: int
    campaigns: tuple[str, ...]
    """Campaigns with moved messages: their workflows must look again."""

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
    """The result of replacing a device. ``changed``: True if this call replaced it; ``moved``: what was moved."""

    changed: bool
    moved: Moved


async def check_device(connection: Connection | Pool, device: str) -> None:
    """Raises NotFound if there is no such device."""
    devices = [row["id"] for row in await connection.fetch("select id from devices order by id")]
    if device not in devices:
        hint = did_you_mean(device, devices) or f"add it with 'device add {device} --gateway NAME'"
        raise NotFound(f"there is no device {device!r}: {hint}")


async def move_leads(connection: Connection, phones: Sequence[str], device: str) -> Moved:
    """Moves the leads with these phones (E.164) to a device, with all that is to be sent to them."""
    return Moved.model_validate(
        await connection.fetchval("select move_leads($1, device_in_use($2))", list(phones), device)
    )


async def replace_device(pool: Pool, old: str, new: str) -> ReplacedDevice:
    """Lets ``new`` send all that ``old`` was to send, now and later. Raises NotFound and InvalidInput."""
    for device in (old, new):
        await check_device(pool, device)
    if old == new:
        raise InvalidInput(f"device {old} cannot take its own place: name another one")
    for left in reversed(range(TRIES)):
        try:
            async with pool.acquire() as connection, connection.transaction():
                before = await connection.fetchval("select replaced_by from devices where id = $1", old)
                async with told_together(connection):
                    moved = Moved.model_validate(
                        await connection.fetchval("select replace_device($1, $2)", old, new)
                    )
                if moved.leads:
                    told: dict[str, Any] = {"from": old, "leads": moved.leads}
                    await note(connection, "lead.moved", device=new, **told)
            return ReplacedDevice(before != new, moved)
        except asyncpg.DeadlockDetectedError:
            if not left:
                raise
    raise AssertionError("it returns or raises")
