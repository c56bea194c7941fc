"""Computes reports from the ledger: the one place that does."""

import re
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from messaging.common.database import Connection, Pool, Record
from messaging.devices.store import check_zone
from messaging.reporting.report.bins import lateness_of, time_bins, width_of
from messaging.reporting.report.model import Figures, HourOfDay, LineKind, OutcomeReason, Outcomes, Report
from messaging.reporting.report.scope import Scope
from messaging.reporting.report.words import OUTCOMES

__all__ = ["compute", "make_report", "natural"]

# Messages m of the scope: $1 campaign, $2 steps, $3 device, $4 and $5 the week; each null if it is about all. PostgreSQL plans
# it with the values, so that only what is asked for is looked at.
IN_SCOPE = """
       m.purpose is null
   and ($1::bigint is null or m.campaign_id = $1)
   and ($2::bigint[] is null or m.sequence_stepid = any ($2))
   and ($3::text is null or m.device_id = $3)
   and ($4::timestamptz is null or coalesce(m.sent_at, m.due_at) >= $4)
   and ($5::timestamptz is null or coalesce(m.sent_at, m.due_at) < $5)
"""

# What was due before the week is shown at its beginning.
SELECT_SPAN = f"""
select min(least(greatest(m.due_at, $4), m.sent_at)) as first, max(greatest(m.due_at, $4, m.sent_at)) as last
  from broadcast_messages m
 where {IN_SCOPE}
"""  # noqa: S608 - the text is all our own

# In one pass. $6: now; $7: the time zone; $8: the width of bins. groups has a bit for each column that a row is not about.
COUNT_MESSAGES = f"""
with counted as (
    select m.device_id, m.campaign_id, m.sequence_stepid, m.status, m.due_at <= $6 as is_due,
           m.status = 'sent' and m.delivered_at is not null as is_delivered,
           m.status = 'sent' and m.read_at is not null as is_read,
           date_bin(make_interval(secs => $8), greatest(m.due_at, $4) at time zone $7, timestamp '2001-01-01') as due_bin,
           date_bin(make_interval(secs => $8), m.sent_at at time zone $7, timestamp '2001-01-01') as sent_bin,
           case when m.sent_at is null then null when l.seconds < 3600 then ceil(l.seconds) else ceil(l.seconds / 60) * 60 end::integer as late
      from broadcast_messages m
     cross join lateral (select greatest(extract(epoch from m.sent_at - m.due_at), 0) as seconds) l
     where {IN_SCOPE})
select grouping(device_id, sequence_stepid, due_bin, sent_bin, late) as groups,
       device_id, campaign_id, sequence_stepid, status, due_bin, sent_bin, late,
       count(*) as messages, count(*) filter (where is_due) as due,
       count(*) filter (where is_delivered) as delivered, count(*) filter (where is_read) as read
  from counted
 group by grouping sets ((device_id, status), (campaign_id, sequence_stepid, status), (due_bin), (sent_bin), (late))
"""  # noqa: S608 - the text is all our own

# Why those that are not sent are not. What holds a waiting message is the same for all of a kind, so one of them is asked. $6: now.
COUNT_REASONS = f"""
with kinds as (
    select (array_agg(m.id))[1] as one, count(*) as messages, w.waits, w.reason,
           w.waits and m.waits_for = 'window' as window_is_shut, w.waits and m.due_at > $6 as is_later
      from broadcast_messages m
     cross join lateral (select waits, case when not waits or m.waits_for is null then m.reason end as reason
                           from (select m.status in ('pending', 'queued', 'processing') as waits) s) w
      left join sequence_contacts c on c.id = m.sequence_contact_id and w.waits
     where m.status <> 'sent' and {IN_SCOPE}
     group by m.status, w.waits, w.reason, window_is_shut, is_later, m.campaign_id, m.device_id,
              c.sequence_id, c.status, c.paused_at is null, c.paused_reason)
select case when k.waits then 'waiting' else m.status end as outcome,
       coalesce(case when not k.waits then k.reason
                     else coalesce(pause_of(m),
                                   case when m.status = 'processing' then 'being sent'
                                        when k.window_is_shut then outside_window(m)
                                        when k.reason is not null then k.reason
                                        when k.is_later then 'not due yet'
                                        else 'its turn at device ' || m.device_id || ' has not come' end) end,
                'no reason is recorded') as reason,
       sum(k.messages)::bigint as messages
  from kinds k
  join broadcast_messages m on m.id = k.one
 group by 1, 2
 order by 3 desc, 2
"""  # noqa: S608 - the text is all our own

MOST_REASONS = 5
"""Of each outcome; the others are counted together."""

