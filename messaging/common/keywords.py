"""Keywords in answers: STOP opts out, START takes that back.

A keyword is compared whole, after folding: case, accents, spaces, punctuation, invisible signs and emoji make no
difference, so "Stop!!" and "S.T.O.P." are STOP. Within a short word, spaces make none only if they are between all
letters: the Indonesian "b aja" (it is okay) is not BAJA. "Don't stop" and "stop by tomorrow" are not: a sentence that only
contains a keyword may mean the opposite, so an operator has to judge it.

The defaults are the words that carriers require for text messages in North America (CTIA, "Messaging Principles and
Best Practices": STOP, STOPALL, UNSUBSCRIBE, CANCEL, END, QUIT, and ARRET in Canada), words that Amazon and Twilio add
(REVOKE, OPTOUT, REMOVE), and the usual words of other common languages.
"""

import unicodedata
from collections.abc import Iterable
from typing import Literal

from messaging.common.errors import InvalidInput
from messaging.common.phones import quoted
from messaging.common.values import Value

__all__ = [
    "DEFAULT_KEYWORDS",
    "LONGEST_JUDGED",
    "Keywords",
    "Meaning",
    "fold",
    "fold_keyword",
    "is_keyword",
    "joined",
    "parse_keywords",
]

Meaning = Literal["stop", "start", "maybe_stop", "enroll", "none"]
"""``maybe_stop``: it contains a keyword among other words, and an operator has to judge it. ``enroll``: it is the keyword of a
sequence.
"""

LONGEST_KEYWORD = 64
"""Characters. A button's label has 20, a payload may be longer."""
LONGEST_JUDGED = 1_000
"""Characters. A longer text is no keyword, and only its two ends are searched for one: folding takes a time that grows
with the square of the accents in a row.
"""

SHORT = 4
"""Letters of a word that may be two words by chance if spaces are left out."""

# Excluded are words that become another word without their accents (Vietnamese "dừng", stop, and "đúng", right; "dừng
# lại", stop, and "dùng lại", use it again), and words that may only decline an offer or ask to wait ("no more"; Hindi
# "रुको"): an answer to a question is not an opt-out.
STOP = {
    "English": "STOP, STOP ALL, UNSUBSCRIBE, CANCEL, END, QUIT, REVOKE, OPT OUT, REMOVE, REMOVE ME, UNSUB, STOP IT,"
    " PLEASE STOP, STOP PLEASE, STOP PROMOTIONS, STOP MESSAGES, STOP MARKETING",
    "Malay and Indonesian": "BERHENTI, HENTI, HENTIKAN, STOP LANGGANAN, BERHENTI LANGGANAN, BATAL, TAMAT, KELUAR,"
    " JANGAN HANTAR LAGI, JANGAN KIRIM LAGI",
    "Spanish": "ALTO, BAJA, DARSE DE BAJA, DAR DE BAJA, CANCELAR, PARAR, DETENER",
    "Portuguese": "PARE, SAIR, CANCELAR, DESCADASTRAR, REMOVER",
    "French": "ARRET, ARRETER, ARRETEZ, DESABONNER, DESINSCRIRE, DESABONNEMENT, DESINSCRIPTION",
    "German": "STOPP, ABMELDEN, ABBESTELLEN, AUSTRAGEN, BEENDEN",
    "Italian": "CANCELLA, CANCELLAMI, DISISCRIVI, DISISCRIVIMI, BASTA",
    "Dutch": "AFMELDEN, UITSCHRIJVEN, STOPPEN",
    "Turkish": "DURDUR, IPTAL, RET",
    "Russian": "СТОП, ОТПИСАТЬСЯ, ОТПИСКА, ОТПИШИТЕ",
    "Arabic": "توقف, ايقاف, الغاء, الغاء الاشتراك",
    "Hindi": "रोकें, बंद करो, बंद करें",
    "Tamil": "நிறுத்து, நிறுத்தவும்",
    "Chinese": "停止, 退订, 退訂, 取消, 取消订阅, 取消訂閱",
    "Japanese": "停止, 配信停止, 解除",
    "Thai": "หยุด, ยกเลิก",
    "Vietnamese": "NGUNG, HUY DANG KY",
}
DOUBTFUL = "ALTO, BAJA, PARE, BASTA, RET, KELUAR, TAMAT"
"""Those of them that people also write as ordinary words, in these or other languages ("tall", "steel", "only", "going
out"): they opt out, and a person looks at them too.
"""
START = {
    "English": "START, UNSTOP, SUBSCRIBE, RESUBSCRIBE, RESUME, OPT IN",
    "Malay and Indonesian": "MULA, MULAI, LANGGAN, LANGGANAN",
    "Spanish": "ALTA, INICIAR, SUSCRIBIR",
    "Portuguese": "INICIAR, INSCREVER",
    "French": "DEBUT, REPRENDRE, INSCRIRE",
    "German": "ANMELDEN, STARTEN",
    "Italian": "INIZIA, ISCRIVIMI",
    "Dutch": "AANMELDEN",
    "Turkish": "BASLAT",
    "Russian": "СТАРТ, ПОДПИСАТЬСЯ",
    "Arabic": "ابدأ, اشتراك",
    "Hindi": "शुरू, शुरू करें",
    "Chinese": "开始, 開始, 订阅, 訂閱",
    "Japanese": "開始, 再開",
    "Thai": "เริ่ม",
    "Vietnamese": "BAT DAU",
}

