"""What a contact and a lead cost in Temporal, as exact numbers: when one falls, lower it here.

Events and bytes are what a server's time, and an operator's bill, are made of. The bytes are those of a history in which
all that is the moment's or the machine's has a fixed value of the usual length (``USUAL``, ``QUEUES``, ``VARYING``), as on
a host called "worker" and with Drumbeat's own task queue. Raw bytes differ from them by how long those names are: the
host's stands three times in a lead, 13 times in a contact with one step and eight times more for each further step; the
queue's once, and once for each task and activity. With the queue of a test they are 1.5 KB, 3.3 KB and 1.5 KB.
"""

import re
from collections.abc import Mapping

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from temporalio.api.common.v1 import Payload
from temporalio.api.history.v1 import HistoryEvent
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.client import WorkflowHistory

from messaging.models import EnrollmentRequest, Lead
from naming.contacts import start_contact
from operations import campaigns
from tests.campaigns import finished, ready
from tests.live import Live
from tests.scenario import phone

LEAD_EVENTS, LEAD_BYTES = 6, 1_443
"""Started, the task (3), the send's marker, completed."""

FEEDER_EVENTS = 30
"""Of one that is through within some seconds: they do not grow with the leads."""

FIRST_STEP_EVENTS, FIRST_STEP_BYTES = 18, 3_273
"""Started; enroll's marker; send and finish, each an activity of three events; three tasks, each of three; completed."""

STEP_EVENTS, STEP_BYTES = 11, 1_430
"""A timer (2) and its task (3), the send (3) and the task after it (3)."""

SEQUENCE = """
sequence: {name}
steps:
  - {{id: a, day: 1, text: "One"}}
"""
CONTACTS = 10
"""So many, as some commands could depend on the moment."""

MORE = '  - {{id: {key}, after: 1s, text: "More"}}\n'

USUAL: Mapping[str, Message | str | int] = {
    "event_time": Timestamp(seconds=1_795_608_000, nanos=500_000_000),
    "start_to_fire_timeout": Duration(nanos=980_000_000),
    "task_id": 1_048_600,
    "history_size_bytes": 4_000,
    "identity": "12345@worker",
    "normal_name": "drumbeat",
}
"""Fields of events. Those that are random but always of one length stay: run IDs, request IDs, the build's ID."""

QUEUES = {1: "drumbeat", 2: "12345@worker-0123456789abcdef0123456789abcdef"}
"""Task queues' names, by their kind: the common one, and the worker's own."""

VARYING = (
    # In the marker of a local activity.
    (rb'"nanos":\d+', b'"nanos":500000000'),
    (rb"\d{4}-\d\d-\d\dT[\d:.]+Z", b"2026-11-25T12:00:00.500000Z"),
    (rb"[A-Z][a-z]{2} \d{1,2} [A-Z][a-z]{2}(?: \d{4})? \d\d:[\d:]+", b"Wed 25 Nov 12:00:01"),
    # Numbered in the order of their coming, or by the tests.
    (rb'"enrollment_id":\d+', b'"enrollment_id":1'),
    (rb"device-\d+", b"device-1"),
    (rb"Lead \d+", b"Lead 1"),
)
"""In payloads. UUIDs are always of one length."""


async def history(live: Live, workflow_id: str) -> WorkflowHistory:
    return await live.connection.temporal.get_workflow_handle(workflow_id).fetch_history()


def size(of: WorkflowHistory) -> int:
    """Bytes of a history, the same in every run and on every machine."""
    total = 0
    for event in of.events:
        copy = HistoryEvent()
        copy.CopyFrom(event)
        _steady(copy)
        total += copy.ByteSize()
    return total


def _steady(message: Message) -> None:
    """Gives everything that varies its usual value, in place."""
    if isinstance(message, Payload):
        for pattern, usual in VARYING:
            message.data = re.sub(pattern, usual, message.data)
        return
    if isinstance(message, TaskQueue):
        message.name = QUEUES[message.kind]
    for field, value in message.ListFields():
        usual_value = USUAL.get(field.name)
        if isinstance(usual_value, Message):
            value.CopyFrom(usual_value)
        elif usual_value is not None:
            setattr(message, field.name, usual_value)
        elif isinstance(value, Message):
            _steady(value)
        elif field.message_type is not None:
            for one in value.values() if isinstance(value, Mapping) else value:
                if isinstance(one, Message):
                    _steady(one)


async def test_a_lead_of_a_campaign(live: Live) -> None:
    await ready(live, 20)
    await live.start_worker()
    await campaigns.start(live.connection, "sale")
    await finished(live)
    for index in range(20):
        # The ledger knows the end of the last message before Temporal does.
        await live.connection.temporal.get_workflow_handle(f"campaign:sale:{phone(index)}").result()
        lead = await history(live, f"campaign:sale:{phone(index)}")
        assert len(lead.events) == LEAD_EVENTS
        assert size(lead) == LEAD_BYTES
        assert lead.events[0].workflow_execution_started_event_attributes.eager_execution_accepted
    feeder = await history(live, "campaign:sale:shard-0")
    assert len(feeder.events) <= FEEDER_EVENTS


async def test_a_contact_and_each_further_step(live: Live) -> None:
    await live.scenario.add_device()
    for steps in (1, 2, 3):
        source = SEQUENCE + "".join(MORE.replace("{key}", "abc"[number]) for number in range(1, steps))
        await live.scenario.apply(source.format(name=f"of-{steps}"))
    await live.start_worker()
    for steps in (1, 2, 3):
        for index in range(CONTACTS):
            lead = Lead(phone=phone(index), device_id=live.scenario.device)
            # As the sweep does it. Who waits for a worker's answer asks by a query, which costs a task more at times.
            await start_contact(
                live.connection.temporal,
                EnrollmentRequest(sequence=f"of-{steps}", lead=lead),
                task_queue=live.connection.settings.task_queue,
            )
    await live.all_over(3 * CONTACTS)
    for steps in (1, 2, 3):
        for index in range(CONTACTS):
            workflow_id = f"sequence:of-{steps}:{phone(index)}"
            await live.connection.temporal.get_workflow_handle(workflow_id).result()
            contact = await history(live, workflow_id)
            assert len(contact.events) == FIRST_STEP_EVENTS + (steps - 1) * STEP_EVENTS
            assert size(contact) == FIRST_STEP_BYTES + (steps - 1) * STEP_BYTES
