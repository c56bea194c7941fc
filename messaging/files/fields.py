"""The fields that files of sequences and campaigns share, and their checks."""

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, NamedTuple, get_args
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict
from pydantic_core import PydanticCustomError

from messaging.common.errors import InvalidInput
from messaging.common.suggestions import did_you_mean
from messaging.common.words import normalise_words, validate_name
from messaging.files.yaml import Document, FieldPath
from messaging.texts.liquid import MAX_CAPTION, MAX_TEXT
from messaging.times.durations import LONGEST_DELAY
from messaging.times.local_time import parse_time
from messaging.times.zones import check_time_zone

__all__ = [
    "LONGEST_DELAY",
    "Category",
    "FileModel",
    "FileText",
    "Image",
    "Name",
    "OutsideWindow",
    "TimeZone",
    "Title",
    "Trigger",
    "as_field",
    "check_contents",
    "drop_empty",
    "field_names",
    "one_of",
    "parse_niche",
    "parse_time",
    "parse_trigger",
]

_MAX_URL = 2048
_MAX_TITLE = 200


class FileText(NamedTuple):
    """A text in a file, whatever else is wrong with the file."""

    document: Document
    path: FieldPath
    text: str


class FileModel(BaseModel):
    """Base of a group of fields of a file: it checks types and refuses unknown fields."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


def as_field(check: Any) -> Any:
    """A validator for pydantic: an error that the check raises becomes the field's error."""

    def checked(value: Any) -> Any:
        try:
            return check(value)
        except (InvalidInput, ValueError) as error:
            raise PydanticCustomError("invalid", "{message}", {"message": str(error)}) from error

    return checked


def parse_trigger(word: str) -> str:
    """The trigger in the form that leads have. Raises InvalidInput unless it is one word."""
    return _one_word(word, "trigger", "COLDVITAC")


def parse_niche(word: str) -> str:
    """The niche in the form that leads have. Raises InvalidInput unless it is one word."""
    return _one_word(word, "niche", "VITAMINS")


def _one_word(word: str, what: str, example: str) -> str:
    words = normalise_words(word)
    if len(words) != 1:
        raise InvalidInput(f"{word!r} is not a {what}, write one word without commas, e.g. {example}")
    return words[0]


def _image(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname or re.search(r"[\s{}]", url):
        raise InvalidInput(f"{url!r} is not the address of an image, write one that begins with https://")
    if len(url) > _MAX_URL:
        raise InvalidInput(f"has {len(url):,} characters, at most {_MAX_URL:,}")
    return url


def _title(title: str) -> str:
    if len(title) > _MAX_TITLE:
        raise InvalidInput(f"has {len(title):,} characters, at most {_MAX_TITLE}")
    return title


def one_of(choices: Sequence[str]) -> BeforeValidator:
    """A validator for a field that is one of a few words."""

    def check(value: object) -> str:
        if value in choices:
            return str(value)
        advice = did_you_mean(value if isinstance(value, str) else "", choices)
        raise InvalidInput(f"{value!r} is not known here; {advice}")

    return BeforeValidator(as_field(check))


_Category = Literal["marketing", "utility"]

Category = Annotated[_Category, one_of(get_args(_Category))]
"""What kind of messages a sequence or campaign sends, as Meta divides them: an opt-out of marketing holds for the one
kind only.
"""
_OutsideWindow = Literal["fail", "wait"]

OutsideWindow = Annotated[_OutsideWindow, one_of(get_args(_OutsideWindow))]
"""What becomes of free text outside the service window of a device that has one."""
Name = Annotated[str, AfterValidator(as_field(validate_name))]
Trigger = Annotated[str, AfterValidator(as_field(parse_trigger))]
TimeZone = Annotated[str, AfterValidator(as_field(check_time_zone))]
Title = Annotated[str, AfterValidator(as_field(_title))]
Image = Annotated[str, AfterValidator(as_field(_image))]


def field_names(model: type[BaseModel]) -> list[str]:
    """The fields of a group, by their names in the file."""
    return [field.alias or name for name, field in model.model_fields.items()]


def drop_empty(fields: dict[str, Any], model: type[BaseModel]) -> None:
    """A field without a value counts as missing."""
    names = field_names(model)
    for name in [name for name, value in fields.items() if value is None and name in names]:
        del fields[name]


def check_contents(document: Document, fields: Mapping[str, Any], where: FieldPath = ()) -> None:
    """Notes problems of a ``text`` and an ``image`` together. ``where``: the group of fields that they are in."""
    path = (*where, "text")
    text = fields.get("text", "")
    if not isinstance(text, str):
        return
    if not text.strip() and "image" not in fields:
        document.note(path, "is empty, write what is to be sent, or give an 'image'")
    if "image" in fields and len(text) > MAX_CAPTION:
        document.note(path, f"has {len(text):,} characters, WhatsApp takes {MAX_CAPTION:,} below an image")
    elif len(text) > MAX_TEXT:
        document.note(path, f"has {len(text):,} characters, WhatsApp takes {MAX_TEXT:,}")
