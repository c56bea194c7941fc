"""``enroll`` and ``opt-out``."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated, cast

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
    require_phone_or_many,
    selection_of,
    step_bar,
)
from messaging.common.counts import count_of
from messaging.common.suggestions import did_you_mean
from runtime.process import fail, tell

if TYPE_CHECKING:
    from rich.progress import Progress

    from messaging.leads.opt_outs import OptOutCategory
    from messaging.selection.leads import SelectedLeads
    from messaging.selection.selection import Selection
    from messaging.sequences.store import UsedUp
    from operations.bulk import BulkChange
    from operations.connection import Drumbeat
    from operations.enrollment import Enrollment, SweepResult
    from operations.opt_outs import OptOut

__all__ = ["enroll", "opt_out"]

CATEGORIES = ("marketing", "all")
REFUSED = ("opted_out", "without_consent", "forgotten")
"""Results with which nothing was done."""

Region = Annotated[
    str | None,
    typer.Option(metavar="CC", help="Country of a phone without a country code, e.g. MY."),
]


def enroll(
    sequence: Annotated[
        str | None, typer.Argument(help="The sequence's name.", autocompletion=names.sequences)
    ] = None,
    phone: Annotated[str | None, typer.Argument(help="The lead's phone, in any format.")] = None,
    name: Annotated[str, typer.Option(help="The lead's name.")] = "",
    device: Annotated[
        str | None,
        typer.Option(
            help="The device to send from, for a lead that has none yet.", autocompletion=names.devices
        ),
    ] = None,
    move: Annotated[
        bool,
        typer.Option(
            "--move",
            help="With --device: move a lead of another device, with all its unsent messages.",
        ),
    ] = False,
    time_zone: Annotated[str | None, typer.Option(help="The lead's time zone, e.g. Asia/Jakarta.")] = None,
    consent: Annotated[
        str, typer.Option(help="How the lead agreed to be written to, e.g. 'signed form 12'.")
    ] = "",
    default_region: Region = None,
    trigger: Annotated[
        str | None,
        typer.Option(
            help="Instead: enroll all leads with this trigger in its sequence.", autocompletion=names.triggers
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Enroll one lead, or all leads with a trigger. Doing it twice is harmless.

    Exit code 0: the lead is enrolled, was enrolled already, or has completed the sequence. Exit code 1: it was stopped
    or has opted out, or the sequence requires consent that it has not given, and nothing was done. After an opt-out it keeps its trigger, and 'opt-out PHONE --undo' lets you
    enroll it.

    Examples: enroll cold-vitac +12015550123 --name Aisha    enroll --trigger COLDVITAC
    """
    if trigger is not None:
        if sequence is not None or phone is not None:
            raise typer.BadParameter("give either SEQUENCE and PHONE, or --trigger")

        async def sweep(drumbeat: Drumbeat) -> SweepResult:
            from operations import enrollment

            return await enrollment.enroll_by_trigger(drumbeat, trigger)

        show(run(sweep, works=lambda _: True), as_json, _format_swept)
        return
    if sequence is None or phone is None:
        raise typer.BadParameter("give SEQUENCE and PHONE, or --trigger")
    if move and device is None:
        raise typer.BadParameter("--move needs --device: which one is to write to the lead?")

    async def work(drumbeat: Drumbeat) -> Enrollment:
        from operations import enrollment

        number = _parse(sequence, phone, default_region)
        known = await enrollment.look_up(drumbeat, sequence, number, device, consent=consent)
        if move and device is not None and (known is None or known.result not in REFUSED):
            from operations import moves

            await moves.move_lead(drumbeat, number, device)
            known = await enrollment.look_up(drumbeat, sequence, number, device, consent=consent)
        if known is not None and known.result == "already_enrolled" and consent:
            from operations import leads

            await leads.state_consent(drumbeat, number, consent)
        if known is not None and known.result == "already_enrolled" and time_zone:
            from operations import leads

            moved = await leads.correct_time_zone(drumbeat, number, time_zone)
            tell(
                f"time zone: {time_zone}; "
                + count_of(moved, "contact under way has", "contacts under way have")
                + " another moment next by it"
            )
        return known or await enrollment.enroll(
            drumbeat,
            sequence,
            number,
            name=name,
            device=device,
            time_zone=time_zone,
            consent=consent,
        )

    done = run(work, works=lambda done: done.result in ("enrolled", "handed_over"))
    from messaging.times.zones import time_zone_warning

    if warning := time_zone_warning((time_zone or "").strip()):
        tell(f"warning: time-zone: {warning}")
    refused = done.result in REFUSED or done.status in ("stopped", "opted_out")
    if as_json or not refused:
        show(done, as_json, _format_enrolled)
    if refused and done.result not in REFUSED:
        fail("" if as_json else _format_enrolled(done))
    if done.result == "without_consent":
        fail(
            f"{done.phone} was not enrolled in {sequence}, which requires consent: state it with --consent 'how it was given',"
            " or import it"
        )
    if done.result == "forgotten":
        fail(
            f"{done.phone} was not enrolled in {sequence}: the person asked to be forgotten. If they want to be written to"
            f" again: 'contact forget {done.phone} --undo'"
        )
    if done.result == "opted_out":
        fail(
            f"{done.phone} has opted out, and was not enrolled in {sequence}:"
            f" after 'opt-out {done.phone} --undo' it can be done"
        )


