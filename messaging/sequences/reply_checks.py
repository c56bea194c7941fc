"""Checks the rules ``on_reply`` of files: whether each step or sequence to go to exists, and each keyword can match."""

from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

from messaging.common.database import Connection
from messaging.common.keywords import Keywords
from messaging.common.suggestions import did_you_mean
from messaging.files.yaml import FieldPath, Problem
from messaging.sequences.file import SequenceDraft
from messaging.sequences.on_reply import RuleFile

__all__ = ["check_replies", "reply_warnings"]


class _Rule(NamedTuple):
    draft: SequenceDraft
    rule: RuleFile
    path: FieldPath
    """Of its action."""
    later: Collection[str]
    """The steps that it may go to."""

    def problem(self, message: str, field: str = "do") -> Problem:
        where = self.path if field == "do" else (*self.path[:-1], field)
        return self.draft.document.problem(where, message)


def _rules(draft: SequenceDraft) -> Iterator[_Rule]:
    sequence = draft.sequence
    if sequence is None:
        return
    keys = [step.id for step in sequence.steps]
    fields = draft.document.data
    groups: list[tuple[FieldPath, object, Sequence[RuleFile], list[str]]] = [
        ((), fields.get("on_reply"), sequence.on_reply, keys)
    ]
    groups += [
        (("steps", place), fields["steps"][place].get("on_reply"), step.on_reply, keys[place + 1 :])
        for place, step in enumerate(sequence.steps)
    ]
    for where, written, rules, later in groups:
        for number, rule in enumerate(rules):
            path: FieldPath = (*where, "on_reply")
            if isinstance(written, list):
                path = (*path, number)
            yield _Rule(draft, rule, path if isinstance(written, str) else (*path, "do"), later)


async def check_replies(connection: Connection, drafts: Sequence[SequenceDraft]) -> list[Problem]:
    """Problems of ``go NAME``: a name of both a step and a sequence, a step that is not later, the sequence itself."""
    known = await _sequences(connection, drafts)
    found = []
    for draft in drafts:
        keys = [step.id for step in draft.sequence.steps] if draft.sequence else []
        for one in _rules(draft):
            name = one.rule.action.name
            assert draft.sequence is not None
            if name is None:
                continue
            if name in keys and name in known:
                found.append(
                    one.problem(f"{name!r} is a step of this sequence and also a sequence: rename one")
                )
            elif name in keys and name not in one.later:
                found.append(one.problem(f"{name!r} is no later step: a reply sends contacts forward only"))
            elif name == draft.sequence.sequence:
                found.append(one.problem("is this sequence itself, and a contact goes through it only once"))
    return found


async def reply_warnings(
    connection: Connection, drafts: Sequence[SequenceDraft], keywords: Keywords
) -> list[list[Problem]]:
    """Warnings for each file: ``go NAME`` to what does not exist yet, and a reply that opts out before any rule."""
    known = await _sequences(connection, drafts)
    return [
        [
            *(
                one.problem(f"warning: {text}")
                for one in _rules(draft)
                if (text := _missing(draft, one, known))
            ),
            *(
                one.problem(
                    f"warning: {word!r} is a keyword that {what}, and such a reply does nothing else", "when"
                )
                for one in _rules(draft)
                for word in one.rule.when or ()
                if (
                    what := {"stop": "opts out", "start": "takes an opt-out back"}.get(keywords.meaning(word))
                )
            ),
        ]
        for draft in drafts
    ]


def _missing(draft: SequenceDraft, one: _Rule, known: Collection[str]) -> str | None:
    name = one.rule.action.name
    assert draft.sequence is not None
    keys = [step.id for step in draft.sequence.steps]
    if name is None or name in keys or name in known:
        return None
    hint = did_you_mean(name, [*keys, *known])
    return f"there is no step {name!r} here, and no sequence of that name yet, so such a reply pauses: {hint}"


async def _sequences(connection: Connection, drafts: Sequence[SequenceDraft]) -> list[str]:
    stored = [row["name"] for row in await connection.fetch("select name from sequences order by name")]
    given = [draft.sequence.sequence for draft in drafts if draft.sequence]
    return list(dict.fromkeys([*stored, *given]))
