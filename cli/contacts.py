"""``contact`` and ``why``: what is known of one phone, and why it did not get its messages; and a person's rights to it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from cli import names
from cli.console import Json, run, show
from cli.contact_page import contact_page
from cli.page import wrapped
from cli.selection import confirm
from messaging.common.counts import count_of
from runtime.process import fail, tell

if TYPE_CHECKING:
    from messaging.privacy.export import PersonExport
    from messaging.reporting.contact import ContactReport
    from messaging.reporting.why.report import WhyReport
    from operations.connection import Drumbeat
    from operations.forgetting import Forgotten, Known, Remembered

__all__ = ["app", "why"]


class _PhoneOrCommand(TyperGroup):
    """``contact PHONE`` is ``contact show PHONE``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        first = args[0] if args else ""
        if first and first not in self.commands and first != "--help":
            args = ["show", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(cls=_PhoneOrCommand, no_args_is_help=True)


Region = Annotated[
    str | None, typer.Option(metavar="CC", help="Country of a phone without a country code, e.g. MY.")
]


@app.callback()
def contact() -> None:
    """Show everything about one phone; give a person what is known of them; forget them.

    Examples: contact +12015550123    contact export +12015550123    contact forget +12015550123
    """


@app.command("show")
def show_contact(
    phone: Annotated[str, typer.Argument(help="The phone, in any format.")],
    default_region: Region = None,
    as_json: Json = False,
) -> None:
    """Show everything about one phone: enrollments, the next step, every message.

    Example: contact +12015550123
    """

    async def work(drumbeat: Drumbeat) -> ContactReport:
        from operations import reports

        return await reports.contact(drumbeat, phone, default_region=default_region)

    show(run(work, temporal=False), as_json, contact_page)


@app.command()
def export(
    phone: Annotated[str, typer.Argument(help="The phone, in any format; a former one of theirs, too.")],
    file: Annotated[
        Path | None,
        typer.Argument(help="A new file to write it to, which only you can read. Unset: the screen."),
    ] = None,
    default_region: Region = None,
    as_json: Json = False,
) -> None:
    """Give a person all that is known of them: lead, consent, enrollments, messages both ways, opt-outs, who did what.

    It is everything that 'contact forget' would erase. With --json, for machines.

    Example: contact export +12015550123 aisha.txt
    """

    async def work(drumbeat: Drumbeat) -> PersonExport:
        from operations import forgetting

        return await forgetting.export_contact(drumbeat, phone, default_region=default_region)

    done = run(work, temporal=False)
    if file is None:
        show(done, as_json, _format_export)
        return
    text = (
        json.dumps(done.model_dump(mode="json"), ensure_ascii=False, indent=2)
        if as_json
        else _format_export(done)
    )
    try:
        file.touch(0o600, exist_ok=False)
        file.write_text(f"{text}\n", "utf-8")
    except OSError as error:
        fail(f"{file} cannot be written: {error.strerror}")
    tell(f"{count_of(sum(len(one.rows) for one in done.stored), 'row')} about {done.phone} written to {file}")


@app.command()
def forget(
    phone: Annotated[str, typer.Argument(help="The phone, in any format; a former one of theirs, too.")],
    undo: Annotated[
        bool, typer.Option("--undo", help="Let them be known again, as a stranger. What was erased stays so.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    default_region: Region = None,
    as_json: Json = False,
) -> None:
    """Erase a person from the ledger and from Temporal, and never write to them again. It cannot be undone.

    What counts is kept without them: reports show the same numbers. A keyed hash of the phone is kept, too, so that no
    import, enrollment or reply stores or sends anything any more. Doing it again goes on with what was left.

    Examples: contact forget +12015550123    contact forget +12015550123 --undo
    """
    if undo:

        async def back(drumbeat: Drumbeat) -> Remembered:
            from operations import forgetting

            return await forgetting.remember(drumbeat, phone, default_region=default_region)

        show(
            run(back, temporal=False),
            as_json,
            lambda done: (
                f"{done.phone} is a stranger from here on: they can be imported, enrolled and written to."
                " What was erased stays so"
            ),
        )
        return
    if not yes:

        async def look(drumbeat: Drumbeat) -> Known:
            from operations import forgetting

            return await forgetting.known_of(drumbeat, phone, default_region=default_region)

        known = run(look, temporal=False)
        if known.forgotten is None:
            confirm(_format_known(known), "Forget this person?", as_json=as_json)

    async def work(drumbeat: Drumbeat) -> Forgotten:
        from operations import forgetting

        return await forgetting.forget_contact(drumbeat, phone, default_region=default_region)

    show(
        run(work, works=lambda done: not done.erased or bool(done.workflows_left or done.campaigns_left)),
        as_json,
        _format_forgotten,
    )


def _format_known(known: Known) -> list[str]:
    also = [phone for phone in known.phones if phone != known.phone]
    lines = [
        f"{known.phone}{f' (also {chr(44).join(also)})' if also else ''}: everything about this person will be erased, for ever:"
    ]
    lines += [f"  {title}: {count:,}" for title, count in known.rows.items()] or [
        "  nothing is stored of them"
    ]
    return [*lines, "Nothing is sent to them or stored of them any more. Reports keep their numbers."]


def _format_forgotten(done: Forgotten) -> str:
    now = "had been forgotten already" if done.already else "is forgotten"
    lines = [f"{done.phone} {now} ({done.person}): nothing is sent to them or stored of them from here on"]
    if not done.erased:
        lines.append(
            "not erased yet: a message to them is on its way; a worker erases everything once its outcome is known. This"
            " command again says whether it is done"
        )
        return "\n".join(lines)
    lines.append("erased from the ledger: everything about them; what is counted stays, under that word")
    if done.workflows_left:
        lines.append(
            f"Temporal is still deleting {count_of(done.workflows_left, 'workflow')}; this command again says whether it is done"
        )
    else:
        lines.append("erased from Temporal: all workflows of theirs, with their histories")
    if done.campaigns_left:
        lines.append(
            f"histories that name them still, until the campaign ends and a worker deletes these too: {', '.join(done.campaigns_left)}"
        )
    return "\n".join(lines)


def _format_export(export: PersonExport) -> str:
    lines = [f"All that is stored about {export.phone}. Times are UTC."]
    if len(export.phones) > 1:
        lines.append(f"Phones: {', '.join(export.phones)}")
    if export.other_names:
        lines.append(f"Other names: {', '.join(export.other_names)}")
    for part in export.stored:
        lines += ["", f"{part.title} ({len(part.rows)})"]
        for row in part.rows:
            lines.append("")
            lines += [f"  {name.replace('_', ' ')}: {_plain(value)}" for name, value in row.items()]
    return "\n".join(lines)


def _plain(value: Any) -> str:
    from datetime import datetime

    match value:
        case datetime():
            return f"{value:%Y-%m-%d %H:%M:%S}"
        case list():
            return ", ".join(map(_plain, value))
        case dict():
            return ", ".join(f"{name} {_plain(one)}" for name, one in value.items())
        case _:
            return str(value)


def why(
    phone: Annotated[str, typer.Argument(help="The phone, in any format.")],
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="SEQUENCE|CAMPAIGN",
            help="Only this sequence or campaign.",
            autocompletion=names.sequences_and_campaigns,
        ),
    ] = None,
    default_region: Region = None,
    as_json: Json = False,
) -> None:
    """Say why a phone did not get its messages, in the order of cause: from the import to what the gateway reports.

    Example: why +12015550123 black-friday
    """

    async def work(drumbeat: Drumbeat) -> WhyReport:
        from operations import reports

        return await reports.why(drumbeat, phone, name, default_region=default_region)

    show(run(work, temporal=False), as_json, _format_why)


_TIME = re.compile(r"\d-\d\d \d\d:\d\d:\d\d")


def _format_why(report: WhyReport) -> str:
    told = [*report.sentences, *(sentence for one in report.subjects for sentence in one.sentences)]
    lines = [f"Times are those of {report.zone}."] if any(map(_TIME.search, told)) else []
    lines += [line for sentence in report.sentences for line in wrapped(sentence)]
    for subject in report.subjects:
        lines += [*([""] if lines else []), f"{subject.what}:"]
        lines += [line for sentence in subject.sentences for line in wrapped(sentence, "  ")]
    return "\n".join(lines)
