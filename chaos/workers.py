"""Worker processes that are restarted whenever they end, like under a service manager."""

import asyncio
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from rig.stage import Stage
from rig.waiting import COMES_BACK_WITHIN, until

__all__ = ["Workers"]

AGAIN_AFTER = 0.5
"""Seconds after which a worker that ended is started again."""


@dataclass
class _Place:
    """The place of one worker, whichever process it is at the moment."""

    number: int
    log: Path
    process: asyncio.subprocess.Process | None = None
    killed: bool = False
    down_for: float = AGAIN_AFTER
    stops: int = 0
    """How many stops are under way: it continues after the last of them."""
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def running(self) -> asyncio.subprocess.Process | None:
        process = self.process
        return process if process is not None and process.returncode is None else None


class Workers:
    """Starts, kills, stops and continues workers. ``tell`` is called if one ends that nobody killed."""

    def __init__(self, here: Stage, count: int, tell: Callable[[str], None]) -> None:
        self._here = here
        self._tell = tell
        self._places = [
            _Place(number, here.home / "logs" / f"worker-{number}.log") for number in range(count)
        ]
        self._keepers: list[asyncio.Task[None]] = []
        self._closing = asyncio.Event()
        self.ended_by_themselves = 0

    async def start(self) -> None:
        """Starts them, and returns when all of them work."""
        self._keepers = [asyncio.create_task(self._keep(place)) for place in self._places]
        for place in self._places:
            await until(
                lambda place=place: self._here.works(place.log),  # type: ignore[misc]
                COMES_BACK_WITHIN,
                what=f"worker {place.number} works",
            )

    async def kill(self, number: int, down_for: float) -> str:
        """Sends SIGKILL; a new one starts after ``down_for`` seconds. Answers what was done."""
        place = self._places[number]
        process = place.running
        if process is None:
            return "it was down already"
        place.killed, place.down_for = True, max(down_for, AGAIN_AFTER)
        process.kill()
        await process.wait()
        return f"process {process.pid} killed"

    async def stop(self, number: int, seconds: float) -> str:
        """Sends SIGSTOP, and SIGCONT after ``seconds``. Answers what was done."""
        place = self._places[number]
        process = place.running
        if process is None:
            return "it was down already"
        process.send_signal(signal.SIGSTOP)
        place.stops += 1
        try:
            await asyncio.sleep(seconds)
        finally:
            place.stops -= 1
            if place.stops == 0 and process.returncode is None:
                process.send_signal(signal.SIGCONT)
        if process.returncode is not None:
            return f"process {process.pid} stopped, and killed meanwhile"
        return f"process {process.pid} stopped, and continued after {seconds:g} s"

    async def all_run(self) -> None:
        """Waits until every one of them runs. Raises NeverHappened."""
        for place in self._places:
            await until(
                lambda place=place: place.running is not None,  # type: ignore[misc]
                COMES_BACK_WITHIN,
                what=f"worker {place.number} runs",
            )

    async def close(self) -> None:
        """Kills them all; their state does not matter any more."""
        self._closing.set()
        for place in self._places:
            if place.running is not None:
                place.running.kill()
        await asyncio.gather(*self._keepers)

    async def _keep(self, place: _Place) -> None:
        while not self._closing.is_set():
            place.killed, place.down_for = False, AGAIN_AFTER
            place.process = process = await self._here.spawn_worker(place.log)
            if self._closing.is_set():
                process.kill()
            code = await process.wait()
            if not place.killed and not self._closing.is_set():
                self.ended_by_themselves += 1
                self._tell(f"worker {place.number} ended by itself with code {code}: {_last_line(place.log)}")
            try:
                async with asyncio.timeout(place.down_for):
                    await self._closing.wait()
            except TimeoutError:
                continue


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else "it said nothing"
