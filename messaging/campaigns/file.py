"""The file of a campaign: its fields, and every reason why it cannot be used.

Fields: ``campaign``, ``title``, ``target`` (``niche``, ``status``, ``devices``), ``scheduled_at`` (local, in
``timezone``), ``timezone`` (IANA, or ``recipient``), ``until`` (local too, optionally with its date), ``if_passed``
(what happens to recipients whose time has passed), ``min_delay`` and ``max_delay`` (seconds), ``fan_out`` (how its
leads' workflows are started), ``category`` (which opt-outs hold), ``require_consent``, ``outside_window`` (what becomes
of free text outside the service window), and a ``text``, an ``image`` or both; the text is then the image's caption. A
``template`` may stand beside them, for gateways that want one. A campaign to every lead must say so, with ``status:
all``.
"""

import re
from datetime import date, datetime, time, timedelta
from typing import Annotated, Any, NamedTuple

from pydantic import AfterValidator, BeforeValidator, ValidationError

from messaging.campaigns.contract import FAN_OUTS, FanOut
from messaging.campaigns.start_times import IF_PASSED, RECIPIENT, IfPassed, until_of
from messaging.common.errors import InvalidInput
from messaging.common.suggestions import did_you_mean
from messaging.files.approved_template import TemplateFile, template_texts
from messaging.files.fields import (
    LONGEST_DELAY,
    Category,
    FileModel,
    FileText,
    Image,
    Name,
    OutsideWindow,
    Title,
    as_field,
    check_contents,
    drop_empty,
    one_of,
    parse_niche,
    parse_time,
)
from messaging.files.yaml import Document, read_yaml
from messaging.times.zones import check_time_zone

__all__ = ["CampaignDraft", "CampaignFile", "TargetFile", "local_time", "read_campaign", "zone_name"]

_LOCAL = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[T ]([0-9]{1,2}:[0-9]{2}(?::[0-9]{2})?)"
    r"( ?(?:Z|UTC|GMT|[+-][0-9]{1,2}(?::?[0-9]{2})?))?",
    re.IGNORECASE,
)
_UNTIL = re.compile(r"(?:[0-9]{4}-[0-9]{2}-[0-9]{2}[T ])?[0-9]{1,2}:[0-9]{2}(?::[0-9]{2})?")
_NUMBER = re.compile(r"[-+]?[0-9]+(?:\.[0-9]+)?")
_YEARS = range(2000, 3000)
_EVERY_LEAD = "write 'target: {status: all}' if every lead is meant"


def local_time(value: object) -> datetime:
    """A date with a time, such as ``2035-11-23 10:00``, as a naive datetime. Raises InvalidInput."""
    match = _LOCAL.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise InvalidInput(f"{value!r} is not a date with a time, write e.g. 2035-11-23 10:00")
    if match[3]:
        raise InvalidInput(
            f"{value!r} has an offset, write the local time alone, and whose it is as 'timezone'"
        )
    try:
        day = date.fromisoformat(match[1])
    except ValueError:
        raise InvalidInput(f"{match[1]} is a day that does not exist") from None
    if day.year not in _YEARS:
        raise InvalidInput(f"{day.year:04} is no year for a campaign, write one such as 2035")
    return datetime.combine(day, parse_time(match[2]))


def _until(value: object) -> str:
    """The value in its stored form: see until_of()."""
    if not isinstance(value, str) or (not _UNTIL.fullmatch(value) and not _LOCAL.fullmatch(value)):
        raise InvalidInput(
            f"{value!r} is not a time, nor a date with a time, write e.g. 18:00 or 2026-11-27 18:00"
        )
    if _LOCAL.fullmatch(value):
        day = local_time(value)
        return f"{day:%Y-%m-%d} {_clock(day.time())}"
    return _clock(parse_time(value))


def _clock(clock: time) -> str:
    return f"{clock:%H:%M:%S}".removesuffix(":00")


def zone_name(name: str) -> str:
    """The IANA name of a time zone, or ``recipient``. Raises InvalidInput with a suggestion."""
    if name == RECIPIENT:
        return name
    meant = did_you_mean(name, [RECIPIENT], nearness=0.8)
    if meant.startswith("did"):
        raise InvalidInput(f"{name!r} is not a time zone, {meant}")
    return check_time_zone(name)


