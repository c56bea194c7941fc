"""Measures campaigns while a gateway reports receipts as fast as it can: how much slower they send, and that none is lost."""

import asyncio
import hashlib
import hmac
import json
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import asdict, dataclass, field
from socket import socket
from statistics import median
from uuid import UUID

import aiohttp

from benchmarks.campaign import Run, campaign_run
from benchmarks.figures import Figure, Figures, ratio, spread
from benchmarks.people import add_leads
from messaging.common.database import Pool
from messaging.devices.device import DeviceSettings
from operations import devices
from rig.stage import Stage

__all__ = ["RECEIPTS_A_SECOND", "measure_floods"]

RECEIPTS_A_SECOND = 1000
TOGETHER = 20
"""Receipts of one request."""

DEVICE, SECRET = "flood", "a secret of the benchmark"
VARIABLES = {
    "FLOOD_TOKEN": "none is used",
    "FLOOD_SECRET": SECRET,
    "FLOOD_VERIFY": "a token of the benchmark",
}

AT_ONCE = 20
"""Requests that are under way at a time, as Meta does not wait for one before it sends the next."""
PAUSE = 0.5
"""Seconds before a request that was not acknowledged is repeated."""

INSERT_CAMPAIGN = """
insert into campaigns (name, text, status, shards, frozen_at, ended_at)
values ('flood', 'x', 'finished', 1, now(), now())
returning id
"""

# $1: the campaign, $2: its leads' phones.
INSERT_SENT = """
insert into broadcast_messages (id, campaign_id, lead_id, recipient_phone, device_id, status, due_at, campaign_shard,
                                campaign_position, sent_at, accepted_at, answered_at, gateway_message_id)
select gen_random_uuid(), $1, l.id, l.phone, 'flood', 'sent', now(), 0, l.id, now(), now(), now(), 'wamid.' || l.id
  from leads l
 where l.phone = any ($2)
returning id, recipient_phone as phone, gateway_message_id
"""

FORGET_RECEIPTS = (
    "update broadcast_messages set delivered_at = null, read_at = null where device_id = 'flood'"
)

COUNT_LOST = """
select count(*) filter (where delivered_at is null) + count(*) filter (where read_at is null)
  from broadcast_messages
 where device_id = 'flood'
"""


@dataclass
class Flood:
    """One flood. ``took``: seconds of each request until its acknowledgement. ``repeated``: how often one was not acknowledged."""

    receipts: int
    seconds: float = 0.0
    took: list[float] = field(default_factory=list)
    repeated: int = 0
    lost: int = 0

    def __str__(self) -> str:
        """In words."""
        slow = sorted(self.took)[int(0.99 * (len(self.took) - 1))]
        return (
            f"{self.receipts / self.seconds:,.0f} receipts/s for {self.seconds:.0f} s, in requests of {TOGETHER}; each acknowledged"
            f" in {median(self.took):.2f} s (99th percentile {slow:.2f}); {self.repeated} requests repeated, {self.lost} receipts lost"
        )


