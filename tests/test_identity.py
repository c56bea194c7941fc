"""Phones, words, names and IDs."""

from uuid import UUID

import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st

from messaging.errors import InvalidInput, InvalidPhone
from messaging.identity import (
    campaign_lead_workflow_id,
    campaign_message_id,
    campaign_workflow_id,
    normalise_words,
    parse_phone,
    sequence_message_id,
    sequence_workflow_id,
    validate_name,
    validate_region,
)


@pytest.mark.parametrize(
    ("text", "region"),
    [
        ("(201) 555-0123", "US"),
        ("201.555.0123", "us"),
        ("12015550123", "US"),
        ("+12015550123", None),
        ("+1 (201) 555-0123", "MY"),
        ("tel:+1-201-555-0123", None),
        ("TEL: +1-201-555-0123", "MY"),
        ("whatsapp:+12015550123", None),
        ("00 1 201 555 0123", "MY"),
        ("0012015550123", "GB"),
        ("\uff0b\uff11\uff12\uff10\uff11\uff15\uff15\uff15\uff10\uff11\uff12\uff13", None),  # full width
        ("+\u0661\u0662\u0660\u0661\u0665\u0665\u0665\u0660\u0661\u0662\u0663", None),  # Arabic-Indic
        ("\u202a+1 201\u2011555\u20110123\u202c", None),  # as copied from a chat
        ("+1\u00a0201\u2212555\u22120123", None),
        ("'+12015550123", None),  # a spreadsheet's mark for text
        ("2015550123.0", "US"),  # a number that went through a table of floats
        (" +12015550123\n", None),
    ],
)
def test_one_person_however_the_phone_is_written(text: str, region: str | None) -> None:
    assert parse_phone(text, region) == "+12015550123"


def test_a_regions_own_prefix_for_abroad() -> None:
    assert parse_phone("011 60 12-345 6789", "US") == "+60123456789"  # the library's own example number
    assert parse_phone("0060 12-345 6789", "DE") == "+60123456789"
    with pytest.raises(InvalidPhone):
        parse_phone("0060 12-345 6789", "US")


def test_national_and_bare_international_numbers_follow_the_region() -> None:
    assert parse_phone("012-345 6789", "MY") == "+60123456789"
    assert parse_phone("60123456789", "MY") == "+60123456789"
    assert parse_phone("+39 02 3661 8300", "US") == "+390236618300"  # Italy keeps the zero


@pytest.mark.parametrize(
    ("text", "region", "reason"),
    [
        ("", "US", "the phone is empty"),
        (" \u200e ", "US", "the phone is empty"),
        ("n/a", "US", "'n/a' is not a phone number: write it like +12015550123"),
        ("=1+1", "US", "'=1+1' is not a phone number: write it like +12015550123"),
        ("1-800-FLOWERS", "US", "is not a phone number: write it like"),
        ("2015550123 2015550124", "US", "nobody|anybody can have in US"),
        (
            "201-555-01",
            "US",
            "'201-555-01' is not a phone number that anybody can have in US or with a country code",
        ),
        (
            "+999 123 456",
            "US",
            "'+999 123 456' is not a phone number that anybody can have: check its digits",
        ),
        ("00000000000", "US", "anybody can have in US"),
        (
            "2015550123",
            None,
            "'2015550123' has no country code: write it like +12015550123, or name a default region",
        ),
        ("6.01235E+10", "MY", "'6.01235E+10' is a number that a spreadsheet has rounded"),
        ("+1 201 555 0123 ext. 5", "US", "has an extension, and WhatsApp knows none"),
        ("+1 201 555 0123 x5", "US", "has an extension"),
        ("tel:+12015550123;ext=77", "US", "has an extension"),
        ("+1201555\x000123", "US", "is not a phone number"),
        ("+49800123456789012", None, "anybody can have"),  # valid in Germany, but longer than E.164 allows
        ("9" * 500, "US", "anybody can have"),
    ],
)
def test_what_is_no_phone_is_told_in_one_line(text: str, region: str | None, reason: str) -> None:
    with pytest.raises(InvalidPhone) as caught:
        parse_phone(text, region)
    message = str(caught.value)
    assert any(part in message for part in reason.split("|"))
    assert "\n" not in message
    assert len(message) < 200


@pytest.mark.parametrize("region", ["UK", "XX", "", "Malaysia", "001"])
def test_an_unknown_region_is_the_callers_mistake_not_the_phones(region: str) -> None:
    with pytest.raises(InvalidInput, match="there is no region") as caught:
        parse_phone("+12015550123", region)
    assert not isinstance(caught.value, InvalidPhone)


def test_regions_in_any_case() -> None:
    assert validate_region(" my ") == "MY"
    assert validate_region(None) is None


@pytest.mark.parametrize("region", sorted(phonenumbers.SUPPORTED_REGIONS))
def test_every_regions_mobile_numbers_are_a_fixed_point(region: str) -> None:
    example = phonenumbers.example_number_for_type(region, phonenumbers.PhoneNumberType.MOBILE)
    if example is None:
        example = phonenumbers.example_number(region)
    assert example is not None
    formats = phonenumbers.PhoneNumberFormat
    expected = phonenumbers.format_number(example, formats.E164)
    assert parse_phone(expected, None) == expected
    for form in (formats.INTERNATIONAL, formats.NATIONAL):
        assert parse_phone(phonenumbers.format_number(example, form), region) == expected


@given(st.text(max_size=40), st.sampled_from([None, "US", "MY", "DE"]))
def test_any_text_is_a_phone_or_refused(text: str, region: str | None) -> None:
    try:
        phone = parse_phone(text, region)
    except InvalidPhone:
        return
    assert parse_phone(phone, None) == phone


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
    assert sequence_message_id(7, "+12015550123", "d1") == UUID("befebb4a-65f6-50c7-a1c0-13d058c4e6c0")
    assert campaign_message_id(7, "+12015550123", "d1") == UUID("cfc69043-4bfa-8c97-89b6-d92befc37609")


def test_message_ids_tell_messages_apart() -> None:
    keys = [
        (step, phone, device)
        for step in (1, 11)
        for phone in ("+12015550123", "+120155501231")
        for device in "ab"
    ]
    ids = {make(*key) for key in keys for make in (sequence_message_id, campaign_message_id)}
    assert len(ids) == 2 * len(keys)


@pytest.mark.parametrize("phone", ["12015550123", "+1 201 555 0123", "", "+12015550123\n"])
def test_only_e164_becomes_part_of_an_id(phone: str) -> None:
    for make in (
        lambda: sequence_workflow_id("a", phone),
        lambda: campaign_lead_workflow_id("a", phone),
        lambda: sequence_message_id(1, phone, "d"),
        lambda: campaign_message_id(1, phone, "d"),
    ):
        with pytest.raises(InvalidPhone, match="is not in the form"):
            make()