_LETTERS = str.maketrans({"ł": "l", "đ": "d", "ø": "o", "ı": "i", "ß": "ss", "æ": "ae", "œ": "oe", "ـ": None})
"""Letters with a stroke that people often leave out and that Unicode does not decompose; and Arabic's stretching
sign.
"""


def fold(text: str) -> str:
    """The text in the form for comparing: letters and digits without case and accents, words separated by single
    spaces.

    Folding twice changes nothing more. Other characters separate words; apostrophes and invisible characters do not.
    """
    folded = text
    for _ in range(3):  # what is unfolded may be compatible with something else: settled by the second round
        decomposed = unicodedata.normalize("NFKD", folded.casefold().translate(_LETTERS))
        signs = "".join(map(_sign, decomposed))
        again = " ".join(unicodedata.normalize("NFC", signs).split())
        if again == folded:
            break
        folded = again
    return folded


_INVISIBLE = {
    *"\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f",
    *map(chr, range(0xE0100, 0xE01F0)),
}
"""Fillers, inherent vowels and variation selectors: letters and marks that show nothing (Unicode,
Default_Ignorable_Code_Point).
"""


def _sign(sign: str) -> str:
    if sign in _INVISIBLE:
        return ""
    category = unicodedata.category(sign)
    if category[0] in "LN":
        return sign
    if category[0] == "M":
        # Accents of Latin, Greek and Cyrillic, of Hebrew and of Arabic; elsewhere a mark is a vowel, and part of the word.
        return "" if _is_accent(sign) else sign
    return "" if (category in ("Cf", "Cc", "Cs") and not sign.isspace()) or sign in "'’ʼ`´" else " "


def _is_accent(sign: str) -> bool:
    return (
        "\u0300" <= sign <= "\u036f"
        or "\u0591" <= sign <= "\u05c7"
        or "\u0610" <= sign <= "\u065f"
        or sign == "\u0670"
        or "\u1ab0" <= sign <= "\u1aff"
        or "\u1dc0" <= sign <= "\u1dff"
        or "\u20d0" <= sign <= "\u20ff"
        or "\ufe00" <= sign <= "\ufe0f"
    )


