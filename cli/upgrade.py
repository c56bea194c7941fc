"""``upgrade``: what an upgrade would do, and which version of the workers' code is current."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from cli.console import Json, run, show
from cli.page import Column, Table, attention, wrapped
from messaging.common.counts import count_of

if TYPE_CHECKING:
    from operations.connection import Drumbeat
    from operations.upgrade_check import UpgradeCheck
    from operations.upgrades import UpgradeSwitch

__all__ = ["app"]

app = typer.Typer(
    help="Upgrades: what one would do, and which version of the workers' code is current.",
    no_args_is_help=True,
)

Build = Annotated[
    str | None,
    typer.Argument(
        metavar="BUILD_ID", help="The version, or 'unversioned': the workers without DRUMBEAT_BUILD_ID."
    ),
]
NONE = "unversioned"


@app.command()
def check(as_json: Json = False) -> None:
    """Say what an upgrade to this code would do, as all stands now. Nothing is changed.

    Run it with the new code, before its workers: which migrations are pending, what they do to which tables, and what takes something
    away; which workers run, of which version; how many workflows go over or stay with their version; and what no code uses any more.
    """

    async def work(drumbeat: Drumbeat) -> UpgradeCheck:
        from operations.upgrade_check import upgrade_check

        return await upgrade_check(drumbeat)

    show(run(work), as_json, _check_page)


@app.command()
def switch(
    build: Build = None,
    percent: Annotated[
        float, typer.Option(help="Only this part of the workflows, for a trial.", metavar="NUMBER")
    ] = 100,
    as_json: Json = False,
) -> None:
    """Make a version of the workers the current one: new workflows begin with it, and those that sleep go over to it.

    Without BUILD_ID it is that of DRUMBEAT_BUILD_ID. It waits until workers of that version poll, for two minutes at most. Messages that are
    under way stay with their version, while workers of it run.
    """

    async def work(drumbeat: Drumbeat) -> UpgradeSwitch:
        from operations import upgrades

        return await upgrades.switch(drumbeat, build, percent=percent)

    show(run(work), as_json, _switched)


@app.command()
def back(build: Build = None, as_json: Json = False) -> None:
    """Go back to the version before, or end a trial of a part. Its workers must run."""

    async def work(drumbeat: Drumbeat) -> UpgradeSwitch:
        from operations import upgrades

        return await upgrades.back(drumbeat, build)

    show(run(work), as_json, _switched)


def _switched(done: UpgradeSwitch) -> str:
    current = done.current or NONE
    contacts = count_of(done.contacts, "contact")
    lines = [
        f"Current version: {current}"
        + ("" if done.before == done.current else f" (before: {done.before or NONE})")
    ]
    if done.percent is not None:
        lines.append(
            f"On trial: {done.ramping or NONE}, with {done.percent:g} % of the workflows. 'upgrade back' ends it, 'upgrade switch"
            f" {done.ramping or NONE}' completes it."
        )
    going = ": each goes over with its next step" if done.contacts and done.before != done.current else ""
    lines.append(f"{contacts} under way{going}.")
    if done.moved:
        lines.append(f"{count_of(done.moved, 'workflow')} of versions without workers went over, too.")
    lines += [
        f"{count_of(one.running, 'message')} under way with {one.build_id}: keep its workers until 'upgrade check' shows none."
        for one in done.pinned
        if one.build_id != done.current
    ]
    return "\n".join(line for text in lines for line in wrapped(text))


def _check_page(report: UpgradeCheck) -> str:
    build = f", build ID {report.build_id}" if report.build_id else ", without a build ID"
    lines = [f"This code: version {report.version}{build}", ""]
    lines += _migrations(report)
    workers = Table(
        (
            Column("worker", spare=True),
            Column("task queue"),
            Column("version"),
            Column("build ID"),
            Column("gets"),
        )
    )
    for worker in report.workers:
        workers.row(
            worker.id,
            worker.task_queue,
            worker.version or "0.1.0",
            worker.build_id or NONE,
            "nothing new" if worker.waits else "work",
        )
    lines += ["", str(workers)] if report.workers else ["", "No worker runs."]
    if report.deployment is not None:
        there = report.deployment
        on_trial = (
            f", on trial: {there.ramping or NONE} with {there.percent:g} %"
            if there.percent is not None
            else ""
        )
        lines += ["", f"Current version of the deployment {there.name}: {there.current or NONE}{on_trial}"]
    running = Table((Column("running workflows"), Column("number", right=True), Column("at a switch")))
    for one in report.workflows:
        running.row(one.workflow, f"{one.running:,}", "stay" if one.pinned else "go over")
    lines += ["", str(running)] if report.workflows else ["", "No workflow runs."]
    lines += [
        f"{count_of(one.running, 'workflow')} pinned to {one.build_id}" for one in report.pinned if one.polls
    ]
    if report.patches:
        patches = Table((Column("patch"), Column("running workflows with it", right=True)))
        for patch in report.patches:
            patches.row(patch.name + (" (deprecated)" if patch.deprecated else ""), f"{patch.running:,}")
        lines += ["", str(patches)]
    if report.unused_functions:
        lines += [
            "",
            *wrapped(
                "Functions in the database that this code does not use; a later release drops them: "
                + ", ".join(report.unused_functions)
            ),
        ]
    lines.append("")
    lines += [line for text in report.attention for line in attention(text)] or ["Nothing stands in the way."]
    return "\n".join(lines)


def _migrations(report: UpgradeCheck) -> list[str]:
    if not report.migrations:
        return ["The database has every migration of this code."]
    lines = [f"Pending: {count_of(len(report.migrations), 'migration')} ('worker.py --migrate-only')"]
    for one in report.migrations:
        lines += wrapped(f"{one.number} {one.title}", "  ")
        lines += [line for does in one.does for line in wrapped(does, "      ")]
    return lines
