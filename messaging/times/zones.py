"""The time zone names that Drumbeat accepts, and suggestions for others.

A zone is a place of the IANA database. Offsets (``GMT+8``) and abbreviations (``SGT``) are not taken: they know nothing of
summer time, and many abbreviations mean two places. The database has zones for bare offsets as well, but with POSIX's
sign: ``Etc/GMT+8`` is UTC-8 (tz database, file ``etcetera``). So those are never suggested, and where one is given there
is a warning with the offset that it really has.
"""

import re
from functools import cache, lru_cache
from importlib.resources import files
from zoneinfo import available_timezones

from messaging.common.errors import InvalidInput
from messaging.common.suggestions import did_you_mean

__all__ = ["check_time_zone", "time_zone_warning"]

_EXAMPLE = "give one such as Asia/Kuala_Lumpur"
_ETC = re.compile(r"etc/gmt([+-])([0-9]{1,2})", re.IGNORECASE)
_LIKE_ETC = re.compile(r"etc/\s*(?:gmt|utc)\s*([+-])\s*([0-9]{1,2})")
# GMT+8, UTC+07:00, UTC8, +08:00, -5, and "(UTC+08:00) Kuala Lumpur" as other programs write it.
_OFFSET = re.compile(r"\(?(?:(?:utc|gmt)\s*([+\-−]?)|([+\-−]))\s*([0-9]{1,2})(?::?([0-9]{2}))?(?![0-9])")  # noqa: RUF001
_WORDS_AFTER = re.compile(r"[ _](standard|daylight|summer)?[ _]?time$")

_PLACES: dict[int, tuple[str, ...]] = {
    -660: ("Pacific/Pago_Pago",),
    -600: ("Pacific/Honolulu",),
    -570: ("Pacific/Marquesas",),
    -540: ("America/Anchorage",),
    -480: ("America/Los_Angeles", "America/Tijuana"),
    -420: ("America/Phoenix", "America/Denver"),
    -360: ("America/Mexico_City", "America/Chicago"),
    -300: ("America/Bogota", "America/Lima", "America/New_York"),
    -240: ("America/La_Paz", "America/Puerto_Rico", "America/Halifax"),
    -210: ("America/St_Johns",),
    -180: ("America/Sao_Paulo", "America/Argentina/Buenos_Aires"),
    -120: ("America/Noronha",),
    -60: ("Atlantic/Cape_Verde", "Atlantic/Azores"),
    0: ("UTC", "Africa/Accra", "Europe/London"),
    60: ("Africa/Lagos", "Europe/Berlin"),
    120: ("Africa/Johannesburg", "Africa/Cairo", "Europe/Athens"),
    180: ("Asia/Riyadh", "Africa/Nairobi", "Europe/Istanbul"),
    210: ("Asia/Tehran",),
    240: ("Asia/Dubai",),
    270: ("Asia/Kabul",),
    300: ("Asia/Karachi", "Asia/Tashkent"),
    330: ("Asia/Kolkata", "Asia/Colombo"),
    345: ("Asia/Kathmandu",),
    360: ("Asia/Dhaka",),
    390: ("Asia/Yangon",),
    420: ("Asia/Jakarta", "Asia/Bangkok", "Asia/Ho_Chi_Minh"),
    480: ("Asia/Singapore", "Asia/Kuala_Lumpur", "Asia/Manila"),
    525: ("Australia/Eucla",),
    540: ("Asia/Tokyo", "Asia/Seoul"),
    570: ("Australia/Darwin", "Australia/Adelaide"),
    600: ("Australia/Brisbane", "Australia/Sydney"),
    630: ("Australia/Lord_Howe",),
    660: ("Pacific/Noumea",),
    720: ("Pacific/Fiji", "Pacific/Auckland"),
    765: ("Pacific/Chatham",),
    780: ("Pacific/Tongatapu", "Pacific/Apia"),
    840: ("Pacific/Kiritimati",),
}
"""Places by their offset from UTC in minutes, as it is in winter."""

_ABBREVIATIONS: dict[str, tuple[str, ...]] = {
    "sgt": ("Asia/Singapore",),
    "sst": ("Asia/Singapore", "Pacific/Pago_Pago"),
    "myt": ("Asia/Kuala_Lumpur",),
    "mst": ("America/Denver", "America/Phoenix", "Asia/Kuala_Lumpur"),
    "wib": ("Asia/Jakarta",),
    "wita": ("Asia/Makassar",),
    "wit": ("Asia/Jayapura",),
    "pht": ("Asia/Manila",),
    "phst": ("Asia/Manila",),
    "hkt": ("Asia/Hong_Kong",),
    "bnt": ("Asia/Brunei",),
    "ict": ("Asia/Bangkok", "Asia/Ho_Chi_Minh"),
    "mmt": ("Asia/Yangon",),
    "jst": ("Asia/Tokyo",),
    "kst": ("Asia/Seoul",),
    "cst": ("America/Chicago", "Asia/Shanghai"),
    "cdt": ("America/Chicago",),
    "ct": ("America/Chicago",),
    "ist": ("Asia/Kolkata", "Europe/Dublin", "Asia/Jerusalem"),
    "npt": ("Asia/Kathmandu",),
    "pkt": ("Asia/Karachi",),
    "gst": ("Asia/Dubai",),
    "bst": ("Europe/London", "Asia/Dhaka"),
    "est": ("America/New_York", "America/Panama"),
    "edt": ("America/New_York",),
    "et": ("America/New_York",),
    "eastern": ("America/New_York",),
    "central": ("America/Chicago",),
    "mdt": ("America/Denver",),
    "mt": ("America/Denver",),
    "mountain": ("America/Denver",),
    "pst": ("America/Los_Angeles", "Asia/Manila"),
    "pdt": ("America/Los_Angeles",),
    "pt": ("America/Los_Angeles",),
    "pacific": ("America/Los_Angeles",),
    "akst": ("America/Anchorage",),
    "akdt": ("America/Anchorage",),
    "ast": ("America/Halifax", "Asia/Riyadh"),
    "adt": ("America/Halifax",),
    "brt": ("America/Sao_Paulo",),
    "art": ("America/Argentina/Buenos_Aires",),
    "clt": ("America/Santiago",),
    "cot": ("America/Bogota",),
    "pet": ("America/Lima",),
    "ect": ("America/Guayaquil",),
    "vet": ("America/Caracas",),
    "aest": ("Australia/Brisbane", "Australia/Sydney"),
    "aedt": ("Australia/Sydney",),
    "acst": ("Australia/Darwin", "Australia/Adelaide"),
    "acdt": ("Australia/Adelaide",),
    "awst": ("Australia/Perth",),
    "nzst": ("Pacific/Auckland",),
    "nzdt": ("Pacific/Auckland",),
    "msk": ("Europe/Moscow",),
    "trt": ("Europe/Istanbul",),
    "cest": ("Europe/Berlin", "Europe/Paris"),
    "eest": ("Europe/Athens", "Africa/Cairo"),
    "west": ("Europe/Lisbon",),
    "wat": ("Africa/Lagos",),
    "cat": ("Africa/Maputo",),
    "eat": ("Africa/Nairobi",),
    "sast": ("Africa/Johannesburg",),
}
"""The places where each abbreviation is used."""

