"""Worker processes."""

import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from runtime.settings import CHECKOUT

__all__ = ["environment", "spawn_worker"]

FOREIGN = ("TEMPORAL_", "DRUMBEAT_", "DATABASE_URL")
"""Prefixes of variables that name servers or configure their use."""


def environment(**own: str) -> dict[str, str]:
    """The environment for a process that must use only these servers: ours without variables that name servers, plus
    ``own``.
    """
    return {**{name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}, **own}


async def spawn_worker(
    log: Path, env: dict[str, str], *command: str, prefix: Sequence[str] = ()
) -> asyncio.subprocess.Process:
    """Starts a process of ``worker.py``, or of Python with another ``command``, without waiting until it is ready.

    ``log``: its output is appended to that file. ``prefix``: the program that starts it.
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
