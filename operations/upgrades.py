"""Which version of the workers' code is the current one: to switch to a new version, and back."""

import asyncio
from contextlib import suppress

from temporalio.service import RPCError

from messaging.common.database import Connection, Pool
from messaging.common.errors import Conflict, InvalidInput
from messaging.common.values import Value
from messaging.reporting.workers import UNVERSIONED, find_workers
from operations.connection import Drumbeat
from runtime.version import build_of
from temporal import versions
from temporal.versions import Deployment, Pollers

__all__ = [
    "PinnedWorkflows",
    "UpgradeSwitch",
    "back",
    "begins",
    "pinned_workflows",
    "switch",
    "who_polls",
]

PATIENCE = 120.0
"""Seconds to wait until workers of the new version poll."""


class PinnedWorkflows(Value):
    """Running workflows that are pinned to a version. ``polls``: whether workers of it are there to go on with them."""

    build_id: str
    running: int
    polls: bool


class UpgradeSwitch(Value):
    """Which version has what is not pinned now."""

    deployment: str
    before: str | None
    """The build ID that was current; None: the workers without a version."""
    current: str | None
    ramping: str | None
    percent: float | None
    contacts: int
    """Running workflows of contacts, which go over with their next task."""
    moved: int
    """Workflows that were pinned to a version of which no worker polls: they go over, too."""
    pinned: tuple[PinnedWorkflows, ...]


async def switch(
    drumbeat: Drumbeat, build: str | None = None, *, percent: float = 100, patience: float = PATIENCE
) -> UpgradeSwitch:
    """Makes a version the current one, or sends a part of what is not pinned to it. ``build``: DRUMBEAT_BUILD_ID if None.

    Waits for ``patience`` seconds until its workers poll. Doing it again changes nothing. Raises InvalidInput, Conflict
    and Unavailable.
    """
    wanted = build_of(build or drumbeat.settings.build_id)
    if wanted is None:
        raise InvalidInput("name the version to switch to, or set DRUMBEAT_BUILD_ID as its workers have it")
    if not 0 < percent <= 100:
        raise InvalidInput(f"{percent:g} % is no part: give a number above 0, up to 100")
    return await _route(drumbeat, None if wanted == UNVERSIONED else wanted, percent, patience)


async def back(drumbeat: Drumbeat, build: str | None = None, *, patience: float = 10) -> UpgradeSwitch:
    """Ends a ramp, or makes the version before the current one again; or ``build``. Raises Conflict and Unavailable."""
    deployment = await versions.deployment(drumbeat.temporal, drumbeat.settings.deployment_name)
    if deployment is None:
        raise Conflict(
            f"there is no deployment {drumbeat.settings.deployment_name!r} in Temporal: nothing to go back from"
        )
    if build is not None:
        wanted = None if build == UNVERSIONED else build
    elif deployment.percent is not None:
        wanted = deployment.current
    else:
        polls = await who_polls(drumbeat, await drumbeat.pool())
        wanted = _before(deployment, polls)
    return await _route(drumbeat, wanted, 100, patience)


def _before(deployment: Deployment, polls: Pollers) -> str | None:
    """The version before the current one, of which workers poll."""
    for build in deployment.builds:
        if build != deployment.current and build in polls.builds:
            return build
    if deployment.current is not None and polls.unversioned:
        return None
    raise Conflict(
        "no worker of another version polls: start some of the version to go back to, and go back then"
    )


