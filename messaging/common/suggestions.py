"""Suggests the word that a person probably meant."""

from collections.abc import Iterable
from difflib import get_close_matches

__all__ = ["did_you_mean", "similar"]

_LONGEST = 100
"""Characters of a word that are compared, as the time grows with the square of the length."""


def similar(word: str, choices: Iterable[str], *, nearness: float = 0.6) -> str | None:
    """The choice that is similar to a word, or the only one that begins with it; None if there is none.

    Case does not matter. ``nearness``: from 0 (anything will do) to 1 (the same word).
    """
    word = word[:_LONGEST]
    by_fold = {choice.casefold(): choice for choice in sorted(choices, reverse=True)}
    near = get_close_matches(word.casefold(), by_fold, n=1, cutoff=nearness) or [
        fold for fold in by_fold if len(word) > 2 and fold.startswith(word.casefold())
    ]
    return by_fold[near[0]] if len(near) == 1 else None


def did_you_mean(word: str, choices: Iterable[str], *, nearness: float = 0.6) -> str:
    """``did you mean 'name'?`` if a choice is :func:`similar`, else ``known are …``, else an empty text."""
    known = list(choices)
    meant = similar(word, known, nearness=nearness)
    if meant is not None:
        return f"did you mean {meant!r}?"
    return f"known are {', '.join(known)}" if known else ""
