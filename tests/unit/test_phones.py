"""Phones: one number, its one form, and fields that hold more than one."""

from itertools import product

import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st

from messaging.common.errors import InvalidInput, InvalidPhone
from messaging.common.phones import parse_phone, read_phone, validate_region
from messaging.common.whatsapp_numbers import canonical_phone
from messaging.leads.lead import Lead


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
        ("9" * 150, "US", "anybody can have"),
        ("9" * 500, "US", "is too long for a phone"),
        ("1 " * 100_000, "US", "is too long for a phone"),
        ("1" + " " * 100_000 + "/2", "US", "is too long for a phone"),
        ("1 " * 99, "US", "anybody can have"),
        ("1/" * 99, "US", "anybody can have"),
        ("1," * 99, "US", "none is a full phone number"),
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
    expected = canonical_phone(expected)
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
    ("text", "region", "phone"),
    [
        ("0812-3456-7890/1", "ID", "+6281234567890"),
        ("0812-3456-789/90", "ID", "+628123456789"),
        ("0812-3456-7890\uff0f1", "ID", "+6281234567890"),
        ("0812-3456-7890 / 0813-1234-5678", "ID", "+6281234567890"),
        ("081234567890\\081312345678", "ID", "+6281234567890"),
        ("0176 1234567/8", "DE", "+491761234567"),
        ("2015550123/2015550124", "US", "+12015550123"),
        ("201-555-0123/24", "US", "+12015550123"),
        ("2015550123 or 2015550124", "US", "+12015550123"),
        ("2015550123oder2015550124", "US", "+12015550123"),
        ("+6281234567890 atau 081312345678", "ID", "+6281234567890"),
        ("2015550123 o 2015550124", "US", "+12015550123"),
        ("2015550123 ou 2015550124", "US", "+12015550123"),
        ("8(916)1234567 \u0438 8(916)1234568", "RU", "+79161234567"),
        ("2015550123 und 2015550124", "US", "+12015550123"),
        ("2015550123, 2015550124", "US", "+12015550123"),
        ("2015550123;2015550124", "US", "+12015550123"),
        ("2015550123\u30012015550124", "US", "+12015550123"),
        ("+1 201-555-0123 ::: +1 201-555-0124", None, "+12015550123"),
        ("2015550123 | 2015550124", "US", "+12015550123"),
        ("2015550123 & 2015550124", "US", "+12015550123"),
        ("2015550123\n2015550124", "US", "+12015550123"),
        ("2015550123\r\n2015550124", "US", "+12015550123"),
        ("2015550123\u20282015550124", "US", "+12015550123"),
        ("+12015550123+12015550124", None, "+12015550123"),
        ("(201) 555-0123 (201) 555-0124", "US", "+12015550123"),
        ("0812 3456 7890 0813 1234 5678", "ID", "+6281234567890"),
        ("0812-3456-7890 - 0813-1234-5678", "ID", "+6281234567890"),
        ("0301234567 0307654321", "DE", "+49301234567"),
        ("12345; 2015550124", "US", "+12015550124"),
        ("2015550123 x12; 2015550124", "US", "+12015550124"),
    ],
)
def test_of_several_numbers_the_first_full_one_is_read_and_said(
    text: str, region: str | None, phone: str
) -> None:
    reading = read_phone(text, region)
    assert reading.phone == phone
    assert reading.left
    with pytest.raises(InvalidPhone, match="holds more than one number: give one"):
        parse_phone(text, region)


