"""Operations on what goes out: who gets alerts and events, and what becomes of them."""

from datetime import timedelta
from uuid import uuid4

from messaging.common.errors import InvalidInput, NotFound, Unavailable
from messaging.common.values import Value
from messaging.common.words import validate_name
from messaging.outbox import alerts, receivers
from messaging.outbox import deliveries as rows
from messaging.outbox.alerts import Alert
from messaging.outbox.deliveries import Undelivered
from messaging.outbox.kinds import ALERTS, EVENTS, is_alert, read_types
from messaging.outbox.options import EmailOptions, Options, Unfit, read_options
from messaging.outbox.receivers import Channel, Receiver
from messaging.outbox.webhook import new_secret, read_secrets
from operations.connection import Drumbeat
from operations.workers import idle

__all__ = [
    "AlertsReport",
    "Kind",
    "ReceiverAdded",
    "ReceiverRemoved",
    "ReceiverTested",
    "Retried",
    "Secret",
    "UndeliveredReport",
    "add",
    "kinds",
    "list_alerts",
    "remove",
    "retry",
    "secret",
    "test",
    "undelivered",
    "understood",
]

LISTED = 100
"""Undelivered events that are listed at most."""

ANSWERS_WITHIN = timedelta(seconds=75)
"""For a test: a worker has to take it, and the receiver to answer."""


class ReceiverAdded(Value):
    """A receiver that was added or changed. ``warnings``: what the worker needs and is not to be found here."""

    name: str
    new: bool
    kinds: tuple[str, ...]
    warnings: tuple[str, ...] = ()


class ReceiverRemoved(Value):
    """A receiver that was removed. ``dropped``: events that it did not get any more."""

    name: str
    dropped: int


class ReceiverTested(Value):
    """What came of a test."""

    name: str
    taken: bool
    answer: str


class AlertsReport(Value):
    """What needs a person now, and who is told of it."""

    alerts: tuple[Alert, ...]
    receivers: tuple[Receiver, ...]


class UndeliveredReport(Value):
    """What was given up for a receiver."""

    name: str
    count: int
    events: tuple[Undelivered, ...]
    """The oldest, a hundred at most."""


class Retried(Value):
    """How many events are tried again."""

    name: str
    count: int


class Secret(Value):
    """A new secret to sign webhooks with. It is stored nowhere."""

    secret: str


class Kind(Value):
    """A kind of event or alert."""

    kind: str
    meaning: str
    remedy: str = ""


async def add(
    drumbeat: Drumbeat, name: str, channel: Channel, options: dict[str, object], kinds: tuple[str, ...]
) -> ReceiverAdded:
    """Adds a receiver of alerts or events, or changes the one of that name. Raises InvalidInput."""
    checked, types, warnings = understood(name, channel, options, kinds)
    new = await receivers.add_receiver(await drumbeat.pool(), name, channel, checked, types)
    return ReceiverAdded(name=name, new=new, kinds=types, warnings=warnings)


def understood(
    name: str, channel: Channel, options: dict[str, object], kinds: tuple[str, ...]
) -> tuple[Options, tuple[str, ...], tuple[str, ...]]:
    """The options and types of a receiver, and what the worker needs and is not to be found here. Raises InvalidInput."""
    validate_name(name)
    checked, types = read_options(channel, options), read_types(kinds)
    if channel == "email" and not is_alert(types):
        raise InvalidInput("mailboxes get alerts only (--kinds alerts): other events go to a webhook")
    return checked, types, _missing(checked)


def _missing(options: Options) -> tuple[str, ...]:
    """What cannot be read here; the worker may run elsewhere. Raises InvalidInput for a secret that is none."""
    credential = options.password if isinstance(options, EmailOptions) else options.secret
    if credential is None:
        return ()
    try:
        value = credential.read()
    except Unfit as unfit:
        return (f"{unfit}: here it cannot be read; the worker needs it",)
    try:
        if not isinstance(options, EmailOptions):
            read_secrets(value)
    except Unfit as unfit:
        raise InvalidInput(f"webhook secret: {unfit}") from None
    return ()


async def list_alerts(drumbeat: Drumbeat) -> AlertsReport:
    """The alerts that stand, and the receivers."""
    pool = await drumbeat.pool()
    return AlertsReport(
        alerts=tuple(await alerts.list_alerts(pool)), receivers=tuple(await receivers.list_receivers(pool))
    )


async def kinds() -> list[Kind]:
    """All kinds of alerts, with what to do about each, and of events."""
    found = [
        Kind(
            kind=f"alert.{name}",
            meaning=one.one.format(subject="…", count="…"),
            remedy=one.remedy.format(subject="…"),
        )
        for name, one in ALERTS.items()
    ]
    return found + [Kind(kind=name, meaning=meaning) for name, meaning in EVENTS.items()]


async def test(drumbeat: Drumbeat, name: str) -> ReceiverTested:
    """Has a worker deliver a test now. Raises NotFound, and Unavailable if no worker runs or none answers."""
    from temporalio.client import WorkflowFailureError

    from workflows.outbox import ReceiverTestWorkflow

    await receivers.options_of(await drumbeat.pool(), name)
    if sentence := await idle(drumbeat):
        raise Unavailable(f"nothing was delivered, as workers deliver: {sentence}")
    try:
        taken, answer = await drumbeat.temporal.execute_workflow(
            ReceiverTestWorkflow.run,
            name,
            id=f"alert-test:{name}:{uuid4().hex[:8]}",
            task_queue=drumbeat.settings.task_queue,
            execution_timeout=ANSWERS_WITHIN,
            static_summary=f"deliver a test to {name}",
        )
    except WorkflowFailureError:
        raise Unavailable(
            f"no worker has delivered the test within {ANSWERS_WITHIN.seconds} seconds: 'status' says whether one runs"
        ) from None
    return ReceiverTested(name=name, taken=taken, answer=answer)


async def remove(drumbeat: Drumbeat, name: str) -> ReceiverRemoved:
    """Removes a receiver, with what was to be delivered to it. Raises NotFound."""
    dropped = await receivers.remove_receiver(await drumbeat.pool(), name)
    return ReceiverRemoved(name=name, dropped=dropped)


async def undelivered(drumbeat: Drumbeat, name: str) -> UndeliveredReport:
    """What was given up for a receiver. Raises NotFound."""
    pool = await drumbeat.pool()
    found = {one.name: one for one in await receivers.list_receivers(pool)}
    if name not in found:
        await receivers.options_of(pool, name)
        raise NotFound(f"no receiver is named {name!r}")
    return UndeliveredReport(
        name=name,
        count=found[name].undelivered,
        events=tuple(await rows.undelivered(pool, name, LISTED)),
    )


async def retry(drumbeat: Drumbeat, name: str) -> Retried:
    """Has what was given up for a receiver delivered after all. Raises NotFound."""
    pool = await drumbeat.pool()
    await receivers.options_of(pool, name)
    return Retried(name=name, count=await rows.retry_undelivered(pool, name))


async def secret() -> Secret:
    """A new secret to sign webhooks with."""
    return Secret(secret=new_secret())
