"""``sequence``: apply files, list, show, pause and resume."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from zoneinfo import ZoneInfo

import typer

from cli import names
from cli.console import Json, run, show
from cli.page import Column, Table, one_line, wrapped
from cli.results import results_line
from messaging.common.counts import count_of
from messaging.common.errors import NeedsConsent
from runtime.process import fail, tell

if TYPE_CHECKING:
    from messaging.sequences.concerned import Concerned
    from messaging.sequences.store import ContactCounts, SequenceDetails, SequenceSummary, StepDetails
    from operations.connection import Drumbeat
    from operations.sequences import SequenceApplied, SequenceStatusChange

__all__ = ["app"]

app = typer.Typer(help="Sequences: series of messages over days.", no_args_is_help=True)

Name = Annotated[
    str, typer.Argument(metavar="NAME", help="The sequence's name.", autocompletion=names.sequences)
]


@app.command("apply")
def apply(
    files: Annotated[list[Path], typer.Argument(metavar="FILE.yaml", help="One sequence each.")],
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Agree to the effects of the edit on contacts under way.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would change, and for whom, and change nothing.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Create or edit sequences from YAML files: all of them, or none if one has a problem.

    Applying the same file again changes nothing. An edit also applies to contacts under way; sent messages never
    change. If contacts would miss a step, or get something at once, the command says how many and asks.
    """

    def check() -> None:
        from operations.files import check_readable

        check_readable(files)

    async def work(drumbeat: Drumbeat, consent: bool) -> list[SequenceApplied] | NeedsConsent:
        from operations import sequences

        try:
            return await sequences.apply(drumbeat, files, consent=consent)
        except NeedsConsent as question:
            return question

    if dry_run:

        async def rehearse(drumbeat: Drumbeat) -> list[SequenceApplied]:
            from operations import sequences

            return await sequences.apply(drumbeat, files, dry_run=True)

        show(run(rehearse, check=check, temporal=False), as_json, _format_rehearsed)
        return
    done = run(lambda drumbeat: work(drumbeat, yes), check=check)
    if isinstance(done, NeedsConsent):
        for line in done.lines:
            tell(line)
        if not sys.stdin.isatty() or not typer.confirm("Apply it?", err=True):
            fail("nothing was changed; with --yes it is applied")
        done = run(lambda drumbeat: work(drumbeat, consent=True))
    assert not isinstance(done, NeedsConsent)
    show(done, as_json, _format_applied)


@app.command("list")
def list_sequences(as_json: Json = False) -> None:
    """All sequences, and how many contacts are in them."""

    async def work(drumbeat: Drumbeat) -> list[SequenceSummary]:
        from operations import reports

        return await reports.list_sequences(drumbeat)

    show(run(work, temporal=False), as_json, _format_list)


@app.command("show")
def show_sequence(sequence: Name, as_json: Json = False) -> None:
    """One sequence: its steps, and where its contacts stand."""

    async def work(drumbeat: Drumbeat) -> SequenceDetails:
        from operations import reports

        return await reports.show_sequence(drumbeat, sequence)

    show(run(work, temporal=False), as_json, _format_details)


@app.command()
def pause(
    sequence: Name,
    reason: Annotated[str, typer.Option(help="Why; shown wherever something waits for the sequence.")] = "",
    as_json: Json = False,
) -> None:
    """Pause a sequence: send nothing of it until it is resumed. Nothing is lost: due messages wait."""

    async def work(drumbeat: Drumbeat) -> SequenceStatusChange:
        from operations import sequences

        return await sequences.pause(drumbeat, sequence, reason)

    show(run(work, temporal=False), as_json, _format_status)


@app.command()
def resume(sequence: Name, as_json: Json = False) -> None:
    """Resume a paused sequence. Late messages go out one by one, at the device's pace."""

    async def work(drumbeat: Drumbeat) -> SequenceStatusChange:
        from operations import sequences

        return await sequences.resume(drumbeat, sequence)

    show(run(work, works=lambda _: True), as_json, _format_status)


def _format_applied(applied: list[SequenceApplied]) -> str:
    lines: list[str] = []
    for one in applied:
        lines += one.warnings
        if one.result == "created":
            lines.append(f"{one.sequence}: created, {count_of(one.steps, 'step')}")
        elif one.result == "unchanged":
            lines.append(f"{one.sequence}: nothing changed, revision {one.revision}")
        else:
            lines.append(f"{one.sequence}: changed, revision {one.revision}")
            lines += [f"  {change}" for change in one.changes]
            lines += [f"  {concern}" for concern in one.concerns]
        if one.contacts_replanned:
            lines.append(
                "  "
                + count_of(one.contacts_replanned, "contact under way has", "contacts under way have")
                + " another step or"
                " moment next; the workflows are signalled one after the other, the earliest first"
            )
        elif one.contacts_to_signal:
            lines.append(
                "  "
                + count_of(one.contacts_to_signal, "contact under way is", "contacts under way are")
                + " still to be signalled about an earlier edit"
            )
    return "\n".join(lines)


def _format_rehearsed(applied: list[SequenceApplied]) -> str:
    """What an edit would change, and for whom."""
    words = {"created": "would be created", "changed": "would change", "unchanged": "nothing would change"}
    lines = ["this was a dry run: nothing was changed"]
    for one in applied:
        lines += one.warnings
        lines.append(f"{one.sequence}: {words[one.result]}")
        lines += [f"  {change}" for change in one.changes]
        if one.concerned is not None and one.result == "changed":
            lines += [f"  {line}" for line in _format_concerned(one.concerned, one.changes)]
        lines += [line for concern in one.concerns for line in wrapped(f"! {concern}", "  ")]
        if one.concerns:
            lines.append("  'sequence apply' asks before it does that; --yes agrees")
    return "\n".join(lines)