@pytest.mark.parametrize(
    ("text", "region", "phone"),
    [
        ("030/1234567", "DE", "+49301234567"),
        ("030 / 12 34 567", "DE", "+49301234567"),
        ("06221/123456", "DE", "+496221123456"),
        ("0664/1234567", "AT", "+436641234567"),
        ("0812/3456/7890", "ID", "+6281234567890"),
        ("201/555/0123", "US", "+12015550123"),
        ("030 12345-0", "DE", "+4930123450"),  # the direct dial is part of the number
        ("06 12 34 56 78", "FR", "+33612345678"),
        ("0176 12 34 56 78", "DE", "+4917612345678"),
        ("2015550123;", "US", "+12015550123"),
        ("WA 0812-3456-7890", "ID", "+6281234567890"),
        ("p:+12015550123", None, "+12015550123"),
        ("https://wa.me/12015550123?text=hi", None, "+12015550123"),
        ("12015550123@s.whatsapp.net", None, "+12015550123"),
        ("(+60) 12-345 6789", None, "+60123456789"),
        ("00 60 12 345 6789", None, "+60123456789"),
    ],
)
def test_one_number_stays_one(text: str, region: str | None, phone: str) -> None:
    assert parse_phone(text, region) == phone


@pytest.mark.parametrize(
    ("text", "region", "reason"),
    [
        ("0812-3456-7890 1", "ID", "can be one number or two: leave one, without a gap"),
        ("0812-3456-7890-1", "ID", "can be one number or two"),
        ("0812 3456 7890 (1)", "ID", "can be one number or two"),
        ("0211/123/4567", "DE", "can be one number or two: leave one, without a slash"),
        ("030/12345/67", "DE", "can be one number or two"),
        ("201-555-0123-24", "US", "anybody can have in US"),
        ("+1 201 555 0123 5", None, "anybody can have"),
        ("555-0123, 555-0124", "US", "holds several parts, and none is a full phone number in US"),
        ("1,201,555,0123", "US", "none is a full phone number"),
        ("2015550123 #12", "US", "has an extension"),
        ("2015550123x12", "US", "has an extension"),
        ("0301234567 Durchwahl 12", "DE", "has an extension"),
        ("2015550123 ramal 12", "US", "has an extension"),
        ("8(916)123-45-67 \u0434\u043e\u0431. 12", "RU", "has an extension"),
        ("2015550123 (ask for Ali)", "US", "without words beside it"),
        ("2015550123*12", "US", "is not a phone number"),
    ],
)
def test_digits_are_never_joined_to_a_number_that_may_be_complete(
    text: str, region: str | None, reason: str
) -> None:
    with pytest.raises(InvalidPhone) as caught:
        read_phone(text, region)
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


NUMBERS = ("0812-3456-7890", "+6281312345678", "0811 234 567", "+1 201-555-0123", "(021) 5550 123")
BETWEEN = ("/", " / ", ",", "; ", " or ", " atau ", " ::: ", "\n", " & ", "|", "  ", " - ")


@pytest.mark.parametrize(("first", "second"), list(product(NUMBERS, NUMBERS)))
def test_any_two_numbers_are_the_first_one_or_refused(first: str, second: str) -> None:
    for between in BETWEEN:
        try:
            reading = read_phone(f"{first}{between}{second}", "ID")
        except InvalidPhone:
            assert between in ("  ", " - ")
            continue
        assert reading.phone == parse_phone(first, "ID"), (first, between, second)
        assert reading.left


@pytest.mark.parametrize("tail", ["1", "90", "12", "123", "4567"])
@pytest.mark.parametrize(
    "between", ["/", " / ", " ", "-", ".", ",", ";", " x", " ext. ", " #", " (", " or ", "\n"]
)
@pytest.mark.parametrize(
    ("number", "region"), [("0812-3456-7890", "ID"), ("0176 12345678", "DE"), ("201-555-0123", "US")]
)
def test_what_follows_a_number_makes_no_strangers(number: str, region: str, between: str, tail: str) -> None:
    try:
        reading = read_phone(f"{number}{between}{tail}", region)
    except InvalidPhone:
        return
    assert reading.phone == parse_phone(number, region)


