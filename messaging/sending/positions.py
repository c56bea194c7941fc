"""Positions of enrollments: as a claim reads them, and as a settled message changes them."""

from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from messaging.times.calendar import Due, Timeline

__all__ = ["EnrollmentPosition", "LeftOut", "Next", "NextPosition", "StoredPosition"]


class LeftOut(BaseModel):
    """A step that is left out for a contact, and the ID that its message would have had."""

    model_config = ConfigDict(frozen=True)

    step_id: int
    message_id: UUID


class EnrollmentPosition(BaseModel):
    """Where an enrollment stands: its timeline, and the step that comes next (None: nothing more)."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    timeline: Timeline
    next_step_id: int | None
    next_due_at: datetime | None
    plan_revision: int


class NextPosition(EnrollmentPosition):
    """The new position of an enrollment, and the steps that it will never get."""

    left_out: tuple[LeftOut, ...] = ()
    gone: bool = False
    """True if the contact is now at the step that a reply has sent it to."""


class StoredPosition(EnrollmentPosition):
    """The position of an enrollment when its message was claimed."""

    sequence_id: int
    device_id: str
    zone: str
    """The contact's time zone as it is known now; the timeline may have an earlier one."""


class Next(NamedTuple):
    """What comes after a settled step: the enrollment's new position, and the step that is due next."""

    position: NextPosition
    due: Due | None
