"""Cleans and checks the data of leads, from files and from services.

Both use the same rules, so that an export that is imported again gives the same leads.
"""

import re
import unicodedata
from collections.abc import Iterable
from contextlib import suppress
from functools import lru_cache

from messaging.common.errors import InvalidInput
from messaging.common.words import normalise_words
from messaging.leads.consent import Consent
from messaging.leads.lead import Lead, TargetStatus
from messaging.times.zones import check_time_zone

__all__ = [
    "FIELD_NAMES",
    "TAGS",
    "attribute_name",
    "attribute_names",
    "clean_lead",
    "clean_text",
    "parse_target_status",
    "printable",
]

FIELD_NAMES = frozenset(
    {
        *("phone", "name", "niche", "niches", "trigger", "triggers", "target_status", "device", "device_id"),
        *("time_zone", "consent", "consent_at", "consent_source", "import_row", "import_error"),
    }
)
"""Names that an attribute cannot have, as Drumbeat's own columns and template variables have them."""

TAGS = "tags"
"""The attribute that holds a lead's tags: words, as niches are."""

_MAX_ATTRIBUTE_NAME = 64

_MAX_VALUE = 32_767
"""Characters; Microsoft, "Excel specifications and limits": "Total number of characters that a cell can contain"."""

_NO_WORD = re.compile(r"\W+")
# All control characters except tab and line breaks, and halves of surrogate pairs; PostgreSQL cannot store NUL or the
# latter.
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")


def clean_text(text: str, what: str) -> str:
    """A value in its stored form: without white space around it, otherwise as it was written.

    Raises InvalidInput for control characters other than tab and line breaks, and for what is longer than a spreadsheet's
    cell can be; ``what`` names the value in the error.
    """
    text = text.strip()
    if len(text) > _MAX_VALUE:
        raise InvalidInput(f"{what} has {len(text):,} characters, at most {_MAX_VALUE:,}")
    if not text.isprintable() and (found := _CONTROL.search(text)):
        raise InvalidInput(f"{what} contains the control character U+{ord(found[0]):04X}: delete it")
    return text


def printable(text: str) -> str:
    """The text with a blank for each character that clean_text() refuses; of a text that no author can correct."""
    return _CONTROL.sub(" ", text)


def parse_target_status(text: str) -> TargetStatus | None:
    """``prospect`` or ``customer`` in any case, None for an empty text. Raises InvalidInput for another word."""
    word = text.strip().lower()
    if not word:
        return None
    try:
        return TargetStatus(word)
    except ValueError:
        raise InvalidInput(
            f"target status {text.strip()[:40]!r} is neither 'prospect' nor 'customer'"
        ) from None


def attribute_names(names: Iterable[str]) -> list[str]:
    """The names under which attributes are stored and templates find them: ``First Name`` becomes ``first_name``.

    A name that a field or an earlier attribute already has gets ``_2``, ``_3`` and so on; one without a letter or digit
    becomes ``column``. Applying this twice changes nothing more.
    """
    taken = set(FIELD_NAMES)
    result = []
    for name in names:
        base = attribute_name(name) or "column"
        unique, number = base, 1
        while unique in taken:
            number += 1
            suffix = f"_{number}"
            unique = base[: _MAX_ATTRIBUTE_NAME - len(suffix)] + suffix
        taken.add(unique)
        result.append(unique)
    return result


@lru_cache(maxsize=1024)  # the same few columns for every row
def attribute_name(name: str) -> str:
    """A column's name as an identifier: lower case, and one underscore for whatever is no letter or digit."""
    lower = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).lower())
    return _NO_WORD.sub("_", lower).strip("_")[:_MAX_ATTRIBUTE_NAME].rstrip("_")


def clean_lead(lead: Lead) -> Lead:
    """The lead in its stored form: texts stripped, triggers and niches normalised, attributes named for templates.

    Attributes without a value are left out. Tags become words, unless one is a sentence, which stays as it is. Raises InvalidInput for what cannot be stored: control characters, an
    unknown time zone, a trigger that is a sentence.
    """
    names = attribute_names(lead.attributes)
    values = (clean_text(value, f"attribute {name!r}") for name, value in lead.attributes.items())
    time_zone = (lead.time_zone or "").strip()
    attributes = {name: value for name, value in zip(names, values, strict=True) if value}
    if TAGS in attributes:
        with suppress(InvalidInput):
            attributes[TAGS] = ", ".join(normalise_words(attributes[TAGS]))
    return Lead(
        phone=lead.phone,
        name=clean_text(lead.name, "the name"),
        niches=normalise_words(lead.niches),
        triggers=normalise_words(lead.triggers),
        target_status=lead.target_status,
        device_id=lead.device_id or None,
        time_zone=check_time_zone(time_zone) if time_zone else None,
        attributes=attributes,
        consent=lead.consent and _clean_consent(lead.consent),
    )


def _clean_consent(consent: Consent) -> Consent:
    return consent.model_copy(update={"note": clean_text(consent.note or "", "the note on consent") or None})
