"""What workflows and activities of sequences tell each other."""

from typing import Annotated, Literal

from pydantic import Field

from messaging.common.values import Value
from messaging.leads.lead import Lead
from messaging.sending.outcomes import Deferred, Held, Settled
from messaging.times.calendar import Due

__all__ = [
    "EnrollOutcome",
    "Enrolled",
    "Enrolling",
    "EnrollmentEnd",
    "EnrollmentRequest",
    "EnrollmentStatus",
    "Finished",
    "NotEnrolled",
    "Replanned",
    "SendOutcome",
    "StepRef",
    "SweepCursor",
    "SweepPage",
    "SweepTotals",
]


EnrollmentStatus = Literal["active", "completed", "stopped", "opted_out"]


class EnrollmentRequest(Value):
    """The input of SequenceContactWorkflow: which lead enters which sequence."""

    sequence: str
    lead: Lead
    local: bool = False
    """Whether short questions to the database are local activities: workflows from before there were any replay without."""


class Enrolling(Value):
    """What the enroll activity is asked; ``run_id`` is the first run of the workflow, also after a continue-as-new."""

    request: EnrollmentRequest
    run_id: str


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
    """Nothing was stored, and nothing used up: the phone has opted out, and may be enrolled once that is taken back."""

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
    """How an enrollment has ended. ``follow_up``: into the sequence of ``next_trigger``, if one is active.

    It has not where it was to be completed, and an edit has something left for it: ``next``.
    """

    status: Literal["completed", "stopped", "opted_out"]
    reason: str | None = None
    follow_up: EnrollmentRequest | None = None
    next: Due | None = None


class SweepCursor(Value):
    """Where the trigger sweep goes on: after this lead. ``trigger``: only leads that bear it."""

    lead_id: int = 0
    trigger: str | None = None


class SweepTotals(Value):
    """What a sweep has done."""

    enrolled: int = 0
    already_enrolled: int = 0
    opted_out: int = 0
    """Leads that bear the trigger, and were left out because they have opted out."""
    without_device: int = 0
    """Leads that bear the trigger, and were left out because no device is known that writes to them."""

    def plus(self, other: "SweepTotals") -> "SweepTotals":
        """Both together."""
        return SweepTotals(
            **{name: getattr(self, name) + getattr(other, name) for name in SweepTotals.model_fields}
        )


class SweepPage(SweepTotals):
    """What one page of a sweep has done, and where the next one begins; None after the last."""

    next: SweepCursor | None = None
