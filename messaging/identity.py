"""Who is who: phones, names, words, and the IDs that make a second message of the same impossible.

Pure functions: nothing here reads a clock, an environment, a file or a database, so that workflows may use them.
"""

import hashlib
import re
import unicodedata
from collections.abc import Iterable
from uuid import UUID, uuid5

import phonenumbers

from messaging.errors import InvalidInput, InvalidPhone

__all__ = [
    "MAX_WORD_LENGTH",
    "campaign_lead_workflow_id",
    "campaign_message_id",
    "campaign_shard_workflow_id",
    "campaign_workflow_id",
    "normalise_words",
    "parse_phone",
    "sequence_message_id",
    "sequence_workflow_id",
    "validate_name",
    "validate_region",
]

MAX_WORD_LENGTH = 64
"""The longest trigger or niche, in characters."""

MESSAGES = UUID("e3157350-96cd-4eb6-b785-94f64b6114c6")
"""The namespace of message IDs. To change it is to forget every message ever sent."""

_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9._-]{0,63}")
_E164 = re.compile(r"\+[1-9][0-9]{1,14}")
_SCHEME = re.compile(r"(?:tel|whatsapp|wa)\s*:\s*", re.IGNORECASE)
_EXTENSION = re.compile(r"(?:;\s*ext\s*=|\bext(?:ension|n)?\b\.?:?|\bx|#)\s*[0-9]{1,7}$", re.IGNORECASE)
_PUNCTUATION = re.compile(r"\+?[0-9 ().\[\]/-]+")
_SCIENTIFIC = re.compile(r"\+?[0-9]+(?:[.,][0-9]+)?E\+?[0-9]+", re.IGNORECASE)
_FLOAT = re.compile(r"(\+?[0-9]+)\.0")
_SEPARATORS = re.compile(r"[,;\n、]")


def parse_phone(text: str, default_region: str | None) -> str:
    """The E.164 form of a phone number as people write it, e.g. ``+12015550123``.

    Takes national numbers of ``default_region`` (ISO 3166 code, e.g. ``MY``), international ones with ``+`` or with the
    region's own prefix (``00``, ``011``), ``tel:`` URIs, full-width and other decimal digits, and the invisible marks
    that copying from a chat leaves behind. Without a region only ``+`` numbers can be understood.

    A number with an extension is refused: behind it stands a switchboard, and the number without it is somebody else's.
    So are letters, also those of vanity numbers: in lists they are notes more often than digits.

    Raises InvalidPhone when nobody can have that number by the world's numbering plans (the ``phonenumbers`` library),
    and InvalidInput for an unknown region.
    """
    region = validate_region(default_region)
    number = _plain(text)
    if not number:
        raise InvalidPhone("the phone is empty")
    shown = _shown(text)
    if _SCIENTIFIC.fullmatch(number):
        raise InvalidPhone(
            f"{shown} is a number that a spreadsheet has rounded: format the column as text and fill it in anew"
        )
    if _EXTENSION.search(number):
        raise InvalidPhone(f"{shown} has an extension, and WhatsApp knows none: give the person's own number")
    if _PUNCTUATION.fullmatch(number) is None:
        raise InvalidPhone(f"{shown} is not a phone number: write it like +12015550123")
    if region is None and not number.startswith("+"):
        raise InvalidPhone(
            f"{shown} has no country code: write it like +12015550123, or name a default region"
        )
    try:
        parsed = phonenumbers.parse(number, region)
    except phonenumbers.NumberParseException:
        parsed = None
    if parsed is not None and phonenumbers.is_valid_number(parsed):
        e164 = phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164)
        # A few numbering plans know numbers beyond the 15 digits that E.164 allows; WhatsApp has none of them.
        if _E164.fullmatch(e164):
            return e164
    where = "" if region is None or number.startswith("+") else f" in {region} or with a country code"
    raise InvalidPhone(f"{shown} is not a phone number that anybody can have{where}: check its digits")


def _plain(text: str) -> str:
    """ASCII digits and punctuation for whatever alphabet the number was written in."""
    signs = []
    for sign in unicodedata.normalize("NFKC", text):
        category = unicodedata.category(sign)
        if category == "Nd":
            signs.append(str(unicodedata.decimal(sign)))
        elif (
            category == "Pd" or sign in "\u2212\u30fc"
        ):  # minus, and the long vowel mark of Japanese keyboards
            signs.append("-")
        elif sign.isspace():
            signs.append(" ")
        elif category != "Cf":
            signs.append(sign)
    plain = (
        "".join(signs).strip().removeprefix("'").strip()
    )  # the apostrophe tells a spreadsheet "this is text"
    plain = _SCHEME.sub("", plain, count=1) if _SCHEME.match(plain) else plain
    whole = _FLOAT.fullmatch(plain)
    return whole[1] if whole else plain


def _shown(text: str) -> str:
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
                    f"{_shown(word)} is too long: a word has at most {MAX_WORD_LENGTH} characters"
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
            f"{_shown(name)} cannot be a {what}: use 1 to 64 letters, digits, '.', '-' and '_',"
            " beginning with a letter or digit"
        )
    return name


def sequence_workflow_id(sequence: str, phone: str) -> str:
    """The workflow of one contact in one sequence. ``phone`` is E.164."""
    return f"sequence:{sequence}:{_e164(phone)}"


def campaign_workflow_id(campaign: str) -> str:
    """The workflow of a campaign."""
    return f"campaign:{campaign}"


def campaign_shard_workflow_id(campaign: str, shard: int) -> str:
    """The workflow that feeds one share of a campaign; no phone looks like its last part."""
    return f"campaign:{campaign}:shard-{shard}"


def campaign_lead_workflow_id(campaign: str, phone: str) -> str:
    """The workflow of one recipient of a campaign. ``phone`` is E.164."""
    return f"campaign:{campaign}:{_e164(phone)}"


def sequence_message_id(step_id: int, phone: str, device_id: str) -> UUID:
    """The ID of the message of one step (its row in ``sequence_steps``) to one phone from one device.

    The key is the text ``sequence-step:{step_id}:{phone}:{device_id}``, and names the columns of the constraint
    ``unique_sequence_message``. The device is part of it since a gateway keeps its idempotency keys per sender: to a
    second device it would be a new key in any case, and after a message has failed on one device, an operator may let
    another send it, as a row of its own. That no two devices have the step live at once is the ledger's partial unique
    index over (step, phone), not the ID's.
    """
    return uuid5(MESSAGES, f"sequence-step:{step_id}:{_e164(phone)}:{device_id}")


def campaign_message_id(campaign_id: int, phone: str, device_id: str) -> UUID:
    """The ID of a campaign's message to one phone from one device; the key is ``campaign:{id}:{phone}:{device}``.

    Why the device is part of it: see :func:`sequence_message_id`. It is a UUID of version 8 from SHA-256, in the manner
    of RFC 9562, appendix B.2: PostgreSQL makes the same for a whole audience at once (``campaign_message_id``), and has
    no SHA-1, which version 5 needs.
    """
    key = f"campaign:{campaign_id}:{_e164(phone)}:{device_id}"
    digest = bytearray(hashlib.sha256(MESSAGES.bytes + key.encode()).digest()[:16])
    digest[6] = digest[6] & 0x0F | 0x80
    digest[8] = digest[8] & 0x3F | 0x80
    return UUID(bytes=bytes(digest))


def _e164(phone: str) -> str:
    """Two spellings of a phone would be two people: nothing else than E.164 becomes part of an ID."""
    if _E164.fullmatch(phone) is None:
        raise InvalidPhone(f"{_shown(phone)} is not in the form +12015550123")
    return phone
