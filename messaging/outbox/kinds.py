"""The types of events, and the kinds of alerts with what an operator does about each."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from messaging.common.errors import InvalidInput
from messaging.common.suggestions import did_you_mean

__all__ = ["ALERTS", "EVENTS", "GROUPS", "AlertKind", "alert_title", "is_alert", "read_types"]

EVENTS: Mapping[str, str] = {
    "message.sent": "the gateway accepted a message",
    "message.delivered": "it reached the phone",
    "message.read": "it was read",
    "message.failed": "it was refused for good; also after message.sent, if a receipt says so later",
    "message.expired": "its time was over before it could be sent",
    "message.unconfirmed": "it may have gone out, and nothing can find out",
    "message.resolved": "that is known now, or it is sent again",
    "message.tested": "one was sent to a phone as a test",
    "contact.enrolled": "a lead became a contact of a sequence",
    "contact.completed": "it is through the sequence",
    "contact.stopped": "it was stopped",
    "contact.opted_out": "its enrollment ended, as it opted out",
    "contact.paused": "it was paused",
    "contact.resumed": "it goes on",
    "contact.skipped": "its next step was skipped",
    "contact.went_on": "a reply sent it on to a later step",
    "contact.replied": "a person wrote",
    "contact.forgotten": "a person was erased; in place of the phone is a word that says nothing",
    "contact.remembered": "that person may be known again",
    "opt_out.added": "a phone gets nothing more, or no marketing",
    "opt_out.removed": "that was taken back",
    "lead.imported": "a file of leads was imported",
    "lead.changed": "columns of a lead were set",
    "lead.consent_given": "a person agreed to be written to",
    "lead.consent_withdrawn": "they took that back",
    "lead.moved": "a lead has another device",
    "lead.renamed": "a lead has another phone",
    "campaign.created": "a campaign was applied",
    "campaign.changed": "it was edited",
    "campaign.started": "it was started, for its time or at once",
    "campaign.began": "its audience is fixed, and its messages go out",
    "campaign.paused": "a person paused it",
    "campaign.held": "Drumbeat paused it, as no recipient could get its message",
    "campaign.not_started": "nobody would have got it: it is a draft again",
    "campaign.resumed": "it goes on",
    "campaign.retried": "its failed messages are sent again",
    "campaign.reopened": "it has messages again",
    "campaign.cancelled": "it was cancelled",
    "campaign.finished": "all its messages are settled",
    "sequence.created": "a sequence was applied",
    "sequence.changed": "it was edited",
    "sequence.paused": "a person paused it",
    "sequence.held": "Drumbeat paused it, as no recipient could get its message",
    "sequence.resumed": "it goes on",
    "device.added": "a device was added",
    "device.changed": "its settings were changed",
    "device.paused": "a person paused it",
    "device.parked": "Drumbeat paused it after failures of its own",
    "device.resumed": "it sends again",
    "device.replaced": "another device sends in its place",
    "device.restored": "it sends for itself again",
    "inbox.done": "an inbound message was looked at",
    "receiver.added": "somebody gets alerts or events",
    "receiver.changed": "they get others, or elsewhere",
    "receiver.removed": "they get nothing more",
}
"""What each type of event says. All but what became of messages by itself are rows of the table of events, too."""


class AlertKind(NamedTuple):
    """What needs a person. ``one``, ``many``: its title, with ``{subject}`` and ``{count}``."""

    one: str
    many: str
    remedy: str
    over: str
    """The title when it is over."""


ALERTS: Mapping[str, AlertKind] = {
    "device_parked": AlertKind(
        "device {subject} is parked",
        "device {subject} is parked",
        "fix the cause (log in, renew the token), then: device resume {subject}",
        "device {subject} is not parked any more",
    ),
    "campaign_held": AlertKind(
        "campaign {subject} is held",
        "campaign {subject} is held",
        "fix its contents and apply it again, then: campaign resume {subject} (campaign start, if it is a draft)",
        "campaign {subject} is not held any more",
    ),
    "sequence_held": AlertKind(
        "sequence {subject} is held",
        "sequence {subject} is held",
        "fix its contents and apply it again, then: sequence resume {subject}",
        "sequence {subject} is not held any more",
    ),
    "message_unconfirmed": AlertKind(
        "a message is unconfirmed on {subject}",
        "{count} messages are unconfirmed on {subject}",
        "messages --status unconfirmed lists them; message resolve ID asks the gateway; or ask the recipient, and add --sent or --resend",
        "no message is unconfirmed on {subject} any more",
    ),
    "message_overdue": AlertKind(
        "messages of {subject} have waited for a quarter of an hour, and nothing tries to send them",
        "messages of {subject} have waited for a quarter of an hour, and nothing tries to send them",
        "status says whether a worker runs; audit names the workflows that are gone",
        "messages of {subject} go out again",
    ),
    "enrollment_refused": AlertKind(
        "an enrollment in {subject} was refused",
        "{count} enrollments in {subject} were refused",
        "status lists them with the reason; mend it, then enroll again",
        "no enrollment in {subject} is refused any more",
    ),
    "worker_gone": AlertKind(
        "worker {subject} is gone",
        "worker {subject} is gone",
        "look at its machine and its log, and start another: .venv/bin/python worker.py",
        "a worker runs in place of {subject}",
    ),
    "audit_broken": AlertKind(
        "the audit found a broken promise",
        "the audit found a broken promise",
        "run: audit; docs/operating.md says what to do about each",
        "the audit finds every promise kept again",
    ),
    "receiver_failing": AlertKind(
        "nothing can be delivered to {subject}",
        "nothing can be delivered to {subject}",
        "alert test {subject} says what it answers; events wait for three days",
        "{subject} takes what is delivered to it again",
    ),
    "event_undelivered": AlertKind(
        "an event was given up for {subject}",
        "{count} events were given up for {subject}",
        "alert undelivered {subject} lists them; alert retry {subject} tries them again",
        "no event is undelivered to {subject} any more",
    ),
}

GROUPS = ("alert", *dict.fromkeys(name.partition(".")[0] for name in EVENTS))
"""The first parts of the types. ``GROUP.*`` stands for all of a group, also those that later releases add."""


def alert_title(kind: str, subject: str, count: int, *, over: bool = False) -> str:
    """What the alert says in a few words, as for the subject of a mail."""
    known = ALERTS[kind]
    text = known.over if over else known.one if count == 1 else known.many
    return text.format(subject=subject, count=f"{count:,}")


def is_alert(types: Iterable[str]) -> bool:
    """True if all of these types are alerts."""
    return all(one.startswith("alert.") for one in types)


def read_types(words: Iterable[str]) -> tuple[str, ...]:
    """The types that words name, separated by commas: ``alerts``, ``events``, a type, or ``message.*``. Raises InvalidInput."""
    known = {*EVENTS, *(f"alert.{kind}" for kind in ALERTS), *(f"{group}.*" for group in GROUPS)}
    found: dict[str, None] = {}
    for word in (piece.strip() for text in words for piece in text.split(",")):
        if word in ("alerts", "alert"):
            found["alert.*"] = None
        elif word == "events":
            found |= dict.fromkeys(f"{group}.*" for group in GROUPS if group != "alert")
        elif word in known:
            found[word] = None
        elif word:
            meant = did_you_mean(word, ["alerts", "events", *sorted(known)])
            raise InvalidInput(
                f"{word!r} is no kind of event: "
                + (
                    meant
                    if meant.startswith("did")
                    else "write alerts, events, a group such as message.*, or a kind; 'alert kinds' lists all"
                )
            )
    if not found:
        raise InvalidInput("name at least one kind of event: alerts, events, message.*, message.sent …")
    return tuple(found)
