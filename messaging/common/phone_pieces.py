"""Reads one number in a phone field: which digits belong to it, and whether such a number can exist."""

import re
from functools import lru_cache
from itertools import pairwise

import phonenumbers
from phonenumbers import PhoneMetadata

from messaging.common.whatsapp_numbers import AccountNumber, account_number

__all__ = ["NoNumberError", "read_piece", "where"]

_EXTENSION = re.compile(
    r"(?:;\s*ext\s*=|[xX#]|(?<![^\W\d_])(?:ext(?:ension|n)?|extensi[oó]n|durchwahl|dw|poste|interno|int|anexo|ramal|toestel|"
    r"wewn?|linia|доб(?:авочный)?|вн|分机|内线|内線)(?![^\W\d_]))[\s.:]*[0-9]{1,7}\s*",
    re.IGNORECASE,
)
_PUNCTUATION = re.compile(r"\(?\+?[0-9 ().\[\]/\\-]+")
_GROUP = re.compile(r"[0-9]+")
_SLASH = re.compile(r"[/\\]")
_LETTER = re.compile(r"[^\W\d_]")
_SHORTEST = 7
"""The fewest digits of what can be a full number beside another one."""


class NoNumberError(Exception):
    """Why a piece of a field is no number; ``{}`` stands for the field."""


def read_piece(piece: str, region: str | None) -> tuple[AccountNumber, bool, str | None]:
    """The number of a piece, whether it was complete without ``+``, and what is left of the piece. Raises NoNumberError."""
    piece = piece.strip()
    if _EXTENSION.search(piece):
        raise NoNumberError("{} has an extension, and WhatsApp knows none: give the person's own number")
    if _PUNCTUATION.fullmatch(piece) is None:
        beside = ", without words beside it" if _LETTER.search(piece) and _GROUP.search(piece) else ""
        raise NoNumberError("{} is not a phone number: write it like +12015550123" + beside)
    whole = _number(piece, region)
    split = (
        _split_at_slash(piece, region, whole)
        if _SLASH.search(piece)
        else _split_at_blank(piece, region, whole)
    )
    if split is not None:
        return split
    if whole is not None:
        return *whole, None
    if _complete(piece) is not None:
        raise NoNumberError(
            "{} can be a number of more than one country: write it with + and the country code"
        )
    if region is None and not piece.lstrip("(").startswith(("+", "00")):
        raise NoNumberError("{} has no country code: write it like +12015550123, or name a default region")
    raise NoNumberError(
        "{} is not a phone number that anybody can have" + where(region, piece) + ": check its digits"
    )


def _split_at_slash(
    piece: str, region: str | None, whole: tuple[AccountNumber, bool] | None
) -> tuple[AccountNumber, bool, str] | None:
    """The first number of a piece with slashes, if it is not one number: ``0812-3456-7890/1``, ``… / 0813-…``."""
    for slash in _SLASH.finditer(piece):
        before, after = piece[: slash.start()], piece[slash.end() :]
        found = _number(before, region) if _digits(before) >= _SHORTEST else None
        if found is None or not _digits(after):
            continue
        if whole is None or (_digits(after) <= 2 and found[0].mobile):
            return *found, after.strip()
        raise NoNumberError("{} can be one number or two: leave one, without a slash")
    if whole is None:
        for slash in _SLASH.finditer(piece):
            after = piece[slash.end() :]
            if _digits(after) >= _SHORTEST and (found := _number(after, region)) is not None:
                return *found, piece[: slash.start()].strip()
    return None


def _split_at_blank(
    piece: str, region: str | None, whole: tuple[AccountNumber, bool] | None
) -> tuple[AccountNumber, bool, str] | None:
    """The first of two numbers that only blanks or punctuation part, None for one number."""
    groups = list(_GROUP.finditer(piece))
    for earlier, later in pairwise(groups):
        before, after = piece[: earlier.end()], piece[later.start() :]
        if whole is not None and not later[0].startswith("0"):
            continue
        if min(_digits(before), _digits(after)) < _SHORTEST:
            continue
        found = _number(before, region)
        if found is not None and _number(after, region) is not None:
            return *found, after.strip()
    if whole is not None and len(groups) > 1 and len(groups[-1][0]) <= 2 < len(groups[-2][0]):
        # 0812-3456-7890 1: one mobile and the last digit of another, or one with a digit more?
        found = _number(piece[: groups[-2].end()], region)
        if found is not None and found[0].mobile:
            raise NoNumberError(
                "{} can be one number or two: leave one, without a gap before its last digits"
            )
    return None


def _number(text: str, region: str | None) -> tuple[AccountNumber, bool] | None:
    """The number, and whether it was complete without ``+``; None where nobody can have it."""
    text = text.strip(" .-/\\")
    if region is None and text.startswith("00"):
        text = f"+{text[2:]}"
    if region is not None or text.lstrip("(").startswith("+"):
        found = _parsed(text, region)
        if found is not None:
            return found, False
    found = _complete(text)
    return None if found is None or _may_be_national(text) else (found, True)


def _complete(text: str) -> AccountNumber | None:
    """The mobile of a text that begins with its country code, without ``+``: in one run of digits, or with a gap behind it."""
    groups = _GROUP.findall(text)
    if text.startswith(("+", "0", "(")) or not groups:
        return None
    found = _parsed(f"+{''.join(groups)}", None)
    if found is None or found.landline:
        return None
    return found if len(groups) == 1 or found.country == groups[0] else None


def _parsed(text: str, region: str | None) -> AccountNumber | None:
    try:
        return account_number(phonenumbers.parse(text, region))
    except phonenumbers.NumberParseException:
        return None


def _may_be_national(text: str) -> bool:
    """Whether a country has mobiles of these digits without a country code: 13012345678 is Chinese, or of Maryland."""
    digits = "".join(_GROUP.findall(text))
    return any(pattern.fullmatch(digits) for pattern in _national_mobiles())


@lru_cache(maxsize=1)
def _national_mobiles() -> tuple[re.Pattern[str], ...]:
    patterns = set()
    for region in phonenumbers.SUPPORTED_REGIONS:
        metadata = PhoneMetadata.metadata_for_region(region, None)
        if metadata is not None and metadata.mobile is not None and metadata.mobile.national_number_pattern:
            patterns.add(metadata.mobile.national_number_pattern)
    return tuple(re.compile(pattern) for pattern in sorted(patterns))


def _digits(text: str) -> int:
    return sum(map(len, _GROUP.findall(text)))


def where(region: str | None, number: str) -> str:
    """The end of a sentence about a number that is none: by which numbering plan."""
    return "" if region is None or number.startswith("+") else f" in {region} or with a country code"
