"""Worker processes."""

import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from runtime.settings import CHECKOUT

__all__ = ["environment", "spawn_worker"]

FOREIGN = ("TEMPORAL_", "DRUMBEAT_", "DATABASE_URL")
"""Variables that begin so name servers, or say how to work with them."""


def environment(**own: str) -> dict[str, str]:
    """For a process that is to use these servers and no others: ours, without what names any, and with ``own``."""
    return {**{name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}, **own}


async def spawn_worker(
    log: Path, env: dict[str, str], *command: str, prefix: Sequence[str] = ()
) -> asyncio.subprocess.Process:
    """A process of ``worker.py``, or of Python with another ``command``, which need not be ready yet.

    ``log``: what it says is added to that file. ``prefix``: the program that starts it.
    """
    with log.open("ab") as file:
        return await asyncio.create_subprocess_exec(
            *(*prefix, sys.executable, *(command or ("worker.py",))),
            cwd=CHECKOUT,
            env=env,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=file,
            stderr=file,
        )
