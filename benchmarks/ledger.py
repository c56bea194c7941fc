"""Measures what the ledger's rules cost: messages per second through claim and settle, against two bare statements.

The database is the embedded one with its real durability, and each statement is a transaction of its own, as in a
worker. The bare table has only the ledger's columns and a primary key: the least that a send costs which is recorded
before and after.

.venv/bin/python -m benchmarks.ledger --messages 4000 --rounds 5
"""

import argparse
import asyncio
import itertools
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar
from uuid import UUID, uuid4

from rich.console import Console
from rich.table import Table

from benchmarks.people import add_leads
from messaging.common.database import Pool
from messaging.devices.device import DeviceSettings
from messaging.sending.claim_answers import Claim
from messaging.sending.ledger import Ledger
from messaging.sending.message_status import MessageStatus
from operations import devices
from rig.people import MOST_PHONES
from rig.stage import Stage, stage
from runtime.database import open_pool
from temporal.bulk import each

__all__ = ["LedgerRate", "ledger_rates", "main"]

POOL = 20
"""Database connections, as many as a worker has."""

AT_ONCE = 50
"""Messages in flight at a time."""

DEVICES = 5
NEVER_REACHED = 1_000_000
"""Messages a day."""

WARM_UP = 500
"""Messages before the first round, to warm up; they are not measured."""

BARE = "bench_bare"
INDEXED = "bench_indexed"

_numbers = itertools.count()

Item = TypeVar("Item")


@dataclass(frozen=True)
class LedgerRate:
    """One figure: messages per second, the median of all rounds. ``ratio``: divided by the figure ``against``."""

    name: str
    per_second: float
    against: str
    ratio: float | None
    rounds: tuple[float, ...]


async def ledger_rates(here: Stage, messages: int, rounds: int) -> list[LedgerRate]:
    """Measures each way in alternating rounds. The rows to claim are created before the clock starts."""
    await _prepare(here, messages)
    pool = await open_pool(_url(here), size=POOL)
    async with pool:
        ways: dict[str, Callable[[int], Awaitable[float]]] = {
            "bare insert and update": lambda count: _bare(pool, BARE, count),
            "the same with the ledger's indexes": lambda count: _bare(pool, INDEXED, count),
            "claim and settle": lambda count: _claimed(pool, "ledger", count),
            "claim and settle, devices with a limit of the day": lambda count: _claimed(
                pool, "limited", count
            ),
        }
        for way in ways.values():
            await way(min(WARM_UP, messages))
        found: dict[str, list[float]] = {name: [] for name in ways}
        for number in range(rounds):
            # Alternate the order, so that none has the advantage of being first.
            for name in list(ways)[:: 1 if number % 2 == 0 else -1]:
                found[name].append(await ways[name](messages))
    first, *_ = ways
    floor = statistics.median(found[first])
    return [
        LedgerRate(
            name,
            statistics.median(rates),
            "" if name == first else f"{first}, {floor:,.0f}/s",
            None if name == first else statistics.median(rates) / floor,
            tuple(rates),
        )
        for name, rates in found.items()
    ]


def _url(here: Stage) -> str:
    url = here.connection.addresses.database_url
    assert url is not None
    return url


async def _prepare(here: Stage, messages: int) -> None:
    """Creates devices without a delay, people, and the two bare tables.

    With a limit, each claim locks the device and counts on it, as with a delay; but a delay would also make it wait.
    """
    for number in range(DEVICES):
        for kind, limit in (("ledger", 0), ("limited", NEVER_REACHED)):
            settings = DeviceSettings(
                id=f"{kind}-{number}", gateway="simulated", min_delay=0, max_delay=0, daily_limit=limit
            )
            await devices.add(here.connection, settings)
    await add_leads(here, messages, niche="LEDGER")
    pool = await here.connection.pool()
    await pool.execute(f"create table {BARE} (like broadcast_messages including defaults, primary key (id))")
    await pool.execute(f"create table {INDEXED} (like broadcast_messages including all)")


