"""``pause``, ``resume``, ``stop`` and ``skip``, for one contact in a sequence or for many."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from cli import names
from cli.console import Json, run, show
from cli.selection import (
    Campaign,
    Device,
    DryRun,
    InSequence,
    NoWait,
    Where,
    Yes,
    change_many,
    format_change,
    selection_of,
    step_bar,
)

if TYPE_CHECKING:
    from rich.progress import Progress

    from messaging.selection.contacts import ContactCommand, SelectedContacts
    from messaging.selection.selection import Selection
    from operations.bulk import BulkChange
    from operations.bulk import Progress as Steps
    from operations.connection import Drumbeat
    from operations.contacts import ContactCommandResult

__all__ = ["Phone", "Reason", "Region", "Sequence", "pause", "resume", "skip", "stop"]

HOLDS = ("pause", "resume")
"""What can be done to a whole sequence, too."""

Sequence = Annotated[str | None, typer.Argument(help="The sequence's name.", autocompletion=names.sequences)]
Phone = Annotated[str | None, typer.Argument(help="The phone, in any format.")]
Region = Annotated[
    str | None, typer.Option(metavar="CC", help="Country of a phone without a country code, e.g. MY.")
]
Reason = Annotated[str, typer.Option(help="Why, for the record.")]


def pause(
    sequence: Sequence = None,
    phone: Phone = None,
    reason: Reason = "",
    where: Where = "",
    in_sequence: InSequence = None,
    campaign: Campaign = None,
    device: Device = None,
    yes: Yes = False,
    dry_run: DryRun = False,
    no_wait: NoWait = False,
    default_region: Region = None,
    as_json: Json = False,
) -> None:
    """Pause one contact in one sequence, or many: sequences send them nothing until they are resumed.

    Campaigns are not held: 'campaign pause NAME' holds one. With many, the answer names those that go on.

    Examples: pause cold-vitac +12015550123    pause --where 'city = KL' --reason flood    pause cold-vitac --device kl-1
    """
    options = _Options(where, in_sequence, campaign, device, yes, dry_run, no_wait, as_json)

    async def one(drumbeat: Drumbeat, name: str, number: str) -> ContactCommandResult:
        from operations import contacts

        return await contacts.pause(drumbeat, name, number, reason)

    async def many(drumbeat: Drumbeat, selection: Selection, progress: Steps) -> BulkChange:
        from operations import bulk

        return await bulk.pause(drumbeat, selection, reason, wait=not no_wait, progress=progress)

    if not _one("pause", sequence, phone, options, one, default_region):
        _many("pause", sequence, options, many, "pause {}:", "{} paused")


def resume(
    sequence: Sequence = None,
    phone: Phone = None,
    where: Where = "",
    in_sequence: InSequence = None,
    campaign: Campaign = None,
    device: Device = None,
    yes: Yes = False,
    dry_run: DryRun = False,
    no_wait: NoWait = False,
    default_region: Region = None,
    as_json: Json = False,
) -> None:
    """Resume one paused contact, or many, without a burst.

    Examples: resume cold-vitac +12015550123    resume --where 'city = KL'
    """
    options = _Options(where, in_sequence, campaign, device, yes, dry_run, no_wait, as_json)

    async def one(drumbeat: Drumbeat, name: str, number: str) -> ContactCommandResult:
        from operations import contacts

        return await contacts.resume(drumbeat, name, number)

    async def many(drumbeat: Drumbeat, selection: Selection, progress: Steps) -> BulkChange:
        from operations import bulk

        return await bulk.resume(drumbeat, selection, wait=not no_wait, progress=progress)

    if not _one("resume", sequence, phone, options, one, default_region, works=True):
        _many("resume", sequence, options, many, "resume {}:", "{} resumed", works=True)


def stop(
    sequence: Sequence = None,
    phone: Phone = None,
    reason: Reason = "",
    where: Where = "",
    in_sequence: InSequence = None,
    campaign: Campaign = None,
    device: Device = None,
    yes: Yes = False,
    dry_run: DryRun = False,
    no_wait: NoWait = False,
    default_region: Region = None,
    as_json: Json = False,
) -> None:
    """End one contact's enrollment for good, or many; what was not sent is cancelled.

    Examples: stop cold-vitac +12015550123    stop --where 'sequence = intro and replied'    stop --sequence intro
    """
    options = _Options(where, in_sequence, campaign, device, yes, dry_run, no_wait, as_json)

    async def one(drumbeat: Drumbeat, name: str, number: str) -> ContactCommandResult:
        from operations import contacts

        return await contacts.stop(drumbeat, name, number, reason)

    async def many(drumbeat: Drumbeat, selection: Selection, progress: Steps) -> BulkChange:
        from operations import bulk

        return await bulk.stop(drumbeat, selection, reason, wait=not no_wait, progress=progress)

    if not _one("stop", sequence, phone, options, one, default_region):
        _many("stop", sequence, options, many, "stop {} for good:", "{} stopped")


def skip(
    sequence: Sequence = None,
    phone: Phone = None,
    step: Annotated[str | None, typer.Argument(help="The ID of the step that comes next.")] = None,
    where: Where = "",
    in_sequence: InSequence = None,
    campaign: Campaign = None,
    device: Device = None,
    many_step: Annotated[
        str | None,
        typer.Option(
            "--step", help="With many: the step to skip, for those that have it next.", metavar="STEP"
        ),
    ] = None,
    yes: Yes = False,
    dry_run: DryRun = False,
    no_wait: NoWait = False,
    default_region: Region = None,
    as_json: Json = False,
) -> None:
    """Skip the next step of one contact, or of many.

    Examples: skip cold-vitac +12015550123 story    skip cold-vitac --step story --where 'city = KL'
    """
    options = _Options(where, in_sequence, campaign, device, yes, dry_run, no_wait, as_json)
    if phone is not None and step is None:
        raise typer.BadParameter("give SEQUENCE, PHONE and STEP")
    if phone is None and many_step is None:
        raise typer.BadParameter(
            "give SEQUENCE, PHONE and STEP; or for many --step STEP, and which ones: --where …"
        )

    async def one(drumbeat: Drumbeat, name: str, number: str) -> ContactCommandResult:
        from operations import contacts

        return await contacts.skip(drumbeat, name, number, step or "")

    async def many(drumbeat: Drumbeat, selection: Selection, progress: Steps) -> BulkChange:
        from operations import bulk

        return await bulk.skip(drumbeat, selection, many_step or "", wait=not no_wait, progress=progress)

    if not _one("skip", sequence, phone, options, one, default_region):
        words = f"skip {many_step} for {{}}:"
        _many("skip", sequence, options, many, words, f"{{}} skipped {many_step}", step=many_step)


class _Options(NamedTuple):
    """The options for many contacts."""

    where: str
    sequence: str | None
    campaign: str | None
    device: str | None
    yes: bool
    dry_run: bool
    no_wait: bool
    as_json: bool

    @property
    def given(self) -> bool:
        return bool(self.where.strip() or self.sequence or self.campaign or self.device)


def _one(
    command: str,
    sequence: str | None,
    phone: str | None,
    options: _Options,
    ask: Callable[[Drumbeat, str, str], Awaitable[ContactCommandResult]],
    region: str | None,
    *,
    works: bool = False,
) -> bool:
    """Carries the command out if it is for one contact, and answers whether it is."""
    if phone is None:
        if not options.given:
            raise typer.BadParameter(
                "give SEQUENCE and PHONE; or for many contacts --where, --sequence, --campaign or --device"
                + (
                    f". For the whole sequence: sequence {command} {sequence}"
                    if sequence and command in HOLDS
                    else ""
                )
            )
        return False
    if options.given or options.yes or options.dry_run:
        raise typer.BadParameter("give either PHONE, or options for many contacts")

    async def work(drumbeat: Drumbeat) -> ContactCommandResult:
        from messaging.leads.known_phones import find_phone

        return await ask(drumbeat, sequence or "", await find_phone(await drumbeat.pool(), phone, region))

    show(run(work, works=lambda _: works), options.as_json, _format_result)
    return True


def _many(
    command: ContactCommand,
    sequence: str | None,
    options: _Options,
    change: Callable[[Drumbeat, Selection, Steps], Awaitable[BulkChange]],
    question: str,
    words: str,
    *,
    step: str | None = None,
    works: bool = False,
) -> None:
    if sequence is not None and options.sequence is not None:
        raise typer.BadParameter("give SEQUENCE, or --sequence")
    selection = selection_of(options.where, sequence or options.sequence, options.campaign, options.device)

    async def find(drumbeat: Drumbeat) -> SelectedContacts:
        from operations import bulk

        return await bulk.find_contacts(drumbeat, command, selection, step=step)

    async def do(drumbeat: Drumbeat, progress: Progress) -> BulkChange:
        return await change(drumbeat, selection, step_bar(progress))

    change_many(
        find,
        do,
        command=command,
        selection=selection,
        question=question,
        yes=options.yes,
        dry_run=options.dry_run,
        as_json=options.as_json,
        render=lambda done: format_change(done, words),
        works=works,
    )


def _format_result(done: ContactCommandResult) -> str:
    from operations.sentences import contact_said

    return contact_said(done)
