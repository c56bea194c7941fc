"""Consent: whether a person agreed to be written to, when, and what shows it.

The rule by which a new word on it is merged into what is stored is the SQL function ``consent_after``.
"""

import re
from datetime import UTC, datetime
from typing import Literal, get_args

from messaging.common.errors import InvalidInput
from messaging.common.keywords import fold
from messaging.common.phones import quoted
from messaging.common.values import Value

__all__ = ["Consent", "ConsentSource", "consent_of", "read_consent", "stated"]

ConsentSource = Literal["import", "enrollment", "inbound"]
"""How the word on it came: in a file, with an enrollment, or in a message of the person."""


class Consent(Value):
    """A word on a lead's consent. ``given``: False takes it back."""

    given: bool = True
    at: datetime | None = None
    """When it was given or taken back, aware; None: not said, so it counts from when it is stored."""
    note: str | None = None
    """What shows it: ``signed form 12``; None: nothing but yes or no."""
    source: ConsentSource


_SOURCES: tuple[ConsentSource, ...] = get_args(ConsentSource)

_TICKS, _CROSSES = "✓✔☑✅", "✗✘☒❌"


def _words(listed: str) -> frozenset[str]:
    return frozenset(map(fold, listed.split(", ")))


_YES = _words(
    "yes, y, true, t, 1, x, ok, okay, given, granted, agreed, I agree, accepted, consented, opt in, opted in, optin, subscribed,"
    " ya, setuju, sí, s, sim, oui, o, ja, j, da, sì, vero, evet, có, đồng ý, wahr, vrai, verdadero, verdadeiro, waar, doğru,"
    " да, истина, 是, 有, 同意, 已同意, はい, 同意する, 예, 네, 동의, ใช่, ยินยอม, نعم, موافق, हाँ, हां"
)
_NO = _words(
    "no, n, false, f, 0, not given, not yet, none given, no consent, not consented, refused, declined, denied, withdrawn, revoked,"
    " opt out, opted out, optout, unsubscribed, tidak, tak, bukan, belum, non, nein, não, nee, hayir, không, falsch, faux, falso,"
    " onwaar, yanliş, нет, ложь, 否, 无, 無, 不, 不同意, 未同意, いいえ, 同意しない, 아니요, 아니오, ไม่, ไม่ยินยอม, لا, नहीं"
)
_NOTHING = _words("n/a, na, none, null, nil, unknown, not known, pending, tbd, unbekannt")
# A text that begins so is more likely a no than a note on how consent was given.
_DOUBTFUL = _words(
    "no, not, non, never, without, withdrawn, revoked, declined, refused, denied, unsubscribed, optout, nein, nicht, kein, keine,"
    " ohne, tidak, tak, belum, tanpa, bukan, não, sem, sin, sans, pas, niet, geen, senza, không, нет, не, без"
)

_DAY_FIRST = re.compile(r"(\d{1,2})\.(\d{1,2})\.(\d{4})(?=$|[ ,T])")
_SLASHES = re.compile(r"^(\d{4})[/.-](\d{1,2})[/.-](\d{1,2})(?=$|[ T])")
_SPACED_ZONE = re.compile(r"\s+(Z|UTC|GMT|[+-]\d{2}:?\d{2})$", re.IGNORECASE)


def read_consent(text: str) -> tuple[bool, str | None] | None:
    """Yes or no, in some languages; or how consent was given, which is a yes with a note. None for a text that says nothing.

    Raises InvalidInput for a longer text that begins like a no.
    """
    text = text.strip()
    if text and text in _TICKS + _CROSSES:
        return text in _TICKS, None
    folded = fold(text)
    if not folded or folded in _NOTHING:
        return None
    if folded in _YES or folded in _NO:
        return folded in _YES, None
    if folded.split()[0] in _DOUBTFUL:
        raise InvalidInput(f"consent {quoted(text)} may be a no: write 'no', 'yes', or how it was given")
    return True, text


def read_moment(text: str) -> datetime | None:
    """A date, perhaps with a time; in UTC where it names no zone. None for an empty text.

    Raises InvalidInput for a text that is none, for one in which month and day cannot be told apart, and for one that is not in the past.
    """
    written = text.strip()
    if not written:
        return None
    iso = _DAY_FIRST.sub(lambda found: f"{found[3]}-{found[2]:0>2}-{found[1]:0>2}", written)
    iso = _SLASHES.sub(lambda found: f"{found[1]}-{found[2]:0>2}-{found[3]:0>2}", iso)
    iso = _SPACED_ZONE.sub(lambda zone: "Z" if zone[1].isalpha() else zone[1], iso).replace(", ", " ")
    try:
        moment = datetime.fromisoformat(iso)
    except ValueError:
        raise InvalidInput(
            f"{quoted(written)} is not a date: write it as 2026-01-31, or 2026-01-31 10:00"
        ) from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    if not datetime(1990, 1, 1, tzinfo=UTC) <= moment <= datetime.now(UTC):
        raise InvalidInput(f"{quoted(written)} is no moment at which somebody can have agreed to messages")
    return moment


def consent_of(said: str, at: str, source: str = "import") -> Consent | None:
    """The consent in two cells of a file; a date alone is a consent, too. ``source``: as an export has it.

    Raises InvalidInput.
    """
    word, moment = read_consent(said), read_moment(at)
    if word is None and moment is None:
        return None
    given, note = word or (True, None)
    known: ConsentSource = source if source in _SOURCES else "import"
    return Consent(given=given, at=moment, note=note, source=known)


def stated(text: str) -> Consent | None:
    """The consent that is stated with an enrollment; None for an empty text. Raises InvalidInput for one that says no."""
    word = read_consent(text)
    if word is None:
        return None
    given, note = word
    if not given:
        raise InvalidInput(
            f"consent {quoted(text)} says no, and an enrollment can only state how it was given: to take it back, use"
            " 'lead set PHONE consent=no', or import the lead with 'no' in a column 'consent'"
        )
    return Consent(note=note, source="enrollment")