@pytest.mark.parametrize(
    ("phone", "spellings"),
    [
        (
            "+5491155550131",
            [
                "+54 9 11 5555-0131", "+54 11 5555-0131", "+54 11 15 5555-0131", "+54 9 11 15 5555-0131",
                "011 15 5555-0131", "011 5555-0131", "11 15 5555 0131", "5491155550131",
            ],
        ),
        ("+5493515550131", ["+54 351 555-0131", "+54 9 351 555-0131", "0351 15 555-0131"]),
        (
            "+5215512345678",
            [
                "+52 1 55 1234 5678", "+52 55 1234 5678", "55 1234 5678", "044 55 1234 5678", "045 55 1234 5678",
                "01 55 1234 5678", "5215512345678",
            ],
        ),
        ("+5511985550123", ["+55 11 98555-0123", "+55 11 8555-0123", "(11) 98555-0123", "011 8555-0123"]),
        ("+553185550123", ["+55 31 98555-0123", "+55 31 8555-0123", "(31) 98555-0123", "31 8555 0123"]),
        ("+5531965550123", ["+55 31 96555-0123", "+55 31 6555-0123"]),  # no eight digits began with 6 there
        ("+5531935550123", ["+55 31 93555-0123"]),  # without its 9 it would be somebody's landline
        ("+553135550123", ["+55 31 3555-0123", "(31) 3555-0123"]),
        ("+528001234567", ["+52 800 123 4567"]),
        ("+2250707123456", ["+225 07 12 34 56", "+225 07 07 12 34 56"]),
        ("+2250545123456", ["+225 45 12 34 56", "05 45 12 34 56"]),
        ("+2250101123456", ["+225 01 12 34 56"]),
        ("+2290197123456", ["+229 97 12 34 56", "+229 01 97 12 34 56"]),
    ],
)  # fmt: skip
def test_one_account_has_one_form(phone: str, spellings: list[str]) -> None:
    region = phonenumbers.region_code_for_country_code(phonenumbers.parse(phone, None).country_code or 0)
    assert {spelling: parse_phone(spelling, region) for spelling in spellings} == dict.fromkeys(
        spellings, phone
    )
    assert canonical_phone(phone) == phone


def test_a_spelling_that_can_be_another_line_is_known() -> None:
    assert read_phone("+54 11 5555-0131", None).doubtful == "without the 9 it can also be a landline"
    assert read_phone("+54 9 11 5555-0131", None).doubtful is None
    assert read_phone("+52 55 1234 5678", None).doubtful == "without the 1 it can also be a landline"
    assert read_phone("+52 1 55 1234 5678", None).doubtful is None
    assert read_phone("+54 11 5555-0131", None).written == "+541155550131"


def test_a_lead_of_a_service_has_the_one_form() -> None:
    assert Lead(phone="+541155550131").phone == "+5491155550131"
    assert Lead(phone="+12015550123").phone == "+12015550123"


TWO_FORMS = ("52", "54", "55", "225", "229")


@given(
    st.sampled_from([*TWO_FORMS, "1", "49", "62"]),
    st.text("0123456789", min_size=6, max_size=13),
)
def test_the_form_is_the_same_again(country: str, national: str) -> None:
    phone = canonical_phone(f"+{country}{national}")
    assert canonical_phone(phone) == phone
    try:
        read = parse_phone(f"+{country}{national}", None)
    except InvalidPhone:
        return
    assert parse_phone(read, None) == read == canonical_phone(read)
    assert read == phone or country not in TWO_FORMS


@pytest.mark.parametrize(
    ("text", "phone"),
    [
        ("12015550601", "+12015550601"),
        ("60123456789", "+60123456789"),
        ("6281234567890", "+6281234567890"),
        ("447911123456", "+447911123456"),
        ("919812345678", "+919812345678"),
        ("5491155550131", "+5491155550131"),
        ("60 12-345 6789", "+60123456789"),
    ],
)
@pytest.mark.parametrize("region", [None, "SG"])
def test_a_complete_number_needs_no_plus(text: str, phone: str, region: str | None) -> None:
    reading = read_phone(text, region)
    assert (reading.phone, reading.complete) == (phone, True)


@pytest.mark.parametrize("text", ["13012345678", "19545550169", "51985550123"])
def test_a_number_that_can_be_of_two_countries_is_refused(text: str) -> None:
    """Of China or the USA, of Brazil or Peru: read as the wrong one, it is a stranger's."""
    with pytest.raises(InvalidPhone, match="can be a number of more than one country: write it with \\+"):
        parse_phone(text, None)
