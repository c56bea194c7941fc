"""``demo``: a complete demonstration, on servers of its own."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.console import run, say
from cli.reports import audit_page
from messaging.common.counts import count_of
from messaging.common.errors import NoAudience
from runtime.process import leave, tell

if TYPE_CHECKING:
    from messaging.sequences.contract import SweepTotals
    from operations.campaigns import CampaignChange
    from operations.connection import Drumbeat

__all__ = ["demo"]

WATCH_FOR = 1800.0
"""Seconds. By then even a large file is done, or the audit and the status show what holds it up."""

WORKER = Path(__file__).parent.parent / "worker.py"
EXAMPLE = Path(__file__).parent.parent / "examples" / "leads.csv"


def demo(
    leads: Annotated[Path, typer.Option(help="A CSV file of leads.", metavar="FILE")] = EXAMPLE,
    default_region: Annotated[
        str, typer.Option(help="Country of phones without a country code.", metavar="CC")
    ] = "US",
    leave_after_audit: Annotated[
        bool, typer.Option("--exit", help="End after the audit, instead of staying up until Ctrl-C.")
    ] = False,
) -> None:
    """Run everything once: import leads, enroll them by trigger, send a campaign, audit the promises.

    Messages go to a simulated gateway on this machine and nowhere else.
    """

    async def work(drumbeat: Drumbeat) -> bool:
        return await _play(drumbeat, leads, default_region, leave_after_audit)

    if not run(work):
        leave(1)


async def _play(drumbeat: Drumbeat, file: Path, default_region: str, leave_after_audit: bool) -> bool:
    from operations import demo as story
    from operations.audit import audit

    async with _worker(drumbeat):
        summary, triggers = await story.prepare(drumbeat, file, default_region)
        say(
            f"Imported {file.name}: {count_of(summary.rows, 'row')}, {count_of(summary.imported, 'new lead')},"
            f" {summary.updated:,} updated, {summary.unchanged:,} unchanged, {count_of(summary.repeats, 'repeat')},"
            f" {summary.rejected:,} rejected"
        )
        if summary.rejects_file is not None:
            say(f"Rejected rows, each with its reason: {summary.rejects_file}")
        enrolled = await story.enroll_all(drumbeat, triggers)
        say(_format_enrolled(enrolled, triggers))
        try:
            say(_format_campaign(await story.start_campaign(drumbeat)))
        except NoAudience as error:
            say(f"The campaign is left out: {error}")
        await _watch(drumbeat)
        report = await audit(drumbeat)
        say(audit_page(report))
        if not leave_after_audit:
            _say_addresses(drumbeat)
            say("Everything stays up until Ctrl-C.")
            await _until_interrupted()
    return report.kept


def _format_enrolled(totals: SweepTotals, triggers: Sequence[str]) -> str:
    line = f"Enrolled {count_of(totals.enrolled, 'contact')} by their triggers ({', '.join(triggers)})"
    if not any(totals.model_dump().values()):
        line += "\nNo lead has one of these triggers now; enrolling a lead removes its trigger."
    elif totals.enrolled:
        line += "\nWhoever completes a sequence enters the next one"
    return line


def _format_campaign(started: CampaignChange) -> str:
    if started.changed:
        return f"Started the campaign {started.campaign}: one message to every lead of its target"
    return f"The campaign {started.campaign} was sent before, and is not sent again."


@asynccontextmanager
async def _worker(drumbeat: Drumbeat) -> AsyncIterator[None]:
    """Runs a worker in a process of its own, and stops it at the end of the block, however that ends."""
    logs = drumbeat.settings.home / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    with (logs / "worker.log").open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            str(WORKER),
            cwd=WORKER.parent,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,  # Ctrl-C is for this process, which then stops the worker
        )
    owner = asyncio.current_task()
    assert owner is not None
    watcher = asyncio.create_task(_end_with(process, owner, logs / "worker.log"))
    try:
        yield
    finally:
        watcher.cancel()
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
            await asyncio.shield(process.wait())


async def _end_with(process: asyncio.subprocess.Process, owner: asyncio.Task[object], log: Path) -> None:
    code = await process.wait()
    lines = log.read_text(errors="replace").strip().splitlines() or [""]
    tell(f"the worker ended with code {code}: {lines[-1]}")
    owner.cancel()


async def _watch(drumbeat: Drumbeat) -> None:
    """Shows how the messages go out, until no contact has a step to come and the campaign is over."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        SpinnerColumn,
        TextColumn,
        TimeElapsedColumn,
    )

    from operations import demo as story

    console = Console(highlight=False)
    deadline = asyncio.get_running_loop().time() + WATCH_FOR
    shown = -1.0
    with Progress(
        SpinnerColumn(),
        TextColumn("Sending"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("enrollments through · {task.fields[counts]}"),
        TimeElapsedColumn(),
        console=console,
        disable=not console.is_terminal,
    ) as bar:
        task = bar.add_task("", total=None, counts="")
        while asyncio.get_running_loop().time() < deadline:
            now = await story.look(drumbeat)
            counts = (
                ", ".join(f"{count:,} {status}" for status, count in now.messages.items()) or "no messages"
            )
            bar.update(task, completed=now.over, total=now.active + now.over, counts=counts)
            clock = asyncio.get_running_loop().time()
            going = now.active or not now.campaign_over
            if not console.is_terminal and (clock - shown >= 5 or not going):
                shown = clock
                say(f"{now.over:,} of {count_of(now.active + now.over, 'enrollment')} through: {counts}")
            if not going:
                return
            await asyncio.sleep(0.5)


def _say_addresses(drumbeat: Drumbeat) -> None:
    addresses = drumbeat.addresses
    if addresses.ui_url:
        say(f"Temporal Web UI:                {addresses.ui_url}")
    if addresses.simulator_url:
        say(f"Inbox of the simulated gateway: {addresses.simulator_url}")


async def _until_interrupted() -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await stop.wait()
    sys.stderr.write(os.linesep)