def _parse(sequence: str, phone: str, region: str | None) -> str:
    """The phone in E.164. Raises InvalidPhone; of arguments that were given in the wrong order it says so."""
    from messaging.common.errors import InvalidPhone
    from messaging.common.phones import parse_phone

    try:
        return parse_phone(phone, region)
    except InvalidPhone as error:
        try:
            parse_phone(sequence, region)
        except InvalidPhone:
            raise error from None
        raise InvalidPhone(f"{error}: SEQUENCE comes first, then PHONE") from error


def _read_category(text: str) -> str:
    if text not in CATEGORIES:
        raise typer.BadParameter(f"{text!r} is not known here; {did_you_mean(text, CATEGORIES)}")
    return text


def opt_out(
    phone: Annotated[str | None, typer.Argument(help="The phone, in any format.")] = None,
    undo: Annotated[bool, typer.Option("--undo", help="Let the phone be written to again.")] = False,
    category: Annotated[
        str | None,
        typer.Option(
            help="From what: marketing, or all, which is everything. With --undo: only that opt-out; both if not given.",
            parser=_read_category,
            autocompletion=names.among(CATEGORIES),
            metavar="CATEGORY",
        ),
    ] = None,
    reason: Annotated[str, typer.Option(help="Why, for the record.")] = "opted out",
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
    """Send a phone nothing more, from any sequence, campaign or device; or no more marketing. Or many leads.

    Examples: opt-out +12015550123    opt-out +12015550123 --category marketing    opt-out --where 'city = KL'
    """
    from_what = cast("OptOutCategory | None", category)
    selection = selection_of(where, in_sequence, campaign, device)
    require_phone_or_many(phone, selection, yes=yes, dry_run=dry_run)
    if phone is None:
        if undo:
            raise typer.BadParameter("--undo is for one PHONE")
        _opt_out_many(
            selection, reason, from_what or "all", yes=yes, dry_run=dry_run, wait=not no_wait, as_json=as_json
        )
        return
    number_as_written = phone

    async def work(drumbeat: Drumbeat) -> OptOut:
        from messaging.leads.known_phones import find_phone
        from operations import opt_outs

        number = await find_phone(await drumbeat.pool(), number_as_written, default_region)
        if undo:
            return await opt_outs.withdraw(drumbeat, number, category=from_what)
        return await opt_outs.opt_out(drumbeat, number, reason, category=from_what or "all")

    show(run(work), as_json, partial(_format_opted_out, undone=undo))


def _opt_out_many(
    selection: Selection,
    reason: str,
    category: OptOutCategory,
    *,
    yes: bool,
    dry_run: bool,
    wait: bool,
    as_json: bool,
) -> None:
    async def find(drumbeat: Drumbeat) -> SelectedLeads:
        from operations import bulk

        return await bulk.find_leads_to_opt_out(drumbeat, selection, category=category)

    async def do(drumbeat: Drumbeat, progress: Progress) -> BulkChange:
        from operations import bulk

        return await bulk.opt_out(
            drumbeat, selection, reason, category=category, wait=wait, progress=step_bar(progress)
        )

    change_many(
        find,
        do,
        command="opt-out",
        selection=selection,
        question="opt out {}:" if category == "all" else "opt out {} of marketing:",
        yes=yes,
        dry_run=dry_run,
        as_json=as_json,
        render=lambda done: format_change(done, "{} opted out"),
    )


def _format_enrolled(done: Enrollment) -> str:
    why = f" ({done.reason})" if done.reason else ""
    once = "and no contact goes through a sequence twice"
    match done.result, done.status:
        case "enrolled", _:
            words = f"enrolled in {done.sequence}"
        case "handed_over", _:
            words = f"handed to Temporal for {done.sequence}, and kept there; no worker has taken it yet"
        case _, "completed":
            words = f"has completed {done.sequence} before, {once}"
        case _, "stopped":
            words = f"was in {done.sequence} before and was stopped{why}, {once}"
        case _, "opted_out":
            words = f"was in {done.sequence} before and opted out, {once}"
        case _:
            words = f"is enrolled in {done.sequence} already"
    if done.kept_device and done.status == "active":
        words += f"; by {done.device}, to which the lead belongs already: --move moves it"
    return f"{done.phone} {words}"


def _format_swept(done: SweepResult) -> str:
    if done.handed_over:
        return "handed to Temporal, and kept there; no worker is at it just now"
    if done.used_up is not None:
        return _format_used_up(done.used_up)
    left_out = {
        "opted out": done.opted_out,
        "without consent": done.without_consent,
        "without a device": done.without_device,
    }
    left = ", ".join(f"{count:,} {why}" for why, count in left_out.items() if count)
    return f"{done.enrolled:,} enrolled, {done.already_enrolled:,} were already" + (
        f"; left out: {left}" if left else ""
    )


def _format_used_up(one: UsedUp) -> str:
    from messaging.times.local_time import format_moment

    words = f"0 enrolled: nobody has the trigger {one.trigger} now; {one.sequence} has had "
    if one.last_enrolled_at is None:
        return f"{words}no contact yet"
    return (
        f"{words}{count_of(one.contacts, 'contact')}, the last one enrolled {format_moment(one.last_enrolled_at)}"
        " (workers look for triggers every minute)"
    )


def _format_opted_out(done: OptOut, *, undone: bool) -> str:
    from messaging.sending.under_way import format_under_way

    if undone:
        if not done.opted_out:
            return (
                f"{done.phone} may be written to again"
                if done.changed
                else f"{done.phone} had not opted out"
                + ("" if done.is_lead else ", and no lead has this phone")
            )
        left = "everything" if done.category == "all" else "marketing"
        return f"{done.phone}: {'taken back' if done.changed else 'nothing to take back'}; still opted out of {left}"
    of = " of marketing" if done.category == "marketing" else ""
    words = f"opted out{of}" if done.changed else f"had opted out{of} already"
    if not done.is_lead:
        said = "no lead has this phone (is it the right one?), and it will get nothing if it becomes one"
    elif done.ended:
        said = count_of(done.ended, "enrollment ends", "enrollments end")
    else:
        said = "no enrollment was under way that this ends"
    return f"{done.phone} {words}; {said}{format_under_way(done.under_way)}"
