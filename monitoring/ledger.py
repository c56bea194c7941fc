"""Metrics that the ledger knows. Each worker shows the same ones, as there is one ledger: take their maximum, not the sum."""

import asyncio
from collections import Counter
from collections.abc import Iterable, Iterator

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from messaging.common.database import Pool
from messaging.outbox.kinds import ALERTS
from messaging.reporting.gauges import LedgerGauges, read_gauges
from messaging.sending.message_status import MessageStatus
from monitoring.within import Patient

__all__ = ["LedgerMetrics"]

EVERY = 10.0
"""Seconds for which what was read is shown again, however often that is asked for."""
SHARE = 20
"""And this many times as long as it took to read it: a big ledger is read less often."""
WITHIN = 1.5
"""Seconds that a scrape waits for it; what comes later is for the next one."""
HANGS = 5.0
"""Seconds after which a read that has not ended counts as failed."""
STALE = 60.0
"""Seconds after which what was read is not shown any more. At least; and three times the pause between two reads."""

STATUSES = tuple(status.value for status in MessageStatus if status is not MessageStatus.SENT)
CONTACT_STATES = ("sleeping", "paused", "overdue")
CAMPAIGN_STATES = ("draft", "scheduled", "running", "paused", "cancelled", "finished")


class LedgerMetrics(Collector):
    """What was read from the ledger last. :meth:`refresh` reads it anew, if that was a while ago."""

    def __init__(self, pool: Pool) -> None:
        self._reading: Patient[None] = Patient(lambda: self._read(pool))
        self._read_last: LedgerGauges | None = None
        self._read_at = float("-inf")
        self._took = 0.0
        self._began = 0.0
        self._failed = False

    async def refresh(self) -> None:
        """Returns after a second or two at most, and raises nothing, whatever PostgreSQL does."""
        if _now() - self._read_at < self._pause:
            return
        try:
            await self._reading.answer(WITHIN)
        except TimeoutError:
            self._failed = self._failed or _now() - self._began > HANGS
        except Exception:  # noqa: BLE001 - whatever it is, the ledger cannot be read
            self._failed = True

    @property
    def devices(self) -> tuple[str, ...]:
        """The devices that were read last."""
        return () if self._read_last is None else tuple(one.device for one in self._read_last.devices)

    @property
    def _pause(self) -> float:
        return max(EVERY, SHARE * self._took)

    async def _read(self, pool: Pool) -> None:
        self._began = _now()
        self._read_last = await read_gauges(pool)
        self._read_at = _now()
        self._took = self._read_at - self._began
        self._failed = False

    def describe(self) -> Iterable[Metric]:
        """Nothing: what there is is known when it was read."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """The metrics; only that it cannot be read, if it could not for a while."""
        yield _one(
            "drumbeat_ledger_up", "1 if the ledger could be read just now, else 0", float(not self._failed)
        )
        found, age = self._read_last, _now() - self._read_at
        if found is None or age > max(STALE, 3 * self._pause):
            return
        yield _one("drumbeat_ledger_age_seconds", "How old the numbers from the ledger are", age)
        yield _one("drumbeat_ledger_read_seconds", "How long it took to read them", self._took)
        yield from _messages(found)
        yield from _devices(found)
        yield from _others(found)
        yield _by(
            "drumbeat_alerts", "Alerts that stand, by what they are about", "kind", ALERTS, found.alerts
        )
        yield from _receivers(found)


def _messages(found: LedgerGauges) -> Iterator[Metric]:
    devices = sorted(
        {one.device for one in found.devices} | {device for device, _ in found.messages} | set(found.held)
    )
    messages = GaugeMetricFamily(
        "drumbeat_ledger_messages",
        "Messages in the ledger by device and status, without those that were sent",
        labels=["device", "status"],
    )
    for device in devices:
        for status in STATUSES:
            messages.add_metric([device, status], found.messages[device, status])
    yield messages
    yield _by(
        "drumbeat_messages_held",
        "Waiting messages that are held: something is paused, or they wait until the person writes",
        "device",
        devices,
        found.held,
    )
    yield _by(
        "drumbeat_messages_overdue",
        "Waiting messages that nothing holds, and that no worker has tried within 15 minutes of their time",
        "device",
        devices,
        found.overdue,
    )
    yield _one(
        "drumbeat_messages_in_doubt",
        "Messages whose attempt ended without an outcome, and that a worker is still to find out about",
        found.in_doubt,
    )


def _devices(found: LedgerGauges) -> Iterator[Metric]:
    families = {
        "backlog": ("drumbeat_device_backlog_seconds", "How long it takes until the device's next free slot"),
        "paused": ("drumbeat_device_paused", "1 if the device is paused or parked, else 0"),
        "faults": ("drumbeat_device_faults", "The device's own failures in a row; the third parks it"),
        "waits": ("drumbeat_device_waits_seconds", "How long the device waits, after a failure or as its gateway asked"),
        "used_of_day": ("drumbeat_device_daily_used", "Messages that count for the device's daily limit today"),
        "limit_of_day": ("drumbeat_device_daily_limit", "The device's daily limit, if it has one"),
    }  # fmt: skip
    for field, (name, words) in families.items():
        family = GaugeMetricFamily(name, words, labels=["device"])
        for one in found.devices:
            if (value := getattr(one, field)) is not None:
                family.add_metric([one.device], float(value))
        yield family


def _others(found: LedgerGauges) -> Iterator[Metric]:
    contacts = GaugeMetricFamily(
        "drumbeat_contacts",
        "Contacts on their way through a sequence; the overdue ones are among the sleeping",
        labels=["sequence", "state"],
    )
    for sequence in sorted({sequence for sequence, _ in found.contacts}):
        for state in CONTACT_STATES:
            contacts.add_metric([sequence, state], found.contacts[sequence, state])
    yield contacts
    yield _by("drumbeat_campaigns", "Campaigns by status", "status", CAMPAIGN_STATES, found.campaigns)
    yield _by(
        "drumbeat_campaign_messages_left",
        "Messages of a campaign that are still to be settled; a campaign without any is left out",
        "campaign",
        sorted(found.left),
        found.left,
    )
    yield _by(
        "drumbeat_workers",
        "Workers that run, as they report themselves",
        "task_queue",
        sorted(found.workers),
        found.workers,
    )
    yield _one("drumbeat_inbox", "Inbound messages that an operator should look at", found.to_review)


def _receivers(found: LedgerGauges) -> Iterator[Metric]:
    families = {
        "waiting": ("drumbeat_outbox_waiting", "Alerts and events that are to be delivered to a receiver"),
        "oldest": ("drumbeat_outbox_oldest_seconds", "How long the oldest of them has waited"),
        "given_up": ("drumbeat_outbox_given_up", "Alerts and events that were given up"),
    }
    for field, (name, words) in families.items():
        family = GaugeMetricFamily(name, words, labels=["receiver"])
        for one in found.receivers:
            family.add_metric([one.receiver], float(getattr(one, field)))
        yield family


def _one(name: str, words: str, value: float) -> Metric:
    return GaugeMetricFamily(name, words, value=value)


def _by(name: str, words: str, label: str, keys: Iterable[str], values: Counter[str]) -> Metric:
    family = GaugeMetricFamily(name, words, labels=[label])
    for key in keys:
        family.add_metric([key], values[key])
    return family


def _now() -> float:
    return asyncio.get_running_loop().time()
