"""The values that travel between services, workflows and activities.

Pure data: this module is passed through Temporal's sandbox and must never read a clock, an environment,
a file or a database. Every time is an aware UTC ``datetime``; every phone is E.164.
"""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated, Literal
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from messaging.message_status import MessageStatus
from messaging.whatsapp_numbers import canonical_phone

__all__ = [
    "CampaignPlan",
    "CampaignProgress",
    "CampaignStatus",
    "Deferred",
    "Due",
    "EnrollOutcome",
    "Enrolled",
    "Enrolling",
    "EnrollmentEnd",
    "EnrollmentRequest",
    "EnrollmentStatus",
    "Fed",
    "FeedPage",
    "FeedRequest",
    "FeedState",
    "Finished",
    "Frozen",
    "Held",
    "Lead",
    "LeadOutcome",
    "LeadRef",
    "MessageRef",
    "MessageStatus",
    "NotEnrolled",
    "Replanned",
    "SendOutcome",
    "Settled",
    "StepRef",
    "SweepCursor",
    "SweepPage",
    "SweepTotals",
    "TargetStatus",
    "Tell",
    "Telling",
]


class Value(BaseModel):
    """An immutable value that refuses fields it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class TargetStatus(StrEnum):
    """Whether a lead has bought already."""

    PROSPECT = "prospect"
    CUSTOMER = "customer"


class Lead(Value):
    """A person, as a service or a file knows them. Unset fields leave what is stored as it is.

    ``phone`` is E.164: build it with :func:`messaging.identity.parse_phone`. Of two spellings of one WhatsApp account
    it becomes the one that is kept.
    """

    phone: Annotated[str, Field(pattern=r"^\+[1-9][0-9]{1,14}$"), AfterValidator(canonical_phone)]
    name: str = ""
    niches: tuple[str, ...] = ()
    triggers: tuple[str, ...] = ()
    target_status: TargetStatus | None = None
    device_id: str | None = None
    time_zone: str | None = None
    attributes: dict[str, str] = Field(default_factory=dict)


EnrollmentStatus = Literal["active", "completed", "stopped", "opted_out"]


class EnrollmentRequest(Value):
    """The input of SequenceContactWorkflow: who enters which sequence."""

    sequence: str
    lead: Lead
    local: bool = False
    """Whether short questions to the database are local activities: workflows from before there were any replay without."""


class Enrolling(Value):
    """What the enroll activity is asked; ``run_id`` is the first run of the workflow, also after a continue-as-new."""

    request: EnrollmentRequest
    run_id: str


class Due(Value):
    """The next step of a contact, and when it is due."""

    step_id: int
    step: str
    due_at: datetime
    when: str
    """The due moment as a person says it, e.g. ``day 3, 10:00 Asia/Kuala_Lumpur``."""
    revision: int
    """The revision of the sequence that this follows from."""
    device_id: str
    """The device that sends it, as things are."""
    paused: str | None = None
    """Why the contact was paused when this was answered, if it was."""
    at_once: bool = False
    """Whether it was due when this was answered: in a task, a workflow's clock stands still behind the database's."""


class Enrolled(Value):
    """The enrollment stands in the ledger. ``duplicate``: another run of the workflow owns it."""

    kind: Literal["enrolled"] = "enrolled"
    duplicate: bool
    enrollment_id: int
    device_id: str
    status: EnrollmentStatus
    reason: str | None = None
    """Why it has ended, if it has."""
    next: Due | None


class NotEnrolled(Value):
    """Nothing was stored, and nothing used up: the person has opted out, and may be enrolled once that is taken back."""

    kind: Literal["not_enrolled"] = "not_enrolled"
    reason: str


EnrollOutcome = Annotated[Enrolled | NotEnrolled, Field(discriminator="kind")]


class StepRef(Value):
    """One step for one enrolled contact, as planned at one revision of the sequence."""

    enrollment_id: int
    step_id: int
    revision: int
    phone: str
    device_id: str


class Settled(Value):
    """The message reached a final status (or ``unconfirmed``); ``next`` is the contact's next step."""

    kind: Literal["settled"] = "settled"
    message_id: UUID
    status: MessageStatus
    reason: str | None = None
    next: Due | None = None


