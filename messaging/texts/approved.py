"""Approved templates: their name, language and rendered parameters."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from messaging.gateways.base import RenderedTemplate
from messaging.texts.liquid import TemplateProblem, render

__all__ = ["ApprovedTemplate", "format_template", "render_template"]


MAX_PARAMETER = 1024
"""Characters; WhatsApp Cloud API, components of a template: a body has at most 1,024, whatever is put into it."""


class ApprovedTemplate(BaseModel):
    """A template that the gateway has approved, and what is put into the places of its body, in order: Liquid, like a text."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    language: str
    parameters: list[str] = Field(default_factory=list)


def format_template(template: Mapping[str, Any] | None) -> str:
    """A stored template in words."""
    return f"{template['name']} ({template['language']})" if template else "none"


def render_template(template: ApprovedTemplate, variables: Mapping[str, str]) -> RenderedTemplate:
    """The rendered template. Raises TemplateProblem, also for an empty parameter.

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