async def _claimed(pool: Pool, kind: str, messages: int) -> float:
    """Messages per second through the ledger, as a worker sends, from devices of that kind."""
    name = f"LEDGER-{next(_numbers)}"
    campaign = await pool.fetchval(
        "insert into campaigns (name, text, status, shards, frozen_at) values ($1, 'Hi', 'running', 1, now()) returning id",
        name,
    )
    rows = await pool.fetch(
        "insert into broadcast_messages (id, campaign_id, lead_id, recipient_phone, device_id, due_at, campaign_shard,"
        " campaign_position) select gen_random_uuid(), $1, l.id, l.phone, $2 || '-' || l.id % $4, now(), 0, l.id"
        " from (select * from leads where niches @> '{LEDGER}' order by id limit $3) l returning id",
        campaign,
        kind,
        messages,
        DEVICES,
    )
    ledger = Ledger(pool)

    async def send(message_id: UUID) -> None:
        token = str(uuid4())
        claim = await ledger.claim_stored(message_id, token)
        assert isinstance(claim, Claim)
        settled = await ledger.settle(
            message_id,
            token,
            MessageStatus.SENT,
            claim.now,
            gateway_message_id=f"wamid.{message_id}",
            content="Hi, half price today.",
        )
        assert settled

    return await _rate(send, [row["id"] for row in rows])


async def _bare(pool: Pool, table: str, messages: int) -> float:
    """Messages per second with an insert before and an update after, by primary key."""
    campaign = next(_numbers)
    leads = await pool.fetch(
        "select id, phone from leads where niches @> '{LEDGER}' order by id limit $1", messages
    )
    insert = (
        f"insert into {table} (id, campaign_id, lead_id, recipient_phone, device_id, due_at, campaign_shard,"  # noqa: S608
        " campaign_position, status, processing_worker_id, claimed_at, attempts)"
        " values ($1, $2, $3, $4, 'ledger-0', $5, 0, $6, 'processing', $7, $5, 1)"
    )
    update = (
        f"update {table} set status = 'sent', sent_at = $2, gateway_message_id = $3, content = $4, updated_at = $2"  # noqa: S608
        " where id = $1"
    )

    async def send(lead: tuple[int, str]) -> None:
        message_id, now = uuid4(), datetime.now(UTC)
        await pool.execute(insert, message_id, campaign, *lead, now, lead[0], str(message_id))
        await pool.execute(update, message_id, now, f"wamid.{message_id}", "Hi, half price today.")

    return await _rate(send, [(lead["id"], lead["phone"]) for lead in leads])


async def _rate(send: Callable[[Item], Awaitable[None]], items: Sequence[Item]) -> float:
    began = time.monotonic()
    await each(items, send, concurrency=AT_ONCE)
    return len(items) / (time.monotonic() - began)


async def _run(messages: int, rounds: int) -> list[LedgerRate]:
    async with stage() as here:
        # ``add_leads`` gives its leads to this one.
        await devices.add(here.connection, DeviceSettings(id="bench-0", gateway="simulated"))
        return await ledger_rates(here, messages, rounds)


def main() -> None:
    """Runs it, and prints a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--messages", type=int, default=4000, help=f"each way and round; at most {MOST_PHONES:,}"
    )
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    if not 0 < arguments.messages <= MOST_PHONES or arguments.rounds < 1:
        parser.error(f"--messages is from 1 to {MOST_PHONES:,}, --rounds from 1 on")
    table = Table("what", "messages/s", "slowest", "fastest", "against", "ratio", box=None)
    for rate in asyncio.run(_run(arguments.messages, arguments.rounds)):
        ratio = "" if rate.ratio is None else f"{rate.ratio:.2f}"
        numbers = (f"{one:,.0f}" for one in (rate.per_second, min(rate.rounds), max(rate.rounds)))
        table.add_row(rate.name, *numbers, rate.against, ratio)
    Console(highlight=False).print(table)


if __name__ == "__main__":
    main()
