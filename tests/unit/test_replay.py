"""Workflows that began with earlier code must go on with this one.

When this fails, the change would leave running workflows stuck: put it behind ``workflow.patched("what-it-is")``, keep
the old way in the other branch, and record a history of the new way beside the old ones (tests/record_histories.py).
"""

import json
from pathlib import Path

import pytest
from temporalio.client import WorkflowHistory
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.worker import Replayer

from tests.record_histories import HISTORIES
from worker import WORKFLOWS, sandbox

FILES = sorted(HISTORIES.glob("*.json"))


@pytest.mark.parametrize("file", FILES, ids=[file.stem for file in FILES])
async def test_recorded_histories_still_replay(file: Path) -> None:
    history = WorkflowHistory.from_json(file.stem, file.read_text())
    replayer = Replayer(
        workflows=WORKFLOWS, data_converter=pydantic_data_converter, workflow_runner=sandbox()
    )
    await replayer.replay_workflow(history)


@pytest.mark.parametrize("days", [1, -1])
@pytest.mark.parametrize("file", FILES, ids=[file.stem for file in FILES])
async def test_no_command_hangs_on_the_clock(file: Path, days: int) -> None:
    """After a local activity whose task was split, by a query or a heartbeat, a replay sees another moment than there was.

    By milliseconds; here by a day, so that whatever is compared with the clock comes out otherwise.
    """
    history = WorkflowHistory.from_json(file.stem, file.read_text())
    for event in history.events:
        event.event_time.seconds += days * 24 * 60 * 60
    replayer = Replayer(
        workflows=WORKFLOWS, data_converter=pydantic_data_converter, workflow_runner=sandbox()
    )
    await replayer.replay_workflow(history)


def test_every_workflow_has_a_history() -> None:
    recorded = {
        json.loads(file.read_text())["events"][0]["workflowExecutionStartedEventAttributes"]["workflowType"][
            "name"
        ]
        for file in FILES
    }
    assert recorded == {workflow.__name__ for workflow in WORKFLOWS}


async def test_a_changed_workflow_is_noticed() -> None:
    """A history whose commands are others than the code's does not replay: the check can fail."""
    file = next(file for file in FILES if file.stem.startswith("completed_into_the_next"))
    content = (
        file.read_text()
        .replace('"name":"send_step"', '"name":"send_it"')
        .replace('"name": "send_step"', '"name": "send_it"')
    )
    assert content != file.read_text()
    replayer = Replayer(
        workflows=WORKFLOWS, data_converter=pydantic_data_converter, workflow_runner=sandbox()
    )
    with pytest.raises(Exception, match="ondeterminis"):
        await replayer.replay_workflow(WorkflowHistory.from_json("changed", content))
