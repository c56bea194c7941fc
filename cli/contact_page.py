"""The page about one phone."""

from __future__ import annotations

from datetime import datetime, tzinfo
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from cli.consent import format_consent
from cli.page import Column, Table, one_line, page_width, shortened, wrapped
from messaging.times.local_time import format_wall

if TYPE_CHECKING:
    from messaging.events.latest import By
    from messaging.events.read import Event
    from messaging.replies.inbox import InboundReport
    from messaging.reporting.contact import ContactReport, EnrollmentReport, OptOutReport, WindowReport
    from messaging.reporting.messages import MessageReport

__all__ = ["contact_page"]

_INDENT = "    "


def contact_page(report: ContactReport) -> str:
    """Everything about one phone as text: reasons in full, and all times in one zone, which is named once."""
    zone = ZoneInfo(report.zone)
    lines = [f"{one_line(report.name) or 'No name'}  {report.phone}  {report.target_status}"]
    lines += wrapped(
        f"Niches: {', '.join(report.niches) or 'none'}. Triggers: {', '.join(report.triggers) or 'none'}."
        f" Device: {report.device or (f'{report.only_device} (the only one)' if report.only_device else 'none')}."
    )
    for former in report.former_phones:
        lines += wrapped(f"Had the number {former.phone} until {_format_moment(former.until, zone)}.")
    whose = "the lead's time zone" if report.time_zone else "as the lead has no time zone of its own"
    lines += wrapped(f"Times are those of {report.zone}, {whose}.")
    lines += wrapped(f"Consent: {format_consent(report, zone) or 'none is known'}.")
    for opt_out in report.opt_outs:
        lines += wrapped(_format_opt_out(opt_out, zone))
    for window in report.windows:
        lines += wrapped(_format_window(window, zone))
    if report.not_enrolled is not None:
        lines += ["", *wrapped(report.not_enrolled)]
    if report.handed_over:
        from operations.reports import format_handed_over

        words = format_handed_over(report.handed_over)
        lines += ["", *wrapped(f"{words[0].upper()}{words[1:]}.")]
    for refused in report.refused:
        when = _format_moment(refused.refused_at, zone)
        lines += [
            "",
            *wrapped(f"The enrollment in {refused.sequence} was refused on {when}: {refused.reason}"),
        ]
    for row in report.rejected:
        when = _format_moment(row.rejected_at, zone)
        lines += [
            "",
            *wrapped(
                f"Row {row.row} below the header of {row.file} ({row.written!r}) was rejected when it was imported on {when}: {row.reason}"
            ),
        ]
    if report.enrollments:
        lines += ["", _format_enrollments(report.enrollments, zone)]
    if report.messages or report.inbound or report.events:
        lines += ["", _format_conversation(report, zone)]
    return "\n".join(lines)


_SOURCES = {"operator": "by an operator", "reply": "by a reply", "preference": "in WhatsApp's settings"}


def _format_opt_out(one: OptOutReport, zone: tzinfo) -> str:
    of, gets = ("", "nothing more") if one.category == "all" else (" of marketing", "no more of it")
    evidence = f"inbound message {one.inbound_message}" if one.inbound_message else None
    why = "; ".join(filter(None, (one.reason, evidence)))
    return (
        f"Opted out{of} on {_format_moment(one.created_at, zone)} {_people(one.by) or _SOURCES[one.source]}: gets {gets}"
        f"{f' ({why})' if why else ''}."
    )


def _people(by: By | None) -> str:
    """``by anna``; empty where no person is known."""
    return by.words if by is not None and by.via not in ("itself", "reply") else ""


def _format_window(one: WindowReport, zone: tzinfo) -> str:
    window = f"24-hour window of {one.device}"
    if one.until is None:
        return f"{window}: closed, as they have not written to it; only templates reach them."
    when = _format_moment(one.until, zone)
    return (
        f"{window} open until {when}."
        if one.open
        else f"{window} closed since {when}; only templates reach them."
    )


