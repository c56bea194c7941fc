"""Where an enrollment stands, as a claim tells it and as a settled message changes it."""

from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from messaging.times.calendar import Due, Timeline

__all__ = ["EnrollmentPosition", "LeftOut", "Next", "NextPosition", "StoredPosition"]


class LeftOut(BaseModel):
    """A step that a contact does not get, and the ID that its message would have had."""

    model_config = ConfigDict(frozen=True)

    step_id: int
    message_id: UUID


class EnrollmentPosition(BaseModel):
    """Where an enrollment stands: the days that it counts by, and the step that comes next (None: nothing more)."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    timeline: Timeline
    next_step_id: int | None
    next_due_at: datetime | None
    plan_revision: int


class NextPosition(EnrollmentPosition):
    """Where an enrollment is to stand from now on, and which steps it is never to get."""

    left_out: tuple[LeftOut, ...] = ()


class StoredPosition(EnrollmentPosition):
    """Where an enrollment stood when its message was claimed."""

    sequence_id: int
    device_id: str
    zone: str
    """The contact's zone, as it is known now; the timeline's may be an earlier one."""


class Next(NamedTuple):
    """What comes after a step that is settled: where its enrollment stands then, and the step that is due next."""

    position: NextPosition
    due: Due | None
