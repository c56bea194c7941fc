"""What was done, in words: a line for each act."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from messaging.common.counts import count_of

__all__ = ["KINDS", "Group", "what_was_done", "whose"]


class Group(NamedTuple):
    """Events of one kind within an act. What differs between them is None."""

    kind: str
    events: int
    phone: str | None
    sequence: str | None
    campaign: str | None
    device: str | None
    reason: str | None
    data: dict[str, Any]

    @property
    def contacts(self) -> str:
        """Whom it concerned."""
        return self._those("contact")

    @property
    def leads(self) -> str:
        """The same, of leads."""
        return self._those("lead")

    @property
    def within(self) -> str:
        """The sequence, where it is one and was not said yet."""
        said = self.events > 1 and "sequence" in (self.data.get("chosen") or {})
        return f" in {self.sequence}" if self.sequence and not said else ""

    @property
    def message(self) -> str:
        """Which message."""
        step = self.data.get("step")
        of = f"campaign {self.campaign}" if self.campaign else f"{self.sequence} / {step}" if step else None
        named = f"the message of {of}" if of else "a message"
        return f"{named} to {self.phone}" if self.events == 1 else count_of(self.events, "message")

    def _those(self, noun: str) -> str:
        if self.events == 1 and self.phone is not None:
            return self.phone
        chosen = self.data.get("chosen") or {}
        words = [value if name == "where" else f"{name} {value}" for name, value in chosen.items()]
        where = ", ".join(words)
        return count_of(self.events, noun) + (f" ({where})" if where else "")


def _changed(group: Group) -> str:
    """The columns that have changed, with short values."""
    changes = group.data.get("changes") or ()
    if not isinstance(changes, Mapping):
        return f": {'; '.join(changes)}" if changes else ""
    words = [
        name.replace("_", " ") + (f" {_value(pair[0])} → {_value(pair[1])}" if pair else "")
        for name, pair in changes.items()
    ]
    return f": {', '.join(words)}"


def _value(value: Any) -> str:
    if value is None:
        return "none"
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return text if len(text) <= 40 else f"{text[:39]}…"


def _edited(group: Group) -> str:
    before, after = group.data.get("before") or {}, group.data.get("after") or {}
    words = [
        f"{name} {_value(before.get(name) or 'none')} → {_value(after[name] or 'none')}" for name in after
    ]
    return f"changed {group.leads}" + (f": {', '.join(words)}" if words and group.events == 1 else "")


def _moved(group: Group) -> str:
    all_of_a_device = group.data.get("leads")  # one event
    leads = group.leads if all_of_a_device is None else count_of(all_of_a_device, "lead")
    return f"moved {leads} to {group.device or 'other devices'}"


def _imported(group: Group) -> str:
    data = group.data
    return (
        f"imported {data.get('file')}: {count_of(data.get('new', 0), 'new lead')}, {data.get('updated', 0):,} updated,"
        f" {count_of(data.get('rejected', 0), 'row')} rejected"
    )


def _opted_out(group: Group) -> str:
    of = " of marketing" if group.data.get("category") == "marketing" else ""
    return f"opted out {group._those('phone')}{of}"  # noqa: SLF001 - of this module


def _resolved(group: Group) -> str:
    match group.data.get("status"):
        case "pending":
            return f"had {group.message} sent again"
        case "sent":
            return f"settled {group.message}: it was sent"
        case status:
            return f"settled {group.message}: {status}"


KINDS: Mapping[str, Callable[[Group], str]] = {
    "contact.enrolled": lambda g: f"enrolled {g.contacts}{g.within}",
    "contact.paused": lambda g: f"paused {g.contacts}{g.within}",
    "contact.resumed": lambda g: f"resumed {g.contacts}{g.within}",
    "contact.skipped": lambda g: f"skipped {g.data.get('step')} for {g.contacts}{g.within}",
    "contact.went_on": lambda g: f"sent {g.contacts} on to {g.data.get('step')}{g.within}",
    "contact.completed": lambda g: f"completed {g.sequence or 'their sequences'} with {g.contacts}",
    "contact.stopped": lambda g: f"stopped {g.contacts}{g.within}",
    "contact.opted_out": lambda g: f"ended {g.sequence or 'the enrollments'} for {g.contacts}",
    "contact.replied": lambda g: f"replied to {g.device}",
    "contact.forgotten": lambda g: f"forgot {g.contacts}",
    "contact.remembered": lambda g: f"lets {g.contacts} be known again",
    "opt_out.added": _opted_out,
    "opt_out.removed": lambda g: f"took back the opt-out of {g._those('phone')}",  # noqa: SLF001
    "lead.imported": _imported,
    "lead.changed": _edited,
    "lead.consent_given": lambda g: f"noted the consent of {g.leads}",
    "lead.consent_withdrawn": lambda g: f"took back the consent of {g.leads}",
    "lead.moved": _moved,
    "lead.renamed": lambda g: f"gave {g.data.get('from')} the phone {g.phone}",
    "inbox.done": lambda g: f"took {count_of(g.events, 'message')} out of the inbox",
    "sequence.created": lambda g: f"created sequence {g.sequence}",
    "sequence.changed": lambda g: f"changed sequence {g.sequence}{_changed(g)}",
    "sequence.paused": lambda g: f"paused sequence {g.sequence}",
    "sequence.resumed": lambda g: f"resumed sequence {g.sequence}",
    "sequence.held": lambda g: f"paused sequence {g.sequence}",
    "campaign.created": lambda g: f"created campaign {g.campaign}",
    "campaign.changed": lambda g: f"changed campaign {g.campaign}{_changed(g)}",
    "campaign.started": lambda g: (
        f"started campaign {g.campaign}" + (" at once" if g.data.get("at_once") else "")
    ),
    "campaign.paused": lambda g: f"paused campaign {g.campaign}",
    "campaign.resumed": lambda g: f"resumed campaign {g.campaign}",
    "campaign.cancelled": lambda g: f"cancelled campaign {g.campaign}",
    "campaign.retried": lambda g: (
        f"had {count_of(g.data.get('messages', 0), 'failed message')} of campaign {g.campaign} sent again"
    ),
    "campaign.began": lambda g: f"began campaign {g.campaign}, {count_of(g.data.get('leads', 0), 'lead')}",
    "campaign.finished": lambda g: f"finished campaign {g.campaign}",
    "campaign.reopened": lambda g: f"goes on with campaign {g.campaign}",
    "campaign.held": lambda g: f"paused campaign {g.campaign}",
    "campaign.not_started": lambda g: f"did not start campaign {g.campaign}",
    "device.added": lambda g: f"added device {g.device}",
    "device.changed": lambda g: f"changed device {g.device}{_changed(g)}",
    "device.paused": lambda g: f"paused device {g.device}",
    "device.resumed": lambda g: f"resumed device {g.device}",
    "device.parked": lambda g: f"parked device {g.device}",
    "device.replaced": lambda g: f"put device {g.data.get('by')} in place of {g.device}",
    "device.restored": lambda g: f"put device {g.device} back into use",
    "receiver.added": lambda g: f"added receiver {g.data.get('receiver')}",
    "receiver.changed": lambda g: f"changed receiver {g.data.get('receiver')}",
    "receiver.removed": lambda g: f"removed receiver {g.data.get('receiver')}",
    "message.unconfirmed": lambda g: f"could not tell whether {g.message} went out",
    "message.resolved": _resolved,
    "message.tested": lambda g: f"sent a test to {g.phone}",
}
"""Each kind, with what is said of it. Its subject is the actor."""


def what_was_done(groups: Sequence[Group]) -> str:
    """An act in words: ``paused 20,000 contacts (city = KL): on holiday``."""
    said = [_said(group) for group in groups]
    if len({group.reason for group in groups}) == 1 and groups[0].reason is not None:
        return f"{'; '.join(said)}: {groups[0].reason}"
    return "; ".join(
        words + (f": {group.reason}" if group.reason else "")
        for words, group in zip(said, groups, strict=True)
    )


def _said(group: Group) -> str:
    words = KINDS.get(group.kind)
    if words is not None:
        return words(group)
    about = group.sequence or group.campaign or group.device or ""
    return f"{group.kind.replace('.', ' ').replace('_', ' ')} {group.phone or about}".rstrip()


_VIAS = {"web ui": "Web UI", "service": "service"}


def whose(actor: str, via: str) -> str:
    """Who did it: ``anna``, ``shop (service)``, ``+12015550123 (reply)``, ``drumbeat``."""
    return actor if via in ("command line", "itself", "unknown") else f"{actor} ({_VIAS.get(via, via)})"
