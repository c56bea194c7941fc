"""Operations on sequences: apply files, pause and resume."""

from collections.abc import Sequence
from pathlib import Path

from messaging.common.database import Connection
from messaging.common.errors import NeedsConsent
from messaging.common.keywords import Keywords
from messaging.common.storable import LONGEST_REASON, storable
from messaging.common.transactions import rehearsed
from messaging.common.values import Value
from messaging.files.yaml import FileProblems
from messaging.sending.under_way import UnderWay, nothing_begins_any_more
from messaging.sequences import store as sequences
from messaging.sequences.apply import AppliedSequence, apply_sequences
from messaging.sequences.concerned import Concerned, concerned_by
from messaging.sequences.effects import effects_of
from messaging.sequences.file import SequenceDraft, read_sequence
from messaging.sequences.store import SequenceStatus, load_plan_of
from messaging.times.calendar import Plan
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
    """The result of one file.

    ``contacts_replanned``: for how many contacts this edit has changed the next step or its time. ``contacts_to_signal``:
    how many workflows are still to be signalled about this edit or an earlier one.
    """

    contacts_replanned: int = 0
    contacts_to_signal: int = 0
    concerns: tuple[str, ...] = ()
    """The effects of the edit on active contacts, if they needed consent."""
    concerned: Concerned | None = None
    """Of a dry run: whom the edit would concern."""


class SequenceStatusChange(Value):
    """The status of a sequence. ``changed``: False if it had that status before. ``contacts_woken``: how many go on
    now.
    """

    sequence: str
    status: SequenceStatus
    changed: bool
    contacts_woken: int = 0
    under_way: tuple[UnderWay, ...] = ()
    """Messages that were being sent already."""


async def apply(
    drumbeat: Drumbeat, files: Sequence[Path], *, consent: bool = False, dry_run: bool = False
) -> list[SequenceApplied]:
    """Creates or edits the sequences of YAML files: all of them, or none if one has a problem.

    An edit also applies to active contacts. Applying the same file again changes nothing; it only repeats signals that
    were lost. An edit by which active contacts miss a step, or get something at once, needs ``consent``. ``dry_run``: says whom
    the edit would concern, and changes nothing. Raises FileProblems (one line for each problem), NeedsConsent and Unavailable.
    """
    drafts = [
        read_draft(file, read_sequence, lambda document: SequenceDraft(document, None)) for file in files
    ]
    async with (await drumbeat.pool()).acquire() as connection:
        effects = {one.sequence: tuple(one.lines()) for one in await effects_of(connection, drafts)}
        if dry_run:
            return await _rehearse(connection, drafts, drumbeat.settings.keywords, effects)
        if effects and not consent and not any(draft.document.problems for draft in drafts):
            raise NeedsConsent([f"{name}: {line}" for name, lines in effects.items() for line in lines])
        applied = await apply_sequences(connection, drafts, usual=drumbeat.settings.keywords)
    done = []
    for sequence in applied:
        planned = await signals.plan_changed(drumbeat, sequence.sequence)
        done.append(
            SequenceApplied(
                **sequence.model_dump(),
                contacts_replanned=planned.changed,
                contacts_to_signal=planned.to_signal,
                concerns=effects.get(sequence.sequence, ()),
            )
        )
    return done


async def _rehearse(
    connection: Connection,
    drafts: Sequence[SequenceDraft],
    usual: Keywords,
    effects: dict[str, tuple[str, ...]],
) -> list[SequenceApplied]:
    async def work() -> list[tuple[AppliedSequence, Plan]]:
        applied = await apply_sequences(connection, drafts, usual=usual)
        return [(one, await load_plan_of(connection, one.sequence)) for one in applied]

    # The contacts are compared after the rollback, as that may take a while and needs no locks.
    return [
        SequenceApplied(
            **one.model_dump(),
            concerns=effects.get(one.sequence, ()),
            concerned=None if one.result == "created" else await concerned_by(connection, plan),
        )
        for one, plan in await rehearsed(connection, work)
    ]


async def pause(drumbeat: Drumbeat, sequence: str, reason: str = "") -> SequenceStatusChange:
    """Pauses a sequence: it sends nothing until it is resumed, and nothing is lost. Raises NotFound.

    Returns when no more message can begin to be sent.
    """
    pool = await drumbeat.pool()
    async with pool.acquire() as connection:
        why = storable(reason, LONGEST_REASON) or None
        changed = await sequences.set_sequence_status(connection, sequence, "paused", why)
    under_way = await nothing_begins_any_more(pool, sequence=sequence)
    return SequenceStatusChange(sequence=sequence, status="paused", changed=changed, under_way=under_way)


async def resume(drumbeat: Drumbeat, sequence: str) -> SequenceStatusChange:
    """Resumes a sequence, and wakes the contacts that it held, even if the pause had ended before. Raises NotFound and
    Unavailable.
    """
    async with (await drumbeat.pool()).acquire() as connection:
        changed = await sequences.set_sequence_status(connection, sequence, "active")
    woken = await signals.wake_held(drumbeat, "sequence", sequence)
    return SequenceStatusChange(sequence=sequence, status="active", changed=changed, contacts_woken=woken)
