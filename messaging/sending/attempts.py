"""One attempt at one message: the token that is its own, how old it is, and what it knows so far."""

import os
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from messaging.gateways.base import NotAccepted, OutgoingMessage
from messaging.sending.claim_answers import Claim
from messaging.sending.claims import CALL_GRACE
from messaging.sending.compose import wording
from messaging.sending.positions import Next

__all__ = ["After", "Attempt", "InFlight", "LostClaim", "new_attempt"]

SHORTEST_CALL = 2.0
"""Seconds; with less than that left of a claim, no part of a message is begun."""

WORKER = f"{socket.gethostname()}:{os.getpid()}"
"""Names the process in the ledger's claims."""

_age_clock = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def _age_now() -> float:
    """Seconds that also pass while the process or the machine is suspended."""
    return time.clock_gettime(_age_clock)


class LostClaim(Exception):
    """Another attempt has taken the message over; what this one learned was not recorded."""


class Attempt:
    """One attempt at one message. Made before the claim, for its age counts from there."""

    def __init__(self, message_id: UUID, token: str) -> None:
        self.message_id = message_id
        self.token = token
        self._began = _age_now()

    @property
    def age(self) -> timedelta:
        """How long ago it began."""
        return timedelta(seconds=_age_now() - self._began)

    def refuse_if_late(self) -> None:
        """The last look before the call. An attempt that was suspended or starved since its claim must not send.

        Others may have the message by now, and the device's pace was promised to others. Raises NotAccepted.
        """
        if self.age > CALL_GRACE:
            raise NotAccepted("the worker was too slow to send it", concerns="message")

    def time_left(self, answers_within: float) -> float:
        """Seconds that the gateway may take: all parts together must be through while the claim lives."""
        return min(answers_within, (CALL_GRACE - self.age).total_seconds() + answers_within)

    def refuse_if_no_time_left(self, answers_within: float) -> None:
        """As before the first part, so before another one. Raises NotAccepted."""
        if self.time_left(answers_within) < SHORTEST_CALL:
            raise NotAccepted(
                "the gateway was too slow for the second part, which follows", concerns="message"
            )


def new_attempt(message_id: UUID) -> Attempt:
    """An attempt with a token of its own that names this process, to be made right before its claim."""
    return Attempt(message_id, f"{WORKER}/{uuid4().hex}")


After = Callable[[datetime], Next]
"""What comes after the message, were it settled at that moment."""


@dataclass
class InFlight:
    """A claim that is being carried out."""

    attempt: Attempt
    claim: Claim
    after: After | None = None
    """None where nothing comes after it: a campaign's message, or one that is sent again."""
    parts: tuple[OutgoingMessage, ...] = ()
    """What is sent, as far as it is known."""
    called: bool = False
    """Whether the gateway was called by this attempt."""
    may_have_arrived: bool = field(init=False)
    """Whether an earlier attempt may have sent it, for all that is known."""

    def __post_init__(self) -> None:
        self.may_have_arrived = self.claim.outcome == "taken_over"

    @property
    def content(self) -> str | None:
        """What is written to the recipient, as the ledger keeps it; None as long as it is not known."""
        return wording(self.parts) if self.parts else None

    @property
    def image_url(self) -> str | None:
        """The image that goes with it."""
        return self.parts[0].image_url if self.parts else None

    @property
    def now(self) -> datetime:
        """The present by the clock of the claim, which is the database's."""
        return self.claim.now + self.attempt.age