def _delay(value: object) -> float:
    """Seconds. The YAML reader leaves decimals as text, as only their field knows that they are numbers."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number and not (isinstance(value, str) and _NUMBER.fullmatch(value)):
        raise InvalidInput(f"{value!r} is not a number of seconds, write e.g. 5 or 2.5")
    assert isinstance(value, int | float | str)
    seconds = float(value) if isinstance(value, str) or abs(value) <= LONGEST_DELAY else float("inf")
    if not 0 <= seconds <= LONGEST_DELAY:
        raise InvalidInput(f"{value} is no number of seconds from 0 to {LONGEST_DELAY:,.0f}")
    return seconds


def _status(word: str) -> str:
    status = word.strip().lower()
    if status not in {"prospect", "customer", "all"}:
        raise InvalidInput(f"{word!r} is no status of leads, write prospect, customer or all")
    return status


_Delay = Annotated[float, BeforeValidator(as_field(_delay))]


class TargetFile(FileModel):
    """Which leads a campaign goes to: those that match all of these fields. The niche is normalised."""

    niche: Annotated[str, AfterValidator(as_field(parse_niche))] | None = None
    status: Annotated[str, AfterValidator(as_field(_status))] = "all"
    devices: list[Name] | None = None


class CampaignFile(FileModel):
    """A campaign as its file has it. ``scheduled_at`` and ``until`` are local times in ``timezone``; delays are
    seconds.
    """

    campaign: Name
    title: Title = ""
    target: TargetFile
    scheduled_at: Annotated[datetime, BeforeValidator(as_field(local_time))] | None = None
    timezone: Annotated[str, AfterValidator(as_field(zone_name))] = "UTC"
    until: Annotated[str, BeforeValidator(as_field(_until))] | None = None
    if_passed: Annotated[IfPassed, one_of(IF_PASSED)] = "next_day"
    min_delay: _Delay | None = None
    max_delay: _Delay | None = None
    fan_out: Annotated[FanOut, one_of(FAN_OUTS)] = "children"
    category: Category = "marketing"
    require_consent: bool = False
    outside_window: OutsideWindow = "fail"
    text: str = ""
    image: Image | None = None
    template: TemplateFile | None = None


class CampaignDraft(NamedTuple):
    """A file that was read: the campaign, if all of it is usable, and the document, in which more problems can be
    noted.
    """

    document: Document
    campaign: CampaignFile | None

    @property
    def names(self) -> list[FileText]:
        """The campaign's name, if there is one, whatever else is wrong with the file."""
        return _texts(self.document, "campaign")

    @property
    def texts(self) -> list[FileText]:
        """The campaign's text and its template's parameters, whatever else is wrong with the file."""
        return [*_texts(self.document, "text"), *template_texts(self.document, self.document.data)]

    @property
    def devices(self) -> list[FileText]:
        """The names of devices in the target, whatever else is wrong with the file."""
        return _devices(self.document)


def read_campaign(source: str, file: str) -> CampaignDraft:
    """Reads the text of a file. All problems are noted in the document."""
    document = read_yaml(source, file)
    if document.problems and not document.data:
        return CampaignDraft(document, None)
    drop_empty(document.data, CampaignFile)
    target = document.data.get("target")
    if isinstance(target, dict):
        drop_empty(target, TargetFile)
    campaign = None
    try:
        campaign = CampaignFile.model_validate(document.data)
    except ValidationError as error:
        document.note_invalid(
            [e for e in error.errors() if e["loc"] != ("target",) or e["type"] != "missing"],
            {
                "": CampaignFile.model_fields,
                "target": TargetFile.model_fields,
                "template": TemplateFile.model_fields,
            },
        )
    _check_target(document)
    _check_zone(document)
    _check_end(document)
    _check_passed(document)
    _check_delays(document)
    check_contents(document, document.data)
    return CampaignDraft(document, campaign if not document.problems else None)


def _texts(document: Document, field: str) -> list[FileText]:
    value = document.data.get(field)
    return [FileText(document, (field,), value)] if isinstance(value, str) else []


def _devices(document: Document) -> list[FileText]:
    target = document.data.get("target")
    devices = target.get("devices") if isinstance(target, dict) else None
    return [
        FileText(document, ("target", "devices", index), name)
        for index, name in enumerate(devices if isinstance(devices, list) else ())
        if isinstance(name, str)
    ]


def _check_target(document: Document) -> None:
    target: Any = document.data.get("target")
    if target is None:
        document.note(("target",), f"is missing, {_EVERY_LEAD}")
    elif target == {}:
        document.note(("target",), f"says nothing, {_EVERY_LEAD}")
    elif isinstance(target, dict) and target.get("devices") == []:
        document.note(("target", "devices"), "names no device, leave it out if every device is meant")
    seen = set[str]()
    for _, path, name in _devices(document):
        if name in seen:
            document.note(path, f"{name!r} stands here twice, once is enough")
        seen.add(name)


def _check_zone(document: Document) -> None:
    local = next((field for field in ("scheduled_at", "until") if field in document.data), None)
    if local is not None and "timezone" not in document.data:
        document.note(
            ("timezone",),
            f"is missing, and {local} is a local time: give a zone such as Asia/Kuala_Lumpur, or {RECIPIENT}",
        )


def _check_end(document: Document) -> None:
    """``until`` must come after the start; a time alone is on the day of the start."""
    try:
        begins, (day, clock) = (
            local_time(document.data.get("scheduled_at")),
            until_of(_until(document.data.get("until"))),
        )
    except InvalidInput:
        return
    ends = datetime.combine(day or begins.date(), clock)
    if ends <= begins:
        advice = (
            ""
            if day
            else f", give it with its date, e.g. {begins.date() + timedelta(days=1)} {_clock(clock)}"
        )
        document.note(
            ("until",),
            f"{_until(document.data['until'])} is not after scheduled_at, {begins:%Y-%m-%d %H:%M}{advice}",
        )


def _check_passed(document: Document) -> None:
    if "if_passed" not in document.data:
        return
    if document.data.get("timezone") != RECIPIENT or "scheduled_at" not in document.data:
        document.note(
            ("if_passed",),
            f"goes with 'scheduled_at' and 'timezone: {RECIPIENT}': where one moment holds for all, and has passed,"
            " the campaign does not start",
        )


def _check_delays(document: Document) -> None:
    least, most = document.data.get("min_delay"), document.data.get("max_delay")
    if (least is None) != (most is None):
        missing, given = ("min_delay", "max_delay") if least is None else ("max_delay", "min_delay")
        document.note((missing,), f"is missing, {given} needs it beside")
    try:
        too_little = _delay(most) < _delay(least)
    except InvalidInput:
        return
    if too_little:
        document.note(("max_delay",), f"{most} s is less than min_delay, which is {least} s")
