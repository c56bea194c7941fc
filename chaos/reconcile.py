"""Accounts for every message: compares what the gateway accepted with the ledger and with the expected result.

Pure functions of the evidence. Each check answers what it looked at, and a line for each violation.
"""

import itertools
from collections import Counter, defaultdict
from collections.abc import Callable

from chaos.evidence import Delivery, Evidence, Expected, LedgerRow
from chaos.topology import REPLIES
from messaging.common.values import Value

__all__ = ["Check", "reconcile"]

SETTLED_UNSENT = ("failed", "suppressed", "cancelled", "expired")
SETTLED = ("sent", "unconfirmed", *SETTLED_UNSENT)


class Check(Value):
    """One thing that must hold. ``of``: what was looked at; ``violations``: a line for each."""

    name: str
    of: str
    violations: tuple[str, ...] = ()

    @property
    def holds(self) -> bool:
        """True if there is no violation."""
        return not self.violations


Found = tuple[str, list[str]]


def reconcile(expected: Expected, evidence: Evidence) -> tuple[Check, ...]:
    """Every check; the run is in order if all hold."""
    checks = []
    for name, check in CHECKS.items():
        of, violations = check(expected, evidence)
        checks.append(Check(name=name, of=of, violations=tuple(violations)))
    return tuple(checks)


def _duplicates(_: Expected, evidence: Evidence) -> Found:
    copies = Counter((one.phone, one.text) for one in evidence.deliveries)
    return f"{len(evidence.deliveries):,} deliveries", [
        f"{phone} got {text!r} {count} times" for (phone, text), count in copies.items() if count > 1
    ]


def _lost_steps(expected: Expected, evidence: Evidence) -> Found:
    """A contact that is still under way has steps to come: its steps are not lost."""
    known = {(row.phone, row.what) for row in evidence.rows}
    lost = []
    for phone in expected.contacts:
        status = evidence.enrolled.get(phone)
        if phone in expected.leavers and status != "completed":
            continue  # before or while it was under way
        if status is None:
            lost.append(f"{phone} was never enrolled")
        elif status != "active":
            missing = [
                step for step in expected.steps if (phone, step) not in known and step not in expected.removed
            ]
            lost += [f"{step} of {phone}, who is {status}, is not in the ledger" for step in missing]
    return f"{len(expected.contacts):,} contacts of {len(expected.steps)} steps", lost


def _lost_leads(expected: Expected, evidence: Evidence) -> Found:
    known = {row.phone for row in evidence.rows if row.what == expected.campaign}
    missing = [phone for phone in expected.leads if phone not in known]
    # Leads that had opted out before are not in the audience.
    lost = [f"{phone} is not in the campaign's ledger" for phone in missing if phone not in expected.leavers]
    if evidence.audience + len(missing) - len(lost) != len(expected.leads):
        lost.append(f"the audience was frozen with {evidence.audience:,} leads")
    return f"{len(expected.leads):,} leads", lost


def _never_accepted(_: Expected, evidence: Evidence) -> Found:
    """A message that is sent in the ledger: the gateway has it, from that device, to that phone, under the same ID."""
    taken = defaultdict(list)
    for one in evidence.deliveries:
        taken[one.key].append(one)
    sent = [row for row in evidence.rows if row.status == "sent"]
    return f"{len(sent):,} sent", [
        f"{_row(row)} is sent, and the gateway has not got it"
        for row in sent
        if not any(
            (one.phone, one.device, one.message_id) == (row.phone, row.device, row.gateway_message_id)
            for one in taken[row.id]
        )
    ]


def _unsent_but_accepted(_: Expected, evidence: Evidence) -> Found:
    taken = {one.key for one in evidence.deliveries}
    unsent = [row for row in evidence.rows if row.status in SETTLED_UNSENT]
    return f"{len(unsent):,} given up", [
        f"{_row(row)} is {row.status} ({row.reason}), and the gateway has delivered it"
        for row in unsent
        if row.id in taken
    ]


def _without_reason(_: Expected, evidence: Evidence) -> Found:
    unsent = [row for row in evidence.rows if row.status in SETTLED_UNSENT]
    return f"{len(unsent):,} given up", [
        f"{_row(row)} is {row.status}, and nothing says why" for row in unsent if not row.reason
    ]


CANNOT = "an earlier attempt may have sent it, and another one cannot"
"""Begins the reason of a message in doubt that was refused, or can no longer be made, when it was to be sent again."""


def _unconfirmed(expected: Expected, evidence: Evidence) -> Found:
    """If a gateway can be asked or honours keys, no message may stay in doubt."""
    rows = [row for row in evidence.rows if row.status == "unconfirmed"]
    unexplained = []
    for row in rows:
        traits = expected.devices.get(row.device)
        if traits is not None and traits.idempotency and (row.reason or "").startswith(CANNOT):
            continue  # the key cannot be used again, so it stays in doubt
        # It was not wanted any more, or had expired, so it was not sent again under its key.
        unwanted = (
            row.too_late
            or row.phone in expected.leavers
            or row.what in expected.removed
            or (expected.cancelled and row.what == expected.campaign)
        )
        if traits is not None and not traits.lookup and row.reason and unwanted:
            continue
        if traits is None or not traits.blind:
            unexplained.append(
                f"{_row(row)} is unconfirmed ({row.reason}), and device {row.device} could have told"
            )
        elif not row.reason:
            unexplained.append(f"{_row(row)} is unconfirmed, and nothing says why")
    return f"{len(rows):,} unconfirmed", unexplained


def _messages(_: Expected, evidence: Evidence) -> Found:
    return f"{len(evidence.rows):,} messages", list(evidence.open.messages)


