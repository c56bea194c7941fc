"""The texts of messages: Liquid templates, rendered with what is known about a lead.

Variables are a lead's ``name``, ``phone``, ``niche`` and ``trigger`` (each a comma list), ``target_status``,
``device``, and its attributes by the names under which they are stored: the column ``First Name`` is ``{{ first_name
}}``. Their values are data: Liquid in a lead's name is plain text. Nothing is escaped, so URLs and line breaks arrive
as written.

A template is a pure function of its variables and cannot hang a worker: it includes nothing, reads no clock and no
file, and evaluates each part at most once. :mod:`messaging.texts.liquid_syntax` limits its size, and
:mod:`messaging.texts.liquid_filters` the length of intermediate texts: together they bound a rendering to some
milliseconds.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from functools import lru_cache
from io import StringIO
from typing import ClassVar, NamedTuple, TextIO

from liquid import Environment
from liquid.ast import Node
from liquid.builtin.expressions import FilteredExpression, Path
from liquid.builtin.output import OutputNode
from liquid.builtin.tags.case_tag import MultiExpressionBlockNode
from liquid.context import RenderContext
from liquid.exceptions import LiquidError, OutputStreamLimitError
from liquid.expression import Expression
from liquid.output import LimitedStringIO
from liquid.template import BoundTemplate
from liquid.token import (
    TOKEN_ASSIGN,
    TOKEN_CONTENT,
    TOKEN_DPIPE,
    TOKEN_EOF,
    TOKEN_ILLEGAL,
    TOKEN_OUTPUT,
    TOKEN_STRING,
    TOKEN_WORD,
    Token,
)

from messaging.common.errors import InvalidInput
from messaging.common.suggestions import did_you_mean
from messaging.leads.lead import Lead
from messaging.texts.liquid_filters import FILTERS, MAX_VALUE
from messaging.texts.liquid_syntax import TAGS, read_tokens
from messaging.texts.placeholders import placeholders

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
"""Variables that every lead has, although they may be empty."""

_MAX_BYTES = 4 * MAX_TEXT


class TemplateProblem(InvalidInput):
    """A template cannot be parsed, or not be rendered with these variables."""


class _Context(RenderContext):
    def get_buffer(self, buf: TextIO | None = None) -> StringIO:  # noqa: ARG002
        """The buffer for the output of a block or the template."""
        # The default buffer would turn \r\n into \n.
        return LimitedStringIO(limit=_MAX_BYTES, newline="")


class _Template(BoundTemplate):
    context_class = _Context

    def _get_buffer(self) -> StringIO:
        return LimitedStringIO(limit=_MAX_BYTES, newline="")


class _Environment(Environment):
    block_nesting_limit: ClassVar[int] = 20
    template_class = _Template

    def setup_tags_and_filters(self, *, extra: bool = False) -> None:
        super().setup_tags_and_filters(extra=extra)
        offered = (*TAGS, TOKEN_CONTENT, TOKEN_OUTPUT, TOKEN_ILLEGAL)
        self.tags = {name: tag for name, tag in self.tags.items() if name in offered}
        self.filters = dict(FILTERS)

    def tokenizer(self) -> Callable[[str], Iterator[Token]]:
        return read_tokens


class _Matches(Expression):
    """True if any value of a ``when`` matches. By default, Liquid renders the block once for each match, which
    multiplies when nested.
    """

    def __init__(self, values: Expression) -> None:
        super().__init__(values.token)
        self._values = values

    def evaluate(self, context: RenderContext) -> list[bool]:
        """One answer instead of one for each value."""
        return [True in self._values.evaluate(context)]  # type: ignore[operator]

    def children(self) -> list[Expression]:
        """The values."""
        return list(self._values.children())


class _Compiled(NamedTuple):
    template: BoundTemplate
    names: frozenset[str]
    """All names of variables in it, also of its own."""


_environment = _Environment()


@lru_cache(maxsize=1024)
def _compile(template: str) -> _Compiled:
    try:
        compiled = _environment.from_string(template)
        nodes = list(_walk(compiled.nodes, _Context(compiled)))
    except Exception as error:
        raise TemplateProblem(_explain(template, error)) from error
    for node in nodes:
        if isinstance(node, MultiExpressionBlockNode):
            node.expression = _Matches(node.expression)  # type: ignore[assignment]
    expressions = (expression for node in nodes for expression in node.expressions())
    return _Compiled(compiled, frozenset[str]().union(*map(_roots, expressions)))


def render(template: str, variables: Mapping[str, str], *, limit: int = MAX_TEXT) -> str:
    """The text with the variables put in; a variable that is missing is an empty text.

    ``limit``: characters that the result may have. Raises TemplateProblem, one line.
    """
    compiled = _compile(template)
    given = {name: variables[name] for name in compiled.names if name in variables}
    for name, value in given.items():
        if len(value) > MAX_VALUE:
            raise TemplateProblem(f"{name!r} has {len(value):,} characters, a text can take in {MAX_VALUE:,}")
    try:
        text = compiled.template.render(given)
    except OutputStreamLimitError as error:
        raise TemplateProblem(
            f"the text has more than {MAX_TEXT:,} characters, WhatsApp takes {limit:,}"
        ) from error
    except Exception as error:
        raise TemplateProblem(_explain(template, error)) from error
    if len(text) > limit:
        raise TemplateProblem(f"the text has {len(text):,} characters, WhatsApp takes {limit:,}")
    return text


_HINTS = {
    TOKEN_ASSIGN: "values are compared with '==', and what a filter is given follows ':'",
    TOKEN_STRING: "what a filter is given follows ':', e.g. default: 'there'",
    TOKEN_WORD: "a name has no blanks (first_name), and a filter follows '|'",
    TOKEN_DPIPE: "a filter follows one '|'",
}
"""Hints on what was meant, by the kind of the unexpected token."""


def _explain(template: str, error: Exception) -> str:
    """One line on what the engine says; filters raise Python's own errors too, for what they cannot work on."""
    if not isinstance(error, LiquidError):
        return f"the template does not work: {error}"
    what = " ".join(str(error.message or type(error).__name__).split())
    where = ""
    token = error.token
    if token is not None and what.startswith(f"expected {TOKEN_EOF}") and token.kind in _HINTS:
        what = f"unexpected {token.value!r}, {_HINTS[token.kind]}"
    what = what.replace("a primitive expression", "a name or a value").replace(TOKEN_EOF, "its end")
    if token is not None and token.start_index >= 0 and "\n" in template:
        where = f" (line {template.count(chr(10), 0, token.start_index) + 1} of the text)"
    return f"the template does not work: {what}{where}"


