"""Time zones by name: which are taken, what is said instead of the others, and which are not what they look like."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, available_timezones

import pytest

from messaging.common.errors import InvalidInput
from messaging.leads.cleaning import clean_lead
from messaging.leads.lead import Lead
from messaging.times import zones as time_zones
from messaging.times.zones import check_time_zone, time_zone_warning


def refusal(name: str) -> str:
    with pytest.raises(InvalidInput) as raised:
        check_time_zone(name)
    return str(raised.value)


WEST = "America/Los_Angeles or America/Tijuana"
EAST = "Asia/Singapore, Asia/Kuala_Lumpur or Asia/Manila"


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("GMT+8", f"write a place, e.g. {EAST}"),
        ("gmt + 8", f"write a place, e.g. {EAST}"),
        ("UTC+8", f"write a place, e.g. {EAST}"),
        ("UTC8", f"write a place, e.g. {EAST}"),
        ("UTC+0800", f"write a place, e.g. {EAST}"),
        ("+08:00", f"write a place, e.g. {EAST}"),
        ("(UTC+08:00) Kuala Lumpur, Singapore", f"write a place, e.g. {EAST}"),
        ("UTC+7", "write a place, e.g. Asia/Jakarta, Asia/Bangkok or Asia/Ho_Chi_Minh"),
        ("+5:30", "write a place, e.g. Asia/Kolkata or Asia/Colombo"),
        ("GMT-8", "write a place, e.g. America/Los_Angeles or America/Tijuana"),
        ("UTC−3", "write a place, e.g. America/Sao_Paulo or America/Argentina/Buenos_Aires"),  # noqa: RUF001
        ("GMT+25", "give one such as Asia/Kuala_Lumpur"),
        ("etc/gmt+8", f"for UTC+8 write {EAST}, for UTC-8 write {WEST}"),
        ("Etc/UTC+8", f"for UTC+8 write {EAST}, for UTC-8 write {WEST}"),
        ("Etc/GMT+99", "give one such as Asia/Kuala_Lumpur"),
        ("SGT", "write Asia/Singapore"),
        ("wib", "write Asia/Jakarta"),
        ("IST", "write Asia/Kolkata, Europe/Dublin or Asia/Jerusalem"),
        ("EDT", "write America/New_York"),
        ("Eastern Standard Time", "write America/New_York"),
        ("Singapore Standard Time", "did you mean 'Asia/Singapore'?"),
        ("Kuala Lumpur", "did you mean 'Asia/Kuala_Lumpur'?"),
        ("asia/tokyo", "did you mean 'Asia/Tokyo'?"),
        ("Asia/Kuala_Lumpr", "did you mean 'Asia/Kuala_Lumpur'?"),
        ("utc", "did you mean 'UTC'?"),
        ("gmt", "did you mean 'GMT'?"),
        ("Malaysia", "write Asia/Kuala_Lumpur or Asia/Kuching"),
        ("indonesia", "write one of its places, e.g. Asia/Jakarta"),
        ("Atlantis", "give one such as Asia/Kuala_Lumpur"),
        ("localtime", "give one such as Asia/Kuala_Lumpur"),
        ("", "give one such as Asia/Kuala_Lumpur"),
    ],
)
def test_suggests_places(name: str, hint: str) -> None:
    assert refusal(name) == f"{name!r} is not an IANA time zone, {hint}"


@pytest.mark.parametrize("sign", "+-−")  # noqa: RUF001
@pytest.mark.parametrize(
    "form", ["GMT{}{}", "UTC{}{}", "{}{:02}:00", "{}{:02}30", "etc/gmt{}{}", "Etc/GTM{}{}"]
)
def test_never_suggests_an_offset_with_the_sign_reversed(form: str, sign: str) -> None:
    for hours in range(1, 16):
        assert "Etc" not in refusal(form.format(sign, hours)).partition(" is not ")[2]


def test_a_refusal_is_short_and_quick_whatever_was_given() -> None:
    for name in ("x" * 1_000_000, "UTC+" + "9" * 1_000_000, "Asia/" + "Kuala " * 100_000):
        began = datetime.now(UTC)
        assert len(refusal(name)) < 300
        assert datetime.now(UTC) - began < timedelta(seconds=1)


@pytest.mark.parametrize(
    ("name", "warning"),
    [
        (
            "Etc/GMT+8",
            f"Etc/GMT+8 is UTC-8, the sign of these names is reversed: for UTC-8 write {WEST}, for UTC+8 write {EAST}",
        ),
        (
            "Etc/GMT-14",
            "Etc/GMT-14 is UTC+14, the sign of these names is reversed: for UTC+14 write Pacific/Kiritimati",
        ),
        (
            "EST",
            "EST is UTC-5 all year, without summer time: write America/New_York or America/Panama",
        ),
        *((name, "") for name in ("Etc/GMT", "Etc/GMT+0", "Etc/UTC", "UTC", "Asia/Singapore", "nowhere")),
    ],
)
def test_warns_of_zones_that_are_not_what_they_look_like(name: str, warning: str) -> None:
    assert time_zone_warning(name) == warning


def test_every_zone_of_a_bare_offset_has_a_warning_with_its_real_offset() -> None:
    now = datetime(2027, 1, 15, tzinfo=UTC)
    for name in available_timezones():
        hours = now.astimezone(ZoneInfo(name)).utcoffset() // timedelta(hours=1)  # type: ignore[operator]
        if name.startswith("Etc/GMT") and hours:
            assert time_zone_warning(name).startswith(
                f"{name} is UTC{'+' if hours > 0 else '-'}{abs(hours)},"
            )


def test_suggested_places_have_the_offset_they_are_suggested_for() -> None:
    for minutes, places in time_zones._PLACES.items():
        for place in places:
            here = datetime(2027, 1, 15, tzinfo=ZoneInfo(check_time_zone(place)))
            standard = here.utcoffset() - here.dst()  # type: ignore[operator]
            assert standard == timedelta(minutes=minutes), place
    for places in time_zones._ABBREVIATIONS.values():
        assert [check_time_zone(place) for place in places] == list(places)


def test_a_lead_has_a_zone_of_the_database_only() -> None:
    assert clean_lead(Lead(phone="+12015550123", time_zone=" Asia/Tokyo ")).time_zone == "Asia/Tokyo"
    with pytest.raises(
        InvalidInput, match=r"^'GMT\+8' is not an IANA time zone, write a place, e\.g\. Asia/"
    ):
        clean_lead(Lead(phone="+12015550123", time_zone="GMT+8"))
