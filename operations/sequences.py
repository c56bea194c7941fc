"""Sequences, as services and operators handle them: apply their files, look at them, pause and resume them."""

from collections.abc import Sequence
from pathlib import Path

from messaging.common.errors import NeedsConsent
from messaging.common.values import Value
from messaging.files.yaml import FileProblems
from messaging.sending.under_way import UnderWay, nothing_begins_any_more
from messaging.sequences import store as sequences
from messaging.sequences.apply import AppliedSequence, apply_sequences
from messaging.sequences.effects import effects_of
from messaging.sequences.file import SequenceDraft, read_sequence
from messaging.sequences.store import SequenceStatus
from operations import signals
from operations.connection import Drumbeat
from operations.files import read_draft
from operations.reports import list_sequences, show_sequence

__all__ = [
    "FileProblems",
    "SequenceApplied",
    "SequenceStatusChange",
    "apply",
    "list_sequences",
    "pause",
    "resume",
    "show_sequence",
]


class SequenceApplied(AppliedSequence):
    """What came of one file.

    ``contacts_replanned``: for how many another step or moment comes next by this edit. ``contacts_to_tell``: how many
    workflows are still to be told of this edit or an earlier one.
    """

    contacts_replanned: int = 0
    contacts_to_tell: int = 0
    concerns: tuple[str, ...] = ()
    """What the edit means for contacts under way, where that had to be agreed to."""


class SequenceStatusChange(Value):
    """A sequence's status; ``changed``: whether it was another before. ``contacts_woken``: how many go on now."""

    sequence: str
    status: SequenceStatus
    changed: bool
    contacts_woken: int = 0
    under_way: tuple[UnderWay, ...] = ()
    """What an attempt had in its hands already."""


async def apply(drumbeat: Drumbeat, files: Sequence[Path], *, consent: bool = False) -> list[SequenceApplied]:
    """Creates or edits the sequences of YAML files: all of them or, if one has a problem, none.

    An edit reaches the contacts that are under way. Applying the same file again changes nothing; it tells those
    that should have been told before, had that failed. An edit that passes over contacts under way, or sends them something at
    once, needs ``consent``. Raises FileProblems (one line for each problem), NeedsConsent and Unavailable.
    """
    drafts = [
        read_draft(file, read_sequence, lambda document: SequenceDraft(document, None)) for file in files
    ]
    async with (await drumbeat.pool()).acquire() as connection:
        effects = {one.sequence: tuple(one.lines()) for one in await effects_of(connection, drafts)}
        if effects and not consent and not any(draft.document.problems for draft in drafts):
            raise NeedsConsent([f"{name}: {line}" for name, lines in effects.items() for line in lines])
        applied = await apply_sequences(connection, drafts)
    done = []
    for sequence in applied:
        planned = await signals.plan_changed(drumbeat, sequence.sequence)
        done.append(
            SequenceApplied(
                **sequence.model_dump(),
                contacts_replanned=planned.changed,
                contacts_to_tell=planned.to_tell,
                concerns=effects.get(sequence.sequence, ()),
            )
        )
    return done


async def pause(drumbeat: Drumbeat, sequence: str) -> SequenceStatusChange:
    """Holds everything that the sequence would send, from now on; nothing is lost. Raises NotFound.

    Answers when nothing more can begin to be sent.
    """
    pool = await drumbeat.pool()
    async with pool.acquire() as connection:
        changed = await sequences.set_sequence_status(connection, sequence, "paused")
    under_way = await nothing_begins_any_more(pool, sequence=sequence)
    return SequenceStatusChange(sequence=sequence, status="paused", changed=changed, under_way=under_way)


async def resume(drumbeat: Drumbeat, sequence: str) -> SequenceStatusChange:
    """Ends the pause, and wakes the contacts that it held up, also if it had ended before. Raises NotFound, Unavailable."""
    async with (await drumbeat.pool()).acquire() as connection:
        changed = await sequences.set_sequence_status(connection, sequence, "active")
    woken = await signals.wake_held(drumbeat, "sequence", sequence)
    return SequenceStatusChange(sequence=sequence, status="active", changed=changed, contacts_woken=woken)
