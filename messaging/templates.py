"""The texts of messages: Liquid templates, rendered with what is known about a lead.

Variables are a lead's ``name``, ``phone``, ``niche`` and ``trigger`` (each a comma list), ``target_status``,
``device``, and its attributes by the names under which they are stored: the column ``First Name`` is
``{{ first_name }}``. Their values are data: Liquid in somebody's name is text. Nothing is escaped, so URLs and line breaks arrive as written.

A template is a pure function of its variables and cannot hang a worker: it includes nothing, reads no clock and no
file, and loops, texts on the way and the result are bounded.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from functools import lru_cache, wraps
from io import StringIO
from typing import Any, ClassVar

from liquid import Environment
from liquid.ast import Node
from liquid.builtin.expressions import FilteredExpression, Path
from liquid.builtin.output import OutputNode
from liquid.builtin.tags.echo_tag import EchoNode
from liquid.context import RenderContext
from liquid.exceptions import LiquidError
from liquid.expression import Expression
from liquid.output import LimitedStringIO
from liquid.template import BoundTemplate

from messaging.errors import InvalidInput
from messaging.models import Lead
from messaging.suggestions import did_you_mean

__all__ = [
    "LEAD_VARIABLES",
    "MAX_CAPTION",
    "MAX_TEXT",
    "TemplateProblem",
    "lead_variables",
    "problems",
    "render",
    "unguarded_variables_of",
    "variables_of",
]

MAX_TEXT = 4096
"""Characters of a text message; WhatsApp Cloud API, reference of the text object: "Maximum 4096 characters"."""

MAX_CAPTION = 1024
"""Characters of an image's caption; the same reference, media object: "Maximum 1024 characters"."""

LEAD_VARIABLES = ("name", "phone", "niche", "trigger", "target_status", "device")
"""What every lead has, though it may be empty."""

_LONGEST = 10_000
"""Characters of a text, items of a list, bytes of the locals, on the way to the result."""

_ITERATIONS = 100
"""Rounds of a loop, nested ones multiplied."""

_TAGS = {
    *("content", "output", "illegal", "#", "comment", "echo", "liquid"),
    *("if", "unless", "case", "for", "break", "continue", "assign", "capture"),
}

_FILTERS = {
    *("default", "size", "upcase", "downcase", "capitalize", "append", "prepend", "slice", "split", "join"),
    *("strip", "lstrip", "rstrip", "strip_newlines", "squish", "truncate", "truncatewords", "url_encode"),
    *("remove", "remove_first", "remove_last", "replace", "replace_first", "replace_last"),
    *("first", "last", "reverse", "sort", "sort_natural", "uniq", "compact"),
    *(
        "plus",
        "minus",
        "times",
        "divided_by",
        "modulo",
        "round",
        "ceil",
        "floor",
        "abs",
        "at_least",
        "at_most",
    ),
}


class TemplateProblem(InvalidInput):
    """A template cannot be read, or not be rendered with these variables."""


class _TooMuch(LiquidError):
    """A template wants more than it may have."""


