"""The file of a sequence: its fields, and every reason why it cannot be used.

Fields: ``sequence``, ``trigger``, ``next_trigger``, ``keyword`` and ``ad`` (what people write or click to be enrolled),
``timezone`` (IANA), ``skip_weekends``, ``device``, ``category`` (which opt-outs hold), ``require_consent``,
``outside_window`` (what becomes of free text outside the service window), ``on_reply``, ``reply_within`` and ``steps``,
each of which has an ``id``, a ``day`` (optionally with ``at``), ``after`` or ``wait_for``, optionally ``if``,
``expires_after``, ``missed`` and ``on_reply``, and a ``text``, an ``image`` or both; the text is then the image's
caption. A ``template`` may stand beside them, for gateways that want one. Lengths are those of the text in the file;
rendering can make a text longer, so each message is measured again.
"""

import re
from collections import Counter
from collections.abc import Mapping
from datetime import time, timedelta
from typing import Annotated, Any, NamedTuple

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError

from messaging.common.errors import InvalidInput
from messaging.common.keywords import fold, fold_keyword, joined
from messaging.files.approved_template import TemplateFile, template_texts
from messaging.files.fields import (
    Category,
    FileModel,
    FileText,
    Image,
    Name,
    OutsideWindow,
    TimeZone,
    Trigger,
    as_field,
    check_contents,
    drop_empty,
    field_names,
    parse_time,
)
from messaging.files.yaml import Document, read_yaml
from messaging.sequences.conditions import ConditionsFile
from messaging.sequences.on_reply import OnReply, RuleFile
from messaging.times.calendar import Missed
from messaging.times.durations import parse_duration

__all__ = ["SequenceDraft", "SequenceFile", "StepFile", "WaitForFile", "read_sequence"]

REPLY_WITHIN = timedelta(days=3)
"""How long after a message of a sequence a reply counts for it, if the file does not say."""

_LAST_DAY = 3650
_DAY = timedelta(days=1)

_MAX_STEPS = 500
"""Enough for more than one message a day for a year."""


def _after(value: object) -> timedelta:
    if not isinstance(value, str):
        raise InvalidInput(f'{value!r} is not a duration, write e.g. "48h", "30m", "1h30m" or "2d"')
    return parse_duration(value)


def _expires_after(value: object) -> timedelta:
    duration = _after(value)
    if not duration:
        raise InvalidInput(f'{value!r} would be over at once, write how late it may go out, e.g. "6h"')
    return duration


def _reply(value: object) -> timedelta:
    duration = _after(value)
    if not duration:
        raise InvalidInput(f'{value!r} is no time to wait, write how long at most, e.g. "24h"')
    return duration


def _wait_for(value: object) -> object:
    if not isinstance(value, dict):
        raise InvalidInput(f"{value!r} does not say what is waited for, write e.g. {{reply: 24h}}")
    return value


def _reply_within(value: object) -> timedelta:
    duration = _after(value)
    if not duration:
        raise InvalidInput(
            f'{value!r} would leave every reply out, write e.g. "3d"; with on_reply: continue, replies do nothing'
        )
    return duration


def _day(value: int) -> int:
    if not 1 <= value <= _LAST_DAY:
        raise InvalidInput(f"{value} is not a day of a sequence, the first is 1 and the last {_LAST_DAY}")
    return value


def _as_list(value: object) -> list[object]:
    """One word or a list of them; numbers are words here, as the codes of advertisements are numbers."""
    values = value if isinstance(value, list) else [value]
    return [str(one) if isinstance(one, int) and not isinstance(one, bool) else one for one in values]


def _keyword(word: str) -> str:
    fold_keyword(word)
    return word.strip()


def _ad(code: str) -> str:
    if not re.fullmatch(r"\S{1,200}", code.strip()):
        raise InvalidInput(
            f"{code!r} is not the code of an advertisement, write its ID, e.g. 120226305854810726"
        )
    return code.strip()


Keyword = Annotated[str, AfterValidator(as_field(_keyword))]
Ad = Annotated[str, AfterValidator(as_field(_ad))]


class WaitForFile(FileModel):
    """What a step waits for, and how long at most after the step before."""

    reply: Annotated[timedelta, BeforeValidator(as_field(_reply))]


class StepFile(FileModel):
    """One step as its file has it."""

    id: Name
    day: Annotated[int, AfterValidator(as_field(_day))] | None = None
    at: Annotated[time, BeforeValidator(as_field(parse_time))] | None = None
    after: Annotated[timedelta, BeforeValidator(as_field(_after))] | None = None
    wait_for: Annotated[WaitForFile, BeforeValidator(as_field(_wait_for))] | None = None
    conditions: ConditionsFile | None = Field(default=None, alias="if")
    expires_after: Annotated[timedelta, BeforeValidator(as_field(_expires_after))] | None = None
    missed: Missed = "leave_out"
    text: str = ""
    image: Image | None = None
    template: TemplateFile | None = None
    on_reply: OnReply = ()


class SequenceFile(FileModel):
    """A sequence as its file has it; triggers are normalised, keywords and codes of advertisements as they are written."""

    sequence: Name
    trigger: Trigger | None = None
    next_trigger: Trigger | None = None
    keyword: Annotated[list[Keyword], BeforeValidator(_as_list)] = Field(default_factory=list)
    ad: Annotated[list[Ad], BeforeValidator(_as_list)] = Field(default_factory=list)
    timezone: TimeZone = "UTC"
    skip_weekends: bool = False
    device: Name | None = None
    category: Category = "marketing"
    require_consent: bool = False
    outside_window: OutsideWindow = "fail"
    on_reply: OnReply = ()
    reply_within: Annotated[timedelta, BeforeValidator(as_field(_reply_within))] = REPLY_WITHIN
    steps: list[StepFile]


