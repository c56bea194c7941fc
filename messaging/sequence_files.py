"""The file of a sequence: what stands in it, and every reason why it cannot be used as it is.

Fields: ``sequence``, ``trigger``, ``next_trigger``, ``timezone`` (IANA), ``skip_weekends``, ``device`` and ``steps``,
of which each has an ``id``, a ``day`` (perhaps with ``at``) or ``after``, and a ``text``, an ``image`` or both; the
text is the image's caption then. Lengths are those of the text as it stands in the file: values that are put in can
make it longer, which is measured again for each message.
"""

import re
from collections import Counter
from collections.abc import Mapping
from datetime import time, timedelta
from functools import cache
from typing import Annotated, Any, NamedTuple
from urllib.parse import urlsplit
from zoneinfo import available_timezones

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, ValidationError
from pydantic_core import PydanticCustomError

from messaging.durations import parse_duration
from messaging.errors import InvalidInput
from messaging.identity import normalise_words, validate_name
from messaging.suggestions import did_you_mean
from messaging.templates import MAX_CAPTION, MAX_TEXT
from messaging.yaml_files import Document, read_yaml

__all__ = [
    "SequenceDraft",
    "SequenceFile",
    "StepFile",
    "check_time_zone",
    "parse_time",
    "parse_trigger",
    "read_sequence",
]

_TIME = re.compile(r"([01]?[0-9]|2[0-3]):([0-5][0-9])(?::([0-5][0-9]))?")
_LAST_DAY = 3650
_DAY = timedelta(days=1)


def parse_time(value: object) -> time:
    """A time of day, ``HH:MM`` or ``HH:MM:SS``. Raises InvalidInput for anything else."""
    match = _TIME.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise InvalidInput(f'{value!r} is not a time of day, write HH:MM, e.g. "10:00"')
    hour, minute, second = (int(part or 0) for part in match.groups())
    return time(hour, minute, second)


@cache
def _zones() -> frozenset[str]:
    # These two are what a machine makes of itself, no place on earth.
    return frozenset(available_timezones() - {"localtime", "Factory"})


def check_time_zone(name: str) -> str:
    """The name itself. Raises InvalidInput for one that is not in the IANA database."""
    if name not in _zones():
        raise InvalidInput(f"{name!r} is not an IANA time zone, {_zone_hint(name)}")
    return name


def _zone_hint(name: str) -> str:
    """What was meant, where that is sure enough: an offset or an abbreviation is near to the wrong ones."""
    folded = name.strip().replace(" ", "_").casefold()
    for zone in sorted(_zones()):
        if folded in (zone.casefold(), zone.casefold().rpartition("/")[2]):
            return f"did you mean {zone!r}?"
    near = did_you_mean(name, sorted(_zones()), nearness=0.85) if "/" in name else ""
    return near if near.startswith("did") else "give one such as Asia/Kuala_Lumpur"


def parse_trigger(word: str) -> str:
    """The trigger as leads bear it. Raises InvalidInput unless it is one word."""
    words = normalise_words(word)
    if len(words) != 1:
        raise InvalidInput(f"{word!r} is not a trigger, write one word without commas, e.g. COLDVITAC")
    return words[0]