def _bounded(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """The filter, refusing to read or to make what is too long."""

    @wraps(function)
    def bounded(value: object, *args: object, **kwargs: object) -> Any:
        _refuse_long(name, value, *args)
        texts = [arg for arg in args if isinstance(arg, str)]
        if name == "join" and isinstance(value, (list, tuple, range)):
            _refuse_product(name, len(value), texts[0] if texts else " ")
        if name.startswith("replace") and len(texts) > 1:
            _refuse_product(name, str(value).count(texts[0]), texts[1])
        result = function(value, *args, **kwargs)
        _refuse_long(name, result)
        return result

    return bounded


def _refuse_long(name: str, *values: object) -> None:
    for value in values:
        if isinstance(value, range):
            # len() of a range does not go beyond the machine's integers.
            too_long = value.stop - value.start > _LONGEST
        elif isinstance(value, int):
            too_long = value.bit_length() > _LONGEST
        else:
            too_long = isinstance(value, (str, list, tuple)) and len(value) > _LONGEST
        if too_long:
            raise _TooMuch(f"{name!r} works on too much", token=None)


def _refuse_product(name: str, count: int, text: str) -> None:
    if count * len(text) > _LONGEST:
        raise _TooMuch(f"{name!r} makes too long a text", token=None)


class _Template(BoundTemplate):
    def _get_buffer(self) -> StringIO:
        # The default buffer would turn \r\n into \n.
        return LimitedStringIO(limit=4 * _LONGEST, newline="")


class _Environment(Environment):
    block_nesting_limit: ClassVar[int] = 20
    loop_iteration_limit: ClassVar[int | None] = _ITERATIONS
    local_namespace_limit: ClassVar[int | None] = 4 * _LONGEST
    output_stream_limit: ClassVar[int | None] = 4 * _LONGEST
    template_class = _Template

    def setup_tags_and_filters(self, *, extra: bool = False) -> None:
        super().setup_tags_and_filters(extra=extra)
        self.tags = {name: tag for name, tag in self.tags.items() if name in _TAGS}
        self.filters = {name: _bounded(name, self.filters[name]) for name in _FILTERS}


_environment = _Environment()


@lru_cache(maxsize=1024)
def _compile(template: str) -> BoundTemplate:
    try:
        return _environment.from_string(template)
    except Exception as error:
        raise TemplateProblem(_explain(template, error)) from error


def render(template: str, variables: Mapping[str, str], *, limit: int = MAX_TEXT) -> str:
    """The text with the variables put in; a variable that is missing is an empty text.

    ``limit``: characters that the result may have. Raises TemplateProblem, one line.
    """
    compiled = _compile(template)
    try:
        text = compiled.render(variables)
    except Exception as error:
        raise TemplateProblem(_explain(template, error)) from error
    if len(text) > limit:
        raise TemplateProblem(f"the text has {len(text):,} characters, WhatsApp takes {limit:,}")
    return text


def _explain(template: str, error: Exception) -> str:
    """One line on what the engine says; filters raise Python's own errors too, for what they cannot work on."""
    if not isinstance(error, LiquidError):
        return f"the template does not work: {error}"
    what = " ".join(str(error.message or type(error).__name__).split())
    where = ""
    if error.token is not None and error.token.start_index >= 0 and "\n" in template:
        where = f" (line {template.count(chr(10), 0, error.token.start_index) + 1} of the text)"
    return f"the template does not work: {what}{where}"


def variables_of(template: str) -> set[str]:
    """The variables that the template takes from outside. Raises TemplateProblem for one that cannot be read."""
    return set(_compile(template).analyze(include_partials=False).globals)


def unguarded_variables_of(template: str) -> set[str]:
    """Those that leave a blank where they are empty: put out without ``default``, and not asked about by a tag."""
    compiled = _compile(template)
    put_out: set[str] = set()
    asked_about: set[str] = set()
    for node in _walk(compiled.nodes, RenderContext(compiled)):
        for expression in node.expressions():
            if not isinstance(node, OutputNode | EchoNode):
                asked_about |= _roots(expression)
            elif isinstance(expression, FilteredExpression) and not any(
                used.name == "default" for used in expression.filters or ()
            ):
                put_out |= _roots(expression.left)
    return (put_out - asked_about) & variables_of(template)


def _walk(nodes: Iterable[Node], context: RenderContext) -> Iterator[Node]:
    for node in nodes:
        yield node
        yield from _walk(node.children(context, include_partials=False), context)


def _roots(expression: Expression) -> set[str]:
    roots = {str(expression.path[0])} if isinstance(expression, Path) else set()
    return roots.union(*(_roots(child) for child in expression.children()))


def problems(template: str, known: AbstractSet[str]) -> list[str]:
    """What stands in the way of sending this template where only these variables are known; each one line."""
    try:
        analysis = _compile(template).analyze(include_partials=False)
    except TemplateProblem as problem:
        return [str(problem)]
    found: list[str] = []
    for name, uses in analysis.globals.items():
        if name not in known:
            choices = [
                *(name for name in LEAD_VARIABLES if name in known),
                *sorted(known - {*LEAD_VARIABLES}),
            ]
            found.append(f"unknown variable {str(uses[0])!r}, {did_you_mean(name, choices)}")
        found += [
            f"{str(use)!r} is unknown: {name!r} is a text and has no parts"
            for use in uses
            if name in known and use.segments[1:] not in ([], ["size"])
        ]
    found += [
        f"unknown filter {name!r}, {did_you_mean(name, sorted(_FILTERS))}"
        for name in analysis.filters
        if name not in _FILTERS
    ]
    for value in ("x", "") if not found else ():
        try:
            render(template, dict.fromkeys(known, value), limit=_LONGEST)
        except TemplateProblem as problem:
            return [str(problem)]
    return found


def lead_variables(lead: Lead) -> dict[str, str]:
    """What a template may say about this lead. An attribute does not hide a lead's own data."""
    own = {
        "name": lead.name,
        "phone": lead.phone,
        "niche": ", ".join(lead.niches),
        "trigger": ", ".join(lead.triggers),
        "target_status": str(lead.target_status or ""),
        "device": lead.device_id or "",
    }
    return {**lead.attributes, **own}
