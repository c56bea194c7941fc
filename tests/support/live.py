"""Drumbeat as it runs: Temporal's real server, PostgreSQL, the simulated gateway, and workers in processes of their own."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.testing import WorkflowEnvironment

from messaging.reporting.workers import find_workers
from operations.connection import Drumbeat
from rig.waiting import until
from rig.workers import environment, spawn_worker
from runtime.servers import Addresses
from runtime.settings import Settings
from temporal import search_attributes as attributes
from tests.support.forked import Forked, fork, output_of
from tests.support.scenario import Scenario

__all__ = ["Live", "live_servers"]

ROOT = Path(__file__).parents[2]
Process = Forked | asyncio.subprocess.Process
TEMPORAL = Path(sys.executable).parent / "temporal"


@dataclass
class Live:
    """The servers, and what a test does with them."""

    scenario: Scenario
    connection: Drumbeat
    database_url: str
    log: Path
    workers: list[Process] = field(default_factory=list)

    @property
    def environment(self) -> dict[str, str]:
        """For a process that is to use these servers."""
        return environment(
            DATABASE_URL=self.database_url,
            TEMPORAL_ADDRESS=self.connection.addresses.temporal_address,
            DRUMBEAT_TASK_QUEUE=self.connection.settings.task_queue,
            DRUMBEAT_SIMULATOR_URL=self.scenario.simulator_url,
        )

    async def run(self, *arguments: str, **more: str) -> tuple[int, str, str]:
        """Runs Python with these arguments; answers exit code, standard output and standard error."""
        return await output_of(*arguments, env={**self.environment, **more})

    async def start_worker(self, *prefix: str, **more: str) -> Process:
        """A worker process; it may not be ready yet, and nobody need care. ``prefix``: what starts it."""
        env = {**self.environment, **more}
        process: Process
        if prefix:
            process = await spawn_worker(self.log, env, prefix=prefix)
        else:
            with self.log.open("ab") as log:
                process = await fork("worker.py", env=env, stdout=log, stderr=log)
        self.workers.append(process)
        return process

    async def works(self) -> bool:
        """Whether a worker polls."""
        queue = self.connection.settings.task_queue
        return (await find_workers(self.scenario.pool, queue)).idle is None

    async def kill(self, process: Process) -> None:
        """SIGKILL."""
        process.kill()
        await process.wait()
        self.workers.remove(process)

    async def stop_workers(self) -> None:
        """Ends all workers; at once, for the servers go too."""
        for process in list(self.workers):
            process.send_signal(signal.SIGCONT)
            await self.kill(process)

    async def active(self) -> int:
        """Contacts with a step to come."""
        count: int = await self.scenario.pool.fetchval(
            "select count(*) from sequence_contacts where status = 'active'"
        )
        return count

    async def all_over(self, contacts: int, seconds: float = 60) -> None:
        """Waits until so many contacts are through."""

        async def over() -> bool:
            return bool(
                await self.scenario.pool.fetchval(
                    "select count(*) = $1 from sequence_contacts where status <> 'active'", contacts
                )
            )

        await until(over, seconds)


@asynccontextmanager
async def live_servers(
    scenario: Scenario, database_url: str, log: Path, *, task_queue: str = "", **server: Any
) -> AsyncIterator[Live]:
    """A Temporal server of the test's own beside the session's other servers. ``task_queue``: that of before, if the server is."""
    async with await WorkflowEnvironment.start_local(
        dev_server_existing_path=str(TEMPORAL),
        search_attributes=list(attributes.ALL),
        data_converter=pydantic_data_converter,
        **server,
    ) as environment:
        client = environment.client
        connection = Drumbeat(
            Settings(task_queue=task_queue or f"test-{uuid4()}"),
            Addresses(
                database_url=database_url,
                temporal_address=client.service_client.config.target_host,
                namespace=client.namespace,
                ui_url=None,
                simulator_url=scenario.simulator_url,
                embedded=False,
            ),
            client,
        )
        live = Live(scenario, connection, database_url, log)
        try:
            yield live
        finally:
            await live.stop_workers()
            await connection.close()
