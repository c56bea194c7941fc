"""Which workers run, as they report themselves: each reports every two seconds that it reaches Temporal, and its end.

Temporal itself remembers the pollers of a task queue for some minutes only, even those of a worker that was killed.
"""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from messaging.common.database import Connection, Pool
from messaging.common.roles import ROLES, Role, missing_roles, queue_of
from messaging.common.values import Value
from messaging.times.local_time import format_moment

__all__ = [
    "BEAT",
    "UNVERSIONED",
    "WorkerRow",
    "Workers",
    "answers",
    "beat",
    "find_workers",
    "goodbye",
]

BEAT = timedelta(seconds=2)
"""How often a worker reports that it runs."""

SILENT = timedelta(seconds=10)
"""A worker that has not reported for this long counts as gone."""

_WAITS: dict[Role, str] = {
    "workflows": "all contacts and campaigns",
    "sends": "all messages",
    "housekeeping": "triggers, recovery, missed messages, events and alerts",
}

UNVERSIONED = "unversioned"
"""How workers without a build ID are named."""

KEPT = timedelta(days=30)
"""How long an ended worker is remembered."""


class WorkerRow(Value):
    """A worker that runs."""

    id: str
    task_queue: str
    started_at: datetime
    seen_at: datetime
    version: str | None = None
    """Of Drumbeat; None for 0.1.0, which did not say."""
    build_id: str | None = None
    """Of its code, in Temporal's Worker Versioning; None without it."""
    roles: tuple[Role, ...] = ROLES
    """What it takes on."""
    waits: bool = False
    """Its version is not the current one in Temporal, so it gets nothing to do but what is pinned to it."""


class Workers(Value):
    """The workers that run, of every task queue; and when one of ``task_queue`` was last seen."""

    task_queue: str
    running: tuple[WorkerRow, ...]
    last_seen_at: datetime | None
    now: datetime

    @property
    def idle(self) -> str | None:
        """The sentence that no worker polls the task queue, since when, and which queues are polled instead."""
        return self.idle_since(format_moment)

    def idle_since(self, told: Callable[[datetime], str]) -> str | None:
        """The same; ``told`` makes words of the moment."""
        ours = [worker for worker in self.running if worker.task_queue == self.task_queue]
        at_work = [worker for worker in ours if not worker.waits]
        if at_work:
            return self._without_a_role(missing_roles(worker.roles for worker in at_work))
        if ours:
            builds = sorted({worker.build_id or UNVERSIONED for worker in ours})
            return (
                f"no worker of the current version runs, and those of {' and '.join(builds)} get nothing to do:"
                f" nothing goes out before 'upgrade switch {builds[0]}'"
            )
        others = sorted({worker.task_queue for worker in self.running})
        return (
            f"no worker {'has ever polled' if self.last_seen_at is None else 'polls'} the task queue {self.task_queue!r}"
            + ("" if self.last_seen_at is None else f" since {told(self.last_seen_at)}")
            + (f" (workers run for {', '.join(map(repr, others))})" if others else "")
            + ": nothing goes out before one runs, '.venv/bin/python worker.py', or it is just starting"
        )

    def _without_a_role(self, missing: Sequence[Role]) -> str | None:
        if not missing:
            return None
        queues = " and ".join(repr(queue_of(role, self.task_queue)) for role in missing)
        what = " and ".join(f"{_WAITS[role]} wait" for role in missing)
        return (
            f"no worker that runs has the role {' or '.join(missing)}, so {what}: start one,"
            f" '.venv/bin/python worker.py --roles {','.join(missing)}', which polls the task queue {queues}"
        )


NOTE_WORKER = """
insert into workers (id, task_queue, version, build_id, roles, waits) values ($1, $2, $3, $4, $5, $6)
on conflict (id) do update set seen_at = clock_timestamp(), ended_at = null, waits = excluded.waits
"""


async def beat(
    pool: Pool,
    worker: str,
    task_queue: str,
    *,
    version: str | None = None,
    build_id: str | None = None,
    roles: Sequence[Role] = ROLES,
    waits: bool = False,
) -> None:
    """Notes that the worker runs; ``waits``: and that its version is not the current one."""
    await pool.execute(NOTE_WORKER, worker, task_queue, version, build_id, list(roles), waits)


async def answers(pool: Pool) -> None:
    """Returns if PostgreSQL answers a query that needs a table of ours. Raises the database's errors."""
    await pool.fetchval("select exists (select from workers)")


async def goodbye(pool: Pool, worker: str) -> None:
    """Notes that the worker has ended, and forgets those that ended long ago."""
    await pool.execute(
        "update workers set seen_at = clock_timestamp(), ended_at = clock_timestamp() where id = $1", worker
    )
    await pool.execute("delete from workers where seen_at < clock_timestamp() - $1::interval", KEPT)


# By way of JSON, for a database without these columns: before an upgrade.
SELECT_WORKERS = """
select id, task_queue, started_at, seen_at, to_jsonb(w) ->> 'version' as version, to_jsonb(w) ->> 'build_id' as build_id,
       to_jsonb(w) -> 'roles' as roles, to_jsonb(w) -> 'waits' as waits, ended_at is null and seen_at > clock_timestamp() - $1::interval as runs, clock_timestamp() as now
  from workers w order by started_at, id
"""


async def find_workers(connection: Connection | Pool, task_queue: str) -> Workers:
    """The workers as they are now."""
    rows = await connection.fetch(SELECT_WORKERS, SILENT)
    now = rows[0]["now"] if rows else await connection.fetchval("select clock_timestamp()")
    columns = tuple(WorkerRow.model_fields)
    return Workers(
        task_queue=task_queue,
        running=tuple(
            WorkerRow.model_validate({column: row[column] for column in columns if row[column] is not None})
            for row in rows
            if row["runs"]
        ),
        last_seen_at=max((row["seen_at"] for row in rows if row["task_queue"] == task_queue), default=None),
        now=now,
    )
