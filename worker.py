"""Runs Drumbeat's workflows and activities: ``python worker.py``.

If neither DATABASE_URL nor TEMPORAL_ADDRESS is set, it starts servers of its own first. Ctrl-C or SIGTERM stops it:
messages that are being sent are finished, and workflows that sleep go on sleeping in Temporal.
"""

if __name__ == "__main__":
    from runtime.libraries import require_libraries
    from runtime.worker_arguments import read_arguments

    require_libraries("worker.py")
    arguments = read_arguments()  # before other imports, which --help does not need

import asyncio
import logging
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import timedelta
from functools import partial
from typing import Any, TypedDict

from temporalio.client import Client
from temporalio.common import VersioningBehavior, WorkerDeploymentVersion
from temporalio.service import RPCError
from temporalio.worker import (
    PollerBehaviorSimpleMaximum,
    UnsandboxedWorkflowRunner,
    Worker,
    WorkerDeploymentConfig,
    WorkflowRunner,
)
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions

from activities.campaigns import LONG_POLL, CampaignActivities
from activities.elsewhere import Elsewhere
from activities.limiter import SHORT_WAIT, DeviceLimiter
from activities.messages import MessageActivities
from activities.missed import MissedActivities
from activities.outbox import OutboxActivities
from activities.recovery import RecoveryActivities
from activities.sequences import SequenceActivities
from activities.steering import CarryOut, SteeringActivities, nothing_carries_out
from activities.telling import TellingActivities
from activities.triggers import TriggerActivities
from messaging.common.clock import Clock, database_clock
from messaging.common.database import Pool
from messaging.common.errors import InvalidInput
from messaging.common.keywords import DEFAULT_KEYWORDS
from messaging.common.observer import NOBODY, Observer
from messaging.common.private_mode import begin_private_mode
from messaging.common.roles import ROLES, Role, parse_roles, queue_of
from messaging.events.acting import ITSELF
from messaging.gateways import Gateways
from messaging.gateways.networks import parse_networks
from messaging.outbox.alerts import GATHER
from messaging.outbox.courier import Courier
from messaging.privacy.keep import Keep
from messaging.replies.missed import MissedMessages
from messaging.replies.recipients import learn_from_answer, record_answer
from messaging.reporting.details.look_up import details_of
from messaging.reporting.shown import forget_shown
from messaging.sending.durable_writes import DurableWrites
from messaging.sending.send import Sender
from messaging.times.durations import parse_duration
from operations import acts
from operations.connection import Drumbeat, connect
from operations.ledger_marks import check_ledger, note_mark
from operations.replies import Enrolling, carry_out
from operations.schedule import deliver_outbox_now, ensure_schedules, fetch_missed_now
from operations.upgrades import begins
from operations.workers import present
from runtime.database import insist_on_rights
from runtime.embedded.replies import hear_simulator, secret_file
from runtime.listener import raise_descriptor_limit
from runtime.logs.setup import complain, set_up_logs
from runtime.settings import load_settings
from runtime.telemetry import prepare_sdk
from runtime.temporal_client import ensure_search_attributes
from runtime.version import build_of
from temporal import search_attributes as attributes
from temporal.actors import Receiver
from temporal.routing import Router
from webhooks.endpoint import webhooks
from workflows.campaign import CampaignWorkflow
from workflows.campaign_shard import CampaignShardWorkflow
from workflows.details import ShowingRunner
from workflows.inputs import CheckingRunner
from workflows.message import MessageWorkflow
from workflows.missed import MissedMessagesWorkflow
from workflows.outbox import OutboxWorkflow, ReceiverTestWorkflow
from workflows.pinning import PinningRunner
from workflows.recovery import RecoveryWorkflow
from workflows.sequence import SequenceContactWorkflow
from workflows.telling import TellingWorkflow
from workflows.triggers import TriggerEnrollmentWorkflow
from workflows.watched import DeviceWorkflow, SequenceWorkflow

__all__ = ["CONCURRENCY", "WORKFLOWS", "make_worker", "sandbox", "work"]

logger = logging.getLogger("drumbeat")


class Concurrency(TypedDict):
    """How much a worker does at a time: options of Temporal's Worker."""

    max_concurrent_activities: int
    max_concurrent_local_activities: int
    max_concurrent_workflow_tasks: int
    workflow_task_poller_behavior: PollerBehaviorSimpleMaximum
    nonsticky_to_sticky_poll_ratio: float


