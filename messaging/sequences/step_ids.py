"""What an edit may do to a step whose ID has carried messages: a step's ID keeps its meaning for ever.

The ledger knows what a contact has had by the step's ID. So, once a message was made for a step,

- rewording it, moving it, and giving it an image or taking one away are fine: messages sent stay as they were, the
  others go out as the step says now;
- a step that was removed comes back only as it was: its ID with other contents would be withheld from the
  contacts that had the old ones;
- contents do not wander from ID to ID, be it that two steps swap them or that an ID is renamed: the contacts that had
  the one would get them again, or would never get them.

As long as neither step has carried a message, everything is allowed.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, time, timedelta
from typing import Any, NamedTuple

from messaging.common.values import Value
from messaging.sequences.file import StepFile
from messaging.times.calendar import Missed

__all__ = ["MeaningChange", "StoredStep", "changes_of_meaning"]


class StoredStep(Value):
    """A step as it is stored, be it part of the sequence or removed from it."""

    id: int
    key: str
    position: int
    day: int | None
    at: time | None
    after: timedelta | None
    expires_after: timedelta | None = None
    missed: Missed = "leave_out"
    text: str
    image_url: str | None
    template: dict[str, Any] | None = None
    removed_at: datetime | None
    carried: bool
    """Whether the ledger has a message of it, of whatever status."""


class MeaningChange(NamedTuple):
    """A step whose ID would come to mean something else: its position in the file (from 0), and why not, in a line."""

    position: int
    reason: str


def changes_of_meaning(stored: Mapping[str, StoredStep], steps: Sequence[StepFile]) -> list[MeaningChange]:
    """What an edit must not do, with the reason; nothing where it may be."""
    new = {step.id: step for step in steps}
    found: list[MeaningChange] = []
    for index, step in enumerate(steps):
        before = stored.get(step.id)
        contents = _contents(step.text, step.image)
        if before is not None and contents == _contents(before.text, before.image_url):
            continue
        if before is not None and before.removed_at is not None and before.carried:
            reason = (
                f"{step.id!r} was the ID of a step that was removed, and it carried messages:"
                " give this step another ID, or restore the old contents"
            )
            found.append(MeaningChange(index, reason))
            continue
        for other in stored.values():
            if other.key != step.id and contents == _contents(other.text, other.image_url):
                wandered = _wandered(before, other, step.id, new.get(other.key))
                if wandered is not None:
                    found.append(MeaningChange(index, wandered))
                    break
    return found


def _wandered(before: StoredStep | None, other: StoredStep, key: str, now: StepFile | None) -> str | None:
    """Why the step ``key`` must not take over the contents of the step ``other``; ``now``: what becomes of that."""
    if now is not None and _contents(now.text, now.image) == _contents(other.text, other.image_url):
        return None  # They stay where they were, too: a repetition on purpose.
    if other.carried and now is None:
        return f"{key!r} has the contents of step {other.key!r}, which carried messages: keep the ID {other.key!r}"
    if other.carried or (before is not None and before.carried and other.removed_at is None):
        carrier = other.key if other.carried else key
        return (
            f"{key!r} has the contents of step {other.key!r} now, and {carrier!r} carried messages:"
            " contents keep their ID, give new ones a new ID"
        )
    return None


def _contents(text: str, image: str | None) -> tuple[str, str | None]:
    """What makes two steps the same to a reader: the words, else the image."""
    words = " ".join(text.split())
    return (words, None) if words else ("", image)
