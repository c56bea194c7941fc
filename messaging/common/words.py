"""How names, triggers and niches are written and compared."""

import re
import unicodedata
from collections.abc import Iterable

from messaging.common.errors import InvalidInput
from messaging.common.phones import quoted

__all__ = ["MAX_WORD_LENGTH", "normalise_words", "validate_name"]


MAX_WORD_LENGTH = 64
"""The longest trigger or niche, in characters."""


_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9._-]{0,63}")


_SEPARATORS = re.compile(r"[,;\n、]")


def normalise_words(words: str | Iterable[str]) -> tuple[str, ...]:
    """Triggers or niches as they are stored and compared: ``"COLDVITAC, exstart "`` is ``("COLDVITAC", "EXSTART")``.

    A text is a list with commas, semicolons or line breaks. Words are upper-cased, stripped, full-width letters become
    plain, inner spaces single, invisible characters vanish, and a repeat is dropped; the order stays.

    Raises InvalidInput for a word of more than 64 characters, which is a sentence in the wrong column.
    """
    if isinstance(words, str):
        words = [words]
    found: dict[str, None] = {}
    for text in words:
        for piece in _SEPARATORS.split(unicodedata.normalize("NFKC", text)):
            word = _normalise_word(piece)
            if len(word) > MAX_WORD_LENGTH:
                raise InvalidInput(
                    f"{quoted(word)} is too long: a word has at most {MAX_WORD_LENGTH} characters"
                )
            if word:
                found[word] = None
    return tuple(found)


def _normalise_word(piece: str) -> str:
    upper = unicodedata.normalize("NFKC", piece.upper())
    visible = "".join(
        sign for sign in upper if sign.isspace() or unicodedata.category(sign) not in {"Cc", "Cf", "Cs"}
    )
    return " ".join(visible.split())


def validate_name(name: str, what: str = "name") -> str:
    """The name of a device, sequence, campaign or step; ``what`` names it in the error.

    Raises InvalidInput unless it is 1 to 64 ASCII letters, digits, dots, hyphens and underscores and begins with a
    letter or digit. So it never holds the colon that separates the parts of an ID.
    """
    if _NAME.fullmatch(name) is None:
        raise InvalidInput(
            f"{quoted(name)} cannot be a {what}: use 1 to 64 letters, digits, '.', '-' and '_',"
            " beginning with a letter or digit"
        )
    return name
