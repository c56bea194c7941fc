"""One attempt to send one message: its token, its age, and what it knows so far."""

import os
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from messaging.common.log_context import MESSAGE
from messaging.gateways.base import NotAccepted, OutgoingMessage
from messaging.sending.claim_answers import Claim
from messaging.sending.claim_lifetimes import CALL_GRACE
from messaging.sending.compose import wording
from messaging.sending.positions import Next

__all__ = ["After", "Attempt", "InFlight", "LostClaim", "new_attempt"]

SHORTEST_CALL = 2.0
"""Seconds. With less than this left of a claim, no part of a message is begun."""

HOST = socket.gethostname()

_age_clock = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def _age_now() -> float:
    """Seconds that also pass while the process or the machine is suspended."""
    return time.clock_gettime(_age_clock)


class LostClaim(Exception):
    """Another attempt has taken the message over; the outcome of this one was not recorded."""


class Attempt:
    """One attempt to send one message. Create it before the claim, as its age counts from its creation."""

    def __init__(self, message_id: UUID, token: str) -> None:
        self.message_id = message_id
        self.token = token
        self._began = _age_now()

    @property
    def age(self) -> timedelta:
        """The time since it was created."""
        return timedelta(seconds=_age_now() - self._began)

    def refuse_if_late(self) -> None:
        """The last check before the call to the gateway. An attempt that was suspended or starved since its claim must
        not send: another attempt may hold the message by now, and the device's slot may be another message's. Raises
        NotAccepted.
        """
        if self.age > CALL_GRACE:
            raise NotAccepted("the worker was too slow to send it", concerns="message")

    def time_left(self, answers_within: float) -> float:
        """Seconds that the gateway may take: all parts together must be sent before the claim runs out."""
        return min(answers_within, (CALL_GRACE - self.age).total_seconds() + answers_within)

    def refuse_if_no_time_left(self, answers_within: float) -> None:
        """The same check before another part. Raises NotAccepted."""
        if self.time_left(answers_within) < SHORTEST_CALL:
            raise NotAccepted(
                "the gateway was too slow for the second part, which follows", concerns="message"
            )


def new_attempt(message_id: UUID) -> Attempt:
    """A new attempt, whose token names this process. Call this right before the claim. From here on, the lines that this
    task logs name the message.
    """
    MESSAGE.set(message_id)
    return Attempt(message_id, f"{HOST}:{os.getpid()}/{uuid4().hex}")


After = Callable[[datetime], Next]
"""Answers what comes after the message if it is settled at the given moment."""


@dataclass
class InFlight:
    """A claimed message that is being sent."""

    attempt: Attempt
    claim: Claim
    after: After | None = None
    """None if nothing comes after it: for a campaign's message, or one that is sent again."""
    parts: tuple[OutgoingMessage, ...] = ()
    """What is sent, once that is known."""
    called: bool = False
    """True if this attempt has called the gateway."""
    may_have_arrived: bool = field(init=False)
    """True if an earlier attempt may have sent it, as far as is known."""

    def __post_init__(self) -> None:
        self.may_have_arrived = self.claim.outcome == "taken_over"

    @property
    def content(self) -> str | None:
        """The text for the recipient, as the ledger keeps it; None until it is known."""
        return wording(self.parts) if self.parts else None

    @property
    def image_url(self) -> str | None:
        """The image that goes with it."""
        return self.parts[0].image_url if self.parts else None

    @property
    def now(self) -> datetime:
        """The present moment by the clock of the claim, which is the database's."""
        return self.claim.now + self.attempt.age
