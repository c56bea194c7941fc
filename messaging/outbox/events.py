"""An event as it goes out. Its form is described by docs/events.schema.json, and its version counts changes of that form."""

import json
from datetime import UTC, datetime
from typing import Any, NamedTuple
from uuid import UUID, uuid4

from messaging.common.values import Value

__all__ = ["TEST", "VERSION", "Event", "Outcome", "test_event"]

VERSION = 1
"""Fields may be added within a version: receivers ignore what they do not know. One that is removed, renamed or changed makes
another version.
"""

TEST = "test"
"""The type of the event that 'alert test' delivers."""


class Event(Value):
    """One event. ``id``: the same in each try, so that a receiver recognises what it has already."""

    id: UUID
    type: str
    happened_at: datetime
    data: dict[str, Any]

    def body(self) -> bytes:
        """The JSON that is delivered, and signed."""
        moment = self.happened_at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        fields = {
            "id": str(self.id),
            "type": self.type,
            "version": VERSION,
            "timestamp": moment,
            "data": self.data,
        }
        return json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode()


class Outcome(NamedTuple):
    """What came of a try. ``said``: the receiver's own words, which may repeat the event, so that no log gets them.
    ``refused``: the answer is about this event, so that others may be taken all the same. ``answered``: the receiver did
    answer. ``retry_after``: seconds, where it asks for them.
    """

    taken: bool
    words: str
    said: str = ""
    answered: bool = True
    refused: bool = False
    retry_after: float | None = None

    @property
    def text(self) -> str:
        """All of it, for operators."""
        return f"{self.words}: {self.said}" if self.said else self.words


def test_event(receiver: str) -> Event:
    """What 'alert test' delivers."""
    return Event(
        id=uuid4(),
        type=TEST,
        happened_at=datetime.now(UTC),
        data={"receiver": receiver, "title": "a test: Drumbeat can reach you"},
    )
