"""What is said of a device that is paused."""

__all__ = ["paused_words"]

_PARKED = "parked "
"""How the reason begins when Drumbeat itself has paused it."""


def paused_words(reason: str | None) -> str:
    """``is paused: REASON``; or ``is parked after 3 failures in a row: REASON``, if it was not a person who paused it."""
    if reason and reason.startswith(_PARKED):
        return f"is {reason}"
    return f"is paused: {reason}" if reason else "is paused"