GRACE = timedelta(seconds=160)
"""Graceful shutdown: longer than the longest activity may take, which depends on the gateways in use."""

LAST_WORDS = 10.0
"""Seconds after that in which outcomes of ended activities are still written."""

CONCURRENCY: Concurrency = {
    "max_concurrent_activities": 1000,
    "max_concurrent_local_activities": 1000,
    "max_concurrent_workflow_tasks": 1100,
    "workflow_task_poller_behavior": PollerBehaviorSimpleMaximum(maximum=10),
    "nonsticky_to_sticky_poll_ratio": 0.5,
}
"""Most activities wait for the network. A device whose gateway hangs occupies up to fifty (see DeviceLimiter), so it
takes twenty such devices to occupy a worker. A local activity holds its workflow task while it runs, so there are more
of those. Five pollers ask for first tasks, where Temporal's SDK has one by default: a task that no poller waits for is
written to the server's queue and read from it, as six of seven first tasks of a campaign's leads were.
"""


WORKFLOWS: list[type] = [
    SequenceContactWorkflow,
    TriggerEnrollmentWorkflow,
    CampaignWorkflow,
    CampaignShardWorkflow,
    MessageWorkflow,
    RecoveryWorkflow,
    TellingWorkflow,
    MissedMessagesWorkflow,
    OutboxWorkflow,
    ReceiverTestWorkflow,
    DeviceWorkflow,
    SequenceWorkflow,
]


def sandbox() -> SandboxedWorkflowRunner:
    """The sandbox with our pure modules and their libraries passed through. In tests, it proves that workflow code is
    pure.

    Loading that code anew for each workflow takes a third of a worker's time, so the worker itself does not use the
    sandbox.
    """
    restrictions = SandboxRestrictions.default.with_passthrough_modules(
        "activities", "messaging", "temporal", "pydantic", "asyncpg", "aiohttp", "liquid"
    )
    return SandboxedWorkflowRunner(restrictions=restrictions)


def make_worker(
    client: Client,
    pool: Pool,
    gateways: Gateways,
    *,
    task_queue: str,
    clock: Clock = database_clock,
    real_time: bool = True,
    runner: WorkflowRunner | None = None,
    writes: DurableWrites | None = None,
    missed: MissedMessages | None = None,
    steer: CarryOut = nothing_carries_out,
    observer: Observer = NOBODY,
    gather: timedelta = GATHER,
    keep: Keep | None = None,
    version: WorkerDeploymentVersion | None = None,
    role: Role = "workflows",
    roles: Sequence[Role] = ROLES,
    ends: Callable[[], bool] = lambda: False,
) -> Worker:
    """A worker of the queue of ``role``, in a process with ``roles``. ``real_time``: whether ``clock`` runs in real time.

    It has all activities, wherever they are scheduled: those of a role that was taken from this process may still be waiting in
    its queues. But one without the role ``sends`` sends nothing.

    ``runner``: the workflow runner; the unsandboxed one if None. ``writes``: writes the outcomes of attempts. ``missed``:
    fetches what webhooks could not deliver. ``steer``: carries out what operators ask of workflows. ``observer``: is told of each
    attempt to send. ``gather``: how long reports of an alert are gathered. ``keep``: how long
    contents are kept; None: for ever.
    ``version``: of its code, if Temporal is to choose by it who gets a workflow's tasks. ``ends``: whether the process is to end.
    """
    zero = timedelta(0)
    sender = Sender(
        pool,
        gateways,
        clock,
        writes,
        learn=partial(learn_from_answer, pool),
        record=partial(record_answer, pool),
        observer=observer,
    )
    limiter = DeviceLimiter(SHORT_WAIT if real_time else zero)
    sequences = SequenceActivities(pool, sender, limiter, clock)
    messages = MessageActivities(sender, limiter)
    campaigns = CampaignActivities(pool, clock, long_poll=LONG_POLL if real_time else zero)
    sending = (sequences.send_step, messages.send_message)
    elsewhere = Elsewhere()
    triggers = TriggerActivities(pool, task_queue)
    recovery = RecoveryActivities(pool, task_queue, clock, keep)
    telling = TellingActivities(pool, real_time=real_time)
    fetching = MissedActivities(missed or MissedMessages(pool, gateways, DEFAULT_KEYWORDS))
    outbox = OutboxActivities(Courier(pool, gather=gather), real_time=real_time, ends=ends)
    shown = ShowingRunner(CheckingRunner(runner or UnsandboxedWorkflowRunner()), partial(details_of, pool))
    housekeeping = (
        triggers.enroll_page,
        recovery.recover_messages,
        telling.tell,
        fetching.fetch_missed,
        outbox.deliver_outbox,
        outbox.test_receiver,
    )
    of_roles: dict[Role, Sequence[Callable[..., Any]]] = {"sends": sending, "housekeeping": housekeeping}
    return Worker(
        client,
        task_queue=queue_of(role, task_queue),
        workflows=WORKFLOWS if role == "workflows" else [],
        activities=[
            *(sending if "sends" in roles else (elsewhere.send_step, elsewhere.send_message)),
            *housekeeping,
            sequences.enroll,
            sequences.replan,
            sequences.finish,
            campaigns.campaign_state,
            campaigns.freeze_audience,
            campaigns.feed,
            campaigns.watch_campaign,
            campaigns.close_campaign,
            campaigns.cancel_campaign,
            campaigns.finish_campaign,
            SteeringActivities(steer).carry_out,
        ],
        workflow_runner=PinningRunner(shown) if version is not None else shown,
        interceptors=[
            Receiver(),
            Router(
                {
                    activity.__name__: queue_of(other, task_queue)
                    for other, activities in of_roles.items()
                    if other not in roles
                    for activity in activities
                }
            ),
        ],
        graceful_shutdown_timeout=GRACE,
        deployment_config=_deployment(version),
        **CONCURRENCY,
    )