# Replies and opt-outs by the message that they are for. A person may be there several times. $6: the time zone.
SELECT_ANSWERS = f"""
with had as materialized (
    select distinct m.recipient_phone from broadcast_messages m where m.status = 'sent' and {IN_SCOPE}),
wrote as materialized (
    select i as message
      from inbound_messages i
      join had on had.recipient_phone = i.phone
     where $4::timestamptz is null or i.sent_at >= $4 - interval '1 day'),
came_back as (
    select w.message, m as about, true as is_reply
      from wrote w
     cross join lateral answered_messages(w.message) m
     where {IN_SCOPE}
    union all
    select w.message, m, false
      from wrote w
     cross join lateral message_before(w.message) m
     where (w.message).meaning = 'stop' and {IN_SCOPE})
select (message).id, (message).phone, (message).sent_at, is_reply,
       extract(hour from (message).sent_at at time zone $6)::integer as hour,
       (about).device_id, (about).campaign_id, (about).sequence_stepid
  from came_back
 order by (message).sent_at, (message).id
"""  # noqa: S608 - the text is all our own

SELECT_NAMES = """
select 'campaign' as kind, id, null::bigint as step, name
  from campaigns
 where id = any ($1)
union all
select 'sequence', s.id, t.id, s.name
  from sequence_steps t
  join sequences s on s.id = t.sequence_id
 where t.id = any ($2)
"""

# What is not counted. $1: device; $2 and $3: the week.
COUNT_OTHERS = """
select purpose, count(*)
  from broadcast_messages
 where purpose is not null and ($1::text is null or device_id = $1)
   and ($2::timestamptz is null or coalesce(sent_at, due_at) >= $2)
   and ($3::timestamptz is null or coalesce(sent_at, due_at) < $3)
 group by purpose
"""

_BY_DEVICE, _BY_LINE, _BY_DUE, _BY_SENT, _BY_LATE = (0b11111 & ~(1 << bit) for bit in (4, 3, 2, 1, 0))


@dataclass
class _Tally:
    """Counts for one line."""

    outcomes: Counter[str] = field(default_factory=Counter)
    due: int = 0
    delivered: int = 0
    read: int = 0
    replied: set[str] = field(default_factory=set)
    opted_out: set[str] = field(default_factory=set)

    def add(self, row: Record) -> None:
        self.outcomes[row["status"]] += row["messages"]
        self.due += row["due"]
        self.delivered += row["delivered"]
        self.read += row["read"]

    def add_person(self, row: Record) -> None:
        (self.replied if row["is_reply"] else self.opted_out).add(row["phone"])

    def figures(self, kind: LineKind, name: str, *, removed: bool = False) -> Figures:
        return Figures(
            kind=kind,
            name=name,
            removed=removed,
            messages=self.outcomes.total(),
            due=self.due,
            outcomes=Outcomes(**self.outcomes),
            delivered=self.delivered,
            read=self.read,
            replied=len(self.replied),
            opted_out=len(self.opted_out),
        )


@dataclass(frozen=True)
class _Line:
    kind: LineKind
    name: str
    removed: bool = False


async def make_report(
    pool: Pool,
    time_zone: str | None,
    find: Callable[[Connection, datetime], Awaitable[Scope]],
    *,
    now: datetime | None = None,
) -> Report:
    """The report on the scope that ``find`` answers, all of one moment. ``time_zone``: what was asked for. ``now``: for tests.

    Raises InvalidInput for a time zone that is none, and what ``find`` raises.
    """
    async with pool.acquire() as connection:
        await check_zone(connection, time_zone)
        # One snapshot, so that the figures add up while messages go out.
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            # A plan for any values could use no index, as it is not known what the report is about.
            await connection.execute("set local plan_cache_mode = force_custom_plan")
            moment = now or await connection.fetchval("select clock_timestamp()")
            return await compute(connection, await find(connection, moment), moment)


