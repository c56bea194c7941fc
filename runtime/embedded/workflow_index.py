"""The index in which the local Temporal finds workflows ("visibility"), made smaller.

The server makes an index for each of some sixty attributes that a workflow can have, of which ours have eight at most,
and writes into all of them when a workflow starts and again when it ends: nearly half of its CPU. Here an index holds
only those workflows that have its attribute, which serves every query by its value as before; and there is none for
what every workflow has and nobody looks for. To ask for that is possible all the same, and reads all workflows.
"""

import logging
import re
import sqlite3
from contextlib import closing
from pathlib import Path

__all__ = ["WHOLE", "make_smaller"]

_log = logging.getLogger(__name__)

WHOLE = frozenset({"default_idx", "by_workflow_id", "by_workflow_type", "by_status", "by_root_workflow_id"})
"""Indexes of attributes that every workflow has and that are searched; by the last one the Web UI finds a workflow's
relations.
"""

DROPPED = frozenset(
    {
        "by_execution_time",
        "by_history_length",
        "by_history_size_bytes",
        "by_execution_duration",
        "by_state_transition_count",
        "by_task_queue",
        "by_root_run_id",
    }
)
"""Indexes of attributes that every workflow has and that are not searched. Other versions of the server may have
indexes that are in neither set.
"""

ONE_ATTRIBUTE = re.compile(
    r"on\s+executions_visibility\s*\(namespace_id,\s*(\w+),[^;]*run_id\)\s*", re.IGNORECASE
)
"""The form of an index that can be restricted to the workflows which have its attribute."""

WAIT = 10.0
"""Seconds for a server that is writing."""


def make_smaller(database: Path) -> None:
    """Can be repeated, even while the server runs. A failure only costs speed, so it is logged as a warning."""
    try:
        _make_smaller(database)
    except sqlite3.Error as error:
        _log.warning(
            "the local Temporal's index of workflows stays as large as it is, which costs speed: %s", error
        )


def _make_smaller(database: Path) -> None:
    with (
        closing(
            sqlite3.connect(f"{database.resolve().as_uri()}?mode=rw", uri=True, timeout=WAIT)
        ) as connection,
        connection,
    ):
        connection.execute("begin immediate")
        for name, sql in connection.execute(
            "select name, sql from sqlite_master"
            " where type = 'index' and tbl_name = 'executions_visibility' and sql is not null"
        ).fetchall():
            if name in WHOLE:
                continue
            attribute = ONE_ATTRIBUTE.search(sql)
            if name in DROPPED:
                connection.execute(f'drop index "{name}"')
            elif attribute and attribute.end() == len(sql):
                connection.execute(f'drop index "{name}"')
                connection.execute(f"{sql} where {attribute[1]} is not null")
