"""Temporal's development server with its Web UI, and a database file that outlives it."""

import asyncio
import sqlite3
import sys
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path

from messaging.common.errors import Unavailable
from runtime.embedded.program import Program, accepts
from runtime.embedded.workflow_index import make_smaller
from temporal import search_attributes as attributes

__all__ = ["Temporal"]

PRAGMAS = {"journal_mode": "WAL", "synchronous": "NORMAL"}
"""Two to three times as fast as SQLite's defaults. Commits survive a kill of the process; a power cut may lose the last
moments.
"""

DYNAMIC_CONFIG = {
    # Batch operations wake all workflows that wait on a device, a sequence or a campaign. As delivered they signal 50
    # workflows a second: 10,000 would take more than three minutes.
    "worker.batcherRPS": "500",
    "worker.batcherConcurrency": "20",
    # As delivered the server reads search attributes and namespace anew, a dozen queries for each workflow, so that an
    # attribute can be used as soon as it is added. Ours are there from the start; another takes up to a minute.
    "system.forceSearchAttributesCacheRefreshOnRead": "false",
    # The worker whose task asks for an activity gets it with the answer, if it has room: one way and one update of the
    # server less than through the queue.
    "system.enableActivityEagerExecution": "true",
    # Devices take turns in a task queue (temporal/priorities.py). Priorities are on by themselves.
    "matching.enableFairness": "true",
    # Its HTTP API cannot be turned off, and takes plain text from any web page that is open on this machine. It is not
    # needed, so it answers to no host name.
    "frontend.httpAllowedHosts": "[]",
}


class Temporal(Program):
    """``temporal server start-dev`` on loopback."""

    name = "Temporal"

    def __init__(self, home: Path, ports: Mapping[str, int]) -> None:
        """``ports``: temporal_port, ui_port, temporal_http_port and temporal_metrics_port."""
        super().__init__(home / "logs" / "temporal.log")
        self._data = home / "temporal"
        self._database = self._data / "temporal.db"
        self._complete = self._data / "complete"
        self._ports = ports

    @property
    def address(self) -> str:
        """Where clients connect to."""
        return f"127.0.0.1:{self._ports['temporal_port']}"

    @property
    def ui_url(self) -> str:
        """The Web UI."""
        return f"http://127.0.0.1:{self._ports['ui_port']}"

    async def launch(self, inherit: Sequence[int] = ()) -> None:
        """Starts the server, with a new database in place of one that a first start left unfinished."""
        self._forget_unfinished()
        if self._complete.exists():
            await asyncio.to_thread(make_smaller, self._database)
        await super().launch(inherit)

    async def ready(self) -> None:
        """Waits until it answers, and then marks its database as complete. Raises Unavailable."""
        await super().ready()
        if not self._complete.exists():
            self._complete.touch()
            await asyncio.to_thread(make_smaller, self._database)

    def _forget_unfinished(self) -> None:
        """Removes a database whose creation was interrupted: the server would take it for complete and never start.

        Only if no server ever answered with it and it has no workflow, so nothing can be lost.
        """
        if self._complete.exists() or not self._database.is_file() or _has_workflows(self._database):
            return
        for suffix in ("", "-wal", "-shm", "-journal"):
            self._database.with_name(self._database.name + suffix).unlink(missing_ok=True)

    def command(self) -> Sequence[str]:
        binary = Path(sys.executable).parent / "temporal"
        if not binary.exists():
            raise Unavailable(
                "the embedded Temporal is not installed: run 'make setup', or set TEMPORAL_ADDRESS"
            )
        ports = {name: str(port) for name, port in self._ports.items()}
        return [
            *(str(binary), "--disable-config-file", "server", "start-dev", "--ip", "127.0.0.1"),
            *("--port", ports["temporal_port"], "--ui-port", ports["ui_port"]),
            *("--http-port", ports["temporal_http_port"], "--metrics-port", ports["temporal_metrics_port"]),
            *("--db-filename", str(self._database)),
            *(part for key, value in PRAGMAS.items() for part in ("--sqlite-pragma", f"{key}={value}")),
            *(
                part
                for key, value in DYNAMIC_CONFIG.items()
                for part in ("--dynamic-config-value", f"{key}={value}")
            ),
            *(
                part
                for key in attributes.ALL
                for part in ("--search-attribute", f"{key.name}={key.indexed_value_type.name.title()}")
            ),
            *("--ui-disable-news-fetch", "--log-level", "warn"),
        ]

    async def answers(self) -> bool:
        return await accepts(self._ports["temporal_port"]) and await accepts(self._ports["ui_port"])


def _has_workflows(database: Path) -> bool:
    """True if a database contains, or may contain, workflows; also if it cannot be read."""
    try:
        with closing(sqlite3.connect(f"{database.resolve().as_uri()}?mode=rw", uri=True)) as connection:
            if not connection.execute("select 1 from sqlite_master where name = 'executions'").fetchone():
                return False
            return connection.execute("select 1 from executions limit 1").fetchone() is not None
    except sqlite3.Error:
        return True