async def measure_floods(here: Stage, figures: Figures, leads: int, rounds: int, seconds: int) -> None:
    """Campaigns with and without a flood of receipts, in turns. A flood begins before its campaign and goes on for ``seconds``."""
    with closing(socket()) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    here.environment |= {**VARIABLES, "DRUMBEAT_WEBHOOKS_PORT": str(port)}
    options = {
        "phone_number_id": "1",
        "token_env": "FLOOD_TOKEN",
        "app_secret_env": "FLOOD_SECRET",
        "verify_token_env": "FLOOD_VERIFY",
    }
    await devices.add(here.connection, DeviceSettings(id=DEVICE, gateway="cloud-api", options=options))
    pool = await here.connection.pool()
    bodies = await _bodies(here, pool, RECEIPTS_A_SECOND * seconds)
    alone: list[Run] = []
    flooded: list[Run] = []
    floods: list[Flood] = []
    for number in range(rounds):
        for turn in (0, 1):  # alternate the order
            await pool.execute(FORGET_RECEIPTS)
            await pool.execute("vacuum analyze broadcast_messages")
            await here.start_worker()
            if (number + turn) % 2:
                alone.append(await campaign_run(here, f"ALONE{number}", leads, workers=0))
            else:
                async with _flooding(f"http://127.0.0.1:{port}/webhooks/{DEVICE}", bodies) as flood:
                    flooded.append(await campaign_run(here, f"FLOOD{number}", leads, workers=0))
                flood.lost = await pool.fetchval(COUNT_LOST)
                floods.append(flood)
            await here.stop_workers()
        figures.tell(
            f"round {number + 1} of {rounds}, {leads:,} leads: {flooded[-1].per_second:.1f}/s beside {floods[-1]};"
            f" {alone[-1].per_second:.1f}/s alone"
        )
    rates, bare = [run.per_second for run in flooded], [run.per_second for run in alone]
    figures.note(
        Figure(
            f"campaign, {leads:,} leads, beside a flood of receipts",
            f"{spread(rates)} messages/s",
            f"campaign alone, {spread(bare)}/s",
            ratio(median(rates), median(bare)),
            {"flooded": rates, "alone": bare},
        )
    )
    worst = max(floods, key=lambda flood: (flood.lost, flood.repeated, max(flood.took)))
    figures.note(
        Figure("the flood (the worst round)", str(worst), details={"rounds": [asdict(one) for one in floods]})
    )


async def _bodies(here: Stage, pool: Pool, receipts: int) -> list[bytes]:
    """The requests: that each of half as many messages was delivered and read, in any order."""
    phones = await add_leads(here, receipts // 2, niche="FLOOD")
    rows = await pool.fetch(INSERT_SENT, await pool.fetchval(INSERT_CAMPAIGN), phones)
    told = [(row, status) for row in rows for status in ("delivered", "read")]
    random.Random(1).shuffle(told)  # noqa: S311 - repeatable, not secret
    now = str(int(time.time()))
    bodies = []
    for start in range(0, len(told), TOGETHER):
        statuses = [
            _status(row["id"], row["phone"], row["gateway_message_id"], status, now)
            for row, status in told[start : start + TOGETHER]
        ]
        change = {"field": "messages", "value": {"messaging_product": "whatsapp", "statuses": statuses}}
        entry = {"id": "1", "changes": [change]}
        bodies.append(json.dumps({"object": "whatsapp_business_account", "entry": [entry]}).encode())
    return bodies


def _status(message: UUID, phone: str, gateway_id: str, status: str, at: str) -> dict[str, str]:
    return {
        "id": gateway_id,
        "status": status,
        "timestamp": at,
        "recipient_id": phone.removeprefix("+"),
        "biz_opaque_callback_data": str(message),
    }


@asynccontextmanager
async def _flooding(address: str, bodies: list[bytes]) -> AsyncIterator[Flood]:
    """Floods from the beginning of the block, at RECEIPTS_A_SECOND; ends when each request is acknowledged."""
    flood = Flood(TOGETHER * len(bodies))
    task = asyncio.create_task(_flood(address, bodies, flood))
    try:
        yield flood
        await task
    finally:
        task.cancel()


async def _flood(address: str, bodies: list[bytes], flood: Flood) -> None:
    room = asyncio.Semaphore(AT_ONCE)
    clock = time.monotonic
    async with (
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30)) as http,
        asyncio.TaskGroup() as tasks,
    ):

        async def deliver(body: bytes) -> None:
            async with room:
                began = clock()
                while await _post(http, address, body) != 200:
                    flood.repeated += 1
                    await asyncio.sleep(PAUSE)
                flood.took.append(clock() - began)

        began = clock()
        for number, body in enumerate(bodies):
            await asyncio.sleep(began + number * TOGETHER / RECEIPTS_A_SECOND - clock())
            tasks.create_task(deliver(body))
    flood.seconds = clock() - began


async def _post(http: aiohttp.ClientSession, address: str, body: bytes) -> int:
    signature = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
    try:
        async with http.post(
            address, data=body, headers={"X-Hub-Signature-256": f"sha256={signature}"}
        ) as answer:
            return answer.status
    except (aiohttp.ClientError, OSError, TimeoutError):
        return 0
