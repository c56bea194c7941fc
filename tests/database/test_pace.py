"""Slots, limits and sending hours of a device, by a clock that the test turns."""

import asyncio
import itertools
import random
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from activities.limiter import DeviceLimiter
from activities.sequences import SequenceActivities
from messaging.gateways import Gateways
from messaging.sending.claim_lifetimes import CALL_GRACE
from messaging.sending.outcomes import Deferred, Settled
from messaging.sending.send import Sender
from messaging.sequences.contract import StepRef
from rig.people import phone
from tests.support.scenario import Scenario

START = datetime(2026, 3, 2, 12, tzinfo=UTC)
ONE = 'sequence: one\nsteps:\n  - {id: a, day: 1, text: "Hello"}\n'


class Crowd:
    """Contacts whose messages are due, and the answers that each got last."""

    def __init__(self, scenario: Scenario, gateways: Gateways) -> None:
        self.scenario = scenario
        self.now = START
        self.refs: dict[str, StepRef] = {}
        self.again: dict[str, datetime] = {}
        self.calls = 0
        self._activities = SequenceActivities(
            scenario.pool,
            Sender(scenario.pool, gateways, self._clock),
            DeviceLimiter(timedelta(0)),
            self._clock,
        )

    async def _clock(self) -> datetime:
        return self.now

    async def enroll(self, number: str) -> None:
        enrolled = await self.scenario.enroll("one", number, now=self.now)
        assert enrolled.next is not None
        self.refs[number] = StepRef(
            enrollment_id=enrolled.enrollment_id,
            step_id=enrolled.next.step_id,
            revision=enrolled.next.revision,
            phone=number,
            device_id=enrolled.device_id,
        )
        self.again[number] = self.now

    async def send(self, number: str) -> Settled | Deferred:
        self.calls += 1
        answer = await self._activities.send_step(self.refs[number])
        assert isinstance(answer, Settled | Deferred)
        if isinstance(answer, Deferred):
            self.again[number] = answer.until
        else:
            del self.again[number]
        return answer

    async def run(self, *, jitter: float = 0.0) -> None:
        """As the workflows would: each comes back when it was told to, or up to ``jitter`` seconds later."""
        late = random.Random(1)
        while self.again:
            number = min(self.again, key=lambda one: self.again[one])
            self.now = max(self.now, self.again[number]) + timedelta(seconds=late.uniform(0, jitter))
            await self.send(number)

    async def sent(self) -> list[datetime]:
        return sorted([m["sent_at"] for m in await self.scenario.messages() if m["sent_at"]])


@pytest.fixture
async def crowd(scenario: Scenario) -> AsyncIterator[Crowd]:
    gateways = Gateways()
    await scenario.apply(ONE)
    yield Crowd(scenario, gateways)
    await gateways.close()


def gaps(moments: list[datetime]) -> list[float]:
    return [(b - a).total_seconds() for a, b in itertools.pairwise(moments)]


@pytest.mark.parametrize("jitter", [0.0, 0.5, 20.0])
async def test_the_gap_is_never_shorter_and_nobody_waits_for_ever(crowd: Crowd, jitter: float) -> None:
    await crowd.scenario.add_device(min_delay=5, max_delay=15)
    for index in range(40):
        await crowd.enroll(phone(index))
    await crowd.run(jitter=jitter)
    between = gaps(await crowd.sent())
    assert len(between) == 39
    assert min(between) >= 5
    if jitter == 0:
        assert max(between) <= 16
        assert 8 <= sum(between) / len(between) <= 12, "evenly between minimum and maximum"
        assert crowd.calls <= 2 * 40, "each is told its slot once"


async def test_a_fixed_delay_does_not_drift_into_chaos(crowd: Crowd) -> None:
    await crowd.scenario.add_device(min_delay=5, max_delay=5)
    for index in range(40):
        await crowd.enroll(phone(index))
    await crowd.run(jitter=0.2)
    between = gaps(await crowd.sent())
    assert min(between) >= 5
    assert sum(between) / len(between) < 6
    assert crowd.calls < 40 * 6


