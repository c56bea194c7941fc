"""What workflows and activities of campaigns tell each other."""

from datetime import datetime
from typing import Literal, get_args

from pydantic import Field

from messaging.common.values import Value
from messaging.sending.outcomes import MessageRef

__all__ = [
    "FAN_OUTS",
    "CampaignProgress",
    "CampaignState",
    "CampaignStatus",
    "FanOut",
    "FeedPage",
    "FeedRequest",
    "Frozen",
]


CampaignStatus = Literal["draft", "scheduled", "running", "paused", "cancelled", "finished"]

FanOut = Literal["children", "eager"]
"""How leads' workflows are started: as children of the campaign's (or of a shard's), or by an activity, whose worker gets
their first tasks with the server's answer."""

FAN_OUTS: tuple[FanOut, ...] = get_args(FanOut)


class CampaignState(Value):
    """Where a campaign stands, and when it is to start."""

    campaign_id: int
    campaign: str
    title: str
    status: CampaignStatus
    frozen: bool
    """Whether it has started: its audience stands in the ledger."""
    shards: int
    """Parts of its audience, which are fed side by side: one is fed by the campaign's own workflow."""
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
    """Where the feeding of one shard is: for each device the position of the last message that was begun."""

    campaign_id: int
    campaign: str
    shard: int
    shards: int
    positions: dict[str, int] = Field(default_factory=dict)


class FeedPage(Value):
    """What to begin next, and how the shard stands then."""

    status: CampaignStatus
    fan_out: FanOut
    messages: tuple[MessageRef, ...]
    """Those whose workflows are to be started."""
    begun: int = 0
    """So many were started already, where an activity does that."""
    positions: dict[str, int]
    """For each device that of the last message of this page, or of an earlier one."""
    settled: bool
    """Nothing is to come of any message of the shard any more."""
    exhausted: bool
    """Everything was begun, as far as the positions tell."""
    next_due_at: datetime | None
    """When the next message is due, where nothing but the clock is waited for."""
