"""``lead``: import and export files of leads, show one; and the other commands on leads."""

from __future__ import annotations

import sys
from datetime import UTC
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli import lead_changes, names
from cli.console import Json, run, show
from cli.selection import Where, selection_of
from cli.selection import bar as progress_bar
from messaging.common.counts import count_of

if TYPE_CHECKING:
    from operations.connection import Drumbeat
    from operations.leads import (
        ExportSummary,
        ImportProgress,
        ImportSummary,
        LeadsImported,
        PhoneRenamed,
        StoredLead,
    )

__all__ = ["app"]

app = typer.Typer(help="Leads: import and export files, list, show and change them.", no_args_is_help=True)

Region = Annotated[
    str | None,
    typer.Option("--default-region", help="Country of phones without a country code, e.g. MY.", metavar="CC"),
]


@app.command("import")
def import_(
    file: Annotated[
        Path, typer.Argument(help="A CSV file; its first row names the columns, one of them 'phone'.")
    ],
    device: Annotated[
        str | None,
        typer.Option(
            help="The device for leads that have none yet.", metavar="ID", autocompletion=names.devices
        ),
    ] = None,
    move: Annotated[
        bool,
        typer.Option(
            "--move",
            help="Move leads of another device to that of the file, with all their unsent messages.",
        ),
    ] = False,
    default_region: Region = None,
    rejects: Annotated[
        Path | None,
        typer.Option(
            help="Where to write rows that cannot be used. Default: FILE.rejects.csv, beside the file.",
            metavar="FILE",
        ),
    ] = None,
    columns: Annotated[
        list[str] | None,
        typer.Option(
            "--map",
            help="The column of a field, where its heading does not say it; again for more. Nothing behind the = for none."
            " Fields: phone, name, niches, triggers, tags, target_status, device, time_zone, consent, consent_at.",
            metavar="FIELD=COLUMN",
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Store nothing: show how the file is read.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Import a CSV file, all of it or nothing. Importing the same file again changes nothing.

    Rows that cannot be used go to FILE.rejects.csv beside the file (or --rejects), with the reasons. Correct that file and
    import it.

    Examples: lead import leads.csv --default-region MY --dry-run    lead import people.csv --map phone='Phone 1 - Value'
    """

    async def work(drumbeat: Drumbeat) -> LeadsImported:
        from operations import leads

        with progress_bar(f"Importing {file.name}") as bar:

            def tell(step: ImportProgress) -> None:
                if step.merging:
                    bar.update(bar.task_ids[0], description="Storing", total=None)
                else:
                    bar.update(bar.task_ids[0], completed=step.bytes_read, total=step.bytes_total)

            return await leads.import_leads(
                drumbeat,
                file,
                leads.ImportOptions(
                    device=device,
                    move=move,
                    default_region=default_region,
                    columns=leads.parse_chosen(columns or ()),
                    rejects=rejects,
                    dry_run=dry_run,
                ),
                progress=tell,
            )

    summary = run(work)
    show(summary, as_json, _format_imported)
    if summary.rows and summary.rejected == summary.rows:
        raise typer.Exit(1)  # nothing was imported


@app.command("export")
def export(
    file: Annotated[str, typer.Argument(help="The CSV file to write; '-' for standard output.")],
    where: Where = "",
    as_json: Json = False,
) -> None:
    """Write all leads, or those of a filter, to a CSV file that imports back to the same leads."""
    to_stdout = file == "-"

    async def work(drumbeat: Drumbeat) -> ExportSummary:
        from operations import leads

        with progress_bar("Exporting") as bar:
            return await leads.export_leads(
                drumbeat,
                sys.stdout.buffer if to_stdout else Path(file),
                selection_of(where, None, None, None),
                progress=lambda done, total: bar.update(bar.task_ids[0], completed=done, total=total),
            )

    if to_stdout and as_json:
        raise typer.BadParameter("'-' and --json both write to standard output: choose one")
    summary = run(work, temporal=False)
    if not to_stdout:
        show(summary, as_json, _format_exported)


@app.command("show")
def show_(
    phone: Annotated[str, typer.Argument(help="The lead's phone, in any format.")],
    default_region: Region = None,
    as_json: Json = False,
) -> None:
    """Show what is known about one lead."""

    async def work(drumbeat: Drumbeat) -> StoredLead:
        from operations import leads

        return await leads.show_lead(drumbeat, phone, default_region=default_region)

    show(run(work, temporal=False), as_json, _format_lead)


@app.command("rename-phone")
def rename_phone(
    old: Annotated[str, typer.Argument(metavar="OLD", help="The lead's present phone, in any format.")],
    new: Annotated[str, typer.Argument(metavar="NEW", help="The phone that they have now.")],
    default_region: Region = None,
    as_json: Json = False,
) -> None:
    """Give a lead another phone: its enrollments go on under it, and no step is sent twice.

    Enrollments, waiting messages, opt-outs and the conversation go along. If the new phone is a lead already, the two become
    one. From then on, the old phone stands for the new one. WhatsApp's own reports of changed numbers do the same.

    Example: lead rename-phone +12015550123 +12015550124
    """

    async def work(drumbeat: Drumbeat) -> PhoneRenamed:
        from operations import leads

        return await leads.rename_phone(drumbeat, old, new, default_region=default_region)

    show(run(work), as_json, _format_renamed)


app.command("list")(lead_changes.list_)
app.command("set")(lead_changes.set_)
app.command("move")(lead_changes.move)


def _format_renamed(done: PhoneRenamed) -> str:
    if not done.news:
        return f"{done.old} is {done.new} already: nothing changed"
    moved = (
        count_of(done.contacts, "enrollment goes on", "enrollments go on")
        + f" under it, {count_of(done.messages, 'message counts', 'messages count')} for it"
    )
    lines = [f"{done.old} is {done.new} now: {moved}"]
    if done.joined:
        lines.append("  both were leads, and are one now")
    if done.both:
        lines.append(
            f"  both were in {', '.join(done.both)}: the enrollment of {done.new} goes on, without the steps that"
            f" {done.old} has had"
        )
    if done.apart:
        lines.append(f"  leads apart again, which had become one with another: {', '.join(done.apart)}")
    if done.opted_out:
        lines.append("  one of them had opted out, and so both have")
    return "\n".join(lines)


def _format_exported(summary: ExportSummary) -> str:
    return f"{summary.file}: " + count_of(summary.leads, "lead")


def _format_imported(summary: LeadsImported) -> str:
    counts = {
        "new lead" if summary.imported == 1 else "new leads": summary.imported,
        "updated": summary.updated,
        "unchanged": summary.unchanged,
        "repeat" if summary.repeats == 1 else "repeats": summary.repeats,
        "rejected": summary.rejected,
    }
    parts = " + ".join(f"{count} {what}" for what, count in counts.items())
    lines = [f"{summary.file}: {count_of(summary.rows, 'row')} = {parts}"]
    if summary.dry_run:
        lines += _format_preview(summary)
    for note in summary.notes:
        lines.append(note.text)
        lines += [f"  {example}" for example in note.examples]
        if note.count > len(note.examples):
            lines.append("  …")
    if summary.rejected:
        lines.append("rejected:")
        lines += [f"  row {row.row}: {row.reason}" for row in summary.first_rejected]
        if summary.rejected > len(summary.first_rejected):
            lines.append("  …")
    if summary.rejected or summary.notes:
        row = summary.first_rejected[0].row if summary.first_rejected else 1
        lines.append(f"(rows are counted below the header: row {row} is row {row + 1} in a spreadsheet)")
    if summary.rejects_file is not None:
        what = (
            "rejected rows with the reasons" if summary.rejected else "rows of which something does not count"
        )
        lines.append(
            f"{what}: {summary.rejects_file}" + ("; correct it and import it" if summary.rejected else "")
        )
    if summary.kept_device:
        lines.append(
            count_of(summary.kept_device, "lead belongs", "leads belong")
            + " to another device already; with --move such leads move too"
        )
    if summary.moved is not None:
        lines.append(
            "moved from other devices: "
            + count_of(summary.moved.leads, "lead")
            + f", {count_of(summary.moved.contacts, 'contact')} under way,"
            f" {count_of(summary.moved.messages, 'waiting message')}"
        )
    if summary.contacts_replanned:
        lines.append(
            count_of(summary.contacts_replanned, "contact under way goes", "contacts under way go")
            + " by another time now: the time zone was corrected"
        )
    return "\n".join(lines)


def _format_preview(summary: ImportSummary) -> list[str]:
    """How the file is understood, for its author to check."""
    lines = ["this was a dry run: nothing is stored"]
    lines += [f"{field}: {' or '.join(map(repr, headings))}" for field, headings in summary.columns.items()]
    lines.append(f"attributes: {', '.join(summary.attributes) or 'none'}")
    for lead in summary.first_leads:
        values = {
            "niches": ", ".join(lead.niches),
            "triggers": ", ".join(lead.triggers),
            "target status": lead.target_status,
            "device": lead.device_id,
            "time zone": lead.time_zone,
            "consent": lead.consent and (lead.consent.note or ("yes" if lead.consent.given else "no")),
            **lead.attributes,
        }
        more = "; ".join(f"{name}: {' '.join(value.split())}" for name, value in values.items() if value)
        lines.append(f"  {lead.phone}  {lead.name or '(no name)'}" + (f"  {more}" if more else ""))
    return lines


def _format_lead(lead: StoredLead) -> str:
    from cli.consent import format_consent
    from messaging.times.local_time import format_moment

    consent = format_consent(lead, UTC)
    fields = {
        "phone": lead.phone,
        "name": lead.name,
        "niches": ", ".join(lead.niches),
        "triggers": ", ".join(lead.triggers),
        "target status": lead.target_status,
        "device": lead.device_id,
        "time zone": lead.time_zone,
        "consent": consent and f"{consent} UTC",
        **lead.attributes,
        "known since": format_moment(lead.created_at),
    }
    return "\n".join(f"{name}: {value}" for name, value in fields.items() if value)
