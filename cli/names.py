"""Names for the shell's completion: of sequences, campaigns and devices, as they are stored now.

A key is pressed and a person waits: so nothing is started, nothing is brought up to date, and what does not answer at once has no
names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

__all__ = ["among", "campaigns", "devices", "sequences", "sequences_and_campaigns", "steps_too", "triggers"]

PATIENCE = 1.0
"""Seconds for the database's answer."""

Complete = Callable[[str], list[str]]


def among(words: Iterable[str]) -> Complete:
    """Completes one of these words."""
    known = list(words)
    return lambda incomplete: [word for word in known if word.startswith(incomplete)]


def sequences(incomplete: str) -> list[str]:
    """Completes the name of a sequence."""
    return _named(incomplete, "sequence")


def campaigns(incomplete: str) -> list[str]:
    """Completes the name of a campaign."""
    return _named(incomplete, "campaign")


def devices(incomplete: str) -> list[str]:
    """Completes the ID of a device."""
    return _named(incomplete, "device")


def triggers(incomplete: str) -> list[str]:
    """Completes the trigger of a sequence."""
    return _named(incomplete, "trigger")


def sequences_and_campaigns(incomplete: str) -> list[str]:
    """Completes the name of a sequence or a campaign."""
    return _named(incomplete, "sequence", "campaign")


def steps_too(incomplete: str) -> list[str]:
    """Completes the name of a sequence or a campaign, and behind a slash the step of a sequence."""
    return _named(incomplete, "steps") if "/" in incomplete else sequences_and_campaigns(incomplete)


def _named(incomplete: str, *kinds: str) -> list[str]:
    import asyncio

    try:
        names = asyncio.run(_ask(kinds))
    except Exception:  # noqa: BLE001 - whatever it is, there is nobody to tell: the shell shows no names
        return []
    return [name for name in names if name.startswith(incomplete)]


async def _ask(kinds: tuple[str, ...]) -> list[str]:
    import asyncio

    from messaging.selection.stored_names import stored_names
    from runtime.servers import known_database

    url = known_database()
    if url is None:
        return []
    async with asyncio.timeout(PATIENCE):
        return await stored_names(url, kinds)
