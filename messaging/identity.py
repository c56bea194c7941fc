"""Who is who: phones, names, words, and the IDs that make a second message of the same impossible.

Pure functions: nothing here reads a clock, an environment, a file or a database, so that workflows may use them.
"""

import hashlib
import re
import unicodedata
from collections.abc import Iterable
from uuid import UUID, uuid5

from messaging.errors import InvalidInput, InvalidPhone
from messaging.phones import parse_phone, shown, validate_region
from messaging.whatsapp_numbers import canonical_phone

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
                    f"{shown(word)} is too long: a word has at most {MAX_WORD_LENGTH} characters"
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
            f"{shown(name)} cannot be a {what}: use 1 to 64 letters, digits, '.', '-' and '_',"
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


def sequence_message_id(step_id: int, phone: str) -> UUID:
    """The ID of the message of one step (its row in ``sequence_steps``) to one phone; the key is ``sequence-step:{id}:{phone}``.

    The device is no part of it: a message that is given to another device, since its own was replaced, stays the same
    message, with the same row in the ledger.
    """
    return uuid5(MESSAGES, f"sequence-step:{step_id}:{_e164(phone)}")


def campaign_message_id(campaign_id: int, phone: str) -> UUID:
    """The ID of a campaign's message to one phone; the key is ``campaign:{id}:{phone}``.

    It is a UUID of version 8 from SHA-256, in the manner of RFC 9562, appendix B.2: PostgreSQL makes the same for a
    whole audience at once (``campaign_message_id``), and has no SHA-1, which version 5 needs.
    """
    key = f"campaign:{campaign_id}:{_e164(phone)}"
    digest = bytearray(hashlib.sha256(MESSAGES.bytes + key.encode()).digest()[:16])
    digest[6] = digest[6] & 0x0F | 0x80
    digest[8] = digest[8] & 0x3F | 0x80
    return UUID(bytes=bytes(digest))


def _e164(phone: str) -> str:
    """Two spellings of a phone would be two people: nothing but the one form of it becomes part of an ID."""
    if _E164.fullmatch(phone) is None:
        raise InvalidPhone(f"{shown(phone)} is not in the form +12015550123")
    return canonical_phone(phone)
