"""What a contact and a lead cost in Temporal, as exact numbers: they may only fall.

Events and bytes are what a server's time, and an operator's bill, are made of.
"""

from temporalio.client import WorkflowHistory

from operations import campaigns, enrollment
from tests.live import Live
from tests.scenario import phone
from tests.test_campaign_workflow import finished, ready

LEAD_EVENTS, LEAD_BYTES = 6, 1_800
"""Started, the task (3), the send's marker, completed."""

FEEDER_EVENTS = 30
"""Of one that is through within some seconds: they do not grow with the leads."""

FIRST_STEP_EVENTS, FIRST_STEP_BYTES = 18, 3_400
"""Started; enroll's marker; send and finish, each an activity of three events; three tasks, each of three; completed."""

STEP_EVENTS, STEP_BYTES = 11, 1_600
"""A timer (2) and its task (3), the send (3) and the task after it (3)."""

SEQUENCE = """
sequence: {name}
steps:
  - {{id: a, day: 1, text: "One"}}
"""
CONTACTS = 10
"""So many, as some commands could depend on the moment."""

MORE = '  - {{id: {key}, after: 1s, text: "More"}}\n'


async def history(live: Live, workflow_id: str) -> WorkflowHistory:
    return await live.connection.temporal.get_workflow_handle(workflow_id).fetch_history()


def size(of: WorkflowHistory) -> int:
    return sum(event.ByteSize() for event in of.events)


async def test_a_lead_of_a_campaign(live: Live) -> None:
    await ready(live, 20)
    await live.start_worker()
    await campaigns.start(live.connection, "sale")
    await finished(live)
    for index in range(20):
        lead = await history(live, f"campaign:sale:{phone(index)}")
        assert len(lead.events) == LEAD_EVENTS
        assert size(lead) <= LEAD_BYTES
        assert lead.events[0].workflow_execution_started_event_attributes.eager_execution_accepted
    feeder = await history(live, "campaign:sale:shard-0")
    assert len(feeder.events) <= FEEDER_EVENTS


async def test_a_contact_and_each_further_step(live: Live) -> None:
    await live.scenario.add_device()
    for steps in (1, 3):
        source = SEQUENCE + "".join(MORE.replace("{key}", f"s{number}") for number in range(1, steps))
        await live.scenario.apply(source.format(name=f"of-{steps}"))
    await live.start_worker()
    for steps in (1, 3):
        for index in range(CONTACTS):
            await enrollment.enroll(live.connection, f"of-{steps}", phone(index), device=live.scenario.device)
    await live.all_over(2 * CONTACTS)
    sizes = {}
    for steps in (1, 3):
        for index in range(CONTACTS):
            handle = live.connection.temporal.get_workflow_handle(f"sequence:of-{steps}:{phone(index)}")
            await handle.result()
            found = await handle.fetch_history()
            sizes[steps] = size(found)
            assert len(found.events) == FIRST_STEP_EVENTS + (steps - 1) * STEP_EVENTS
    assert sizes[1] <= FIRST_STEP_BYTES
    assert sizes[3] - sizes[1] <= 2 * STEP_BYTES
