"""Converts numbers to the form that WhatsApp uses, for countries where people dial another one.

In a few countries one account has two spellings in daily use, and both reach it. Drumbeat keeps one of them, the one
that WhatsApp itself shows and that its gateways take, so that one account is one lead, one contact and one opt-out.

Argentina
    A mobile has a 9 after the country code (+54 9 11 …), and no 15. Source: WhatsApp's help centre, "How to add an
    international phone number"; so do Green API, Whapi and WAHA ("Phone Numbers: Argentina") in their pages on countries.
    Without the 9 the same digits can also be a landline, which the numbering plan does not tell apart.
Mexico
    Accounts bear a 1 after the country code (+52 1 55 …), which the numbering plan gave up in 2019, as it did the
    prefixes 01, 044 and 045. Sources: Meta's webhooks (``wa_id`` 521…), Green API, Whapi; WAHA ("Phone Numbers: Mexico")
    says that accounts younger than that can be without it. The Cloud API takes both.
Brazil
    The ninth digit of mobiles came area by area until 2016. Accounts of the area codes below 31 (11 to 19, 21, 22, 24,
    27, 28) have it; those of the others have not, where the number has an old form at all: eight digits from 7, 8 or
    9 on. The rule is that of Evolution API (``formatBRNumber``); Green API, Whapi and WAHA ("Brazilian Phone Numbers")
    have the same area codes. Landlines (eight digits from 2 to 5) have no second form. The Cloud API takes both.
Ivory Coast, Benin
    Ten digits instead of eight since 31 January 2021 (ARTCI; the second of the old digits tells the new prefix) and
    since 30 November 2024 (01 before all). Old and new spelling are the same line (WAHA, issue 1894): the new one is kept.
"""

import re
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import phonenumbers
from phonenumbers import PhoneNumber, PhoneNumberType

__all__ = ["AccountNumber", "account_number", "canonical_phone"]

_E164 = re.compile(r"\+[1-9][0-9]{1,14}")
_WITH_TWO_FORMS = ("+52", "+54", "+55", "+225", "+229")
_MEXICO = re.compile(r"(?:1|01|04[45])?([2-9][0-9]{9})")
_BRAZIL = re.compile(r"([1-9][0-9])9?([6-9][0-9]{7})")
_IVORY_COAST = re.compile(r"[04-9]([0-9])[0-9]{6}")
_IVORIAN_PREFIX = {**dict.fromkeys("0123", "01"), **dict.fromkeys("456", "05"), **dict.fromkeys("789", "07")}
_LINES = {
    PhoneNumberType.FIXED_LINE,
    PhoneNumberType.MOBILE,
    PhoneNumberType.FIXED_LINE_OR_MOBILE,
}


class AccountNumber(NamedTuple):
    """A number that can exist."""

    phone: str
    """The form that is kept, compared and sent to. E.164, except for Mexico's 1 and Brazil's missing 9."""
    written: str
    """The number as it was written, with its country code: it differs if a number has two forms."""
    country: str
    """The country code, e.g. ``52``."""
    landline: bool
    """Whether it can be nothing but a landline."""
    mobile: bool
    """True if its form can only be a mobile."""
    doubtful: str | None
    """Why the written form could also be another line, if it could."""


def account_number(parsed: PhoneNumber) -> AccountNumber | None:
    """The WhatsApp form of a parsed number; None if it cannot exist. Applying it twice changes nothing more."""
    country = parsed.country_code or 0
    national = phonenumbers.national_significant_number(parsed)
    plan, account, doubtful = _RULES.get(country, _as_it_is)(national)
    number = parsed if plan == national else _number(country, plan)
    kind = phonenumbers.number_type(number)
    if kind == PhoneNumberType.UNKNOWN:  # only such numbers are not valid
        return None
    if account != plan and kind not in _LINES:  # a service number has no other form
        account, doubtful = plan, None
    # A few numbering plans know numbers beyond the 15 digits that E.164 allows; WhatsApp has none of them.
    phone = f"+{country}{account}"
    if _E164.fullmatch(phone) is None:
        return None
    return AccountNumber(
        phone=phone,
        written=f"+{country}{national}",
        country=str(country),
        landline=kind == PhoneNumberType.FIXED_LINE and account == plan,
        mobile=kind == PhoneNumberType.MOBILE or account != plan,
        doubtful=doubtful,
    )


@lru_cache(maxsize=4096)
def canonical_phone(phone: str) -> str:
    """The WhatsApp form of a number in E.164; one that cannot exist stays unchanged."""
    if not phone.startswith(_WITH_TWO_FORMS):
        return phone
    try:
        found = account_number(phonenumbers.parse(phone, None))
    except phonenumbers.NumberParseException:
        return phone
    return phone if found is None else found.phone


Forms = tuple[str, str, str | None]
"""A national number by the numbering plan and as WhatsApp has it, and any doubt about that."""


def _as_it_is(national: str) -> Forms:
    return national, national, None


def _argentina(national: str) -> Forms:
    if national.startswith("9") and len(national) > 11:  # 9 11 15 …: both marks of a mobile
        try:
            mobile = phonenumbers.parse(f"0{national[1:]}", "AR")
        except phonenumbers.NumberParseException:
            return _as_it_is(national)
        return _as_it_is(phonenumbers.national_significant_number(mobile))
    if len(national) == 10 and phonenumbers.is_valid_number(_number(54, f"9{national}")):
        return national, f"9{national}", "without the 9 it can also be a landline"
    return _as_it_is(national)


def _mexico(national: str) -> Forms:
    found = _MEXICO.fullmatch(national)
    if found is None:
        return _as_it_is(national)
    doubtful = None if national.startswith(("1", "04")) else "without the 1 it can also be a landline"
    return found[1], f"1{found[1]}", doubtful


def _brazil(national: str) -> Forms:
    found = _BRAZIL.fullmatch(national)
    if found is None:
        return _as_it_is(national)
    area, line = found.groups()
    mobile = f"{area}9{line}"
    return mobile, mobile if int(area) < 31 or line[0] == "6" else f"{area}{line}", None


def _ivory_coast(national: str) -> Forms:
    found = _IVORY_COAST.fullmatch(national)
    return _as_it_is(national if found is None else f"{_IVORIAN_PREFIX[found[1]]}{national}")


def _benin(national: str) -> Forms:
    return _as_it_is(f"01{national}" if len(national) == 8 else national)


_RULES: dict[int, Callable[[str], Forms]] = {
    52: _mexico,
    54: _argentina,
    55: _brazil,
    225: _ivory_coast,
    229: _benin,
}


def _number(country: int, national: str) -> PhoneNumber:
    return phonenumbers.parse(f"+{country}{national}", None)