async def _route(drumbeat: Drumbeat, wanted: str | None, percent: float, patience: float) -> UpgradeSwitch:
    client, settings = drumbeat.temporal, drumbeat.settings
    name = settings.deployment_name
    clock = asyncio.get_running_loop().time
    deadline = clock() + patience
    announced = False
    while True:
        before = await versions.deployment(client, name)
        polls = await who_polls(drumbeat, await drumbeat.pool())
        try:
            _insist_on_pollers(polls, wanted, settings.task_queue)
            if percent < 100 and (before is None or before.current != wanted):
                await versions.set_ramping(client, name, wanted, percent)
            else:
                if before is not None and before.percent is not None:
                    await versions.set_ramping(client, name, None, 0)
                if before is None or before.current != wanted:
                    await versions.set_current(client, name, wanted)
            break
        except Conflict as error:
            if clock() > deadline:
                raise Conflict(f"nothing was switched: {error}") from error
            if not announced:
                drumbeat.tell(f"waiting: {error}")
                announced = True
            await asyncio.sleep(0.5)
    after = await versions.deployment(client, name)
    assert after is not None, "it was set just now"
    moved = 0
    for one in await pinned_workflows(drumbeat, after, polls):
        if not one.polls:
            moved += await versions.move_pinned(client, name, one.build_id)
    return UpgradeSwitch(
        deployment=name,
        before=before.current if before is not None else None,
        current=after.current,
        ramping=after.ramping if after.percent is not None else None,
        percent=after.percent,
        contacts=await versions.running(client, "SequenceContactWorkflow"),
        moved=moved,
        pinned=tuple(one for one in await pinned_workflows(drumbeat, after, polls) if one.polls),
    )


def _insist_on_pollers(polls: Pollers, wanted: str | None, task_queue: str) -> None:
    if wanted not in polls.builds if wanted is not None else not polls.unversioned:
        raise Conflict(
            f"no worker of the version {wanted or UNVERSIONED!r} polls the task queue {task_queue!r}"
        )


async def who_polls(drumbeat: Drumbeat, connection: Connection | Pool) -> Pollers:
    """The versions whose workers poll: Temporal has seen them, and they say themselves that they run.

    Temporal remembers those that have ended for minutes; what a worker says of itself does not prove that it polls.
    """
    settings = drumbeat.settings
    seen = await versions.pollers(drumbeat.temporal, settings.task_queue, settings.deployment_name)
    running = (await find_workers(connection, settings.task_queue)).running
    said = {one.build_id for one in running if one.task_queue == settings.task_queue}
    return Pollers(
        builds=tuple(build for build in seen.builds if build in said),
        unversioned=seen.unversioned and None in said,
    )


async def begins(drumbeat: Drumbeat, build: str, patience: float = 60) -> str | None:
    """What a worker of this version should say at its start, if it gets nothing to do; None if it does.

    The very first version becomes the current one, if no worker of another one is there to be taken the work from.
    """
    client, name = drumbeat.temporal, drumbeat.settings.deployment_name
    deadline = asyncio.get_running_loop().time() + patience
    while asyncio.get_running_loop().time() < deadline:
        with suppress(RPCError, Conflict):
            found = await versions.deployment(client, name)
            if found is not None and build in (found.current, found.ramping):
                return None
            polls = await who_polls(drumbeat, await drumbeat.pool())
            if found is not None and build in polls.builds:
                if (
                    found.current is not None
                    or found.percent is not None
                    or polls.unversioned
                    or set(polls.builds) != {build}
                ):
                    return (
                        f"version {build} is not the current one of the deployment {name} (that is"
                        f" {found.current or UNVERSIONED}): it gets nothing to do before 'upgrade switch {build}'"
                    )
                await versions.set_current(client, name, build)
                return None
        await asyncio.sleep(0.5)
    return None


async def pinned_workflows(
    drumbeat: Drumbeat, deployment: Deployment | None, polls: Pollers
) -> tuple[PinnedWorkflows, ...]:
    """The running workflows that are pinned, by their version."""
    if deployment is None:
        return ()
    counts = [
        (build, await versions.pinned(drumbeat.temporal, deployment.name, build))
        for build in deployment.builds
    ]
    return tuple(
        PinnedWorkflows(build_id=build, running=count, polls=build in polls.builds)
        for build, count in counts
        if count
    )
