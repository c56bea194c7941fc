"""``move``: contacts enter another sequence instead of theirs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from cli.console import Json
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
from cli.steering import Phone, Reason, Region, Sequence

if TYPE_CHECKING:
    from rich.progress import Progress

    from messaging.selection.contacts import SelectedContacts
    from operations.bulk import BulkChange
    from operations.connection import Drumbeat

__all__ = ["move"]


def move(
    to: Annotated[str, typer.Option(help="The sequence that they enter.", metavar="NAME")],
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
    """Move contacts to another sequence: the old enrollment ends, and the new one begins with its first step.

    Who cannot begin it (has been in it before, has opted out, …) stays where it is. Who is paused is paused there, too,
    until 'resume'.

    Examples: move cold-vitac +12015550123 --to free-course    move cold-vitac --where 'replied' --to free-course
    """
    many = bool(where.strip() or in_sequence or campaign or device)
    if phone is None and not many and sequence is None:
        raise typer.BadParameter(
            "give SEQUENCE and PHONE; or for many contacts SEQUENCE, --where, --sequence, --campaign or --device"
        )
    if phone is not None and (many or yes or dry_run):
        raise typer.BadParameter("give either PHONE, or options for many contacts")
    if sequence is not None and in_sequence is not None:
        raise typer.BadParameter("give SEQUENCE, or --sequence")
    if phone is not None:
        from messaging.common.phones import parse_phone

        where = f"phone = '{parse_phone(phone, default_region)}'"
    selection = selection_of(where, sequence or in_sequence, campaign, device)

    async def find(drumbeat: Drumbeat) -> SelectedContacts:
        from operations import change_overs

        return await change_overs.find_contacts_to_move(drumbeat, selection, to)

    async def do(drumbeat: Drumbeat, progress: Progress) -> BulkChange:
        from messaging.common.errors import Conflict
        from operations import change_overs

        done = await change_overs.move_contacts(
            drumbeat, selection, to, reason, wait=not no_wait, progress=step_bar(progress)
        )
        if phone is not None and not done.changed:
            why = done.refused[0].partition(": ")[2] if done.refused else f"no active contact of {sequence}"
            raise Conflict(f"{phone} was not moved to {to}: {why}")
        return done

    change_many(
        find,
        do,
        command="move",
        selection=selection,
        question=f"move {{}} to {to}:",
        yes=yes or phone is not None,
        dry_run=dry_run,
        as_json=as_json,
        render=lambda done: format_change(done, f"{{}} moved to {to}"),
        works=True,
    )
