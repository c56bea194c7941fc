"""What follows from inbound messages outside the ledger: workflows to signal, sends to wait for, enrollments to start.

All of it stands in the ledger too. If a process dies before it has carried it out, the recovery does
(activities.recovery).
"""

from collections.abc import Iterable
from typing import Literal, NamedTuple

from messaging.common.values import Value
from messaging.sequences.contract import EnrollmentRequest

__all__ = ["Affected", "Consequences", "Effect", "Stopped", "together"]


class Stopped(NamedTuple):
    """A phone that has opted out, and the workflows to signal."""

    phone: str
    workflows: list[str]


class Affected(NamedTuple):
    """An enrollment that a reply has paused, stopped or sent on to another step, and its workflow."""

    enrollment: int
    workflow_id: str


class Consequences(NamedTuple):
    """What some inbound messages have done."""

    stopped: tuple[Stopped, ...] = ()
    affected: tuple[Affected, ...] = ()
    wanted: tuple[EnrollmentRequest, ...] = ()
    """Contacts whose workflow is to be started."""
    wrote: tuple[str, ...] = ()
    """Phones that have written: what waits for that may go out."""
    shown: tuple[str, ...] = ()
    """Workflows of contacts that go on as before: they are to show the answer."""
    did: tuple[str, ...] = ()
    """What they did to enrollments, as ``Effect`` names it; for counting."""


def together(found: Iterable[Consequences]) -> Consequences:
    """All of it, each phone and enrollment once; a phone with the most workflows that were found for it."""
    stopped: dict[str, Stopped] = {}
    affected: dict[int, Affected] = {}
    shown: dict[str, None] = {}
    wanted: dict[tuple[str, str], EnrollmentRequest] = {}
    wrote: dict[str, None] = {}
    did: list[str] = []
    for each in found:
        for one in each.stopped:
            stopped[one.phone] = max(stopped.get(one.phone, one), one, key=lambda known: len(known.workflows))
        affected |= {change.enrollment: change for change in each.affected}
        wrote |= dict.fromkeys(each.wrote)
        shown |= dict.fromkeys(each.shown)
        did += each.did
        wanted |= {(request.sequence, request.lead.phone): request for request in each.wanted}
    return Consequences(
        *(tuple(stopped.values()), tuple(affected.values()), tuple(wanted.values())),
        *(tuple(wrote), tuple(shown), tuple(did)),
    )


class Effect(Value):
    """What an inbound message did to one enrollment. ``to``: the step or sequence that it went on to."""

    enrollment: int
    sequence: str
    did: Literal["paused", "stopped", "went_on", "enrolled"]
    to: str | None = None