def _deployment(version: WorkerDeploymentVersion | None) -> WorkerDeploymentConfig | None:
    if version is None:
        return None
    # Of all but those that PinningRunner pins.
    return WorkerDeploymentConfig(
        version, use_worker_versioning=True, default_versioning_behavior=VersioningBehavior.AUTO_UPGRADE
    )


@asynccontextmanager
async def running(workers: Sequence[Worker]) -> AsyncIterator[None]:
    """Runs the workers during the block. They end together, each with the time that it needs."""
    async with AsyncExitStack() as stack:
        for worker in workers:
            await stack.enter_async_context(worker)
        try:
            yield
        finally:
            await asyncio.gather(*(worker.shutdown() for worker in workers))


async def work(
    drumbeat: Drumbeat,
    stop: asyncio.Event,
    sdk_metrics: Callable[[], Awaitable[bytes]] | None = None,
    *,
    roles: Sequence[Role] = ROLES,
    webhooks_only: bool = False,
) -> None:
    """Works until ``stop`` is set; then finishes what is being sent. ``sdk_metrics``: fetches those of Temporal's SDK.

    ``roles``: what this process takes on. ``webhooks_only``: listens for webhooks, and sends nothing. Raises InvalidInput if no port is set for that.
    """
    settings, pool = drumbeat.settings, await drumbeat.pool()
    if await begin_private_mode(pool):
        logger.info("private mode is on from now on: every process needs DRUMBEAT_PRIVATE_KEYS")
    if webhooks_only and settings.webhooks_port is None:
        raise InvalidInput("--webhooks-only: set DRUMBEAT_WEBHOOKS_PORT, the port to listen on")
    await insist_on_rights(pool)
    await check_ledger(drumbeat)
    simulator = drumbeat.addresses.simulator_url if drumbeat.addresses.embedded else None
    secret = secret_file(settings.home) if simulator is not None else None
    gateways = Gateways(
        drumbeat.addresses.simulator_url, parse_networks(settings.image_networks), simulator_secret=secret
    )
    async with AsyncExitStack() as stack:
        watch = None
        if settings.metrics_port is not None:
            from monitoring.watch import watched  # only here: a worker that is not watched needs none of it

            watch = await stack.enter_async_context(
                watched(
                    drumbeat.temporal,
                    pool,
                    task_queue=settings.task_queue,
                    roles=roles,
                    host=settings.metrics_host,
                    port=settings.metrics_port,
                    sdk_metrics=sdk_metrics,
                )
            )
        observer = watch.metrics if watch is not None else NOBODY
        await ensure_search_attributes(drumbeat.temporal, attributes.ALL)
        stack.push_async_callback(gateways.close)
        writes = DurableWrites()
        if watch is not None:
            watch.metrics.watch_writes(writes)
        stack.push_async_callback(writes.finish, LAST_WORDS)
        enrolling = await stack.enter_async_context(Enrolling(drumbeat))
        effects = partial(carry_out, drumbeat, enrolling)
        if settings.webhooks_port is not None or simulator is not None:
            listener = await stack.enter_async_context(
                webhooks(
                    pool,
                    gateways,
                    host=settings.webhooks_host,
                    port=settings.webhooks_port or 0,
                    carry_out=effects,
                    keywords=settings.keywords,
                    confirmation=settings.opt_out_confirmation,
                    observer=observer,
                )
            )
            if simulator is not None and secret is not None:
                hearing = asyncio.create_task(hear_simulator(simulator, listener, secret))
                stack.callback(hearing.cancel)
        if webhooks_only:
            logger.info("listening for webhooks")
            if watch is not None:
                watch.readiness.only_listens()
            await stop.wait()
            if watch is not None:
                watch.readiness.ends()
            return
        build_id = build_of(settings.build_id)
        version = WorkerDeploymentVersion(settings.deployment_name, build_id) if build_id else None
        missed = MissedMessages(
            pool,
            gateways,
            settings.keywords,
            confirmation=settings.opt_out_confirmation,
            carry_out=effects,
            observer=observer,
        )
        workers = [
            make_worker(
                drumbeat.temporal,
                pool,
                gateways,
                task_queue=settings.task_queue,
                writes=writes,
                missed=missed,
                steer=partial(acts.carry_out, drumbeat),
                observer=observer,
                gather=parse_duration(settings.alert_gather),
                keep=settings.keep,
                version=version,
                role=role,
                roles=roles,
                ends=stop.is_set,
            )
            for role in roles
        ]
        await forget_shown(pool)
        await ensure_schedules(drumbeat)
        await note_mark(drumbeat)
        await fetch_missed_now(drumbeat)
        await deliver_outbox_now(drumbeat)
        async with (
            running(workers),
            present(
                drumbeat.temporal,
                pool,
                settings.task_queue,
                build_id,
                roles,
                drumbeat.addresses.database_url,
            ),
        ):
            if watch is not None:
                watch.readiness.begins(workers)
            of = "" if len(roles) == len(ROLES) else f" with the roles {' and '.join(roles)}"
            of += f" as version {version.to_canonical_string()}" if version is not None else ""
            logger.info("working on task queue %s%s", settings.task_queue, of)
            beginning = asyncio.create_task(_begin(drumbeat, build_id))
            stack.callback(beginning.cancel)
            await stop.wait()
            if watch is not None:
                watch.readiness.ends()
            logger.info("finishing what is being sent")
        with suppress(RPCError):  # Temporal may have gone before; then the mark of a minute ago counts
            await note_mark(drumbeat)


