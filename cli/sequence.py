"""``sequence``: apply files, list, show, pause and resume."""

import sys
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from cli.console import Json, fail, run, show, tell
from messaging.durations import format_duration
from messaging.errors import NeedsConsent
from messaging.sequences import ContactCounts, SequenceDetails, SequenceSummary, StepDetails
from messaging.under_way import under_way_in_words
from operations import sequences
from operations.connection import Connection
from operations.files import check_readable
from operations.sequences import SequenceApplied, SequenceStatusChange

__all__ = ["app"]

app = typer.Typer(help="Sequences: series of messages over days.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="ID", help="The sequence's name.")]


@app.command("apply")
def apply_files(
    files: Annotated[list[Path], typer.Argument(metavar="FILE.yaml...", help="One sequence each.")],
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Agree to what the edit means for those who are under way.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Create or edit sequences from YAML files: all of them or, if one has a problem, none.

    The same file again changes nothing. An edit reaches the contacts that are under way; messages already sent never change.
    Where it passes over some of them, or sends them something at once, it says how many and asks.
    """

    async def work(connection: Connection, consent: bool) -> list[SequenceApplied] | NeedsConsent:
        try:
            return await sequences.apply(connection, files, consent=consent)
        except NeedsConsent as question:
            return question

    done = run(lambda connection: work(connection, yes), check=lambda: check_readable(files))
    if isinstance(done, NeedsConsent):
        for line in done.lines:
            tell(line)
        if not sys.stdin.isatty() or not typer.confirm("Apply it?", err=True):
            fail("nothing was changed; with --yes it is applied")
        done = run(lambda connection: work(connection, consent=True))
    assert not isinstance(done, NeedsConsent)
    show(done, as_json, _applied)


@app.command("list")
def list_all(as_json: Json = False) -> None:
    """All sequences, and how many contacts are in them."""
    show(run(sequences.listing), as_json, _listing)


@app.command("show")
def show_one(sequence: Name, as_json: Json = False) -> None:
    """One sequence: its steps, and where its contacts stand."""
    show(run(lambda connection: sequences.show(connection, sequence)), as_json, _details)


@app.command()
def pause(sequence: Name, as_json: Json = False) -> None:
    """Send nothing more of a sequence until it is resumed. Nothing is lost: what is due waits."""
    show(run(lambda connection: sequences.pause(connection, sequence)), as_json, _status)


@app.command()
def resume(sequence: Name, as_json: Json = False) -> None:
    """Go on with a paused sequence. What is late goes out one by one, at the device's pace."""
    show(run(lambda connection: sequences.resume(connection, sequence)), as_json, _status)


def _applied(applied: list[SequenceApplied]) -> RenderableType:
    lines: list[str] = []
    for one in applied:
        lines += one.warnings
        if one.result == "created":
            lines.append(f"{one.sequence}: created, {one.steps} steps")
        elif one.result == "unchanged":
            lines.append(f"{one.sequence}: nothing changed, revision {one.revision}")
        else:
            lines.append(f"{one.sequence}: changed, revision {one.revision}")
            lines += [f"  {change}" for change in one.changes]
            lines += [f"  {concern}" for concern in one.concerns]
        if one.contacts_told:
            lines.append(f"  {one.contacts_told:,} contacts under way plan anew")
    return Text("\n".join(lines))


def _status(change: SequenceStatusChange) -> RenderableType:
    lines = [
        f"{change.sequence}: {'' if change.changed else 'already '}{change.status}"
        + under_way_in_words(change.under_way)
    ]
    if change.contacts_woken:
        lines.append(f"  {change.contacts_woken:,} contacts whose step is due go on")
    return Text("\n".join(lines))


def _listing(listed: list[SequenceSummary]) -> RenderableType:
    if not listed:
        return Text("There is no sequence yet: create one with 'sequence apply FILE.yaml'.")
    table = Table("sequence", "status", "trigger", "steps", "active", "completed", "next due", box=None)
    for one in listed:
        table.add_row(
            *(one.name, one.status, one.trigger or "", str(one.steps), f"{one.contacts.active:,}"),
            *(f"{one.contacts.completed:,}", _moment(one.next_due_at)),
        )
    return table


def _details(one: SequenceDetails) -> RenderableType:
    head = [
        f"{one.name}: {one.status}{f' ({one.status_reason})' if one.status_reason else ''}, revision {one.revision}",
        f"trigger {one.trigger or 'none'}, next_trigger {one.next_trigger or 'none'}",
        (
            f"timezone {one.time_zone}{', skips weekends' if one.skip_weekends else ''}"
            f"{f', device {one.device_id}' if one.device_id else ''}"
        ),
        f"contacts: {_contacts(one.contacts)}",
    ]
    table = Table("step", "when", "sent", "expired", "waiting", "next due", "text", box=None)
    for step in one.steps:
        table.add_row(
            *(step.key, _when(step), f"{step.sent:,}", f"{step.expired:,}" if step.expired else ""),
            *(f"{step.waiting:,}", _moment(step.next_due_at)),
            Text(
                ("[image] " if step.image_url else "") + " ".join(step.text.split()),
                overflow="ellipsis",
                no_wrap=True,
            ),
        )
    return Group(Text("\n".join(head)), Text(), table)


def _contacts(counts: ContactCounts) -> str:
    named = {name.replace("_", " "): count for name, count in counts.model_dump().items() if count}
    return ", ".join(f"{count:,} {name}" for name, count in named.items()) or "none"


def _when(step: StepDetails) -> str:
    when = f"day {step.day}{f' {step.at:%H:%M}' if step.at else ''}"
    if step.after is not None:
        when = f"after {format_duration(step.after)}"
    return when + (f", for {format_duration(step.expires_after)}" if step.expires_after else "")


def _moment(moment: datetime | None) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC" if moment else ""
