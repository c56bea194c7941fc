"""Phones, words, names and IDs."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from messaging.common.errors import InvalidInput, InvalidPhone
from messaging.common.words import normalise_words, validate_name
from messaging.sending.message_ids import campaign_message_id, sequence_message_id
from temporal.ids import campaign_lead_workflow_id, campaign_workflow_id, sequence_workflow_id


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("COLDVITAC, exstart ", ("COLDVITAC", "EXSTART")),
        ("coldvitac,COLDVITAC , Coldvitac", ("COLDVITAC",)),
        ("b; a\nB", ("B", "A")),
        ("", ()),
        (" , ,", ()),
        ("black   friday", ("BLACK FRIDAY",)),
        ("\uff23\uff2f\uff2c\uff24\uff0c\u200bhot\u3001warm", ("COLD", "HOT", "WARM")),
        ("straße", ("STRASSE",)),
        ("COLDVITAC2", ("COLDVITAC2",)),
    ],
)
def test_words(text: str, words: tuple[str, ...]) -> None:
    assert normalise_words(text) == words


def test_words_of_a_list() -> None:
    assert normalise_words(["a, b", "B", "c"]) == ("A", "B", "C")


def test_a_sentence_is_no_word() -> None:
    assert normalise_words("x" * 64) == ("X" * 64,)
    with pytest.raises(InvalidInput, match="too long: a word has at most 64 characters"):
        normalise_words("x" * 65)


@given(st.lists(st.text(max_size=12)))
def test_normalised_words_stay_as_they_are(texts: list[str]) -> None:
    words = normalise_words(texts)
    assert normalise_words(words) == words
    assert normalise_words(",".join(words)) == words


@pytest.mark.parametrize("name", ["a", "Device-1", "black.friday_2026", "7", "x" * 64])
def test_names(name: str) -> None:
    assert validate_name(name) == name


@pytest.mark.parametrize("name", ["", "-a", "a b", "a:b", "x" * 65, "né", "a\n", "../a"])
def test_what_is_no_name(name: str) -> None:
    with pytest.raises(InvalidInput, match="cannot be a device ID: use 1 to 64 letters"):
        validate_name(name, "device ID")


def test_workflow_ids() -> None:
    assert sequence_workflow_id("cold-vitac", "+12015550123") == "sequence:cold-vitac:+12015550123"
    assert campaign_workflow_id("black-friday") == "campaign:black-friday"
    assert campaign_lead_workflow_id("black-friday", "+12015550123") == "campaign:black-friday:+12015550123"


def test_message_ids_never_change() -> None:
    # These stand in ledgers and at gateways. A change here would send messages twice: there is none that is right.
    assert sequence_message_id(7, "+12015550123") == UUID("ab1c5d48-4d83-56ee-93fe-ebce4352bf2d")
    assert campaign_message_id(7, "+12015550123") == UUID("eca5e09b-1d4f-8a59-aedf-02ccf84cd9e9")


def test_message_ids_tell_messages_apart() -> None:
    keys = [(step, phone) for step in (1, 11) for phone in ("+12015550123", "+120155501231")]
    ids = {make(*key) for key in keys for make in (sequence_message_id, campaign_message_id)}
    assert len(ids) == 2 * len(keys)


@pytest.mark.parametrize("phone", ["12015550123", "+1 201 555 0123", "", "+12015550123\n"])
def test_only_e164_becomes_part_of_an_id(phone: str) -> None:
    for make in (
        lambda: sequence_workflow_id("a", phone),
        lambda: campaign_lead_workflow_id("a", phone),
        lambda: sequence_message_id(1, phone),
        lambda: campaign_message_id(1, phone),
    ):
        with pytest.raises(InvalidPhone, match="is not in the form"):
            make()
