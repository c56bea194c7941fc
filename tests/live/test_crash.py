"""Real workers, really killed, while contacts are on their way."""

import asyncio
import itertools
import json
import random
import signal
from collections import Counter
from datetime import datetime

import pytest

from messaging.sending.claim_lifetimes import CLAIM_LIFETIME
from operations import enrollment
from operations.audit import audit
from rig.people import phone
from rig.waiting import until
from tests.support.live import Live

SEED = 20261123
CONTACTS = 10
SEQUENCE = """
sequence: story
steps:
  - {id: a, day: 1, text: "One"}
  - {id: b, after: 1s, text: "Two"}
  - {id: c, after: 1s, text: "Three"}
"""


async def enroll_all(live: Live, contacts: int, pause: float = 0.05) -> None:
    for index in range(contacts):
        await enrollment.enroll(live.connection, "story", phone(index), device=live.scenario.device)
        await asyncio.sleep(pause)


def copies(messages: list[dict[str, object]]) -> Counter[tuple[object, object]]:
    return Counter((message["phone"], message["text"]) for message in messages)


async def caught(live: Live, since: datetime) -> bool:
    """Whether a message went to the gateway since then and is still there, or there is none left to catch there."""
    return bool(
        await live.scenario.pool.fetchval(
            "select exists (select from broadcast_messages where status = 'processing' and claimed_at > $2)"
            " or (select count(*) = $1 from sequence_contacts where status <> 'active')",
            CONTACTS,
            since,
        )
    )


@pytest.mark.timeout(170)
@pytest.mark.parametrize("keys", [pytest.param(True, marks=pytest.mark.long), False])
async def test_workers_killed_at_random_moments(live: Live, keys: bool) -> None:
    """Exactly once where the gateway honours keys; else at most once, and what is missing is listed."""
    await live.scenario.add_device()
    await live.scenario.apply(SEQUENCE)
    await live.scenario.offer(keys=keys, look_up=False)
    # A gateway that takes its time is caught with messages in its hands.
    await live.scenario.faults(
        {"kind": "latency", "seconds": 0.2, "to_seconds": 1.5},
        {"kind": "latency", "seconds": 0.2, "to_seconds": 1.5, "after_accepting": True},
    )
    moments = random.Random(SEED)
    enrolling = asyncio.create_task(enroll_all(live, CONTACTS))
    worker = await live.start_worker()
    for _ in range(2):
        started = await live.scenario.pool.fetchval("select now()")
        await asyncio.sleep(moments.uniform(1.0, 3.0))
        await until(lambda started=started: caught(live, started))  # type: ignore[misc] # a slow machine takes its time
        await live.kill(worker)
        worker = await live.start_worker()
    await enrolling
    await live.scenario.faults()
    await live.all_over(CONTACTS, seconds=90)
    accepted = copies(await live.scenario.accepted())
    assert max(accepted.values()) == 1, "nothing is doubled"
    ledger = Counter(message["status"] for message in await live.scenario.messages())
    if keys:
        assert len(accepted) == 3 * CONTACTS
        assert ledger == {"sent": 3 * CONTACTS}
    else:
        assert ledger["sent"] + ledger["unconfirmed"] == 3 * CONTACTS
        assert ledger["sent"] <= len(accepted) <= 3 * CONTACTS
        unconfirmed = [m for m in await live.scenario.messages() if m["status"] == "unconfirmed"]
        assert unconfirmed, "the plan catches messages at the gateway"
        assert all(message["reason"] for message in unconfirmed)
        code, listed, _ = await live.run("starter.py", "messages", "--json")
        assert (code, len(json.loads(listed))) == (0, len(unconfirmed))
    report = await audit(live.connection)
    assert report.kept, [check for check in report.checks if not check.kept]


async def test_a_worker_that_was_stopped_does_not_double_when_it_wakes(live: Live) -> None:
    """SIGSTOP for longer than a claim lives, another worker takes over, SIGCONT."""
    await live.scenario.add_device()
    await live.scenario.apply(SEQUENCE)
    await live.scenario.faults({"kind": "latency", "seconds": 0.3, "to_seconds": 0.6})
    zombie = await live.start_worker()
    await enroll_all(live, 8, pause=0.02)
    zombie.send_signal(signal.SIGSTOP)
    await live.start_worker()
    await asyncio.sleep(CLAIM_LIFETIME.total_seconds() + 1)  # for once it is the time itself that matters
    zombie.send_signal(signal.SIGCONT)
    await live.scenario.faults()
    await live.all_over(8, seconds=60)
    accepted = copies(await live.scenario.accepted())
    assert (len(accepted), max(accepted.values())) == (24, 1)


@pytest.mark.long
async def test_late_after_an_outage_comes_at_the_devices_pace_from_two_workers(live: Live) -> None:
    """No worker over due times; then two. What is late leaves one by one, as the gateway's own log has it."""
    await live.scenario.add_device(min_delay=0.3, max_delay=0.4)
    await live.scenario.apply(SEQUENCE)
    worker = await live.start_worker()
    await enroll_all(live, 5, pause=0)

    async def half_way() -> bool:
        return len(await live.scenario.accepted()) >= 5

    async def all_late() -> bool:
        late = "select bool_and(next_due_at < now()) from sequence_contacts where status = 'active'"
        return bool(await live.scenario.pool.fetchval(late))

    await until(half_way)
    await live.kill(worker)
    await until(all_late)
    await asyncio.gather(live.start_worker(), live.start_worker())
    await live.all_over(5, seconds=90)
    arrived = sorted(datetime.fromisoformat(row["received_at"]) for row in await live.scenario.requests())
    gaps = [(later - earlier).total_seconds() for earlier, later in itertools.pairwise(arrived)]
    assert min(gaps) >= 0.3
    accepted = copies(await live.scenario.accepted())
    assert (len(accepted), max(accepted.values())) == (15, 1)
