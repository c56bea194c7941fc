"""How long a claim holds: until then, no other attempt takes the message over."""

from datetime import timedelta

from messaging.gateways import slow_gateways
from messaging.gateways.base import Capabilities

__all__ = ["CALL_GRACE", "CLAIM_LIFETIME", "claim_lifetime", "longer_lifetimes"]

CALL_GRACE = timedelta(seconds=3)
"""How long after its claim an attempt may begin its call to the gateway; after that, it gives the claim back."""

CLAIM_MARGIN = timedelta(seconds=2)


def claim_lifetime(answers_within: float) -> timedelta:
    """How long after its claim an attempt may still be at a gateway whose answer may take ``answers_within`` seconds.

    After that, another attempt may take the message over.
    """
    return CALL_GRACE + timedelta(seconds=answers_within) + CLAIM_MARGIN


CLAIM_LIFETIME = claim_lifetime(Capabilities().answers_within)
"""The lifetime of a claim for most gateways."""


def longer_lifetimes() -> dict[str, float]:
    """The lifetime in seconds, by gateway, for the gateways whose answer may take longer."""
    return {name: claim_lifetime(seconds).total_seconds() for name, seconds in slow_gateways().items()}
