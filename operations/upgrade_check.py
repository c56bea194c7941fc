"""What an upgrade to this code would do, as all stands now. Nothing is changed."""

import asyncio
import re

from messaging.common.counts import count_of
from messaging.common.errors import Unavailable
from messaging.common.values import Value
from messaging.reporting.schema import applied, rows_of, unused_functions
from messaging.reporting.workers import UNVERSIONED, WorkerRow, find_workers
from operations.connection import Drumbeat
from operations.upgrades import PinnedWorkflows, pinned_workflows, who_polls
from runtime.database import MIGRATIONS, open_pool
from runtime.pending import Migration, read_migration
from runtime.settings import CHECKOUT
from runtime.version import VERSION, build_of
from temporal import versions
from temporal.versions import Deployment, Pollers
from workflows.pinning import PINNED

__all__ = ["Patch", "PendingMigration", "UpgradeCheck", "WorkflowsRunning", "upgrade_check"]

WORKFLOW = re.compile(r"^@workflow\.defn.*\nclass (\w+)", re.MULTILINE)
PATCH = re.compile(r"workflow\.(patched|deprecate_patch)\((\w+|\"[^\"]+\")\)")
NAMED = r"^{} = \"([^\"]+)\""


class PendingMigration(Value):
    """A migration that the database does not have yet. ``does``: each effect in words, with the rows of its table."""

    number: str
    title: str
    does: tuple[str, ...]
    blocks: bool
    """Writes to a table that is there already wait for as long as its size takes."""
    removes: bool
    """Workers of an older version may need what is gone then: stop them first."""


class WorkflowsRunning(Value):
    """Running workflows of a type. ``pinned``: they stay with the version that they began with."""

    workflow: str
    running: int
    pinned: bool


class Patch(Value):
    """A patch in this version's workflow code. ``running``: the running workflows that have taken its new way."""

    name: str
    running: int
    deprecated: bool


class UpgradeCheck(Value):
    """What an upgrade to this code would do, as all stands now."""

    version: str
    build_id: str | None
    """Of a worker of this code with these settings; None: without a version."""
    migrations: tuple[PendingMigration, ...]
    newer_migrations: tuple[str, ...]
    """What the database has beyond this code, which is older then."""
    workers: tuple[WorkerRow, ...]
    deployment: Deployment | None
    pollers: Pollers
    workflows: tuple[WorkflowsRunning, ...]
    pinned: tuple[PinnedWorkflows, ...]
    patches: tuple[Patch, ...]
    unused_functions: tuple[str, ...]
    """What this version's code does not call: a later migration may drop it when no older worker runs."""
    attention: tuple[str, ...]
    """What needs an operator before or after the upgrade; empty: nothing."""


async def upgrade_check(drumbeat: Drumbeat) -> UpgradeCheck:
    """Reads everything and changes nothing; in particular, it does not bring the schema up to date. Raises Unavailable."""
    settings, url = drumbeat.settings, drumbeat.addresses.database_url
    if url is None:
        raise Unavailable("this needs PostgreSQL: set DATABASE_URL")
    files = sorted(MIGRATIONS.glob("*.sql"))
    async with await open_pool(url, size=2, actor=drumbeat.actor) as pool:
        has = await applied(pool)
        pending = [one for one in map(read_migration, files) if one.number not in has]
        tables = {effect.table for one in pending for effect in one.effects if effect.table}
        rows = await rows_of(pool, tables)
        unused = await unused_functions(pool, _code()) if has else ()
        workers = (await find_workers(pool, settings.task_queue)).running if has else ()
        pollers = await who_polls(drumbeat, pool) if has else Pollers(builds=(), unversioned=False)
    deployment = await versions.deployment(drumbeat.temporal, settings.deployment_name)
    migrations = tuple(_told(one, rows) for one in pending)
    newer = tuple(sorted(has - {file.name.partition("_")[0] for file in files}))
    build = build_of(settings.build_id)
    found = await pinned_workflows(drumbeat, deployment, pollers)
    return UpgradeCheck(
        version=VERSION,
        build_id=build,
        migrations=migrations,
        newer_migrations=newer,
        workers=workers,
        deployment=deployment,
        pollers=pollers,
        workflows=await _workflows(drumbeat, versioned=build is not None or deployment is not None),
        pinned=found,
        patches=await _patches(drumbeat),
        unused_functions=unused,
        attention=tuple(_attention(migrations, newer, workers, deployment, pollers, build, found)),
    )


