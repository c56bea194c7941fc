"""Folds reports into alerts, and tells the receivers of each alert: soon, then once in a while how many there are, and once
that it is over.
"""

from datetime import datetime, timedelta

from messaging.common.database import Connection, Pool, Record
from messaging.common.values import Value
from messaging.outbox.kinds import ALERTS, alert_title
from messaging.times.local_time import format_moment

__all__ = ["GATHER", "Alert", "fold_reports", "list_alerts", "report", "report_over", "report_overdue"]

FIRST = timedelta(seconds=3)
"""How long after its first report an alert is told of, so that what happens at once is one."""

GATHER = timedelta(minutes=10)
"""How long further reports are gathered by default."""

REMIND = timedelta(days=1)
"""An alert that stands is told of again after this time, even if nothing was reported."""

GONE = timedelta(seconds=30)
"""A worker that has said nothing for so long, and did not say goodbye, is reported."""

SURE = timedelta(seconds=15)
"""How long that must stay so until it is told. After an outage of PostgreSQL, or of the machine, every worker has said nothing
for long, until its next report.
"""

FAILING = timedelta(minutes=5)
"""A receiver that has taken nothing for so long is reported, to the others."""


class Alert(Value):
    """An alert that stands."""

    kind: str
    subject: str
    title: str
    detail: str
    since: datetime
    count: int
    remedy: str


REPORT_WORKERS_AND_RECEIVERS = """
insert into alert_reports (reported_at, kind, subject, detail)
select clock_timestamp(), 'worker_gone', w.id, 'it was last seen at ' || to_char(w.seen_at at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS')
                            || ' UTC, on the task queue ' || w.task_queue
  from workers w
 where w.ended_at is null and w.seen_at < clock_timestamp() - $1::interval and alert_stands('worker_gone', w.id)
   and not exists (select from alerts where kind = 'worker_gone' and subject = w.id)
union all
select r.failing_since, 'receiver_failing', r.name, r.error
  from receivers r
 where r.failing_since < clock_timestamp() - $2::interval
   and not exists (select from alerts where kind = 'receiver_failing' and subject = r.name)
"""

REPORT_OVERDUE = """
insert into alert_reports (reported_at, kind, subject, detail)
select min(coalesce(m.slot_at, m.due_at)), 'message_overdue', m.device_id, count(*) || case when count(*) = 1 then ' message' else ' messages' end
  from broadcast_messages m
 where m.status in ('pending', 'queued') and is_overdue(m)
   and not exists (select from alerts where kind = 'message_overdue' and subject = m.device_id)
 group by m.device_id
"""

FOLD_REPORTS = """
with taken as (delete from alert_reports returning *)
insert into alerts as a (kind, subject, detail, since, count)
select kind, subject, (array_agg(detail order by id desc))[1], min(reported_at), count(*)
  from taken
 group by kind, subject
    on conflict (kind, subject) do update
   set detail = excluded.detail, count = a.count + excluded.count
"""

SELECT_ALERTS = """
select kind, subject, detail, since, count, announced, announced_at, clock_timestamp() as now, alert_stands(kind, subject) as stands
  from alerts
 order by since, kind, subject
"""

# How many wait behind it, by the kind of alert.
COUNT_WAITING = """
select case $1
    when 'device_parked' then (select count(*) from broadcast_messages where device_id = $2 and is_waiting(status))
    when 'campaign_held' then (select count(*) from broadcast_messages m join campaigns c on c.id = m.campaign_id
                                where c.name = $2 and is_waiting(m.status))
    when 'sequence_held' then (select count(*) from sequence_contacts c join sequences s on s.id = c.sequence_id
                                where s.name = $2 and c.status = 'active' and c.next_due_at <= clock_timestamp())
end
"""


SELECT_ONE = """
select kind, subject, detail, since, count, announced, announced_at
  from alerts
 where kind = $1 and subject = $2
   for update
"""

# How many are so now, and the latest of them: some of what was reported may have been resolved since.
COUNT_UNCONFIRMED = """
select count(*), (array_agg(recipient_phone || coalesce(': ' || reason, '') order by updated_at desc))[1] as detail
  from broadcast_messages
 where device_id = $1 and status = 'unconfirmed' and purpose is distinct from 'test'
"""

# With what was reported and is not folded yet.
SELECT_STANDING = """
select kind, subject, (array_agg(detail order by at desc))[1] as detail, min(since) as since, sum(count)::bigint as count
  from (select kind, subject, detail, since, count, since as at from alerts
        union all
        select kind, subject, detail, reported_at, 1, reported_at from alert_reports) one
 where alert_stands(kind, subject)
 group by kind, subject
 order by min(since), kind, subject
"""