_FIXED = {"EST": -300, "MST": -420}
"""Abbreviations that the database has as zones, and whose offset stays the same all year."""


def check_time_zone(name: str) -> str:
    """The name itself. Raises InvalidInput for one that is not in the IANA database, and says what to write instead."""
    if name not in _zones():
        raise InvalidInput(f"{name[:60]!r} is not an IANA time zone, {_hint(name[:200])}")
    return name


def time_zone_warning(name: str) -> str:
    """A warning with the real offset of a zone whose name misleads. Empty if there is nothing to warn of."""
    match = _ETC.fullmatch(name)
    if match and int(match[2]):
        hours = int(f"{match[1]}{match[2]}")
        return (
            f"{name} is {_utc(-hours * 60)}, the sign of these names is reversed:"
            f" {_instead(-hours * 60, hours * 60)}"
        )
    if name in _FIXED:
        return (
            f"{name} is {_utc(_FIXED[name])} all year, without summer time:"
            f" write {_either(_ABBREVIATIONS[name.lower()][:2])}"
        )
    return ""


@cache
def _zones() -> frozenset[str]:
    # These two are settings of a machine, not places.
    return frozenset(available_timezones() - {"localtime", "Factory"})


@lru_cache(maxsize=256)  # a file may have the same mistake in every row
def _hint(name: str) -> str:
    """A suggestion, if it is certain enough: an offset or an abbreviation is similar to wrong ones too."""
    folded = " ".join(name.replace("_", " ").split()).casefold()
    if match := _LIKE_ETC.fullmatch(folded):
        hours = int(f"{match[1]}{match[2]}")
        return _instead(hours * 60, -hours * 60)
    short = _WORDS_AFTER.sub("", folded)
    if short in _ABBREVIATIONS:
        return f"write {_either(_ABBREVIATIONS[short])}"
    if match := _OFFSET.match(folded):
        sign = -1 if (match[1] or match[2]) in ("-", "−") else 1  # noqa: RUF001
        return _for_offset(sign * (int(match[3]) * 60 + int(match[4] or 0)))
    for zone in sorted(_zones(), key=lambda zone: (zone.startswith("Etc/"), zone)):
        spelled = zone.replace("_", " ").casefold()
        if {folded, short} & {spelled, spelled.rpartition("/")[2]}:
            return f"did you mean {zone!r}?"
    if places := _of_country(short):
        return (
            f"write {_either(places)}" if len(places) <= 3 else f"write one of its places, e.g. {places[0]}"
        )
    places = tuple(zone for zone in sorted(_zones()) if not zone.startswith("Etc/"))
    near = did_you_mean(name, places, nearness=0.85) if "/" in name else ""
    return near if near.startswith("did") else _EXAMPLE


def _for_offset(minutes: int) -> str:
    return f"write a place, e.g. {_either(_PLACES[minutes])}" if minutes in _PLACES else _EXAMPLE


def _instead(*offsets: int) -> str:
    known = [minutes for minutes in dict.fromkeys(offsets) if minutes in _PLACES]
    return (
        ", ".join(f"for {_utc(minutes)} write {_either(_PLACES[minutes])}" for minutes in known) or _EXAMPLE
    )


def _utc(minutes: int) -> str:
    hours, rest = divmod(abs(minutes), 60)
    return f"UTC{'+' if minutes >= 0 else '-'}{hours}{f':{rest:02}' if rest else ''}"


def _either(places: tuple[str, ...]) -> str:
    return " or ".join(filter(None, (", ".join(places[:-1]), places[-1])))


def _of_country(name: str) -> tuple[str, ...]:
    """The zones of a country by its name or its two letters, the most populous first, as ``zone.tab`` has them."""
    folder = files("tzdata") / "zoneinfo"
    countries: dict[str, str] = {}
    for line in (folder / "iso3166.tab").read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            letters, country = line.split("\t")[:2]
            countries[country.casefold()] = countries[letters.casefold()] = letters
    code = countries.get(name)
    rows = (folder / "zone.tab").read_text(encoding="utf-8").splitlines() if code else []
    return tuple(row.split("\t")[2] for row in rows if row.split("\t")[0] == code)