def _format_enrollments(enrollments: tuple[EnrollmentReport, ...], zone: tzinfo) -> str:
    table = Table(
        (
            Column("sequence"),
            Column("status"),
            Column("enrolled", spare=True),
            Column("next step", least=9),
            Column("due"),
            Column("ended"),
        )
    )
    for one in enrollments:
        table.row(
            *(
                one.sequence,
                "paused" if one.paused_at else one.status,
                _format_moment(one.enrolled_at, zone),
                one.next_step,
            ),
            *(_format_moment(one.due_at, zone), _format_moment(one.ended_at, zone)),
            below=[line for why in _format_why(one, zone) for line in wrapped(why, _INDENT)],
        )
    return str(table)


def _format_why(one: EnrollmentReport, zone: tzinfo) -> list[str]:
    """What the row does not say: why it is paused or has ended, and what the next step depends on."""
    lines = []
    if one.paused_at is not None:
        lines.append(
            f"paused{f' {by}' if (by := _people(one.paused_by)) else ''} since {_format_moment(one.paused_at, zone)}"
            + (f": {one.paused_reason}" if one.paused_reason else "")
        )
    elif one.reason:
        by = _people(one.ended_by)
        lines.append(one.reason + (f" ({by})" if by else ""))
    if one.awaits_reply:
        lines.append(f"{one.next_step} comes as soon as a reply comes, at the latest when it is due")
    if one.condition:
        lines.append(f"{one.next_step} is sent only if {one.condition}")
    return lines


def _format_conversation(report: ContactReport, zone: tzinfo) -> str:
    """Messages both ways and what was done, in order: sent messages by when they were sent, others by when they are due."""
    table = Table(
        (
            Column("message"),
            Column("status"),
            Column("due", spare=True),
            Column("goes out"),
            Column("sent"),
            Column("device", least=6, spare=True),
        )
    )
    rows = [(one.sent_at or one.due_at, *_outgoing(one, zone)) for one in report.messages]
    rows += [(one.known_at, *_inbound(one, zone)) for one in report.inbound]
    rows += [(one.at, *_act(one, zone)) for one in report.events if one.kind != "contact.replied"]
    for _, cells, below in sorted(rows, key=lambda row: row[0]):
        table.row(*cells, below=below)
    return str(table)


def _outgoing(one: MessageReport, zone: tzinfo) -> tuple[list[str], list[str]]:
    cells = [one.what, one.status, _format_moment(one.due_at, zone), _format_moment(one.goes_out_at, zone)]
    below = [*_format_text(one.text), *(wrapped(one.reason, _INDENT) if one.reason else ())]
    return [*cells, _format_moment(one.sent_at, zone), one.device], below


def _inbound(one: InboundReport, zone: tzinfo) -> tuple[list[str], list[str]]:
    """What came in: all of it, as a person has to read it, and below it what it answers and what it did."""
    from cli.inbound import format_inbound, what_it_did, what_it_is

    below = wrapped(format_inbound(one), _INDENT)
    if done := what_it_did(one):
        below += wrapped(f"→ {done}", _INDENT)
    return [what_it_is(one), "", "", "", _format_moment(one.sent_at, zone), one.device], below


def _act(one: Event, zone: tzinfo) -> tuple[list[str], list[str]]:
    """Who did something about the contact, and below it what."""
    return [f"by {one.who}", "", "", "", _format_moment(one.at, zone), ""], wrapped(one.what, _INDENT)


def _format_text(text: str | None) -> list[str]:
    """On a terminal, only the beginning of a text; otherwise all of it."""
    if not text:
        return []
    width = page_width()
    line = one_line(text)
    return [_INDENT + (line if width is None else shortened(line, width - len(_INDENT)))]


def _format_moment(moment: datetime | None, zone: tzinfo) -> str:
    return "" if moment is None else format_wall(moment, zone)
