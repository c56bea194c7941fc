"""The values of a preview."""

from datetime import datetime
from typing import Literal

from messaging.common.values import Value

__all__ = ["Preview", "PreviewFault", "PreviewedLead", "PreviewedMessage"]


class PreviewedMessage(Value):
    """One message as a person will get it, by what is known now. Times are aware UTC."""

    step: str | None
    """The step's key; None: a campaign's message."""
    due_at: datetime | None
    """None: at the start."""
    when: str
    """The same in words, in the person's time zone."""
    device: str | None
    text: str = ""
    """What they read; of a template what is known of it. Empty if it cannot be rendered."""
    template: str | None = None
    """The name of the approved template, if it goes out as one."""
    image_url: str | None = None
    parts: int = 1
    """2: the image goes first, and the text follows it."""
    condition: str | None = None
    """In words: it is sent only if this holds at that moment."""
    fails: str | None = None
    """Why it would fail."""
    not_sent: str | None = None
    """Why it would not be sent: its person has opted out, a condition does not hold."""
    waits: str | None = None
    """What it would wait for."""
    notes: tuple[str, ...] = ()
    """What its author should look at: names that are empty for this person."""

    @property
    def faults(self) -> list[tuple[Literal["fails", "not sent", "waits"], str]]:
        """Why it would not go out as planned."""
        found: list[tuple[Literal["fails", "not sent", "waits"], str]] = []
        if self.fails:
            found.append(("fails", self.fails))
        if self.not_sent:
            found.append(("not sent", self.not_sent))
        if self.waits:
            found.append(("waits", self.waits))
        return found


class PreviewedLead(Value):
    """One person, and what they will get, in order."""

    phone: str
    name: str
    zone: str
    standing: str
    """How they stand to it, in words: under way, in the audience, would be enrolled."""
    messages: tuple[PreviewedMessage, ...]


class PreviewFault(Value):
    """What keeps messages from going out as planned, and for how many people."""

    kind: Literal["fails", "not sent", "waits", "note"]
    step: str | None
    why: str
    leads: int
    examples: tuple[str, ...]
    """Phones of some of them."""


class Preview(Value):
    """``leads``: those that are shown in full; ``checked``: how many were rendered; ``faults``: of all that were checked."""

    kind: Literal["sequence", "campaign"]
    name: str
    state: str
    """Its status and start in words."""
    of: int
    """How many people are concerned as things are."""
    checked: int
    leads: tuple[PreviewedLead, ...]
    faults: tuple[PreviewFault, ...]