class Deferred(Value):
    """Not now: come back at ``until``."""

    kind: Literal["deferred"] = "deferred"
    until: datetime
    reason: str
    wait: timedelta | None = None
    """How long that is by the clock that decided, where it is known."""


class Held(Value):
    """Not until somebody lifts the hold; a signal will tell."""

    kind: Literal["held"] = "held"
    reason: str
    until: datetime | None = None
    """When it is over, held or not; None: never."""


class Replanned(Value):
    """The sequence was edited, or the zone corrected, since this step was planned; ``next`` is what is due now."""

    kind: Literal["replanned"] = "replanned"
    next: Due | None


SendOutcome = Annotated[Settled | Deferred | Held | Replanned, Field(discriminator="kind")]


class EnrollmentEnd(Value):
    """Ends an enrollment; ``status`` as in the table ``sequence_contacts``."""

    enrollment_id: int
    status: Literal["completed", "stopped", "opted_out"]
    reason: str | None = None


class Finished(Value):
    """How an enrollment has ended, whoever ended it first; ``follow_up``: the sequence of ``next_trigger``, if one is active.

    It has not where it was to be completed, and an edit has something left for it: ``next``.
    """

    status: Literal["completed", "stopped", "opted_out"]
    reason: str | None = None
    follow_up: EnrollmentRequest | None = None
    next: Due | None = None


class SweepCursor(Value):
    """Where the trigger sweep goes on: after this lead. ``trigger``: only leads that bear it.

    ``sequence_id`` stands in histories of earlier sweeps, and is not read any more.
    """

    lead_id: int = 0
    sequence_id: int = 0
    trigger: str | None = None


class SweepTotals(Value):
    """What a sweep has done."""

    enrolled: int = 0
    already_enrolled: int = 0
    opted_out: int = 0
    """Leads that bear the trigger, and were left out because they have opted out."""
    without_device: int = 0
    """Leads that bear the trigger, and were left out because nobody knows which device writes to them."""

    def plus(self, other: "SweepTotals") -> "SweepTotals":
        """Both together."""
        return SweepTotals(
            **{name: getattr(self, name) + getattr(other, name) for name in SweepTotals.model_fields}
        )


class SweepPage(SweepTotals):
    """What one page of a sweep has done, and where the next one begins; None after the last."""

    next: SweepCursor | None = None


CampaignStatus = Literal["draft", "scheduled", "running", "paused", "cancelled", "finished"]


class CampaignPlan(Value):
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
    """The same as a person says it."""
    now: datetime
    """The moment that this was true."""


class Frozen(Value):
    """The audience of a campaign. Opted-out leads, those whom no device writes to, and those whose time had passed where the
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
    """Why it is paused, where nobody paused it by hand."""
    per_second: float
    """Messages sent a second, over the last minute."""


class Tell(Value):
    """What workflows are to be told: that something else comes next (``plans``), or that a hold is over, by what held.

    ``after`` and ``after_key``: where to go on, behind the one that was told last.
    """

    kind: Literal["plans", "sequence", "device", "campaign"]
    name: str = ""
    after: datetime | None = None
    after_key: str = ""


class Telling(Value):
    """The input of TellingWorkflow: what is to be told yet, in this order."""

    of: tuple[Tell, ...] = ()


class LeadRef(Value):
    """One message of a campaign, for the workflow that brings it on its way."""

    campaign: str
    message_id: UUID
    phone: str
    name: str
    device_id: str
    local: bool = False
    """Whether its send is a local activity: workflows that were started before there were any replay without."""


class MessageRef(Value):
    """One message that has a workflow of its own: it is sent again, or nobody else finds out what became of it."""

    message_id: UUID
    phone: str
    what: str
    """Sequence and step, or campaign, as a person says it."""
    sequence: str = ""
    campaign: str = ""
    device_id: str


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

    leads: tuple[LeadRef, ...]


class Fed(FeedState):
    """What a feeder has done: so many messages were begun."""

    begun: int


LeadOutcome = Annotated[Settled | Deferred | Held, Field(discriminator="kind")]
