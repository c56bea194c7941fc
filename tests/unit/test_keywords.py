"""What an answer means: stop, begin again, perhaps, or neither."""

import time
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from messaging.common.errors import InvalidInput
from messaging.common.keywords import DEFAULT_KEYWORDS, Keywords, fold
from runtime.settings import load_settings

NOISE = st.text(
    st.sampled_from(" \t\n.!?,;:*_~-\"'()\u200b\u200e\u2060\ufeff\u00ad\U0001f6d1\U0001f64f\ufe0f\U0001f3fd"),
    max_size=8,
)
STOPS = st.sampled_from(sorted(DEFAULT_KEYWORDS.stop))
STARTS = st.sampled_from(sorted(DEFAULT_KEYWORDS.start))


def nfc(text: str) -> str:
    return unicodedata.normalize("NFC", text)


def nfd(text: str) -> str:
    return unicodedata.normalize("NFD", text)


def as_people_write(word: str, draw: st.DataObject) -> str:
    """The word in another case, with noise around it and between its words, and now and then in full width."""
    changed = draw.draw(st.sampled_from([word, word.upper(), word.title(), word.swapcase()]))
    if draw.draw(st.booleans()):
        changed = "".join(chr(ord(sign) + 0xFEE0) if "!" <= sign <= "~" else sign for sign in changed)
    normalise = draw.draw(st.sampled_from([nfc, nfd]))
    inner = draw.draw(NOISE)
    changed = normalise(changed).replace(" ", f" {inner}")
    return f"{draw.draw(NOISE)}{changed}{draw.draw(NOISE)}"


@given(STOPS, st.data())
def test_a_keyword_is_one_however_it_is_written(word: str, draw: st.DataObject) -> None:
    assert DEFAULT_KEYWORDS.meaning(as_people_write(word, draw)) == "stop"


@given(STARTS, st.data())
def test_so_is_one_that_begins_again(word: str, draw: st.DataObject) -> None:
    assert DEFAULT_KEYWORDS.meaning(as_people_write(word, draw)) == "start"


@given(
    STOPS,
    st.sampled_from(["don't", "please do not", "by tomorrow", "jangan", "нет", "请", "नहीं"]),
    st.booleans(),
)
def test_a_keyword_among_words_is_for_a_person(word: str, other: str, before: bool) -> None:
    text = f"{other} {word}" if before else f"{word} {other}"
    assert DEFAULT_KEYWORDS.meaning(text) == "maybe_stop"


@given(st.text(max_size=80))
def test_folding_is_done_once(text: str) -> None:
    folded = fold(text)
    assert fold(folded) == folded
    assert "  " not in folded
    assert folded == folded.strip()
    assert fold(text.upper().lower()) == fold(text.upper())


@given(st.text(max_size=200))
def test_a_text_means_stop_only_as_a_keyword(text: str) -> None:
    if DEFAULT_KEYWORDS.meaning(text) == "stop":
        assert fold(text).replace(" ", "") in {word.replace(" ", "") for word in DEFAULT_KEYWORDS.stop}


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        *(
            (text, "stop")
            for text in (
                "STOP",
                "Stop!!",
                "S.T.O.P.",
                "s t o p",
                "opt o ut",
                "unsubscribe",
                "Berhenti",
                "CANCEL",
                "end",
                "Quit",
            )
        ),
        *(
            (text, "stop")
            for text in (
                "\U0001f6d1 ＳＴＯＰ.",
                "stop\u200b",
                "\u3164stop\uffa0",
                "st\U000e0100op",
                "Arrêt",
                "ARRÊTER",
                "opt-out",
                "İptal",
                "إيقاف",
            )
        ),
        *(
            (text, "stop")
            for text in (
                "Стоп!",
                "退订",
                "रोकें",
                "ยกเลิก",
                "*STOP*",
                "«stop»",
                "Stop \U0001f64f\U0001f3fd",
                "停止。",
            )
        ),
        *(
            (text, "maybe_stop")
            for text in ("don't stop", "stop by tomorrow", "Please cancel my order", "我不想停止", "non-stop")
        ),
        *((text, "start") for text in ("START", "unstop", "Mula", "订阅")),
        *(
            (text, "none")
            for text in (
                "",
                "!!",
                "\U0001f6d1",
                "weekend",
                "stopover",
                "Yes",
                "ok",
                "Đúng",
                "no more",
                "b aja",
                "st op",
                "Dùng lại",
                "रुको",
                "शुरुआत",
            )
        ),
    ],
)
def test_what_people_write(text: str, meaning: str) -> None:
    assert DEFAULT_KEYWORDS.meaning(text) == meaning


