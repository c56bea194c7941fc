"""How long a claim holds, and what takes all of it back."""

from datetime import timedelta

from messaging.gateways import slow_gateways
from messaging.gateways.base import Capabilities

__all__ = ["ANEW", "CALL_GRACE", "CLAIM_LIFETIME", "claim_lifetime", "longer_lifetimes"]

CALL_GRACE = timedelta(seconds=3)
"""How long after its claim an attempt may begin its call to the gateway; then it gives the claim back."""

CLAIM_MARGIN = timedelta(seconds=2)


def claim_lifetime(answers_within: float) -> timedelta:
    """How long after its claim an attempt may still be at a gateway whose answer may take ``answers_within`` seconds.

    Later, another one takes the message over.
    """
    return CALL_GRACE + timedelta(seconds=answers_within) + CLAIM_MARGIN


CLAIM_LIFETIME = claim_lifetime(Capabilities().answers_within)
"""The same for most gateways."""


def longer_lifetimes() -> dict[str, float]:
    """The same in seconds, by gateway, for those whose answer may take longer."""
    return {name: claim_lifetime(seconds).total_seconds() for name, seconds in slow_gateways().items()}


ANEW = "processing_worker_id = null, answered_at = null, accepted_at = null, place_day = null"
"""What an update sets, beside status and IDs, so that a message is sent anew: no attempt of before speaks for it."""
