"""Suggests the word that a person probably meant."""

from collections.abc import Iterable
from difflib import get_close_matches

__all__ = ["did_you_mean"]

_LONGEST = 100
"""Characters of a word that are compared, as the time grows with the square of the length."""


def did_you_mean(word: str, choices: Iterable[str], *, nearness: float = 0.6) -> str:
    """``did you mean 'name'?`` if a choice is similar or begins with ``word``, else ``known are …``, else an empty
    text. Case does not matter.

    ``nearness``: from 0 (anything will do) to 1 (the same word).
    """
    known = list(choices)
    word = word[:_LONGEST]
    by_fold = {choice.casefold(): choice for choice in sorted(known, reverse=True)}
    near = get_close_matches(word.casefold(), by_fold, n=1, cutoff=nearness) or [
        fold for fold in by_fold if len(word) > 2 and fold.startswith(word.casefold())
    ]
    if len(near) == 1:
        return f"did you mean {by_fold[near[0]]!r}?"
    return f"known are {', '.join(known)}" if known else ""