def test_a_long_text_is_judged_quickly_and_is_no_keyword() -> None:
    began = time.process_time()
    assert DEFAULT_KEYWORDS.meaning("a" + "\u0301" * 32768 + "\u0323" * 32767) == "none"
    assert time.process_time() - began < 0.1
    assert DEFAULT_KEYWORDS.meaning("stop" + "\u0301" * 1000) == "maybe_stop"
    assert DEFAULT_KEYWORDS.meaning("please stop " + "now " * 1000) == "maybe_stop"
    assert DEFAULT_KEYWORDS.meaning("now " * 1000 + "please stop") == "maybe_stop"
    assert DEFAULT_KEYWORDS.meaning("stop" + " " * 2000) == "stop"


def test_a_button_says_it_by_label_or_payload() -> None:
    assert DEFAULT_KEYWORDS.meaning("No, thanks", "STOP") == "stop"
    assert DEFAULT_KEYWORDS.meaning("Stop promotions", "x-17") == "stop"
    assert DEFAULT_KEYWORDS.meaning(None, None) == "none"


@pytest.mark.parametrize("word", ["alto", "Baja", "pare", "BASTA", "ret", "keluar", "tamat", "b a j a"])
def test_ordinary_words_stop_and_are_doubtful(word: str) -> None:
    assert DEFAULT_KEYWORDS.meaning(word) == "stop"
    assert DEFAULT_KEYWORDS.is_doubtful(word)
    assert not DEFAULT_KEYWORDS.is_doubtful(word, "stop")
    assert not DEFAULT_KEYWORDS.is_doubtful(f"{word} now")
    assert not DEFAULT_KEYWORDS.instead([word], None).is_doubtful(word), "whoever lists it means it"
    assert DEFAULT_KEYWORDS.instead(None, ["weiter"]).is_doubtful(word)


def test_other_keywords_are_not_doubtful() -> None:
    assert not any(map(DEFAULT_KEYWORDS.is_doubtful, ["stop", "berhenti", "darse de baja", "hello", "start"]))
    assert DEFAULT_KEYWORDS.doubtful < DEFAULT_KEYWORDS.stop


def test_words_of_ones_own() -> None:
    own = Keywords.of(["Genug!", "ça suffit"], ["weiter"])
    assert [own.meaning(text) for text in ("GENUG", "ca suffit.", "Weiter", "STOP")] == [
        "stop",
        "stop",
        "start",
        "none",
    ]


@pytest.mark.parametrize(
    ("stop", "start", "said"),
    [
        (["!!"], [], "letters"),
        (["x" * 65], [], "64"),
        (["opt out"], ["Opt-Out"], "both"),
    ],
)
def test_words_that_cannot_be_keywords(stop: list[str], start: list[str], said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        Keywords.of(stop, start)


def test_settings_take_words_with_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DRUMBEAT_STOP_KEYWORDS", "Genug, ça suffit, start")
    own = load_settings().keywords
    assert [own.meaning(text) for text in ("genug!", "CA SUFFIT", "STOP", "START", "mula")] == [
        *("stop", "stop", "none", "stop", "start")
    ]
    monkeypatch.setenv("DRUMBEAT_STOP_KEYWORDS", "Genug, !!")
    with pytest.raises(InvalidInput, match=r"DRUMBEAT_STOP_KEYWORDS.*letters"):
        load_settings()
