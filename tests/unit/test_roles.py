"""The roles of workers: how they are named, and which task queues they poll."""

from datetime import UTC, datetime

import pytest

from messaging.common.errors import InvalidInput
from messaging.common.roles import ROLES, Role, missing_roles, parse_roles, queue_of
from messaging.reporting.workers import WorkerRow, Workers
from runtime.settings import load_settings
from runtime.worker_arguments import read_arguments

NOW = datetime(2035, 1, 1, tzinfo=UTC)


def test_workflows_keep_the_queue_that_sleeping_contacts_have() -> None:
    assert [queue_of(role, "drumbeat") for role in ROLES] == [
        *("drumbeat", "drumbeat-sends", "drumbeat-housekeeping")
    ]


def test_roles_are_named_in_any_order() -> None:
    assert parse_roles("") == parse_roles(" , ") == ROLES
    assert parse_roles(" Sends,workflows,sends ") == ("workflows", "sends")
    with pytest.raises(InvalidInput, match="no role 'send': the roles are workflows, sends, housekeeping"):
        parse_roles("workflows,send")


def test_a_wrong_role_is_refused_where_it_is_given(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DRUMBEAT_ROLES", "sender")
    with pytest.raises(InvalidInput, match=r"DRUMBEAT_ROLES: there is no role 'sender': .*, not 'sender'"):
        load_settings()
    monkeypatch.setattr("sys.argv", ["worker.py", "--roles", "sender"])
    with pytest.raises(SystemExit, match="2"):
        read_arguments()
    assert "argument --roles: there is no role 'sender'" in capsys.readouterr().err
    monkeypatch.setattr("sys.argv", ["worker.py", "--webhooks-only", "--roles", "sends"])
    with pytest.raises(SystemExit, match="2"):
        read_arguments()
    monkeypatch.setattr("sys.argv", ["worker.py", "--roles", "housekeeping,sends"])
    assert read_arguments().roles == ("sends", "housekeeping")


def running(*roles: tuple[Role, ...]) -> Workers:
    rows = (
        WorkerRow(id=str(n), task_queue="drumbeat", started_at=NOW, seen_at=NOW, roles=of)
        for n, of in enumerate(roles)
    )
    return Workers(task_queue="drumbeat", running=tuple(rows), last_seen_at=NOW, now=NOW)


def test_a_role_that_nobody_has_is_told() -> None:
    assert missing_roles([]) == ROLES
    assert running(ROLES).idle is None
    assert running(("workflows",), ("sends", "housekeeping")).idle is None
    assert running(("workflows", "housekeeping")).idle == (
        "no worker that runs has the role sends, so all messages wait: start one,"
        " '.venv/bin/python worker.py --roles sends', which polls the task queue 'drumbeat-sends'"
    )