def _told(one: Migration, rows: dict[str, int]) -> PendingMigration:
    does = [
        effect.does + (f" (about {count_of(rows[effect.table], 'row')})" if effect.table in rows else "")
        for effect in one.effects
    ]
    return PendingMigration(
        number=one.number,
        title=one.title,
        does=tuple(does),
        blocks=any(effect.blocks and rows.get(effect.table or "", 1) > 0 for effect in one.effects),
        removes=any(effect.removes for effect in one.effects),
    )


async def _workflows(drumbeat: Drumbeat, *, versioned: bool) -> tuple[WorkflowsRunning, ...]:
    names = sorted(
        name for file in (CHECKOUT / "workflows").glob("*.py") for name in WORKFLOW.findall(file.read_text())
    )
    counts = await asyncio.gather(*(versions.running(drumbeat.temporal, name) for name in names))
    return tuple(
        WorkflowsRunning(workflow=name, running=count, pinned=versioned and name in PINNED)
        for name, count in zip(names, counts, strict=True)
        if count
    )


async def _patches(drumbeat: Drumbeat) -> tuple[Patch, ...]:
    found = {}
    for file in sorted((CHECKOUT / "workflows").glob("*.py")):
        text = file.read_text()
        for kind, named in PATCH.findall(text):
            constant = re.search(NAMED.format(named), text, re.MULTILINE)
            found[constant[1] if constant else named.strip('"')] = kind == "deprecate_patch"
    return tuple(
        [
            Patch(name=name, deprecated=deprecated, running=await _with_patch(drumbeat, name))
            for name, deprecated in found.items()
        ]
    )


async def _with_patch(drumbeat: Drumbeat, name: str) -> int:
    query = f"TemporalChangeVersion = '{name}' and ExecutionStatus = 'Running'"
    return (await drumbeat.temporal.count_workflows(query)).count


def _code() -> list[str]:
    """The text of every file that may call a function in the database."""
    folders = (
        "activities",
        "cli",
        "messaging",
        "monitoring",
        "operations",
        "runtime",
        "temporal",
        "webhooks",
    )
    files = [file for folder in folders for file in sorted((CHECKOUT / folder).rglob("*.py"))]
    return [file.read_text() for file in files]


def _attention(
    migrations: tuple[PendingMigration, ...],
    newer: tuple[str, ...],
    workers: tuple[WorkerRow, ...],
    deployment: Deployment | None,
    polls: Pollers,
    build: str | None,
    pinned: tuple[PinnedWorkflows, ...],
) -> list[str]:
    told = []
    for one in migrations:
        if one.removes and workers:
            told.append(
                f"migration {one.number} takes away what older workers may need: {count_of(len(workers), 'worker runs', 'workers run')}"
            )
        if one.blocks:
            told.append(f"migration {one.number} keeps writers waiting: run it when little goes on")
    if newer:
        told.append(
            f"the database has {count_of(len(newer), 'migration')} that this code does not know: it is newer than this code,"
            " which may run beside it if it is the release before"
        )
    if build is None and (deployment is not None and deployment.current is not None):
        told.append(
            f"the current version of the deployment {deployment.name} is {deployment.current}: workers without DRUMBEAT_BUILD_ID get"
            f" nothing to do before 'upgrade switch {UNVERSIONED}'"
        )
    current = deployment.current if deployment is not None else None
    if current is not None and current not in polls.builds:
        told.append(
            f"no worker of the current version {current} polls: start one, or 'upgrade switch' to a version that does"
        )
    told += [
        f"{count_of(one.running, 'workflow is', 'workflows are')} pinned to {one.build_id}, of which no worker polls: 'upgrade switch' lets them go over"
        for one in pinned
        if not one.polls
    ]
    return told
