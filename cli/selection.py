"""What commands for many share: the options that choose, the question before, the progress bar."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from cli import names
from cli.console import run, say, show
from cli.waiting import bar_of_its_own
from messaging.common.counts import count_of
from runtime.process import fail, tell

if TYPE_CHECKING:
    from rich.progress import Progress

    from messaging.common.values import Value
    from messaging.selection.contacts import SelectedContacts
    from messaging.selection.leads import SelectedLeads
    from messaging.selection.nobody import ManyCommand
    from messaging.selection.selection import Selection
    from operations.bulk import BulkChange
    from operations.connection import Drumbeat

__all__ = [
    "Campaign",
    "Device",
    "DryRun",
    "InSequence",
    "NoWait",
    "Where",
    "Yes",
    "bar",
    "change_many",
    "confirm",
    "format_change",
    "require_phone_or_many",
    "selection_of",
    "step_bar",
]

Found = TypeVar("Found", "SelectedContacts", "SelectedLeads")
Done = TypeVar("Done", bound="Value")

WHICH = "Which ones, of many"

Where = Annotated[
    str,
    typer.Option(
        help="Those that match this filter, e.g. 'city = KL and niche has VITAC'. docs/leads.md explains it.",
        metavar="FILTER",
        rich_help_panel=WHICH,
    ),
]
InSequence = Annotated[
    str | None,
    typer.Option(
        "--sequence",
        help="Those in this sequence.",
        metavar="NAME",
        rich_help_panel=WHICH,
        autocompletion=names.sequences,
    ),
]
Campaign = Annotated[
    str | None,
    typer.Option(
        help="Those that this campaign has a message for.",
        metavar="NAME",
        rich_help_panel=WHICH,
        autocompletion=names.campaigns,
    ),
]
Device = Annotated[
    str | None,
    typer.Option(
        help="Those of this device.", metavar="ID", rich_help_panel=WHICH, autocompletion=names.devices
    ),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="With many: do not ask first.")]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="With many: say how many there are, show some, and change nothing.")
]
NoWait = Annotated[
    bool,
    typer.Option(
        "--no-wait", help="With many: do not wait until all workflows know. The change holds at once."
    ),
]


def selection_of(where: str, sequence: str | None, campaign: str | None, device: str | None) -> Selection:
    """The selection of these options."""
    from messaging.selection.selection import Selection

    return Selection(where=where, sequence=sequence, campaign=campaign, device=device)


def require_phone_or_many(phone: str | None, selection: Selection, *, yes: bool, dry_run: bool) -> None:
    """Refuses a command that names both one phone and many leads, or neither. Raises typer.BadParameter.

    The options for many are refused with a phone: a dry run that is overlooked would change something.
    """
    if (phone is None) is selection.everything:
        raise typer.BadParameter(
            "give either PHONE, or which leads: --where, --sequence, --campaign or --device"
        )
    if phone is not None and (yes or dry_run):
        raise typer.BadParameter(
            f"{'--dry-run' if dry_run else '--yes'} is for many leads: leave it out for one PHONE, or give --where"
        )


def change_many(
    find: Callable[[Drumbeat], Awaitable[Found]],
    change: Callable[[Drumbeat, Progress], Awaitable[Done]],
    *,
    command: ManyCommand,
    selection: Selection,
    question: str,
    yes: bool,
    dry_run: bool,
    as_json: bool,
    render: Callable[[Done], str],
    works: bool = False,
) -> None:
    """Says how many it concerns, shows some, asks, and does it. If it concerns nobody, it says why.

    ``question``: what is done, with ``{}`` for how many and of what, such as ``pause {}``. ``works``: whether a worker
    has something to do afterwards.
    """

    async def look(drumbeat: Drumbeat) -> tuple[Found, list[str]]:
        """What is found, and what else there is to say: why it is nobody, and which campaigns go on."""
        from operations import bulk

        more: list[str] = []
        found = await find(drumbeat)
        if not found.count:
            more.append(await bulk.explain_nobody(drumbeat, command, selection))
        if command == "pause":
            more += await bulk.campaigns_that_go_on(drumbeat, selection)
        return found, more

    if dry_run or not yes:
        found, more = run(look, temporal=False)
        lines: list[str] = _format_found(found, question)
        if not found.count:  # why, in the same line
            lines[0] += f" {more[0]}"
        lines += more if found.count else more[1:]
        if dry_run:
            text = "\n".join([*lines, "nothing was changed"])
            show(found, as_json, lambda _: text)
            _tell_with_json(more, as_json)
            return
        if not found.count:
            for line in lines:
                _before(line, as_json=as_json)
            return
        confirm(lines, "Do it?", as_json=as_json)

    async def work(drumbeat: Drumbeat) -> tuple[Done, list[str]]:
        _, more = await look(drumbeat)
        with bar("Changing") as progress:
            return await change(drumbeat, progress), more

    done, notes = run(work, works=lambda _: works)
    _show_with(notes, done, as_json, render)


def confirm(lines: Sequence[str], question: str, *, as_json: bool = False) -> None:
    """Shows what is about to be done, and asks; ends the process if the answer is no, or if there is nobody to ask."""
    for line in lines:
        _before(line, as_json=as_json)
    if not sys.stdin.isatty() or not typer.confirm(question, err=True):
        fail("nothing was changed; with --yes it is done")


def _show_with(notes: Sequence[str], done: Done, as_json: bool, render: Callable[[Done], str]) -> None:
    show(done, as_json, lambda one: "\n".join([render(one), *notes]))
    _tell_with_json(notes, as_json)


def _tell_with_json(lines: Sequence[str], as_json: bool) -> None:
    for line in lines if as_json else ():
        tell(line)


def _before(line: str, *, as_json: bool) -> None:
    (tell if as_json or not sys.stdout.isatty() else say)(line)


def _format_found(found: SelectedContacts | SelectedLeads, question: str) -> list[str]:
    from messaging.selection.contacts import SelectedContacts

    contacts = isinstance(found, SelectedContacts)
    lines = [question.format(count_of(found.count, "contact" if contacts else "lead"))]
    if isinstance(found, SelectedContacts) and found.stay_paused:
        lines[0] = lines[0].removesuffix(":") + _stay_paused(found.stay_paused, found.count) + ":"
    lines += [f"  {_format_example(one)}" for one in found.examples]
    if found.count > len(found.examples):
        lines.append("  …")
    return [*lines, *(found.refused if isinstance(found, SelectedContacts) else ())]


def _format_example(one: object) -> str:
    from cli.page import one_line
    from messaging.selection.contacts import SelectedContact
    from messaging.selection.leads import SelectedLead
    from messaging.times.local_time import format_moment

    if isinstance(one, SelectedContact):
        parts = [one.phone, one_line(one.name), f"{one.sequence} ({one.state})"]
        if one.step is not None and one.due_at is not None:
            parts.append(f"next {one.step}, {format_moment(one.due_at)}")
    else:
        assert isinstance(one, SelectedLead)
        parts = [one.phone, one_line(one.name), one.device_id or ""]
    return "  ".join(part for part in parts if part)


def format_change(done: BulkChange, words: str) -> str:
    """The result for people. ``words``: with ``{}`` for how many, such as ``{} paused``."""
    from messaging.sending.under_way import format_under_way

    noun = "lead" if done.command == "opt-out" else "contact"
    line = words.format(count_of(done.changed, noun)) + _stay_paused(done.stay_paused, done.changed)
    line += format_under_way(done.under_way)
    if done.ended:
        line += f"; {count_of(done.ended, 'enrollment ends', 'enrollments end')}"
    if done.changed and not done.to_signal and (done.command != "opt-out" or done.ended):
        line += "; all workflows know"
    lines = [line]
    if done.to_signal:
        lines.append(
            f"{count_of(done.to_signal, 'workflow does', 'workflows do')} not know yet; the change holds all the same"
        )
    if done.to_begin:
        lines.append(
            f"{count_of(done.to_begin, 'person is', 'people are')} not enrolled there yet; a worker does that"
        )
    lines += done.refused if done.command == "move" else _refusals(done.refused)
    return "\n".join(lines)


def _stay_paused(paused: int, moved: int) -> str:
    """That so many of those who move stay paused; empty if none does."""
    if not paused:
        return ""
    if paused == moved:
        return "; it stays paused" if moved == 1 else "; they stay paused"
    return f"; {paused:,} of them {'stays' if paused == 1 else 'stay'} paused"


def _refusals(refused: Sequence[str]) -> list[str]:
    """Why some could not be changed: each reason once, with its number."""
    return [f"{refused.count(why):,} not changed: {why}" for why in dict.fromkeys(refused)]


def step_bar(progress: Progress) -> Callable[[str, int, int], None]:
    """Shows what is done, how far it is, and of how many."""

    def step(what: str, done: int, total: int) -> None:
        progress.update(progress.task_ids[0], description=what, completed=done, total=total)

    return step


@contextmanager
def bar(what: str) -> Iterator[Progress]:
    """A progress bar with one task on standard error; nothing if that is no terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    with (
        bar_of_its_own(),
        Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
            disable=not sys.stderr.isatty(),
        ) as progress,
    ):
        progress.add_task(what, total=None)
        yield progress
