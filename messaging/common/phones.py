"""Phone numbers as people write them, and the one form of each.

Digits that stand apart are never joined to a number that is complete without them: a field with two numbers, or with a
number and something else, is read as its first full number, or refused.
"""

import re
import unicodedata
from collections.abc import Iterator
from typing import NamedTuple

import phonenumbers

from messaging.common.errors import InvalidInput, InvalidPhone
from messaging.common.phone_pieces import NoNumberError, read_piece, where
from messaging.common.whatsapp_numbers import canonical_phone

__all__ = ["PhoneReading", "parse_phone", "quoted", "read_phone", "require_e164", "validate_region"]


_E164 = re.compile(r"\+[1-9][0-9]{1,14}")


def require_e164(phone: str) -> str:
    """Two spellings of a phone would be two leads: nothing but the one form of it becomes part of an ID."""
    if _E164.fullmatch(phone) is None:
        raise InvalidPhone(f"{quoted(phone)} is not in the form +12015550123")
    return canonical_phone(phone)


# What stands before a number to say that it is one; "p:" is of Facebook's lead forms.
_LABEL = re.compile(
    r"(?:tel|telp|phone|mobile|mobil|mob|cell|hp|whatsapp|wa|p|m|t)[\s:.]+(?=[+(0-9])", re.IGNORECASE
)
_LINK = re.compile(
    r"(?:https?://)?(?:wa\.me/|(?:api|web)\.whatsapp\.com/send/?\?phone=)\+?([0-9]+)(?:[/?&].*)?"
    r"|\+?([0-9]+)@(?:s\.whatsapp\.net|c\.us)",
    re.IGNORECASE,
)
_WORDS_BETWEEN = (
    *("or", "and", "oder", "und", "ou", "et", "o", "u", "y", "e", "ed", "of", "en", "eller", "och", "og", "tai", "ja"),
    *("atau", "dan", "lub", "albo", "i", "oraz", "nebo", "a", "vagy", "és", "sau", "și", "veya", "ya da", "ve"),
    *("или", "и", "або", "та", "và", "hoặc", "หรือ", "และ", "या", "और", "أو", "و", "یا", "או", "或者", "或", "和", "又は", "または"),  # noqa: RUF001
    *("및", "또는", "η", "ή", "και", "at", "ama", "au", "na"),
)  # fmt: skip
_BETWEEN = re.compile(
    r"\s*(?:[,|&\n]|;(?!\s*ext\s*=)|:::|(?<=[0-9]{2}[0-9)])[\s./\\(-]*(?=\+)|(?<![^\W\d_])(?:"
    + "|".join(sorted(map(re.escape, _WORDS_BETWEEN), key=len, reverse=True))
    + r")(?![^\W\d_]))\s*",
    re.IGNORECASE,
)
_SCIENTIFIC = re.compile(r"\+?[0-9]+(?:[.,][0-9]+)?E\+?[0-9]+", re.IGNORECASE)
_FLOAT = re.compile(r"(\+?[0-9]+)[.,]0+")
_LONGEST = 200
"""The most characters of a field for a phone: what is found out about longer ones takes its time."""


class PhoneReading(NamedTuple):
    """What was read in a field for a phone."""

    phone: str
    """The form of it that WhatsApp has: see :mod:`messaging.common.whatsapp_numbers`."""
    written: str
    """The same in E.164 as it was written: differs where one account has two spellings."""
    landline: bool
    """Whether it can be nothing but a landline."""
    doubtful: str | None
    """Where the spelling can also be another line's: how that shows."""
    complete: bool
    """Whether it was written with its country code, but without a ``+``, and is of another country than the region."""
    left: str | None
    """What else the field holds: further numbers, the last digits of one, a word."""


def parse_phone(text: str, default_region: str | None) -> str:
    """The form in which WhatsApp knows a phone number as people write it, e.g. ``+12015550123``; again on it: the same.

    Takes national numbers of ``default_region`` (ISO 3166 code, e.g. ``MY``), international ones with ``+``, ``00`` or
    the region's own prefix (``011``), ``tel:`` URIs and the like, links to wa.me, full-width and other decimal digits,
    and the invisible marks that copying from a chat leaves behind. A complete number without ``+`` is taken where it can
    be no national mobile of any country.

    A field with more than one number is refused; so is one with an extension: behind it stands a switchboard, and the
    number without it belongs to another phone. So are letters, also those of vanity numbers: in lists they are notes more often
    than digits.

    Raises InvalidPhone when nobody can have that number by the world's numbering plans (the ``phonenumbers`` library),
    and InvalidInput for an unknown region.
    """
    reading = read_phone(text, default_region)
    if reading.left is not None:
        raise InvalidPhone(f"{quoted(text)} holds more than one number: give one")
    return reading.phone


