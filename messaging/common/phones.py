"""Reads phone numbers as people write them, and gives each its one form.

Separate digits are never joined to a number that is complete without them. A field with two numbers, or with a number
and something else, is read as its first full number, or refused.
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
    """Only the one form of a phone may be part of an ID: two spellings would be two leads."""
    if _E164.fullmatch(phone) is None:
        raise InvalidPhone(f"{quoted(phone)} is not in the form +12015550123")
    return canonical_phone(phone)


# Prefixes that mark a phone number; "p:" is from Facebook's lead forms.
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
"""The most characters of a phone field: parsing a longer one takes too long."""


class PhoneReading(NamedTuple):
    """The result of reading a phone field."""

    phone: str
    """The form that WhatsApp has: see :mod:`messaging.common.whatsapp_numbers`."""
    written: str
    """The number in E.164 as it was written: it differs if one account has two spellings."""
    landline: bool
    """True if it can only be a landline."""
    doubtful: str | None
    """Why the spelling could also be another line's number, if it could."""
    complete: bool
    """True if it was written with its country code but without ``+``, and belongs to another country than the
    region.
    """
    left: str | None
    """What else the field contains: more numbers, the last digits of one, a word."""


def parse_phone(text: str, default_region: str | None) -> str:
    """The form in which WhatsApp knows a phone number, e.g. ``+12015550123``. Parsing the result gives it unchanged.

    Takes national numbers of ``default_region`` (ISO 3166 code, e.g. ``MY``), international ones with ``+``, ``00`` or
    the region's own prefix (``011``), ``tel:`` URIs and the like, links to wa.me, full-width and other decimal digits,
    and the invisible marks that copying from a chat leaves behind. A complete number without ``+`` is accepted if it
    cannot be a national mobile number of any country.

    A field with more than one number is refused. So is a number with an extension, as it belongs to a switchboard. So
    are letters, even in vanity numbers: in lists they are more often notes than digits.

    Raises InvalidPhone if the number cannot exist by the world's numbering plans (the ``phonenumbers`` library),
    and InvalidInput for an unknown region.
    """
    reading = read_phone(text, default_region)
    if reading.left is not None:
        raise InvalidPhone(f"{quoted(text)} holds more than one number: give one")
    return reading.phone


def read_phone(text: str, default_region: str | None) -> PhoneReading:
    """Like :func:`parse_phone`, but takes the first full number of a field; ``left`` is the rest of the field.

    Numbers are separated by a comma, semicolon, bar, ampersand, ``:::``, line break, a second ``+``, or words such as
    *or*, *oder*, *atau*; by a slash if the part before it is complete (``030/1234567`` is one number); by blanks if
    both parts are complete. An ambiguous field is refused.
    """
    region = validate_region(default_region)
    field = _to_ascii(text)
    if not field:
        raise InvalidPhone("the phone is empty")
    if len(field) > _LONGEST:
        raise InvalidPhone(f"{quoted(text)} is too long for a phone: leave one number")
    if _SCIENTIFIC.fullmatch(field):
        raise InvalidPhone(
            f"{quoted(text)} is a number that a spreadsheet has rounded: format the column as text and fill it in again"
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
    """The text with ASCII digits and punctuation, whatever script the number was written in."""
    text = text.strip()
    plain = text if text.isascii() and text.isprintable() else "".join(_signs(text))
    # In spreadsheets, a leading apostrophe marks a text.
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
    """A value for an error text: quoted, on one line, and cut if it is long."""
    text = text.strip()
    return repr(text if len(text) <= 40 else text[:39] + "…")


def validate_region(region: str | None) -> str | None:
    """The ISO 3166 code of a region in upper case; None for None.

    Raises InvalidInput for a region that has no numbering plan.
    """
    if region is None:
        return None
    code = region.strip().upper()
    if code not in phonenumbers.SUPPORTED_REGIONS:
        hint = "GB" if code == "UK" else "for example MY, US or DE"
        raise InvalidInput(f"there is no region {region!r}: give a two-letter country code, {hint}")
    return code
