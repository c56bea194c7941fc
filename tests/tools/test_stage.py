"""What benchmarks and the chaos suite start their workers with."""

import asyncio
from pathlib import Path
from typing import cast

import pytest

from messaging.common.errors import Unavailable
from operations.connection import Drumbeat
from rig.stage import Stage
from rig.waiting import NeverHappened, insist, until

TAKES_ITS_TIME = (
    "import sys, time; time.sleep(0.7); print('working on task queue x', flush=True); time.sleep(60)"
)


@pytest.fixture
def here(tmp_path: Path) -> Stage:
    (tmp_path / "logs").mkdir()
    return Stage(cast("Drumbeat", None), tmp_path)  # its workers are no workers, and need no servers


async def test_each_worker_has_begun_before_the_clock_starts(here: Stage) -> None:
    """Also the second one, of which the first one's log must not be taken for its own."""
    clock = asyncio.get_running_loop().time
    for _ in range(2):
        began = clock()
        await here.start_worker("-c", TAKES_ITS_TIME)
        assert clock() - began >= 0.7
        await here.stop_workers()


async def test_who_waits_is_told_why_a_worker_ended(here: Stage) -> None:
    with pytest.raises(
        NeverHappened, match=r"worker begins .*: a worker ended with code 3\n.*no such table: leads"
    ):
        await here.start_worker("-c", "import sys; print('no such table: leads', flush=True); sys.exit(3)")


async def test_what_never_happened_is_named() -> None:
    def it_rains() -> bool:
        return False

    with pytest.raises(NeverHappened, match=r"it_rains: not within 0 s"):
        await until(it_rains, 0.05)


async def test_what_a_server_is_in_the_way_of_is_done_again() -> None:
    attempts = iter([Unavailable("it starts"), TimeoutError()])

    async def work() -> str:
        if error := next(attempts, None):
            raise error
        return "done"

    assert await insist("it works", work) == "done"

    async def never() -> None:
        raise Unavailable("it is gone")

    with pytest.raises(NeverHappened, match="it works: not within 0 s: it is gone"):
        await insist("it works", never, 0.05)


async def test_nobody_waits_for_ever(here: Stage) -> None:
    with pytest.raises(NeverHappened, match="it ends: not within 0 s"):
        await here.until("it ends", lambda: False, within=0.2)