def _image(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname or re.search(r"[\s{}]", url):
        raise InvalidInput(f"{url!r} is not the address of an image, write one that begins with https://")
    return url


def _after(value: object) -> timedelta:
    if not isinstance(value, str):
        raise InvalidInput(f'{value!r} is not a duration, write e.g. "48h", "30m", "1h30m" or "2d"')
    return parse_duration(value)


def _pydantic(check: Any) -> Any:
    """The check as pydantic calls it: what it raises becomes the field's error."""

    def checked(value: Any) -> Any:
        try:
            return check(value)
        except (InvalidInput, ValueError) as error:
            raise PydanticCustomError("invalid", "{message}", {"message": str(error)}) from error

    return checked


_Name = Annotated[str, AfterValidator(_pydantic(validate_name))]
_Trigger = Annotated[str, AfterValidator(_pydantic(parse_trigger))]


def _day(value: int) -> int:
    if not 1 <= value <= _LAST_DAY:
        raise InvalidInput(f"{value} is not a day of a sequence, the first is 1 and the last {_LAST_DAY}")
    return value


class _File(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class StepFile(_File):
    """One step as its file has it."""

    id: _Name
    day: Annotated[int, AfterValidator(_pydantic(_day))] | None = None
    at: Annotated[time, BeforeValidator(_pydantic(parse_time))] | None = None
    after: Annotated[timedelta, BeforeValidator(_pydantic(_after))] | None = None
    text: str = ""
    image: Annotated[str, AfterValidator(_pydantic(_image))] | None = None


class SequenceFile(_File):
    """A sequence as its file has it; triggers are normalised."""

    sequence: _Name
    trigger: _Trigger | None = None
    next_trigger: _Trigger | None = None
    timezone: Annotated[str, AfterValidator(_pydantic(check_time_zone))] = "UTC"
    skip_weekends: bool = False
    device: _Name | None = None
    steps: list[StepFile]


class SequenceDraft(NamedTuple):
    """A file that was read: the sequence, if all of it can be used, and the document to note more problems in."""

    document: Document
    sequence: SequenceFile | None

    @property
    def texts(self) -> list[tuple[int, str]]:
        """The texts that are there, with the index of their step, whatever else is wrong with the file."""
        return [(i, step["text"]) for i, step in _steps(self.document) if isinstance(step.get("text"), str)]


def read_sequence(source: str, file: str) -> SequenceDraft:
    """Reads the text of a file. What is wrong is noted in the document, all of it."""
    document = read_yaml(source, file)
    if document.problems and not document.data:
        return SequenceDraft(document, None)
    _drop_empty(document.data, SequenceFile)
    for _, step in _steps(document):
        _drop_empty(step, StepFile)
    sequence = None
    try:
        sequence = SequenceFile.model_validate(document.data)
    except ValidationError as error:
        document.note_invalid(
            [e for e in error.errors() if e["loc"] != ("steps",) or e["type"] != "missing"],
            {1: list(SequenceFile.model_fields), 3: list(StepFile.model_fields)},
        )
    if not document.data.get("steps", ()) and document.data.get("steps", []) in (None, []):
        document.note(("steps",), "there is no step, a sequence needs at least one")
    _check_ids(document)
    _check_when(document)
    _check_order(document)
    _check_contents(document)
    return SequenceDraft(document, sequence if not document.problems else None)


def _drop_empty(fields: dict[str, Any], model: type[BaseModel]) -> None:
    """A field with nothing behind it is as good as none."""
    for name in [name for name, value in fields.items() if value is None and name in model.model_fields]:
        del fields[name]


def _steps(document: Document) -> list[tuple[int, dict[str, Any]]]:
    steps = document.data.get("steps")
    return [
        (i, step) for i, step in enumerate(steps if isinstance(steps, list) else ()) if isinstance(step, dict)
    ]


def _check_ids(document: Document) -> None:
    ids = Counter[str]()
    for index, step in _steps(document):
        key = step.get("id")
        if isinstance(key, str):
            ids[key] += 1
            if ids[key] > 1:
                document.note(
                    ("steps", index, "id"), f"{key!r} is the ID of a step before, each needs its own"
                )


def _check_when(document: Document) -> None:
    for index, step in _steps(document):
        path = ("steps", index)
        if "day" in step and "after" in step:
            document.note((*path, "after"), "stands beside 'day', give one of the two")
        elif "day" not in step and "after" not in step:
            hint = (
                "the first step needs 'day: 1', or 'after'" if index == 0 else "give 'day: 3' or 'after: 48h'"
            )
            document.note((*path, "day"), f"is missing, {hint}")
        elif "at" in step and "after" in step:
            document.note((*path, "at"), "goes with 'day', not with 'after'")
    if "timezone" not in document.data:
        local = [index for index, step in _steps(document) if "at" in step]
        if local:
            document.note(("timezone",), f"is missing, and steps[{local[0]}].at is a local time")


def _check_order(document: Document) -> None:
    """Days must not go backwards, counted with what 'after' adds in between."""
    before: tuple[int, timedelta, bool] | None = (
        None  # the day, what was added to its midnight, whether that is known
    )
    for index, step in _steps(document):
        day, at, after = step.get("day"), _time_of(step), _after_of(step)
        if after is not None and "day" not in step and before is not None:
            before = (before[0], before[1] + after, before[2])
        if not isinstance(day, int) or isinstance(day, bool) or not 1 <= day <= _LAST_DAY or "after" in step:
            continue
        if before is not None:
            reached = before[0] + before[1] // _DAY
            same_day_too_early = (
                day == reached and at is not None and before[2] and _since_midnight(at) < before[1] % _DAY
            )
            if day < reached:
                document.note(
                    ("steps", index, "day"), f"goes backwards, the step before it is on day {reached}"
                )
            elif same_day_too_early:
                document.note(
                    ("steps", index, "at"), f"goes backwards, the step before it is later on day {day}"
                )
        before = (day, _since_midnight(at) if at else timedelta(0), at is not None)


def _since_midnight(at: time) -> timedelta:
    return timedelta(hours=at.hour, minutes=at.minute, seconds=at.second)


def _time_of(step: Mapping[str, Any]) -> time | None:
    try:
        return parse_time(step.get("at"))
    except InvalidInput:
        return None


def _after_of(step: Mapping[str, Any]) -> timedelta | None:
    try:
        return _after(step.get("after"))
    except InvalidInput:
        return None


def _check_contents(document: Document) -> None:
    for index, step in _steps(document):
        path = ("steps", index, "text")
        text = step.get("text", "")
        if not isinstance(text, str):
            continue
        if not text.strip() and "image" not in step:
            document.note(path, "is empty, write what is to be sent, or give an 'image'")
        if "image" in step and len(text) > MAX_CAPTION:
            document.note(
                path, f"has {len(text):,} characters, WhatsApp takes {MAX_CAPTION:,} below an image"
            )
        elif len(text) > MAX_TEXT:
            document.note(path, f"has {len(text):,} characters, WhatsApp takes {MAX_TEXT:,}")
