"""``preview``: what people would get of a sequence or a campaign."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from cli import names
from cli.console import Json, run, show
from cli.page import wrapped
from cli.selection import bar as progress_bar
from cli.values import read_count
from messaging.common.counts import count_of

if TYPE_CHECKING:
    from messaging.reporting.preview.report import Preview, PreviewedMessage, PreviewFault
    from operations.connection import Drumbeat

__all__ = ["preview"]

SHOWN_FAULTS = 20


def preview(
    name: Annotated[
        str,
        typer.Argument(
            metavar="SEQUENCE|CAMPAIGN",
            autocompletion=names.sequences_and_campaigns,
            help="The name of a sequence or a campaign.",
        ),
    ],
    lead: Annotated[
        list[str] | None,
        typer.Option(
            "--lead", metavar="PHONE", help="Only for this lead, whatever its standing; may be repeated."
        ),
    ] = None,
    sample: Annotated[
        int,
        typer.Option(help="How many people to show in full.", parser=read_count, metavar="NUMBER"),
    ] = 5,
    check_all: Annotated[
        bool,
        typer.Option(
            "--check/--no-check", help="Render it for everybody, to say for whom it would fail and why."
        ),
    ] = True,
    default_region: Annotated[
        str | None, typer.Option(metavar="CC", help="Country of a phone without a country code, e.g. MY.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Show each text as its person will get it, and who would not get it and why. Nothing is sent.

    Of a sequence: each step that is to come, with its time in the person's zone, for contacts under way and for leads with
    its trigger.

    Examples: preview black-friday    preview cold-vitac --lead +12015550123    preview cold-vitac --sample 20
    """

    async def work(drumbeat: Drumbeat) -> Preview:
        from operations import previews

        with progress_bar("Rendering") as bar:
            return await previews.preview(
                drumbeat,
                name,
                lead or (),
                sample=sample,
                check_all=check_all,
                default_region=default_region,
                progress=lambda done, total: bar.update(bar.task_ids[0], completed=done, total=total),
            )

    show(run(work, temporal=False), as_json, _format_preview)


def _format_preview(one: Preview) -> str:
    lines = wrapped(
        f"{one.kind} {one.name}: {one.state}; {count_of(one.of, 'person', 'people')} as things are now"
    )
    if not one.of:
        what = (
            "nobody is in it or has its trigger; --lead PHONE shows what a lead would get"
            if one.kind == "sequence"
            else f"no lead would get it: 'audience {one.name}' says why"
        )
        return "\n".join([*lines, what])
    for lead in one.leads:
        lines += ["", f"{lead.name or '(no name)'}  {lead.phone}  {lead.zone}  {lead.standing}"]
        if not lead.messages:
            lines.append("  nothing more is to come")
        for message in lead.messages:
            lines += _format_message(message)
    lines += ["", *_format_faults(one)]
    return "\n".join(lines)


def _format_message(message: PreviewedMessage) -> list[str]:
    how = [f"by {message.device}"] if message.device else []
    if message.template:
        how.append(f"as the template {message.template}")
    if message.parts > 1:
        how.append("the image first, then the text")
    head = ", ".join([f"{message.step}: {message.when}" if message.step else message.when, *how])
    lines = wrapped(head, "  ")
    if message.condition:
        lines += wrapped(f"only if {message.condition}", "  ")
    if message.image_url:
        lines += [f"    [image] {message.image_url}"]
    for line in message.text.splitlines() if message.text else ():
        lines += wrapped(line, "    | ")
    for kind, why in message.faults:
        lines += wrapped(f"! {_KINDS[kind]}: {why}", "    ")
    for note in message.notes:
        lines += wrapped(f"note: {note}", "    ")
    return lines


_KINDS = {
    "fails": "would fail",
    "not sent": "would not be sent",
    "waits": "would wait",
}


def _format_faults(one: Preview) -> list[str]:
    checked = count_of(one.checked, "person", "people")
    if not one.faults:
        return [f"Rendered for {checked}: nothing would fail."]
    lines = [f"Rendered for {checked}:"]
    for fault in one.faults[:SHOWN_FAULTS]:
        lines += wrapped(_format_fault(fault), "  ")
    if len(one.faults) > SHOWN_FAULTS:
        lines.append(f"  and {count_of(len(one.faults) - SHOWN_FAULTS, 'more reason')}: --json has all")
    if not any(fault.kind == "fails" for fault in one.faults):
        lines.append("  nothing would fail")
    return lines


def _format_fault(fault: PreviewFault) -> str:
    step = f"{fault.step}: " if fault.step else ""
    examples = ", ".join(fault.examples) + (", …" if fault.leads > len(fault.examples) else "")
    kind = (
        _KINDS[fault.kind] if fault.kind != "note" else "goes out, but" if fault.leads == 1 else "go out, but"
    )
    return f"{step}{fault.leads:,} {kind}: {fault.why} ({examples})"