class Keywords(Value):
    """The folded words that opt out and that opt in again. Create it with :meth:`of`."""

    stop: frozenset[str]
    start: frozenset[str]
    doubtful: frozenset[str] = frozenset()
    """Those of ``stop`` that are ordinary words too."""

    @classmethod
    def of(cls, stop: Iterable[str], start: Iterable[str], *, doubtful: Iterable[str] = ()) -> "Keywords":
        """From words as people write them. Raises InvalidInput for a word without letters, one that is too long, or one
        in both sets.
        """
        found = cls(stop=_folded(stop), start=_folded(start), doubtful=_folded(doubtful))
        if both := sorted(_joined(found.stop) & _joined(found.start)):
            raise InvalidInput(f"the keyword {quoted(both[0])} cannot both stop and begin again")
        return found

    def instead(self, stop: Iterable[str] | None, start: Iterable[str] | None) -> "Keywords":
        """These keywords, with each set replaced if another is given; a word that is then in both opts out."""
        if stop is None and start is None:
            return self
        stops = self.stop if stop is None else _folded(stop)
        starts = self.start if start is None else _folded(start)
        return Keywords(
            stop=stops,
            start=frozenset(word for word in starts if not _joined([word]) & _joined(stops)),
            doubtful=self.doubtful if stop is None else frozenset(),
        )

    def meaning(self, *texts: str | None) -> Meaning:
        """What an answer means: its text, or a button's label and payload. A stop in any of them counts."""
        given = [text.strip() for text in texts if text]
        short = [fold(text) for text in given if len(text) <= LONGEST_JUDGED]
        ends = [fold(end) for text in given if len(text) > LONGEST_JUDGED for end in _ends(text)]
        if any(_is_one_of(self.stop, text) for text in short):
            return "stop"
        if any(_is_one_of(self.start, text) for text in short):
            return "start"
        return "maybe_stop" if any(map(self._holds_stop, short + ends)) else "none"

    def is_doubtful(self, *texts: str | None) -> bool:
        """True if an answer that means stop may have been meant otherwise: none of its texts is a sure keyword."""
        sure = Keywords(stop=self.stop - self.doubtful, start=self.start)
        return self.meaning(*texts) == "stop" and sure.meaning(*texts) != "stop"

    def _holds_stop(self, text: str) -> bool:
        spaced = f" {text} "
        # In languages without spaces between words, a keyword may be anywhere.
        return any(f" {word} " in spaced if word.isascii() else word in text for word in self.stop)


def _ends(text: str) -> tuple[str, str]:
    half = LONGEST_JUDGED // 2
    return text[:half], text[-half:]


def parse_keywords(words: str) -> list[str]:
    """The folded words of a comma-separated list; none for an empty text. Raises InvalidInput for an unusable
    keyword.
    """
    return sorted(_folded(word for word in words.split(",") if word.strip()))


def fold_keyword(word: str) -> str:
    """The folded word. Raises InvalidInput for a word without letters and digits, or one that is too long."""
    folded = fold(word)
    if not folded:
        raise InvalidInput(f"{quoted(word)} cannot be a keyword: give it letters or digits")
    if len(folded) > LONGEST_KEYWORD:
        raise InvalidInput(f"{quoted(word)} is too long: a keyword has at most {LONGEST_KEYWORD} characters")
    return folded


def is_keyword(words: Iterable[str], *texts: str | None) -> bool:
    """True if the whole of one of these texts is one of the folded words, compared as keywords are."""
    folded = frozenset(words)
    return any(_is_one_of(folded, fold(text)) for text in texts if text and len(text) <= LONGEST_JUDGED)


def joined(folded: str) -> str:
    """The folded text without spaces. Texts that are the same keyword are the same in this form."""
    return folded.replace(" ", "")


def _folded(words: Iterable[str]) -> frozenset[str]:
    return frozenset(map(fold_keyword, words))


def _is_one_of(words: frozenset[str], text: str) -> bool:
    """True if the folded text is one of the folded words, wherever spaces are."""
    whole = joined(text)
    if text not in words and " " in text and len(whole) <= SHORT and not _is_spelled_out(text):
        return False
    return whole in _joined(words)


def _is_spelled_out(text: str) -> bool:
    """True for single letters between spaces, with or without marks."""
    return all(sum(unicodedata.category(sign)[0] != "M" for sign in word) <= 1 for word in text.split())


def _joined(folded: Iterable[str]) -> frozenset[str]:
    """Without spaces, which make no difference: "opt out" is "optout"."""
    return frozenset(map(joined, folded))


def _listed(languages: dict[str, str]) -> list[str]:
    return [word for words in languages.values() for word in words.split(", ")]


DEFAULT_KEYWORDS = Keywords.of(_listed(STOP), _listed(START), doubtful=DOUBTFUL.split(", "))
