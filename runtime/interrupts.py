"""Makes Ctrl-C and SIGTERM end a command at any moment, whatever it is doing."""

import asyncio
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["GRACE", "ended_by_signals"]

GRACE = 5.0
"""Seconds that a command gets after the signal to close what it opened; a hanging thread does not delay it longer."""

_HEARD_WITHIN = 0.5
"""Seconds within which the event loop must react; otherwise the command is in a long computation, which is
interrupted.
"""

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Inside the block, the first signal cancels the current task, and a second one ends the process at once with code
    130.

    It does nothing outside the main thread, as signals arrive only there.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    ending = _Ending()
    before = {number: signal.signal(number, ending.begin) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Ending:
    def __init__(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        self._loop = asyncio.get_running_loop()
        self._begun = False
        self._broken_off = False

    def begin(self, _number: int, _frame: FrameType | None) -> None:
        """Handles a signal: in the main thread, between two instructions of Python."""
        if self._begun:
            os._exit(130)
        self._begun = True
        watchdog = threading.Timer(GRACE, _give_up)
        watchdog.daemon = True
        watchdog.start()
        signal.signal(signal.SIGALRM, self._break_off)
        signal.setitimer(signal.ITIMER_REAL, _HEARD_WITHIN)
        self._loop.call_soon_threadsafe(self._cancel)

    def _cancel(self) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        if not self._broken_off:
            self._task.cancel()

    def _break_off(self, _number: int, _frame: FrameType | None) -> None:
        self._broken_off = True
        raise KeyboardInterrupt


def _give_up() -> None:
    os.write(2, b"drumbeat: interrupted\n")
    os._exit(130)
