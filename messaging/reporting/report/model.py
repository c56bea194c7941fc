"""The figures of a report. Every form of it (terminal, CSV, JSON, HTML) shows these, and computes none of its own."""

from datetime import datetime
from typing import Literal

from pydantic import Field

from messaging.common.values import Value

__all__ = [
    "Figures",
    "HourOfDay",
    "Lateness",
    "LatenessRange",
    "LineKind",
    "OutcomeReason",
    "Outcomes",
    "Report",
    "ReportKind",
    "TimeBin",
]

ReportKind = Literal["campaign", "sequence", "device", "week"]

LineKind = Literal["total", "step", "campaign", "sequence", "device"]


class Outcomes(Value):
    """Messages by status."""

    sent: int = 0
    pending: int = 0
    queued: int = 0
    processing: int = 0
    unconfirmed: int = 0
    failed: int = 0
    expired: int = 0
    suppressed: int = 0
    cancelled: int = 0

    @property
    def waiting(self) -> int:
        """Those that may still be sent: the unsettled ones."""
        return self.pending + self.queued + self.processing

    @property
    def total(self) -> int:
        """All of them."""
        return sum(self.model_dump().values())


class OutcomeReason(Value):
    """Why messages are not sent. ``outcome``: waiting, unconfirmed, failed, expired, suppressed or cancelled."""

    outcome: str
    reason: str
    messages: int


class Figures(Value):
    """One line of figures: all of the report, or those of a step, campaign, sequence or device."""

    kind: LineKind
    name: str
    removed: bool = False
    """A step that the sequence has no more."""
    messages: int
    """All of them, whatever their status; the sum of ``outcomes``."""
    due: int
    """Those whose due time had come when the report was made."""
    outcomes: Outcomes
    delivered: int
    """Of the sent ones, as far as the gateway reports it; those that were read, too."""
    read: int
    replied: int
    """People, as ``campaign status`` and ``sequence show`` count them."""
    opted_out: int
    """People."""


class TimeBin(Value):
    """A part of the time: how many messages were due in it, and how many were sent."""

    start: datetime
    due: int
    sent: int


class LatenessRange(Value):
    """Sent messages that were more than ``over`` and at most ``up_to`` seconds late. The first range includes 0; the last has
    no end.
    """

    over: int
    up_to: int | None
    sent: int


class Lateness(Value):
    """How long after their due time messages were sent, in seconds; from an hour on, rounded up to minutes. None if nothing was sent."""

    ranges: tuple[LatenessRange, ...]
    median: int | None = None
    most: int | None = None
    """95 of 100 messages were not later than this."""
    largest: int | None = None


class HourOfDay(Value):
    """An hour of the day, in the report's time zone: people by their first reply, and by when they opted out."""

    hour: int
    replied: int
    opted_out: int


class Report(Value):
    """What came of the messages of a campaign, a sequence, a device or a week.

    A message belongs to the week in which it was sent or, if it was not sent, was due. Replies and opt-outs belong to the
    message that they answer, whenever they came. Test messages and confirmations of opt-outs are not counted.
    """

    kind: ReportKind
    name: str
    title: str = ""
    status: str = ""
    reason: str | None = None
    made_at: datetime
    time_zone: str
    """Of the hours, and of the bins of time."""
    since: datetime | None = None
    until: datetime | None = None
    """The week, if the report is about one: from ``since`` until before ``until``."""
    total: Figures
    lines: tuple[Figures, ...]
    """By step for a sequence, and by campaign and sequence otherwise. People who answered two of them count in both."""
    devices: tuple[Figures, ...]
    """By the device that the message goes out through."""
    reasons: tuple[OutcomeReason, ...]
    """Of all that are not sent: they add up to the outcomes. The most frequent of each outcome; ``other reasons`` are the rest."""
    bin_seconds: int
    """The width of ``times``, by the clock of the time zone."""
    times: tuple[TimeBin, ...]
    lateness: Lateness
    hours: tuple[HourOfDay, ...]
    replies: int
    """Inbound messages that answer; a person may write several."""
    expected_end: datetime | None = None
    """Of a campaign that runs: when its last message is expected to go out, at the devices' pace. None: it cannot be said."""
    held_by: tuple[str, ...] = ()
    """Of a campaign that runs: paused devices that have a part of it, because of which no end can be said."""
    others_end: datetime | None = None
    """When what the other devices have is expected to go out. None: they have nothing, or no device is paused."""
    left_out: dict[str, int] = Field(default_factory=dict)
    """Of a campaign: leads of its target that got no message when it started, by reason."""
    contacts: dict[str, int] = Field(default_factory=dict)
    """Of a sequence: contacts by status; those that are paused are active, too."""
    paused: int = 0
    """How many of the active contacts are paused."""
    test_messages: int | None = None
    """Not counted. None where they cannot be told apart: a test belongs to a device, not to a campaign or sequence."""
    confirmations: int | None = None
