"""Everything that the Web UI shows of a workflow has a name: activities, timers, children, and what operators can ask for."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from temporalio.workflow import _Definition as Definition

from worker import WORKFLOWS

FILES = sorted((Path(__file__).parents[2] / "workflows").glob("*.py"))
NAMED = {
    "execute_activity_method": "summary",
    "execute_local_activity_method": "summary",
    "local_first": "summary",
    "start_child_workflow": "static_summary",
}


def calls(file: Path) -> Iterator[tuple[str, ast.Call]]:
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            yield name, node


@pytest.mark.parametrize("file", FILES, ids=[file.stem for file in FILES])
def test_activities_timers_and_children_have_summaries(file: Path) -> None:
    for name, call in calls(file):
        given = {keyword.arg for keyword in call.keywords}
        if name in NAMED:
            assert NAMED[name] in given, f"{file.name}:{call.lineno}"
        if name == "wait_condition" and "timeout" in given:
            assert "timeout_summary" in given, f"{file.name}:{call.lineno}"
        assert name != "sleep" or file.name == "control.py", (
            f"{file.name}:{call.lineno}: wait() names its timer"
        )


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=[workflow.__name__ for workflow in WORKFLOWS])
def test_handlers_have_descriptions_and_updates_have_validators(workflow: type) -> None:
    defined = Definition.must_from_class(workflow)
    for handlers in (defined.signals, defined.queries, defined.updates):
        for name, handler in handlers.items():
            assert handler.description, name
    assert [name for name, update in defined.updates.items() if update.validator is None] == []


def test_every_raise_in_a_workflow_is_known() -> None:
    """No workflow fails for what happens in business: whoever adds a raise says here why it is none of that."""
    raises = {
        f"{file.stem}.{function.name}"
        for file in FILES
        for function in ast.walk(ast.parse(file.read_text()))
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in ast.walk(function)
        if isinstance(node, ast.Raise)
    }
    assert raises == {
        # An update is refused, and the workflow goes on.
        *("updates.carry_out", "updates.typed", "updates.no_input"),
        *(f"contact_updates.{name}" for name in ("_may_skip", "_check_enrolled")),
        *(f"campaign_updates.{name}" for name in ("_may_move_time", "_may_retry_failed")),
        *(f"campaign_updates.{name}" for name in ("_known", "_check_not_begun", "_check_under_way")),
        # Somebody cancelled the workflow, which ends as cancelled; or a fault, which is raised as it is.
        *("campaign.run", "sequence.run"),
        # A run of release 0.1.0 failed when its enrollment was refused, and replays so.
        "sequence._enroll",
        # The local activity's refusal or cancellation goes to whoever asked.
        "local_first.local_first",
    }