def variables_of(template: str) -> set[str]:
    """The variables that the template needs. Raises TemplateProblem if it cannot be parsed."""
    return set(_compile(template).template.analyze(include_partials=False).globals)


def unguarded_variables_of(template: str) -> set[str]:
    """Variables that leave a blank if they are empty: output without ``default``, and not tested by a tag."""
    compiled = _compile(template).template
    put_out: set[str] = set()
    asked_about: set[str] = set()
    for node in _walk(compiled.nodes, _Context(compiled)):
        for expression in node.expressions():
            if not isinstance(node, OutputNode):
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
    """Problems of this template if only these variables are known, one line each."""
    try:
        analysis = _compile(template).template.analyze(include_partials=False)
    except TemplateProblem as problem:
        return [str(problem)]
    found: list[str] = []
    for name, uses in analysis.globals.items():
        if name not in known:
            choices = [
                *(name for name in LEAD_VARIABLES if name in known),
                *sorted(known - {*LEAD_VARIABLES}),
            ]
            found.append(_unknown(str(uses[0]), name, choices, template))
        found += [
            f"{str(use)!r} is unknown: {name!r} is a text and has no parts"
            for use in uses
            if name in known and use.segments[1:] not in ([], ["size"])
        ]
    found += [
        f"unknown filter {name!r}; {did_you_mean(name, sorted(FILTERS))}"
        for name in analysis.filters
        if name not in FILTERS
    ]
    found += [
        f"{place.written} would go out as it stands, write {{{{ {place.name} }}}}"
        for place in placeholders(template)
        if place.name in known
    ]
    # {{1}} is a place in the body of an approved template; Liquid puts the number out.
    found += [
        f"{number[0]} would go out as {number[1]}, write the name of a variable"
        for number in re.finditer(r"\{\{-?\s{0,9}([0-9]{1,15})\s{0,9}-?\}\}", template)
    ]
    for value in ("x", "") if not found else ():
        try:
            render(template, dict.fromkeys(known, value), limit=_MAX_BYTES)
        except TemplateProblem as problem:
            return [str(problem)]
    return found


def _unknown(use: str, name: str, choices: list[str], template: str) -> str:
    hint = did_you_mean(name, choices)
    if not hint.startswith("did") and re.search(rf"[:,=]\s*{re.escape(name)}(?![\w.])", template):
        return f"unknown variable {use!r}, a text is put in quotes: {name!r}"
    return f"unknown variable {use!r}; {hint}"


def lead_variables(lead: Lead) -> dict[str, str]:
    """The variables for this lead. An attribute does not hide the lead's own fields."""
    own = {
        "name": lead.name,
        "phone": lead.phone,
        "niche": ", ".join(lead.niches),
        "trigger": ", ".join(lead.triggers),
        "target_status": str(lead.target_status or ""),
        "device": lead.device_id or "",
    }
    return {**lead.attributes, **own}
