"""Workflows that anybody starts or signals with anything: what cannot be read fails once, or is passed over."""

import asyncio
from typing import Any

import pytest
from temporalio import workflow
from temporalio.api.common.v1 import Payload
from temporalio.client import WorkflowExecutionStatus, WorkflowFailureError, WorkflowUpdateFailedError
from temporalio.common import RawValue
from temporalio.exceptions import ActivityError, ApplicationError
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from operations import contacts, enrollment
from rig.people import phone
from rig.waiting import until
from temporal import search_attributes as attributes
from tests.support.live import Live
from worker import WORKFLOWS
from workflows.inputs import CheckingRunner

SEQUENCE = (
    'sequence: cold\nsteps:\n  - {id: a, after: 2s, text: "One"}\n  - {id: b, after: 2h, text: "Two"}\n'
)
NUMBER = phone(1)

LEAD = {"phone": NUMBER}
REQUEST = {"sequence": "cold", "lead": LEAD}
MESSAGE = {"phone": NUMBER, "device_id": "x", "message_id": "6f6e2ed2-6a5f-4f3a-9b39-2d2f7d0c1a11"}
GARBAGE = RawValue(Payload(metadata={"encoding": b"json/plain"}, data=b"{'not': json"))
FOREIGN = RawValue(Payload(metadata={"encoding": b"binary/zipped"}, data=b"x"))

WRONG: list[list[Any]] = [
    [],
    [None],
    [5],
    [True],
    [[1, 2]],
    [{"nobody": "knows"}],
    ["one", "two"],
    [GARBAGE],
    [FOREIGN],
    ["a word"],
]
MAY_BE: dict[str, list[Any]] = {
    "RecoveryWorkflow": [],
    "MissedMessagesWorkflow": [],
    "OutboxWorkflow": [],
    "ReceiverTestWorkflow": ["a word"],
}

# Right in their form, and yet of nothing that can be.
NOTHING: list[tuple[str, Any, str]] = [
    ("SequenceContactWorkflow", {**REQUEST, "sequence": "nosuch"}, "there is no sequence 'nosuch'"),
    ("SequenceContactWorkflow", {**REQUEST, "sequence": "nul\0"}, "there is no sequence 'nul"),
    ("SequenceContactWorkflow", {**REQUEST, "lead": {**LEAD, "name": "nul\0"}}, "U+0000"),
    ("SequenceContactWorkflow", {**REQUEST, "lead": {**LEAD, "time_zone": "Mars/Base"}}, "Mars/Base"),
    ("SequenceContactWorkflow", {**REQUEST, "lead": {**LEAD, "device_id": "nosuch"}}, "no device 'nosuch'"),
    ("TriggerEnrollmentWorkflow", {"lead_id": 10**30}, "this page of leads cannot be"),
    ("MessageWorkflow", {**MESSAGE, "campaign": "x", "name": "y"}, "there is no message 6f6e2ed2"),
    ("MessageWorkflow", {**MESSAGE, "sequence": "cold", "step": "a"}, "there is no message 6f6e2ed2"),
    ("CampaignWorkflow", {"campaign": "nosuch"}, "there is no campaign 'nosuch'"),
    ("CampaignWorkflow", {"campaign": "nul\0"}, "there is no campaign 'nul"),
]


async def is_refused(live: Live, kind: str, arguments: list[Any], number: int) -> str:
    """The same for what a worker refuses, which is an answer and no failure."""
    handle = await live.connection.temporal.start_workflow(
        kind, args=arguments, id=f"{kind}-{number}", task_queue=live.connection.settings.task_queue
    )
    async with asyncio.timeout(30):
        result = await handle.result()
    assert result["outcome"] == "not_enrolled"
    assert (await handle.describe()).typed_search_attributes[attributes.STATE] == "refused"
    return str(result["reason"])


async def fails(live: Live, kind: str, arguments: list[Any], number: int) -> str:
    """Starts such a workflow, and answers what it failed of; it must not begin anew, again and again."""
    handle = await live.connection.temporal.start_workflow(
        kind, args=arguments, id=f"{kind}-{number}", task_queue=live.connection.settings.task_queue
    )
    with pytest.raises(WorkflowFailureError) as raised:
        async with asyncio.timeout(30):
            await handle.result()
    cause: BaseException | None = raised.value.cause
    if isinstance(cause, ActivityError):
        cause = cause.cause
    assert isinstance(cause, ApplicationError), (kind, arguments)
    assert cause.non_retryable
    history = await handle.fetch_history()
    failed_tasks = [
        event for event in history.events if event.HasField("workflow_task_failed_event_attributes")
    ]
    assert not failed_tasks, (kind, arguments)
    return cause.message


