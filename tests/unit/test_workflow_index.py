"""The local Temporal's index of workflows: smaller than the server makes it, and as quick to ask."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from runtime.embedded import workflow_index
from runtime.embedded.workflow_index import make_smaller

# As the server makes them: one of what all have and is looked for, of what all have and is not, of what few have.
KEY = "(coalesce(close_time, '9999')) desc, start_time desc, run_id)"
TABLE = f"""
create table executions_visibility (
  namespace_id text, run_id text, workflow_id text, task_queue text, start_time text, close_time text, attributes text,
  Keyword01 text generated always as (json_extract(attributes, '$.Keyword01')), primary key (namespace_id, run_id)
);
create index by_workflow_id on executions_visibility (namespace_id, workflow_id, {KEY};
create index by_task_queue on executions_visibility (namespace_id, task_queue, {KEY};
CREATE INDEX by_keyword_01  ON executions_visibility (namespace_id, Keyword01,  {KEY};
create index of_another_version on executions_visibility (start_time);
create table other (namespace_id text, run_id text);
create index by_other on other (namespace_id, run_id);
"""


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "temporal.db"
    with opened(path) as connection:
        connection.executescript(TABLE)
    return path


def opened(path: Path) -> closing[sqlite3.Connection]:
    return closing(sqlite3.connect(path, isolation_level=None))


def indexes(path: Path) -> dict[str, str]:
    with opened(path) as connection:
        return dict(
            connection.execute("select name, sql from sqlite_master where type = 'index' and sql is not null")
        )


def test_an_index_holds_only_who_has_its_attribute(database: Path) -> None:
    before = indexes(database)
    make_smaller(database)
    after = indexes(database)
    assert "by_task_queue" not in after
    assert after.pop("by_keyword_01").endswith("where Keyword01 is not null")
    assert after.items() < before.items()
    assert len(after) == len(before) - 2


def test_it_is_done_once(database: Path) -> None:
    make_smaller(database)
    once = indexes(database)
    make_smaller(database)
    assert indexes(database) == once


@pytest.mark.parametrize(
    "asked", ["Keyword01 = 'a'", "Keyword01 in ('a', 'b')", "Keyword01 >= 'a' and Keyword01 < 'b'"]
)
def test_queries_by_an_attribute_use_its_index_as_before(database: Path, asked: str) -> None:
    make_smaller(database)
    with opened(database) as connection:
        plan = connection.execute(
            f"explain query plan select * from executions_visibility where namespace_id = 'n' and {asked}"
        )
        assert "USING INDEX by_keyword_01" in str(plan.fetchall())


@pytest.fixture
def writer(database: Path) -> Iterator[None]:
    with opened(database) as connection:
        connection.execute("begin immediate")
        yield


@pytest.mark.usefixtures("writer")
def test_who_writes_is_not_disturbed(
    database: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(workflow_index, "WAIT", 0.05)
    before = indexes(database)
    make_smaller(database)
    assert indexes(database) == before
    assert caplog.messages == [
        "the local Temporal's index of workflows stays as large as it is, which costs speed: database is locked"
    ]


def test_what_is_no_such_database_stays_as_it_is(tmp_path: Path) -> None:
    make_smaller(tmp_path / "missing.db")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "other.db").write_bytes(b"something else")
    make_smaller(tmp_path / "other.db")
    assert (tmp_path / "other.db").read_bytes() == b"something else"
