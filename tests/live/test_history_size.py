"""What a contact and a lead cost in Temporal: events, as exact numbers, and bytes, of which there is a ceiling.

Both are what a server's time, and an operator's bill, are made of. When a number of events falls, lower it here. Bytes follow
every word of a payload, and the names of the host (three times in a lead, 13 times in a contact with one step and eight times
more for each further step) and of the task queue; so the ceiling leaves room for these, and none for one more payload of size.
"""

from temporalio.api.enums.v1 import EventType
from temporalio.client import WorkflowHistory

from messaging.leads.lead import Lead
from messaging.sequences.contract import EnrollmentRequest
from operations import campaigns
from rig.people import phone
from temporal.contacts import start_contact
from tests.support.campaigns import finished, ready
from tests.support.live import Live

LEAD_EVENTS, LEAD_BYTES = 6, 1_900
"""Started, the task (3), the send's marker, completed."""

EVENTS_OF_A_CHILD = 3
"""In its parent: it is asked for, has started, and has ended."""

TASKS_OF_A_CHILD = 6
"""Events of the parent's tasks for these, at most: what comes of many together is one task."""

CAMPAIGN_EVENTS = 45
"""Of a campaign that is through within some seconds, without what its leads make."""

FIRST_STEP_EVENTS, FIRST_STEP_BYTES = 18, 4_000
"""Started; enroll's marker; send and finish, each an activity of three events; three tasks, each of three; completed."""

STEP_EVENTS, STEP_BYTES = 11, 1_900
"""A timer (2) and its task (3), the send (3) and the task after it (3)."""

SEQUENCE = """
sequence: {name}
steps:
  - {{id: a, day: 1, text: "One"}}
"""
CONTACTS = 4
"""So many, as some commands could depend on the moment."""

MORE = '  - {{id: {key}, after: 1s, text: "More"}}\n'


async def history(live: Live, workflow_id: str) -> WorkflowHistory:
    return await live.connection.temporal.get_workflow_handle(workflow_id).fetch_history()


def size(of: WorkflowHistory) -> int:
    """Bytes of a history."""
    return sum(event.ByteSize() for event in of.events)


async def test_a_lead_of_a_campaign(live: Live) -> None:
    await ready(live, 8)
    await live.start_worker()
    await campaigns.start(live.connection, "sale")
    await finished(live)
    for index in range(8):
        # The ledger knows the end of the last message before Temporal does.
        await live.connection.temporal.get_workflow_handle(f"campaign:sale:{phone(index)}").result()
        lead = await history(live, f"campaign:sale:{phone(index)}")
        assert len(lead.events) == LEAD_EVENTS
        assert size(lead) <= LEAD_BYTES
    campaign = await history(live, "campaign:sale")
    of_leads = [event for event in campaign.events if "CHILD_WORKFLOW" in EventType.Name(event.event_type)]
    assert len(of_leads) == 8 * EVENTS_OF_A_CHILD
    assert len(campaign.events) - len(of_leads) <= CAMPAIGN_EVENTS + 8 * TASKS_OF_A_CHILD


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
            assert size(contact) <= FIRST_STEP_BYTES + (steps - 1) * STEP_BYTES