async def test_an_input_that_cannot_be_read_fails_once(live: Live) -> None:
    await live.scenario.add_device()
    await live.scenario.apply(SEQUENCE)
    await live.start_worker()
    kinds = [one.__name__ for one in WORKFLOWS]

    async def check(kind: str, number: int, arguments: list[Any]) -> None:
        said = await fails(live, kind, arguments, number)
        assert said.startswith(f"{kind} cannot be run: it"), said
        assert "\n" not in said

    await asyncio.gather(
        *(
            check(kind, number, arguments)
            for kind in kinds
            for number, arguments in enumerate(WRONG)
            if kind not in MAY_BE or arguments != MAY_BE[kind]
        ),
        *(
            check("SequenceContactWorkflow", 100 + number, [arguments])
            for number, arguments in enumerate(
                (
                    {**REQUEST, "unknown": 1},
                    {"sequence": "cold"},
                    {**REQUEST, "lead": {"phone": "not a number"}},
                    {**REQUEST, "lead": NUMBER},
                )
            )
        ),
    )
    for number, (kind, argument, why) in enumerate(NOTHING):
        ends = is_refused if kind == "SequenceContactWorkflow" else fails
        assert why in await ends(live, kind, [argument], 200 + number)
    said = await fails(live, "SequenceContactWorkflow", [{"sequence": "cold"}], 300)
    assert (
        said
        == "SequenceContactWorkflow cannot be run: its input does not fit EnrollmentRequest: lead: Field required"
    )
    said = await fails(live, "CampaignShardWorkflow", [], 300)
    assert said == "CampaignShardWorkflow cannot be run: it takes one argument, and was given none"


@workflow.defn
class Buggy:
    """Our own mistake."""

    @workflow.run
    async def run(self, word: str) -> None:
        """Fails in every task."""
        raise ValueError(word)


async def test_a_fault_of_our_own_waits_for_newer_code(live: Live) -> None:
    client = live.connection.temporal
    runner = CheckingRunner(UnsandboxedWorkflowRunner())
    async with Worker(client, task_queue="buggy", workflows=[Buggy], workflow_runner=runner):
        handle = await client.start_workflow(Buggy.run, "x", id="buggy", task_queue="buggy")

        async def task_failed() -> bool:
            history = await handle.fetch_history()
            return any(event.HasField("workflow_task_failed_event_attributes") for event in history.events)

        await until(task_failed)
        assert (await handle.describe()).status is WorkflowExecutionStatus.RUNNING


async def test_what_a_contact_cannot_read_does_not_hold_it_up(live: Live) -> None:
    await live.scenario.add_device()
    await live.scenario.apply(SEQUENCE)
    await live.start_worker()
    await enrollment.enroll(live.connection, "cold", NUMBER, device=live.scenario.device)
    handle = live.connection.temporal.get_workflow_handle(f"sequence:cold:{NUMBER}")
    for signal in ("wake", "plan_changed", "opt_out"):
        await handle.signal(signal, "one")
        await handle.signal(signal, args=[GARBAGE, FOREIGN])
    await handle.signal("stop", GARBAGE)
    await handle.signal("stop", FOREIGN)
    await handle.signal("nosuch", 5)
    for update in ("nosuch", "pause"):
        with pytest.raises(WorkflowUpdateFailedError):
            await handle.execute_update(update, 5)

    async def sent() -> bool:
        return len(await live.scenario.accepted()) == 1

    async def waits_for_the_next() -> bool:
        return (await contacts.progress(live.connection, "cold", NUMBER)).step == "b"

    await until(sent)  # its first step goes out all the same
    await until(waits_for_the_next)
    assert "the signal opt_out to sequence:cold:" in live.log.read_text()
    await handle.signal("opt_out", None)  # what languages send that cannot send nothing
    await live.all_over(1)
    assert (await handle.result())["outcome"] == "opted_out"