async def _begin(drumbeat: Drumbeat, build_id: str | None) -> None:
    """Says if this worker's version is not the current one."""
    if build_id is not None and (words := await begins(drumbeat, build_id)):
        logger.warning(words)


async def migrate_only() -> None:
    """Brings the schema up to date, as every process does that may. Raises Unavailable."""
    settings = load_settings()
    set_up_logs(settings)
    async with connect(settings, tell=logger.info, temporal=False) as drumbeat:
        await drumbeat.pool()
    logger.info("the database schema is up to date")


async def main(webhooks_only: bool = False, roles: Sequence[Role] = ()) -> None:
    """Runs until Ctrl-C or SIGTERM. ``webhooks_only``: see :func:`work`. ``roles``: instead of the environment's."""
    stop = asyncio.Event()
    raise_descriptor_limit()
    settings = load_settings()
    set_up_logs(settings)
    sdk_metrics = prepare_sdk(metrics=settings.metrics_port is not None)
    async with connect(settings, tell=logger.info, actor=ITSELF) as drumbeat:
        # Until here there is nothing to finish, so a signal ends the process at once.
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        addresses = drumbeat.addresses
        if addresses.ui_url:
            logger.info("Temporal Web UI: %s", addresses.ui_url)
        if addresses.simulator_url:
            logger.info("inbox of the simulated gateway: %s", addresses.simulator_url)
        await work(
            drumbeat,
            stop,
            sdk_metrics,
            roles=roles or parse_roles(settings.roles),
            webhooks_only=webhooks_only,
        )
    logger.info("stopped")


if __name__ == "__main__":
    import uvloop

    from runtime.process import leave, run_plain

    work_to_do = (
        migrate_only if arguments.migrate_only else partial(main, arguments.webhooks_only, arguments.roles)
    )
    run_plain(work_to_do, uvloop.new_event_loop, complain)
    leave(0)