def _format_concerned(found: Concerned, changes: Sequence[str]) -> list[str]:
    under_way = count_of(found.contacts, "contact")
    moved = count_of(found.moved, "has", "have")
    lines = [f"{under_way} under way; of them {moved} another step or moment next"]
    for one in found.examples:
        before = f"{one.step} {_format_moment(one.due_at, UTC)}" if one.step else "nothing"
        after = f"{one.then_step} {_format_moment(one.then_due_at, UTC)}" if one.then_step else "the end"
        lines += wrapped(f"{one.phone}: {before} → {after} (UTC)", "  ")
    if found.moved > len(found.examples):
        lines.append("  …")
    named = [step for step in found.to_come if any(f"step {step!r}" in change for change in changes)]
    lines += [
        f"step {step!r} is still to come for {count_of(found.to_come[step], 'contact')}" for step in named
    ]
    return lines


def _format_status(change: SequenceStatusChange) -> str:
    from operations.sentences import sequence_said

    return sequence_said(change)


def _format_list(listed: list[SequenceSummary]) -> str:
    if not listed:
        return "There is no sequence yet: create one with 'sequence apply FILE.yaml'."
    table = Table(
        (
            Column("sequence"),
            Column("status"),
            Column("trigger", least=8, spare=True),
            Column("steps", right=True, spare=True),
            Column("in it", right=True),
            Column("completed", right=True),
            Column("next due (UTC)"),
        )
    )
    for one in listed:
        table.row(
            *(one.name, one.status, one.trigger, one.steps, f"{one.contacts.active:,}"),
            *(f"{one.contacts.completed:,}", _format_moment(one.next_due_at, UTC)),
        )
    return str(table)


def _format_details(one: SequenceDetails) -> str:
    from messaging.events.latest import by_whom
    from messaging.sequences.condition_words import format_conditions

    zone = ZoneInfo(one.time_zone)
    head = [
        f"{one.name}: {one.status}, revision {one.revision}",
        *(
            wrapped(
                f"is paused{f': {one.status_reason}' if one.status_reason else ''}{by_whom(one.paused_by, zone)}"
            )
            if one.status == "paused"
            else ()
        ),
        f"trigger {one.trigger or 'none'}, next_trigger {one.next_trigger or 'none'}",
        *(
            f"{what} {', '.join(words)}"
            for what, words in (("keyword", one.keywords), ("ad", one.ads))
            if words
        ),
        *(["only with consent"] if one.require_consent else []),
        (
            f"timezone {one.time_zone}, as are the times below{', skips weekends' if one.skip_weekends else ''}"
            f"{f', device {one.device_id}' if one.device_id else ''}"
        ),
        f"category {one.category}, outside_window {one.outside_window}",
        f"contacts: {_format_contacts(one.contacts)}",
        "",
    ]
    plan = Table(
        (
            Column("step"),
            Column("when"),
            Column("waiting", right=True),
            Column("next due"),
            Column("text", least=12, spare=True),
        )
    )
    for step in one.steps:
        plan.row(
            *(step.key, _format_when(step), f"{step.waiting:,}", _format_moment(step.next_due_at, zone)),
            ("[image] " if step.image_url else "") + one_line(step.text),
            below=wrapped(f"if {words}", "  ") if (words := format_conditions(step.conditions)) else (),
        )
    if not any(step.sent or step.expired or step.passed_over for step in one.steps):
        return "\n".join([*head, str(plan)])
    return "\n".join(
        [*head, str(plan), "", str(_results_table(one)), "", f"results: {results_line(one.results)}"]
    )


def _results_table(one: SequenceDetails) -> Table:
    """What came of each step's messages: replied and opted out are people."""
    table = Table(
        (
            Column("step"),
            Column("sent", right=True),
            Column("expired", right=True),
            Column("passed over", right=True),
            Column("delivered", right=True),
            Column("read", right=True),
            Column("replied", right=True),
            Column("opted out", right=True),
        )
    )
    for step in one.steps:
        came = step.results
        table.row(
            *(step.key, f"{step.sent:,}", f"{step.expired:,}" if step.expired else ""),
            f"{step.passed_over:,}" if step.passed_over else "",
            *(f"{number:,}" for number in (came.delivered, came.read, came.replied, came.opted_out)),
        )
    return table


def _format_contacts(counts: ContactCounts) -> str:
    active = f"{counts.active:,} active" + (f" ({counts.paused:,} of them paused)" if counts.paused else "")
    named = counts.model_dump(exclude={"active", "paused"})
    others = [f"{count:,} {name.replace('_', ' ')}" for name, count in named.items() if count]
    return ", ".join([*([active] if counts.active else []), *others]) or "none"


def _format_when(step: StepDetails) -> str:
    from messaging.times.durations import format_duration, format_when

    when = format_when(step.day, step.at, step.after, step.wait_for)
    return when + (f", for {format_duration(step.expires_after)}" if step.expires_after else "")


def _format_moment(moment: datetime | None, zone: tzinfo) -> str:
    from messaging.times.local_time import format_wall

    return format_wall(moment, zone) if moment else ""