async def report(connection: Connection | Pool, kind: str, subject: str, detail: str) -> None:
    """Reports that something needs a person."""
    await connection.execute("select report_alert($1, $2, $3)", kind, subject, detail)


async def report_overdue(pool: Pool) -> None:
    """Looks for messages that nothing tries to send, which no fact says. It reads all that wait: call it once a minute."""
    await pool.execute(REPORT_OVERDUE)


async def report_over(pool: Pool, kind: str, subject: str) -> None:
    """Says that it is over, for a kind that nobody can look up; tells the receivers, if they were told of it."""
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute("delete from alert_reports where kind = $1 and subject = $2", kind, subject)
        row = await connection.fetchrow(SELECT_ONE, kind, subject)
        if row is not None:
            await _end(connection, row)


async def list_alerts(connection: Connection | Pool) -> list[Alert]:
    """The alerts that stand at this moment, also those that were just reported."""
    found = []
    for row in await connection.fetch(SELECT_STANDING):
        if row["kind"] not in ALERTS:
            continue  # of a later release
        count, detail = await _present(connection, row)
        found.append(
            Alert(
                kind=row["kind"],
                subject=row["subject"],
                title=alert_title(row["kind"], row["subject"], count),
                detail=detail,
                since=row["since"],
                count=count,
                remedy=ALERTS[row["kind"]].remedy.format(subject=row["subject"]),
            )
        )
    return found


async def _present(connection: Connection | Pool, row: Record) -> tuple[int, str]:
    """How many it is about at this moment, and the latest of them. Of most kinds, these are what was reported."""
    if row["kind"] == "message_unconfirmed":
        now = await connection.fetchrow(COUNT_UNCONFIRMED, row["subject"])
        if now is not None and now["count"]:
            return now["count"], now["detail"]
    return row["count"], row["detail"]


async def fold_reports(pool: Pool, gather: timedelta = GATHER) -> None:
    """Folds what was reported, and writes what the receivers are to be told now to the outbox. Processes take turns.

    ``gather``: how long further reports of an alert are gathered.
    """
    async with pool.acquire() as connection, connection.transaction():
        if not await connection.fetchval("select pg_try_advisory_xact_lock(hashtext('drumbeat alerts'))"):
            return
        await connection.execute(REPORT_WORKERS_AND_RECEIVERS, GONE, FAILING)
        await connection.execute(FOLD_REPORTS)
        for row in await connection.fetch(SELECT_ALERTS):
            now, told = row["now"], row["announced_at"]
            if row["kind"] not in ALERTS:
                continue  # of a later release, whose workers tell of it
            if not row["stands"]:
                await _end(connection, row)
            elif (
                told is None and row["since"] <= now - (SURE if row["kind"] == "worker_gone" else FIRST)
            ) or (
                told is not None
                and (
                    (row["count"] > row["announced"] and told <= now - gather)
                    or told <= now - max(REMIND, gather)
                )
            ):
                await _tell(connection, row)
                await connection.execute(
                    "update alerts set announced = count, announced_at = clock_timestamp() where kind = $1 and subject = $2",
                    row["kind"],
                    row["subject"],
                )


async def _end(connection: Connection, row: Record) -> None:
    if row["announced_at"] is not None:
        await _tell(connection, row, over=True)
    await connection.execute(
        "delete from alerts where kind = $1 and subject = $2", row["kind"], row["subject"]
    )


async def _tell(connection: Connection, row: Record, *, over: bool = False) -> None:
    kind, subject, count = row["kind"], row["subject"], row["count"]
    present, detail = (count, row["detail"]) if over else await _present(connection, row)
    title = alert_title(kind, subject, present, over=over)
    since = format_moment(row["since"])
    waiting = None if over else await connection.fetchval(COUNT_WAITING, kind, subject)
    await connection.execute(
        "select emit($1, clock_timestamp(), $2)",
        f"alert.{kind}",
        {
            "state": "resolved" if over else "open",
            "kind": kind,
            "subject": subject,
            "title": f"{title} since {since}" if present > 1 and not over else title,
            "detail": detail,
            "since": row["since"].isoformat().replace("+00:00", "Z"),
            "count": count,
            "new": 0 if over else count - row["announced"],
            **({} if waiting is None else {"waiting": waiting}),
            "remedy": "" if over else ALERTS[kind].remedy.format(subject=subject),
        },
    )
