"""What a file says that is to be sent, beside text and image: a template that the gateway knows by name."""

import re
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from messaging.errors import InvalidInput
from messaging.file_fields import FileModel, FileText, as_field
from messaging.gateways.base import RenderedTemplate
from messaging.template_syntax import MAX_SOURCE
from messaging.templates import TemplateProblem, render
from messaging.yaml_files import Document, FieldPath

__all__ = ["TemplateFile", "described", "render_template", "template_texts"]

_NAME = re.compile(r"[a-z0-9_]{1,512}")
_LANGUAGE = re.compile(r"[a-z]{2,3}(_[A-Za-z]{2,4})?")

MAX_PARAMETER = 1024
"""Characters; WhatsApp Cloud API, components of a template: a body has at most 1,024, whatever is put into it."""

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


class TemplateFile(FileModel):
    """An approved template, and what is put into the places of its body, in order: Liquid, like a text."""

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


def described(template: Mapping[str, Any] | None) -> str:
    """A stored template as a person says it."""
    return f"{template['name']} ({template['language']})" if template else "none"


def render_template(template: TemplateFile, variables: Mapping[str, str]) -> RenderedTemplate:
    """The template as it is sent. Raises TemplateProblem, also for a parameter with nothing in it.

    White space in a parameter becomes single blanks: WhatsApp takes neither line breaks nor tabs there.
    """
    parameters = []
    for number, source in enumerate(template.parameters, 1):
        value = " ".join(render(source, variables, limit=MAX_PARAMETER).split())
        if not value:
            raise TemplateProblem(
                f"parameter {number} of the template {template.name} is empty for this lead: give it a default"
            )
        parameters.append(value)
    return RenderedTemplate(name=template.name, language=template.language, parameters=tuple(parameters))