def _workflows(expected: Expected, evidence: Evidence) -> Found:
    count = len(expected.contacts) + len(expected.leads)
    return f"{count:,} contacts and leads", list(evidence.open.workflows)


def _enrollments(expected: Expected, evidence: Evidence) -> Found:
    return f"{len(expected.contacts):,} enrollments, the campaign", list(evidence.open.enrollments)


def _pace(expected: Expected, evidence: Evidence) -> Found:
    """By the moments at which the gateway received what it then delivered."""
    gaps, short = 0, []
    for device, traits in expected.devices.items():
        if traits.min_delay <= 0:
            continue
        own = sorted(
            (one for one in evidence.deliveries if one.device == device), key=lambda one: one.received_at
        )
        for earlier, later in itertools.pairwise(own):
            gaps += 1
            gap = (later.received_at - earlier.received_at).total_seconds()
            if gap < traits.min_delay:
                short.append(
                    f"{device}: {gap:.3f} s after {earlier.received_at:%H:%M:%S.%f} ({earlier.phone}, then"
                    f" {later.phone}), at least {traits.min_delay:g} s"
                )
    return f"{gaps:,} gaps", short


def _outside(expected: Expected, evidence: Evidence) -> Found:
    """Every delivery is expected: to that person, with that text, by their device, and with a row of the ledger."""
    rows = {row.id: row for row in evidence.rows}
    steps, contacts, leads = set(expected.steps.values()), set(expected.contacts), set(expected.leads)

    def wrong(one: Delivery) -> str | None:
        if not (
            (one.text in steps and one.phone in contacts)
            or (one.text == expected.campaign_text and one.phone in leads)
        ):
            return f"{one.phone} got {one.text!r}, and should not have"
        if one.device != expected.device_of.get(one.phone):
            return f"{one.phone} got {one.text!r} from {one.device}"
        row = rows.get(one.key or "")
        if row is None or row.phone != one.phone or _text(expected, row) != one.text:
            return f"{one.phone} got {one.text!r} under the key {one.key}, which no such message has"
        return None

    found = [line for one in evidence.deliveries if (line := wrong(one)) is not None]
    audience = contacts | leads
    found += [f"{_row(row)} is in the ledger" for row in evidence.rows if row.phone not in audience]
    return f"{len(evidence.deliveries):,} deliveries", found


def _after_the_answer(expected: Expected, evidence: Evidence) -> Found:
    """After an answer that nothing more is sent, nothing is, except the messages that it named as under way."""
    steps = set(expected.steps.values())
    late = []
    for answer in evidence.answers:
        for one in evidence.deliveries:
            if (
                one.received_at > answer.at
                and (answer.until is None or one.received_at < answer.until)
                and answer.phone in (None, one.phone)
                and answer.device in (None, one.device)
                and (answer.sequence if one.text in steps else answer.campaign)
                and one.key not in answer.named
            ):
                after = (one.received_at - answer.at).total_seconds()
                late.append(f"{one.phone} got {one.text!r} {after:.2f} s after the answer to: {answer.words}")
    return f"{len(evidence.answers):,} answers", late


def _replies_recorded(_: Expected, evidence: Evidence) -> Found:
    """Every reply is acknowledged in the end, and recorded once, however often the gateway reports it."""
    lost = list(evidence.open.replies)
    lost += [
        f"{one.text!r} of {one.phone} is recorded {one.recorded} times"
        for one in evidence.replies
        if one.acknowledged_at is not None and one.recorded != 1
    ]
    return f"{len(evidence.replies):,} replies", lost


def _after_the_reply(expected: Expected, evidence: Evidence) -> Found:
    """After the acknowledgement of a reply that opts out, nothing is sent; of one that stops the sequence, no step.

    A reply stops the sequence if a step had arrived before it. What had reached the gateway before is not sent after.
    """
    steps = set(expected.steps.values())
    late = []
    for reply in evidence.replies:
        outcome, at = REPLIES.get(reply.text), reply.acknowledged_at
        arrived = [one for one in evidence.deliveries if one.phone == reply.phone]
        answers_a_step = any(one.text in steps and one.received_at < reply.written_at for one in arrived)
        if at is None or outcome == "continues" or (outcome == "stops" and not answers_a_step):
            continue
        late += [
            f"{one.phone} got {one.text!r} {(one.received_at - at).total_seconds():.2f} s after the acknowledgement of"
            f" {reply.text!r}"
            for one in arrived
            if one.received_at > at and (outcome == "opts out" or one.text in steps)
        ]
    return f"{len(evidence.replies):,} replies", late


def _audit(_: Expected, evidence: Evidence) -> Found:
    return f"{evidence.promises:,} promises", list(evidence.broken)


def _text(expected: Expected, row: LedgerRow) -> str | None:
    return expected.campaign_text if row.what == expected.campaign else expected.steps.get(row.what)


def _row(row: LedgerRow) -> str:
    return f"{row.what} to {row.phone} by {row.device}"


CHECKS: dict[str, Callable[[Expected, Evidence], Found]] = {
    "delivered twice": _duplicates,
    "lost steps": _lost_steps,
    "lost leads": _lost_leads,
    "sent, but never accepted": _never_accepted,
    "given up, but delivered": _unsent_but_accepted,
    "given up without a reason": _without_reason,
    "unconfirmed without need": _unconfirmed,
    "stuck messages": _messages,
    "stuck workflows": _workflows,
    "stuck enrollments": _enrollments,
    "faster than the pace": _pace,
    "outside the target": _outside,
    "sent after the answer": _after_the_answer,
    "lost replies": _replies_recorded,
    "sent after the reply": _after_the_reply,
    "broken promises": _audit,
}
