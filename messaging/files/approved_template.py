"""The field of a file that names an approved template."""

import re
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from messaging.common.errors import InvalidInput
from messaging.files.fields import FileModel, FileText, as_field
from messaging.files.yaml import Document, FieldPath
from messaging.texts.approved import ApprovedTemplate
from messaging.texts.liquid_syntax import MAX_SOURCE

__all__ = ["TemplateFile", "template_texts"]


_NAME = re.compile(r"[a-z0-9_]{1,512}")


_LANGUAGE = re.compile(r"[a-z]{2,3}(_[A-Za-z]{2,4})?")


_MAX_PARAMETERS = 100


def _name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise InvalidInput(f"{name!r} is not a template's name: it has small letters, digits and _ only")
    return name


def _language(language: str) -> str:
    if not _LANGUAGE.fullmatch(language):
        raise InvalidInput(f"{language!r} is not a template's language, write one such as en or en_US")
    return language


def _parameters(parameters: list[str]) -> list[str]:
    # They are rendered together, and may take as long as one text.
    if sum(map(len, parameters)) > MAX_SOURCE or len(parameters) > _MAX_PARAMETERS:
        raise InvalidInput(
            f"has more than {_MAX_PARAMETERS} items, or more than {MAX_SOURCE:,} characters in all of them"
        )
    return parameters


class TemplateFile(FileModel, ApprovedTemplate):
    """An approved template, and the parameters for its body in order, each in Liquid like a text."""

    name: Annotated[str, AfterValidator(as_field(_name))]
    language: Annotated[str, AfterValidator(as_field(_language))]
    parameters: Annotated[list[str], AfterValidator(as_field(_parameters))] = Field(default_factory=list)


def template_texts(document: Document, fields: Mapping[str, Any], where: FieldPath = ()) -> list[FileText]:
    """The parameters of a group of fields' ``template``, whatever else is wrong with the file."""
    template = fields.get("template")
    parameters = template.get("parameters") if isinstance(template, dict) else None
    return [
        FileText(document, (*where, "template", "parameters", index), value)
        for index, value in enumerate(parameters if isinstance(parameters, list) else ())
        if isinstance(value, str)
    ]