class SequenceDraft(NamedTuple):
    """A file that was read: the sequence, if all of it is usable, and the document, in which more problems can be
    noted.
    """

    document: Document
    sequence: SequenceFile | None

    @property
    def keywords(self) -> list[FileText]:
        """The usable keywords, in the form in which they are unique."""
        return [
            given._replace(text=joined(fold(given.text)))
            for given in self._listed("keyword")
            if joined(fold(given.text))
        ]

    @property
    def ads(self) -> list[FileText]:
        """The codes of advertisements."""
        return self._listed("ad")

    def _listed(self, field: str) -> list[FileText]:
        """The texts of a field that has one or more, whatever else is wrong with the file."""
        value = self.document.data.get(field, [])
        single = not isinstance(value, list)
        return [
            FileText(self.document, (field,) if single else (field, index), one.strip())
            for index, one in enumerate(_as_list(value))
            if isinstance(one, str)
        ]

    @property
    def texts(self) -> list[FileText]:
        """The texts of the steps and their templates' parameters, whatever else is wrong with the file."""
        found = []
        for index, step in _steps(self.document):
            if isinstance(step.get("text"), str):
                found.append(FileText(self.document, ("steps", index, "text"), step["text"]))
            found += template_texts(self.document, step, ("steps", index))
        return found


def read_sequence(source: str, file: str) -> SequenceDraft:
    """Reads the text of a file. All problems are noted in the document."""
    document = read_yaml(source, file)
    if document.problems and not document.data:
        return SequenceDraft(document, None)
    drop_empty(document.data, SequenceFile)
    for _, step in _steps(document):
        drop_empty(step, StepFile)
        if isinstance(step.get("if"), dict):
            drop_empty(step["if"], ConditionsFile)
    sequence = None
    try:
        sequence = SequenceFile.model_validate(document.data)
    except ValidationError as error:
        document.note_invalid(
            [e for e in error.errors() if e["loc"] != ("steps",) or e["type"] != "missing"],
            {
                "": field_names(SequenceFile),
                "steps": field_names(StepFile),
                "if": field_names(ConditionsFile),
                "wait_for": field_names(WaitForFile),
                "template": field_names(TemplateFile),
                "on_reply": field_names(RuleFile),
            },
        )
    if not document.data.get("steps", ()) and document.data.get("steps", []) in (None, []):
        document.note(("steps",), "there is no step, a sequence needs at least one")
    if len(_steps(document)) > _MAX_STEPS:
        document.note(("steps",), f"there are {len(_steps(document)):,} steps, at most {_MAX_STEPS}")
        return SequenceDraft(document, None)
    _check_ids(document)
    _check_when(document)
    _check_conditions(document)
    _check_order(document)
    for index, step in _steps(document):
        check_contents(document, step, ("steps", index))
    return SequenceDraft(document, sequence if not document.problems else None)


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
        ways = [name for name in ("day", "after", "wait_for") if name in step]
        if len(ways) > 1:
            document.note((*path, ways[1]), f"stands beside {ways[0]!r}, give one of the two")
        elif not ways:
            hint = (
                "the first step needs 'day: 1', or 'after'" if index == 0 else "give 'day: 3' or 'after: 48h'"
            )
            document.note((*path, "day"), f"is missing, {hint}")
        elif "at" in step and ways != ["day"]:
            document.note((*path, "at"), f"goes with 'day', not with {ways[0]!r}")
        if index == 0 and "wait_for" in step:
            message = (
                "the first step has no message before it that could be replied to, give 'day: 1' or 'after'"
            )
            document.note((*path, "wait_for"), message)
    if "timezone" not in document.data:
        local = [index for index, step in _steps(document) if "at" in step]
        if local:
            document.note(("timezone",), f"is missing, and steps[{local[0]}].at is a local time")


def _check_conditions(document: Document) -> None:
    for index, step in _steps(document):
        conditions, path = step.get("if"), ("steps", index, "if")
        if not isinstance(conditions, dict):
            continue
        if not conditions:
            document.note(path, "holds no condition, write e.g. {replied: false}")
        for name in ("read", "delivered"):
            if index == 0 and name in conditions:
                document.note((*path, name), "asks about the message before, and this is the first step")


def _check_order(document: Document) -> None:
    """Days must not go backwards, including the time that 'after' and 'wait_for' (at most) add in between."""
    before: tuple[int, timedelta, bool] | None = (
        None  # the day, the time added to its midnight, and whether that is known
    )
    for index, step in _steps(document):
        day, at, after = step.get("day"), _time_of(step), _after_of(step)
        if after is not None and "day" not in step and before is not None:
            before = (before[0], before[1] + after, before[2])
        if not isinstance(day, int) or isinstance(day, bool) or not 1 <= day <= _LAST_DAY:
            continue
        if "after" in step or "wait_for" in step:
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
    waited = step.get("wait_for")
    try:
        return _after(waited.get("reply") if isinstance(waited, dict) else step.get("after"))
    except InvalidInput:
        return None