async def test_slots_missed_in_an_outage_are_no_right_to_send(crowd: Crowd) -> None:
    await crowd.scenario.add_device(min_delay=5, max_delay=15)
    for index in range(30):
        await crowd.enroll(phone(index))
        await crowd.send(phone(index))
    crowd.now += timedelta(hours=2)
    before = len(await crowd.sent())
    for number in list(crowd.again):
        await crowd.send(number)
    assert len(await crowd.sent()) == before + 1, "all slots had passed, and one may go"
    await crowd.run()
    assert min(gaps(await crowd.sent())) >= 5


async def test_a_message_that_comes_first_does_not_jump_the_queue(crowd: Crowd) -> None:
    await crowd.scenario.add_device(min_delay=5, max_delay=5)
    for index in range(3):
        await crowd.enroll(phone(index))
        await crowd.send(phone(index))
    crowd.now = START + timedelta(seconds=7)  # the second's slot came two seconds ago, it is late itself
    await crowd.enroll(phone(9))
    newcomer = await crowd.send(phone(9))
    assert isinstance(newcomer, Deferred)
    assert newcomer.until > max(crowd.again[phone(1)], crowd.again[phone(2)])


async def test_an_attempt_on_its_way_holds_back_the_others(crowd: Crowd) -> None:
    """It was claimed and never settled: it may still arrive, and the gap is counted from its last moment."""
    await crowd.scenario.add_device(min_delay=5, max_delay=5)
    await crowd.enroll(phone(0))
    await crowd.enroll(phone(1))
    await crowd.scenario.faults({"kind": "hang", "seconds": 0.2, "phone": phone(0)})
    first = await crowd.send(phone(0))
    assert isinstance(first, Deferred)
    await crowd.scenario.pool.execute(
        "update devices set in_flight_until = $1, last_send_at = $2", START + CALL_GRACE, START
    )
    crowd.now = START + timedelta(seconds=5.5)
    second = await crowd.send(phone(1))
    assert isinstance(second, Deferred)
    assert second.until >= START + CALL_GRACE + timedelta(seconds=5)
    await crowd.scenario.faults()


async def test_the_daily_limit_ends_at_local_midnight(crowd: Crowd) -> None:
    await crowd.scenario.add_device(min_delay=1, max_delay=2, daily_limit=3, time_zone="Asia/Kuala_Lumpur")
    for index in range(7):
        await crowd.enroll(phone(index))
    await crowd.run()
    days = [str((moment + timedelta(hours=8)).date()) for moment in await crowd.sent()]
    assert days == ["2026-03-02"] * 3 + ["2026-03-03"] * 3 + ["2026-03-04"]
    midnight = datetime(2026, 3, 2, 16, tzinfo=UTC)
    assert timedelta(0) <= (await crowd.sent())[3] - midnight < timedelta(seconds=5)


@pytest.mark.parametrize(
    ("hours", "zone", "first"),
    [
        ("09:00-17:00", "UTC", START),
        ("13:30-17:00", "UTC", datetime(2026, 3, 2, 13, 30, tzinfo=UTC)),
        ("08:00-12:00", "UTC", datetime(2026, 3, 3, 8, tzinfo=UTC)),
        ("22:00-06:00", "UTC", datetime(2026, 3, 2, 22, tzinfo=UTC)),
        ("20:00-06:00", "Asia/Kuala_Lumpur", START),
        ("09:00-17:00", "Asia/Kuala_Lumpur", datetime(2026, 3, 3, 1, tzinfo=UTC)),
    ],
)
async def test_sending_hours(crowd: Crowd, hours: str, zone: str, first: datetime) -> None:
    await crowd.scenario.add_device(hours=hours, time_zone=zone)
    await crowd.enroll(phone(0))
    await crowd.run()
    (sent,) = await crowd.sent()
    assert timedelta(0) <= sent - first < timedelta(seconds=5)


