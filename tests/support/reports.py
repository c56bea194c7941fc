"""Reports beside the ledger, counted by statements that share nothing with the report's own; and made-up ones to draw."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from messaging.common.database import Pool
from messaging.reporting.report.bins import lateness_of, time_bins
from messaging.reporting.report.model import (
    Figures,
    HourOfDay,
    LineKind,
    OutcomeReason,
    Outcomes,
    Report,
    ReportKind,
)
from messaging.reporting.report.words import outcome_counts
from messaging.sending.message_status import MessageStatus

__all__ = ["adds_up", "made_up"]

# $1: the kind of report, $2: what it is about, $3 and $4: its week. All that the report may count, and nothing else.
MESSAGES = """
select m.status, m.device_id, m.due_at, m.sent_at, m.delivered_at, m.read_at, m.recipient_phone as phone, m.id,
       coalesce(c.name, case when $1 = 'sequence' then t.key else s.name end) as line
  from broadcast_messages m
  left join campaigns c on c.id = m.campaign_id
  left join sequence_steps t on t.id = m.sequence_stepid
  left join sequences s on s.id = t.sequence_id
 where m.purpose is null
   and case $1 when 'campaign' then c.name = $2 when 'sequence' then s.name = $2 when 'device' then m.device_id = $2 else true end
   and ($3::timestamptz is null or case when m.status = 'sent' then m.sent_at else m.due_at end between $3 and $4::timestamptz - interval '1 us')
"""

# What came back for each message, by which person and when: looked at from each inbound message on its own. $1: the zone.
CAME_BACK = """
select m.id as about, i.phone, i.id, is_reply, i.sent_at, extract(hour from timezone($1, i.sent_at))::int as hour
  from inbound_messages i
 cross join lateral (select id, true as is_reply from answered_messages(i)
                     union all
                     select id, false from message_before(i) where i.meaning = 'stop') m
 order by i.sent_at, i.id
"""


async def adds_up(pool: Pool, report: Report) -> None:
    """Compares every figure of the report with the ledger, to the last one."""
    rows = await pool.fetch(MESSAGES, report.kind, report.name, report.since, report.until)
    messages = {row["id"]: row for row in rows}
    answers = [row for row in await pool.fetch(CAME_BACK, report.time_zone) if row["about"] in messages]

    def people(of: set[Any], *, replied: bool) -> int:
        return len({row["phone"] for row in answers if row["about"] in of and row["is_reply"] is replied})

    def check(one: Figures, kept: list[Any]) -> None:
        statuses = Counter(row["status"] for row in kept)
        assert one.outcomes == Outcomes(**statuses), one.name
        assert sum(one.outcomes.model_dump().values()) == one.messages == len(kept)
        sent = [row for row in kept if row["status"] == "sent"]
        ids = {row["id"] for row in kept}
        assert (one.due, one.delivered, one.read, one.replied, one.opted_out) == (
            sum(row["due_at"] <= report.made_at for row in kept),
            sum(row["delivered_at"] is not None for row in sent),
            sum(row["read_at"] is not None for row in sent),
            people(ids, replied=True),
            people(ids, replied=False),
        ), one.name

    assert set(Outcomes.model_fields) == set(MessageStatus)
    check(report.total, rows)
    for name, lines in (("device_id", report.devices), ("line", report.lines)):
        assert {one.name for one in lines} >= {row[name] for row in rows}
        for one in lines:
            check(one, [row for row in rows if row[name] == one.name])
        assert sum(one.messages for one in lines) == report.total.messages
    for outcome, count in outcome_counts(report.total.outcomes).items():
        reasons = [one.messages for one in report.reasons if one.outcome == outcome]
        assert sum(reasons) == (count if outcome != "sent" else 0), outcome
        assert reasons == sorted(reasons[:5], reverse=True) + reasons[5:]
    sent = [row for row in rows if row["status"] == "sent"]
    assert sum(one.due for one in report.times) == len(rows)
    assert sum(one.sent for one in report.times) == len(sent)
    width = timedelta(seconds=report.bin_seconds)
    for bin_ in report.times:
        assert bin_.sent == sum(bin_.start <= row["sent_at"] < bin_.start + width for row in sent)
    late = [max(0.0, (row["sent_at"] - row["due_at"]).total_seconds()) for row in sent]
    for place, one_range in enumerate(report.lateness.ranges):
        over = one_range.over if place else -1
        up_to = float("inf") if one_range.up_to is None else one_range.up_to
        assert one_range.sent == sum(over < seconds <= up_to for seconds in late)
    for of, replied in (("replied", True), ("opted_out", False)):
        first: dict[str, int] = {}
        for row in answers:
            if row["is_reply"] is replied:
                first.setdefault(row["phone"], row["hour"])
        by_hour = Counter(first.values())
        assert [getattr(hour, of) for hour in report.hours] == [by_hour[hour] for hour in range(24)]
        assert sum(by_hour.values()) == getattr(report.total, of)
    assert report.replies == len({row["id"] for row in answers if row["is_reply"]})


def made_up(
    kind: ReportKind = "campaign",
    name: str = "sale",
    *,
    messages: int = 1_000,
    devices: int = 2,
    lines: int = 1,
    line: str = "step",
    **fields: Any,
) -> Report:
    """A report with so many messages of each device, in an hour, of which nine in ten were sent."""
    start = datetime(2026, 11, 23, 2, tzinfo=UTC).replace(tzinfo=None)
    total = _figures("total", name, messages)
    sent = total.outcomes.sent
    kinds: dict[str, LineKind] = {"campaign": "campaign", "sequence": "step"}
    due = {start: messages} if messages else {}
    going = {start + timedelta(minutes=n): sent // 60 + (n < sent % 60) for n in range(60)} if sent else {}
    defaults = {
        "title": "",
        "status": "finished" if messages else "draft",
        "made_at": datetime(2026, 11, 24, tzinfo=UTC),
        "time_zone": "Asia/Kuala_Lumpur",
        "total": total,
        "lines": tuple(
            _figures(kinds.get(kind, "sequence"), f"{line}-{n}", messages // lines) for n in range(lines)
        ),
        "devices": tuple(_figures("device", f"kl-{n}", messages // devices) for n in range(devices)),
        "reasons": tuple(
            OutcomeReason(outcome=name, reason=f"because of <{name}>", messages=count)
            for name, count in outcome_counts(total.outcomes).items()
            if count and name != "sent"
        ),
        "bin_seconds": 60,
        "times": time_bins(due, going, 60, ZoneInfo("Asia/Kuala_Lumpur")),
        "lateness": lateness_of({30: sent} if sent else {}),
        "hours": tuple(
            HourOfDay(
                hour=n,
                replied=total.replied if n == 11 else 0,
                opted_out=total.opted_out if n == 12 else 0,
            )
            for n in range(24)
        ),
        "replies": total.replied,
    }
    return Report.model_validate({"kind": kind, "name": name, **defaults, **fields})


def _figures(kind: LineKind, name: str, messages: int) -> Figures:
    sent = messages * 9 // 10
    return Figures(
        kind=kind,
        name=name,
        messages=messages,
        due=messages,
        outcomes=Outcomes(sent=sent, failed=messages - sent),
        delivered=sent * 4 // 5,
        read=sent // 2,
        replied=sent // 10,
        opted_out=sent // 50,
    )