async def compute(connection: Connection, scope: Scope, now: datetime) -> Report:
    """The same, of the transaction that it is called in."""
    span = await connection.fetchrow(SELECT_SPAN, *scope.parameters)
    assert span is not None, "an aggregate has a row"
    width = width_of(span["last"] - span["first"] if span["first"] else timedelta())
    zone = str(scope.zone)
    counted = await connection.fetch(COUNT_MESSAGES, *scope.parameters, now, zone, width)
    answers = await connection.fetch(SELECT_ANSWERS, *scope.parameters, zone)
    names = await _names(
        connection, scope, [*(row for row in counted if row["groups"] == _BY_LINE), *answers]
    )

    total = _Tally()
    lines: defaultdict[_Line, _Tally] = defaultdict(_Tally, {line: _Tally() for line in _lines_of(scope)})
    devices: defaultdict[str, _Tally] = defaultdict(_Tally)
    due: Counter[datetime] = Counter()
    sent: Counter[datetime] = Counter()
    late: Counter[int] = Counter()
    for row in counted:
        match row["groups"]:
            case group if group == _BY_DEVICE:
                devices[row["device_id"]].add(row)
                total.add(row)
            case group if group == _BY_LINE:
                lines[names[row["campaign_id"], row["sequence_stepid"]]].add(row)
            case group if group == _BY_DUE:
                due[row["due_bin"]] += row["messages"]
            case group if group == _BY_SENT and row["sent_bin"] is not None:
                sent[row["sent_bin"]] += row["messages"]
            case group if group == _BY_LATE and row["late"] is not None:
                late[row["late"]] += row["messages"]
    for row in answers:
        for tally in (
            total,
            devices[row["device_id"]],
            lines[names[row["campaign_id"], row["sequence_stepid"]]],
        ):
            tally.add_person(row)
    reasons = await connection.fetch(COUNT_REASONS, *scope.parameters, now)
    others = await _others(connection, scope)
    return Report(
        kind=scope.kind,
        name=scope.name,
        made_at=now,
        time_zone=zone,
        since=scope.since,
        until=scope.until,
        total=total.figures("total", scope.name),
        lines=_sorted(
            scope, [t.figures(line.kind, line.name, removed=line.removed) for line, t in lines.items()]
        ),
        devices=tuple(devices[name].figures("device", name) for name in sorted(devices, key=natural)),
        reasons=tuple(_most_frequent(reasons)),
        bin_seconds=width,
        times=time_bins(due, sent, width, scope.zone),
        lateness=lateness_of(late),
        hours=_by_hour(answers),
        replies=len({row["id"] for row in answers if row["is_reply"]}),
        **others,
        **scope.facts,
    )


def _most_frequent(rows: list[Record]) -> Iterable[OutcomeReason]:
    for outcome in OUTCOMES:
        found = [row for row in rows if row["outcome"] == outcome.name]
        for row in found[:MOST_REASONS]:
            yield OutcomeReason.model_validate(dict(row))
        if rest := sum(row["messages"] for row in found[MOST_REASONS:]):
            yield OutcomeReason(outcome=outcome.name, reason="other reasons", messages=rest)


def _lines_of(scope: Scope) -> Iterable[_Line]:
    """The lines that are there without a message, too."""
    if scope.kind == "campaign":
        return [_Line("campaign", scope.name)]
    return [_Line("step", key) for key, removed in scope.step_names.values() if not removed]


def _sorted(scope: Scope, lines: list[Figures]) -> tuple[Figures, ...]:
    """Steps in their order, others by how much there is."""
    if scope.kind in ("campaign", "sequence"):
        return tuple(lines)
    return tuple(sorted(lines, key=lambda line: (-line.messages, line.kind, line.name)))


def natural(name: str) -> tuple[list[tuple[int, str]], str]:
    """For sorting: kl-2 comes before kl-10."""
    parts = re.split(r"([0-9]+)", name)
    return [(int(part) if part[:1].isdigit() else 0, part) for part in parts], name


async def _names(
    connection: Connection, scope: Scope, rows: Iterable[Record]
) -> dict[tuple[int | None, int | None], _Line]:
    """The line for a campaign and a step."""
    if scope.kind == "campaign":
        return {(scope.campaign, None): _Line("campaign", scope.name)}
    if scope.kind == "sequence":
        return {
            (None, step): _Line("step", key, removed) for step, (key, removed) in scope.step_names.items()
        }
    pairs = {(row["campaign_id"], row["sequence_stepid"]) for row in rows}
    found = await connection.fetch(
        SELECT_NAMES,
        [campaign for campaign, _ in pairs if campaign is not None],
        [step for _, step in pairs if step is not None],
    )
    return {
        (row["id"] if row["kind"] == "campaign" else None, row["step"]): _Line(row["kind"], row["name"])
        for row in found
    }


async def _others(connection: Connection, scope: Scope) -> dict[str, Any]:
    """Test messages and confirmations, which belong to no campaign and no sequence."""
    if scope.kind in ("campaign", "sequence"):
        return {}
    rows = await connection.fetch(COUNT_OTHERS, scope.device, scope.since, scope.until)
    counted = {row["purpose"]: row["count"] for row in rows}
    return {
        "test_messages": counted.get("test", 0),
        "confirmations": counted.get("opt-out confirmation", 0),
    }


def _by_hour(answers: Iterable[Record]) -> tuple[HourOfDay, ...]:
    """Each person once, by their first reply and their first opt-out."""
    first: dict[tuple[bool, str], int] = {}
    for row in answers:
        first.setdefault((row["is_reply"], row["phone"]), row["hour"])
    replied, opted_out = (
        Counter(hour for (is_reply, _), hour in first.items() if is_reply is wanted)
        for wanted in (True, False)
    )
    return tuple(HourOfDay(hour=n, replied=replied[n], opted_out=opted_out[n]) for n in range(24))
