"""What a reply does to a sequence: the field ``on_reply`` of a sequence and of a step, and the rule that matches a reply.

In the file it is one action (``pause``), or a list of rules with ``when``, the keywords that a rule is for, and ``do``,
its action. A rule without ``when`` is for all other replies. The first rule that matches counts. The rules of a step go
before those of its sequence; if no rule matches, the contact is paused, unless a step that is to come waits for the
reply or asks for it.
"""

from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BeforeValidator, TypeAdapter

from messaging.common.errors import InvalidInput
from messaging.common.keywords import fold_keyword, is_keyword
from messaging.common.words import validate_name
from messaging.files.fields import FileModel, as_field

__all__ = [
    "Action",
    "OnReply",
    "RuleFile",
    "Verb",
    "action_for",
    "as_stored",
    "format_on_reply",
    "parse_action",
    "read_rules",
]

Verb = Literal["continue", "pause", "stop", "go"]


class Action(NamedTuple):
    """What a reply does. ``name``: the step or sequence to go to, for ``go`` only."""

    verb: Verb
    name: str | None = None


PAUSE = Action("pause")


def parse_action(text: str) -> Action:
    """The action that is written ``continue``, ``pause``, ``stop`` or ``go NAME``. Raises InvalidInput."""
    verb, _, name = text.strip().partition(" ")
    match verb.lower(), name.strip():
        case ("continue", ""):
            return Action("continue")
        case ("pause", ""):
            return PAUSE
        case ("stop", ""):
            return Action("stop")
        case ("go", given) if given:
            return Action("go", validate_name(given, "step or sequence"))
    raise InvalidInput(
        f"{text!r} is not an action, write continue, pause, stop, or go and the name of a step or sequence"
    )


def _do(value: object) -> str:
    if not isinstance(value, str):
        raise InvalidInput(
            "is not an action, write continue, pause, stop, or go and the name of a step or sequence"
        )
    return _format_action(parse_action(value))


def _format_action(action: Action) -> str:
    return action.verb if action.name is None else f"{action.verb} {action.name}"


def _when(value: object) -> list[str]:
    given = value if isinstance(value, list) else [value]
    if not given:
        raise InvalidInput("is empty, give the replies that the rule is for, or leave it out")
    if not all(isinstance(word, str | int) for word in given):
        raise InvalidInput("is no list of replies, write e.g. [yes, ya]")
    return list(dict.fromkeys(fold_keyword(str(word)) for word in given))


class RuleFile(FileModel):
    """One rule as the file has it; the keywords are folded."""

    when: Annotated[list[str], BeforeValidator(as_field(_when))] | None = None
    do: Annotated[str, BeforeValidator(as_field(_do))]

    @property
    def action(self) -> Action:
        """What the rule does."""
        return parse_action(self.do)


def _as_rules(value: object) -> tuple[Any, ...]:
    if isinstance(value, str):
        return ({"do": _do(value)},)
    if isinstance(value, dict):
        return (value,)
    if not isinstance(value, list):
        raise InvalidInput(
            "is neither an action nor a list of rules, write e.g. pause, or [{when: [yes], do: stop}]"
        )
    if not value:
        raise InvalidInput("is empty, write an action, e.g. pause, or rules, e.g. [{when: [yes], do: stop}]")
    for place, rule in enumerate(value):
        last = place == len(value) - 1
        if not last and isinstance(rule, dict) and rule.get("when") is None:
            raise InvalidInput(
                "has rules after one without 'when', which is for all replies: put that one last"
            )
    return tuple(value)


OnReply = Annotated[tuple[RuleFile, ...], BeforeValidator(as_field(_as_rules))]

_STORED = TypeAdapter(tuple[RuleFile, ...])


def read_rules(stored: list[Any]) -> tuple[RuleFile, ...]:
    """The rules of a column ``on_reply``."""
    return _STORED.validate_python(stored)


def as_stored(rules: Iterable[RuleFile]) -> list[dict[str, Any]]:
    """The rules as a column ``on_reply`` has them."""
    return [rule.model_dump() for rule in rules]


def action_for(rules: Iterable[RuleFile], said: Sequence[str | None]) -> Action | None:
    """The action of the first rule for a reply with these texts; None if no rule is for it."""
    for rule in rules:
        if rule.when is None or is_keyword(rule.when, *said):
            return rule.action
    return None


def format_on_reply(rules: Sequence[RuleFile]) -> str:
    """The rules in one line: ``yes, ya: go pitch; else pause``."""
    return "; ".join(
        f"{', '.join(rule.when)}: {rule.do}"
        if rule.when
        else f"else {rule.do}"
        if len(rules) > 1
        else rule.do
        for rule in rules
    )
