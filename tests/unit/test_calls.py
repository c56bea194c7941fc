"""Many calls at a time, and what an error does to the others."""

import asyncio

import pytest

from activities.pacing import batches
from temporal.bulk import CONCURRENCY, each


async def test_answers_in_order_and_never_more_at_a_time() -> None:
    open_now, most = 0, 0

    async def call(item: int) -> int:
        nonlocal open_now, most
        open_now += 1
        most = max(most, open_now)
        await asyncio.sleep(0.001 * (item % 3))
        open_now -= 1
        return -item

    assert await each(range(100), call) == [-item for item in range(100)]
    assert most == CONCURRENCY
    assert await each([], call) == []


def test_twenty_at_a_time_are_told() -> None:
    """A fifth of a second's work: with some hundreds, Temporal would wait in vain for the last of them."""
    assert [list(few) for few in batches(range(45))] == [
        [*range(20)],
        [*range(20, 40)],
        [*range(40, 45)],
    ]


async def test_an_error_comes_as_it_is_after_what_was_on_the_wire_and_before_anything_else() -> None:
    begun: list[int] = []
    ended: list[int] = []

    async def call(item: int) -> None:
        begun.append(item)
        await asyncio.sleep(0)
        if item == 3:
            raise ConnectionError("refused")
        await asyncio.sleep(0.01)
        ended.append(item)

    with pytest.raises(ConnectionError, match="refused"):
        await each(range(100), call)
    assert begun == list(range(CONCURRENCY))
    assert ended == [item for item in range(CONCURRENCY) if item != 3]
