"""Inbound messages as text, for ``inbox`` and ``contact``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cli.page import one_line, wrapped

if TYPE_CHECKING:
    from messaging.replies.inbox import InboundReport

__all__ = ["REASONS", "format_inbound", "inbound_lines", "what_it_did", "what_it_is"]

REASONS = {
    "answer": "an answer",
    "maybe_stop": "may mean stop",
    "number_changed": "has another number now",
    "numbers_joined": "both numbers were leads",
    "unmatched": "no lead",
    "enrolled": "enrolled",
    "not_enrolled": "not enrolled",
}
ORDINARY_WORD = "opted out by an ordinary word"
_MEANINGS = {
    "stop": "opted out",
    "start": "took back an earlier stop",
    "maybe_stop": REASONS["maybe_stop"],
}
_KINDS = {
    "reaction": "a reaction",
    "preference": "a setting in WhatsApp",
    "number_changed": REASONS["number_changed"],
    "user_id_changed": "has another user ID now",
}
_INDENT = "    "


def format_inbound(one: InboundReport) -> str:
    """A message in one line: its text, and its kind if it is more than a text."""
    words = one_line(one.text or one.payload or "")
    if one.kind == "text":
        return words
    kind = one.kind.replace("_", " ")
    return f"({kind}) {words}" if words else f"({kind})"


def what_it_is(one: InboundReport) -> str:
    """What a message of a lead, or typed to it, is: why it is in the inbox, or what it is where nobody has to look."""
    if one.from_me:
        return "typed on the phone"
    if (one.meaning, one.to_review) == ("stop", "maybe_stop"):
        return ORDINARY_WORD
    # "answer" says only that a person has to look, and a sender that was no lead may be one now.
    if one.to_review not in (None, "answer", "unmatched"):
        return REASONS[one.to_review]
    return _MEANINGS.get(one.meaning) or _KINDS.get(one.kind) or REASONS["answer"]


def what_it_did(one: InboundReport) -> str:
    """What the message answers, and what it did, in a few words; empty where it is neither."""
    parts = []
    if one.answers:
        parts.append(f"in answer to {one.answers}")
    elif one.counts_for:
        parts.append(f"after {', '.join(one.counts_for)}")
    parts += one.did
    if one.opts_out_of and "opted out" in one.did:
        parts.append(f"counts as an opt-out of {one.opts_out_of}")
    return "; ".join(parts)


def inbound_lines(one: InboundReport) -> list[str]:
    """A message of the inbox: who, when, to which device, why it is listed; what it did; and its text."""
    from messaging.times.local_time import format_wall

    who = one.phone or ", ".join(one.identities) or "unknown"
    name = f" ({one_line(one.name)})" if one.name else ""
    reason = REASONS["unmatched"] if one.to_review == "unmatched" else what_it_is(one)
    lines = [f"{one.id}  {format_wall(one.sent_at)}  {who}{name}  to {one.device}  {reason}"]
    lines += wrapped(format_inbound(one), _INDENT)
    if done := what_it_did(one):
        lines += wrapped(f"→ {done}", _INDENT)
    return lines
