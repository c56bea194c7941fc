"""What workflows and activities of campaigns tell each other."""

from datetime import datetime
from typing import Literal

from pydantic import Field

from messaging.common.values import Value
from messaging.sending.outcomes import MessageRef

__all__ = [
    "CampaignProgress",
    "CampaignState",
    "CampaignStatus",
    "Fed",
    "FeedPage",
    "FeedRequest",
    "FeedState",
    "Frozen",
]


CampaignStatus = Literal["draft", "scheduled", "running", "paused", "cancelled", "finished"]


class CampaignState(Value):
    """Where a campaign stands, and when it is to start."""

    campaign_id: int
    campaign: str
    title: str
    status: CampaignStatus
    frozen: bool
    """Whether it has started: its audience stands in the ledger."""
    shards: int
    """Workflows that feed it, side by side."""
    over: bool
    """Whether it has ended: nothing is to come of it any more."""
    reason: str | None
    start_at: datetime
    """The first moment at which one of its messages is due; it may have passed."""
    when: str
    """The same in words."""
    now: datetime
    """The moment that this was true."""


class Frozen(Value):
    """The audience of a campaign. Opted-out leads, those that no device writes to, and those whose time had passed where the
    campaign says so, were left out."""

    frozen: bool
    """False where the campaign was paused or cancelled at the last moment."""
    leads: int
    opted_out: int
    without_device: int
    passed: int = 0


class CampaignProgress(Value):
    """How far a campaign is. ``counts``: its messages by status."""

    status: CampaignStatus
    counts: dict[str, int]
    unsettled: int
    opted_out: int
    without_device: int
    passed: int = 0
    over_at: datetime | None = None
    """When the next one of those that are not settled is over."""
    reason: str | None = None
    """Why it is paused, where no operator paused it."""
    per_second: float
    """Messages sent a second, over the last minute."""


class FeedRequest(Value):
    """Where the feeder of one shard is: for each device the position of the last message that it began."""

    campaign_id: int
    campaign: str
    shard: int
    shards: int
    positions: dict[str, int] = Field(default_factory=dict)


class FeedState(Value):
    """How a shard stands. ``positions``: for each device that of the last message that was begun."""

    status: CampaignStatus
    positions: dict[str, int]
    settled: bool
    """Nothing is to come of any message of the shard any more."""
    exhausted: bool
    """Everything was begun, as far as the positions tell."""
    next_due_at: datetime | None
    """When the next message is due, where nothing but the clock is waited for."""


class FeedPage(FeedState):
    """What to begin next; the positions are those after it."""

    leads: tuple[MessageRef, ...]


class Fed(FeedState):
    """What a feeder has done: so many messages were begun."""

    begun: int
