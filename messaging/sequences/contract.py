"""The values that workflows and activities of sequences exchange."""

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


class Enrolling(Value):
    """The input of the enroll activity. ``run_id`` is the first run of the workflow, also after a continue-as-new."""

    request: EnrollmentRequest
    run_id: str


class Enrolled(Value):
    """The enrollment is in the ledger. ``duplicate``: another run of the workflow owns it."""

    kind: Literal["enrolled"] = "enrolled"
    duplicate: bool
    enrollment_id: int
    device_id: str
    status: EnrollmentStatus
    reason: str | None = None
    """Why it has ended, if it has."""
    next: Due | None


class NotEnrolled(Value):
    """Nothing was stored and no trigger consumed: the phone has opted out, its lead has not consented, or the worker refused
    it (no such sequence, no device). It may be enrolled once that has changed.
    """

    kind: Literal["not_enrolled"] = "not_enrolled"
    because: Literal["opted_out", "without_consent", "refused"] = "opted_out"
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
    """The step was not sent: the plan has changed since, by an edit or a corrected zone. ``next`` is what comes next
    now.
    """

    kind: Literal["replanned"] = "replanned"
    next: Due | None


SendOutcome = Annotated[Settled | Deferred | Held | Replanned, Field(discriminator="kind")]


class EnrollmentEnd(Value):
    """Ends an enrollment; ``status`` as in the table ``sequence_contacts``."""

    enrollment_id: int
    status: Literal["completed", "stopped", "opted_out"]
    reason: str | None = None


class Finished(Value):
    """How an enrollment has ended. ``follow_up``: the enrollment into the sequence of ``next_trigger``, if there is
    one. If an edit has added a step before it could be completed, it has not ended, and ``next`` is that step.
    """

    status: Literal["completed", "stopped", "opted_out"]
    reason: str | None = None
    follow_up: EnrollmentRequest | None = None
    next: Due | None = None


class SweepCursor(Value):
    """Where the trigger sweep goes on: after this lead. ``trigger``: only leads that have it, and nothing wanted."""

    lead_id: int = 0
    trigger: str | None = None
    wanted: int | None = 0
    """Before the leads come wanted enrollments, after this place; None: there are no more of them."""


class SweepTotals(Value):
    """What a sweep has done."""

    enrolled: int = 0
    already_enrolled: int = 0
    opted_out: int = 0
    """Leads with the trigger that were left out because they have opted out."""
    without_device: int = 0
    """Leads with the trigger that were left out because there is no device to send from."""
    without_consent: int = 0
    """Leads with the trigger that were left out because the sequence requires consent, and they have not given it."""

    def plus(self, other: "SweepTotals") -> "SweepTotals":
        """Both together."""
        return SweepTotals(
            **{name: getattr(self, name) + getattr(other, name) for name in SweepTotals.model_fields}
        )


class SweepPage(SweepTotals):
    """What one page of a sweep has done, and where the next page begins (None after the last)."""

    next: SweepCursor | None = None
