"""What keeps one device from taking up a worker: few of its messages are at the gateway at a time."""

import asyncio
from datetime import UTC, datetime, timedelta

from activities.limiter import DeviceLimiter
from messaging.sending.outcomes import Deferred, Held


async def test_a_device_that_hangs_takes_its_places_and_no_more() -> None:
    sending = DeviceLimiter(places=2)
    hangs = asyncio.Event()
    there = 0

    async def hanging() -> Held:
        nonlocal there
        there += 1
        await hangs.wait()
        return Held(reason="answered")

    async def quick() -> Held:
        return Held(reason="quick")

    stuck = [asyncio.create_task(sending.run("slow", hanging)) for _ in range(2)]
    while there < 2:
        await asyncio.sleep(0)
    third = await sending.run("slow", hanging)
    assert there == 2, "it was not let in"
    assert isinstance(third, Deferred)
    assert timedelta(0) < third.until - datetime.now(UTC) < timedelta(seconds=7)
    assert third.reason == "device slow is slow, and has its hands full"
    assert await sending.run("other", quick) == Held(reason="quick")
    hangs.set()
    assert [await one for one in stuck] == [Held(reason="answered")] * 2
    assert await sending.run("slow", quick) == Held(reason="quick"), "places are given back"


async def test_a_slot_that_is_near_is_waited_for_without_taking_a_place() -> None:
    sending = DeviceLimiter(timedelta(seconds=1), places=1)
    calls: dict[str, int] = {}

    async def send(name: str) -> Deferred | Held:
        calls[name] = calls.get(name, 0) + 1
        if calls[name] > 1:
            return Held(reason=name)
        wait = timedelta(seconds=0.5 if name == "near" else 5)
        return Deferred(until=datetime.now(UTC) + wait, reason="its slot", wait=wait)

    near = asyncio.create_task(sending.run("device", lambda: send("near")))
    while not calls:
        await asyncio.sleep(0)
    far = await asyncio.wait_for(sending.run("device", lambda: send("far")), 0.4)
    assert isinstance(far, Deferred)
    assert await near == Held(reason="near")
    assert calls == {"near": 2, "far": 1}