def read_phone(text: str, default_region: str | None) -> PhoneReading:
    """The first full number of a field; ``left`` is what else stands there. As :func:`parse_phone` otherwise.

    Numbers stand apart by comma, semicolon, bar, ampersand, ``:::``, a line break, a second ``+``, words such as *or*,
    *oder*, *atau*; by a slash where the part before it is complete (``030/1234567`` is one number); by blanks where both
    parts are. Where it cannot be told, the field is refused.
    """
    region = validate_region(default_region)
    field = _to_ascii(text)
    if not field:
        raise InvalidPhone("the phone is empty")
    if len(field) > _LONGEST:
        raise InvalidPhone(f"{quoted(text)} is too long for a phone: leave one number")
    if _SCIENTIFIC.fullmatch(field):
        raise InvalidPhone(
            f"{quoted(text)} is a number that a spreadsheet has rounded: format the column as text and fill it in anew"
        )
    if link := _LINK.fullmatch(field):
        field = f"+{link[1] or link[2]}"
    pieces = [piece for piece in _BETWEEN.split(field) if piece.strip(" .-/")]
    first: InvalidPhone | None = None
    for place, piece in enumerate(pieces):
        try:
            number, complete, left = read_piece(
                _LABEL.sub("", piece, count=1) if _LABEL.match(piece) else piece, region
            )
        except NoNumberError as error:
            first = first or InvalidPhone(str(error).format(quoted(text)))
            continue
        others = [*pieces[:place], *([left] if left else []), *pieces[place + 1 :]]
        return PhoneReading(
            number.phone,
            number.written,
            number.landline,
            number.doubtful,
            complete,
            "; ".join(others) or None,
        )
    if len(pieces) > 1 and first is not None and "extension" not in str(first):
        raise InvalidPhone(
            f"{quoted(text)} holds several parts, and none is a full phone number{where(region, field)}"
        )
    raise first or InvalidPhone(f"{quoted(text)} is not a phone number: write it like +12015550123")


def _to_ascii(text: str) -> str:
    """ASCII digits and punctuation for whatever alphabet the number was written in."""
    text = text.strip()
    plain = text if text.isascii() and text.isprintable() else "".join(_signs(text))
    # The apostrophe tells a spreadsheet "this is text".
    plain = plain.strip().removeprefix("'").strip()
    whole = _FLOAT.fullmatch(plain)
    return whole[1] if whole else plain


def _signs(text: str) -> Iterator[str]:
    for sign in unicodedata.normalize("NFKC", text):
        category = unicodedata.category(sign)
        if category == "Nd":
            yield str(unicodedata.decimal(sign))
        elif category == "Pd" or sign in "\u2212\u30fc":
            yield "-"  # minus, and the long vowel mark of Japanese keyboards
        elif sign in "\n\r\v\f\x85\u2028\u2029":
            yield "\n"
        elif sign in "\u3001\u060c\u00b7\u2022":
            yield ","  # commas of other scripts, and dots in the middle of a line
        elif sign.isspace():
            yield " "
        elif category != "Cf":
            yield sign


def quoted(text: str) -> str:
    """A value as a message shows it: quoted, on one line, and cut off where it is long."""
    text = text.strip()
    return repr(text if len(text) <= 40 else text[:39] + "…")


def validate_region(region: str | None) -> str | None:
    """The ISO 3166 code of a numbering region in upper case, None for none.

    Raises InvalidInput for a region that has no numbering plan.
    """
    if region is None:
        return None
    code = region.strip().upper()
    if code not in phonenumbers.SUPPORTED_REGIONS:
        hint = "GB" if code == "UK" else "for example MY, US or DE"
        raise InvalidInput(f"there is no region {region!r}: give a two-letter country code, {hint}")
    return code