async def test_many_at_once_from_an_idle_device(crowd: Crowd) -> None:
    """Real concurrency: each claim waits for the device's row, and none fails with a deadlock."""
    await crowd.scenario.add_device(min_delay=5, max_delay=15)
    for index in range(40):
        await crowd.enroll(phone(index))
    answers = await asyncio.gather(*(crowd.send(phone(index)) for index in range(40)))
    assert sum(isinstance(answer, Settled) for answer in answers) == 1
    slots = sorted(answer.until for answer in answers if isinstance(answer, Deferred))
    assert min(gaps(slots)) >= 5


async def test_only_what_was_or_may_have_been_accepted_uses_a_place_of_the_day(crowd: Crowd) -> None:
    await crowd.scenario.add_device(daily_limit=3)
    for index in range(3):
        await crowd.enroll(phone(index))
    pool = crowd.scenario.pool
    options = await pool.fetchval("select gateway_options from devices")
    await pool.execute("update devices set gateway_options = $1", {"url": "http://127.0.0.1:9"})
    for _ in range(2):
        for index in range(3):  # connections refused
            crowd.now = max(crowd.now, crowd.again[phone(index)])
            await crowd.send(phone(index))
    assert await pool.fetchval("select limit_used from devices") == 0
    await pool.execute("update devices set gateway_options = $1", options)
    for fault in ({"kind": "rate_limit", "retry_after": 1}, {"kind": "refuse"}):
        await crowd.scenario.faults({**fault, "phone": phone(0), "count": 1})
        crowd.now = max(crowd.again.values()) + timedelta(minutes=1)
        await crowd.send(phone(0))
        assert await pool.fetchval("select limit_used from devices") == 0, fault
    crowd.now += timedelta(minutes=1)
    # Accepted, and the answer got lost: one message and one place, in however many attempts.
    await crowd.scenario.faults({"kind": "drop", "after_accepting": True, "phone": phone(1), "count": 2})
    for _ in range(3):
        crowd.now = max(crowd.now, crowd.again[phone(1)])
        await crowd.send(phone(1))
        assert await pool.fetchval("select limit_used from devices") == 1
    await crowd.run()
    assert await pool.fetchval("select limit_used from devices") == 2
    assert len(await crowd.scenario.accepted()) == 2


async def test_a_place_of_yesterday_is_not_given_back_today(crowd: Crowd) -> None:
    await crowd.scenario.add_device(daily_limit=5)
    await crowd.enroll(phone(0))
    await crowd.enroll(phone(1))
    crowd.now = datetime(2026, 3, 2, 23, 59, 59, tzinfo=UTC)
    await crowd.scenario.faults({"kind": "drop", "phone": phone(0), "count": 1})
    await crowd.send(phone(0))
    crowd.now += timedelta(seconds=30)
    await crowd.send(phone(1))
    pool = crowd.scenario.pool
    assert await pool.fetchval("select limit_day || ': ' || limit_used from devices") == "2026-03-03: 1"
    await crowd.scenario.faults({"kind": "refuse", "phone": phone(0)})
    crowd.now += timedelta(minutes=1)
    await crowd.send(phone(0))
    assert await pool.fetchval("select limit_used from devices") == 2, (
        "in doubt it may have come a second time"
    )


async def test_one_in_doubt_is_found_out_about_although_the_day_is_full(crowd: Crowd) -> None:
    await crowd.scenario.add_device(daily_limit=1)
    await crowd.enroll(phone(0))
    await crowd.scenario.faults({"kind": "drop", "after_accepting": True, "count": 1})
    crowd.now = (await crowd.send(phone(0))).until  # type: ignore[union-attr]
    assert isinstance(await crowd.send(phone(0)), Settled)
    assert len(await crowd.scenario.accepted()) == 1
