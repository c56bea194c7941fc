"""The values that workflows and activities of campaigns exchange."""

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
"""How leads' workflows are started: as children of the campaign's (or a shard's) workflow, or by an activity, whose
worker gets their first tasks with the server's answers (eager start).
"""

FAN_OUTS: tuple[FanOut, ...] = get_args(FanOut)


class CampaignState(Value):
    """Where a campaign stands, and when it is to start."""

    campaign_id: int
    campaign: str
    title: str
    status: CampaignStatus
    frozen: bool
    """True if it has started: its audience is in the ledger."""
    shards: int
    """Parts of its audience, which are fed in parallel. If there is only one, the campaign's own workflow feeds it."""
    over: bool
    """True if it has ended: none of its messages will be sent any more."""
    reason: str | None
    start_at: datetime
    """The first moment at which one of its messages is due; it may have passed."""
    when: str
    """The start in words."""
    now: datetime
    """The moment for which this is true."""


class Frozen(Value):
    """The frozen audience of a campaign. Left out were opted-out leads, leads without a device, and, if the campaign
    says so, leads without consent and leads whose local time had passed.
    """

    frozen: bool
    """False if the campaign was paused or cancelled at the last moment."""
    leads: int
    opted_out: int
    without_device: int
    passed: int = 0
    without_consent: int = 0


class CampaignProgress(Value):
    """How far a campaign is. ``counts``: its messages by status."""

    status: CampaignStatus
    counts: dict[str, int]
    unsettled: int
    opted_out: int
    without_device: int
    passed: int = 0
    without_consent: int = 0
    over_at: datetime | None = None
    """When the next unsettled message expires."""
    reason: str | None = None
    """Why it is paused, if no operator paused it."""
    per_second: float
    """Messages sent per second, over the last minute."""


class FeedRequest(Value):
    """How far one shard is fed: for each device, the position of the last message that was begun."""

    campaign_id: int
    campaign: str
    shard: int
    shards: int
    positions: dict[str, int] = Field(default_factory=dict)


class FeedPage(Value):
    """What to begin next, and the state of the shard after that."""

    status: CampaignStatus
    fan_out: FanOut
    messages: tuple[MessageRef, ...]
    """The messages whose workflows are to be started."""
    begun: int = 0
    """How many workflows the activity has started itself."""
    positions: dict[str, int]
    """For each device, the position of the last message of this page or an earlier one."""
    settled: bool
    """True if every message of the shard is settled."""
    exhausted: bool
    """True if every message was begun, as far as the positions say."""
    next_due_at: datetime | None
    """When the next message is due, if only its time is waited for."""
