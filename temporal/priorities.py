"""Whose tasks go first when more of them wait than workers can take, by Temporal's own keys.

A campaign can wait for a moment, while the step of a sequence is due at a moment. Campaigns' messages have a lower priority than what has
none, so contacts that sleep since a release before need no change. Within a priority, devices take turns (*fairness*), so one
with much to send does not delay the others.
"""

from temporalio.common import Priority

__all__ = ["of_campaign", "of_device"]

AFTER_OTHERS = 4
"""Of 1 to 5. What names none has 3."""

LONGEST = 64
"""Bytes of a key."""


def of_device(device_id: str | None) -> Priority:
    """Of what is due for a device, or for a device that is not known yet."""
    return Priority(fairness_key=_key(device_id))


def of_campaign(device_id: str) -> Priority:
    """Of a campaign's message."""
    return Priority(priority_key=AFTER_OTHERS, fairness_key=_key(device_id))


def _key(device_id: str | None) -> str | None:
    return device_id.encode()[:LONGEST].decode(errors="ignore") if device_id else None
