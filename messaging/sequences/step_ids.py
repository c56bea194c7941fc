"""Rules for edits of steps whose ID has carried messages: a step's ID keeps its meaning for ever.

The ledger knows what a contact has had by the step's ID. So, once a message was made for a step,

- rewording it, moving it, and giving it an image or taking one away are fine: messages sent stay as they were, the
  others go out as the step says now;
- a step that was removed comes back only as it was: its ID with other contents would be withheld from the
  contacts that had the old ones;
- contents do not move from one ID to another, whether two steps swap them or an ID is renamed: contacts that had the
  one step would get them again, or would never get them.

As long as neither step has carried a message, everything is allowed.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, time, timedelta
from typing import Any, NamedTuple

from messaging.common.values import Value
from messaging.sequences.file import StepFile
from messaging.sequences.on_reply import RuleFile
from messaging.times.calendar import Missed

__all__ = ["MeaningChange", "StoredStep", "changes_of_meaning"]


class StoredStep(Value):
    """A stored step, whether it is part of the sequence or was removed."""

    id: int
    key: str
    position: int
    day: int | None
    at: time | None
    after: timedelta | None
    wait_for: timedelta | None = None
    conditions: dict[str, Any] | None = None
    expires_after: timedelta | None = None
    missed: Missed = "leave_out"
    text: str
    image_url: str | None
    template: dict[str, Any] | None = None
    on_reply: tuple[RuleFile, ...] = ()
    removed_at: datetime | None
    carried: bool
    """True if the ledger has a message of it, in any status."""


class MeaningChange(NamedTuple):
    """A step whose ID would change its meaning: its position in the file (from 0), and the reason in one line."""

    position: int
    reason: str


def changes_of_meaning(stored: Mapping[str, StoredStep], steps: Sequence[StepFile]) -> list[MeaningChange]:
    """The steps that an edit must not change so, with the reasons."""
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
    """Why the step ``key`` must not take over the contents of the step ``other``, or None. ``now``: the new version of
    ``other``.
    """
    if now is not None and _contents(now.text, now.image) == _contents(other.text, other.image_url):
        return None  # The other step keeps its contents too: the repetition is on purpose.
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
    """What makes two steps the same to a recipient: the text, or the image if there is no text."""
    words = " ".join(text.split())
    return (words, None) if words else ("", image)
