"""Creates and edits sequences from their files: all files or none, in one transaction.

A sequence and its steps are locked while it is edited: edits come one after the other, and no message of a step begins
while the edit checks whether the step changes its meaning. An edit adds one to ``sequences.revision``, by which
contacts know that their plan is old. Applying what is stored already writes nothing. A step keeps its row as long as it
keeps its ID.
"""

from collections.abc import Sequence
from datetime import time, timedelta
from typing import Any, Literal

from messaging.common.database import Connection, Record
from messaging.common.keywords import DEFAULT_KEYWORDS, Keywords, fold, joined
from messaging.common.transactions import all_or_nothing
from messaging.common.values import Value
from messaging.events.record import say_more
from messaging.files.yaml import FileProblems, Problem
from messaging.sequences.checks import check_together, check_with_stored, warnings_for
from messaging.sequences.condition_words import format_conditions
from messaging.sequences.file import SequenceDraft, SequenceFile, StepFile
from messaging.sequences.on_reply import as_stored, format_on_reply, read_rules
from messaging.sequences.step_ids import StoredStep, changes_of_meaning
from messaging.texts.approved import format_template
from messaging.times.durations import format_duration, format_when

__all__ = ["AppliedSequence", "apply_sequences"]


SELECT_STEPS = """
select id, key, position, day, at_time as at, after, wait_for, conditions, expires_after, missed, text, image_url, template, on_reply,
       removed_at,
       exists (select from broadcast_messages where sequence_stepid = s.id) as carried
  from sequence_steps s
 where sequence_id = $1
 order by position
"""

UPDATE_SEQUENCE = """
update sequences
   set trigger = $2, next_trigger = $3, time_zone = $4, skip_weekends = $5, device_id = $6, category = $7,
       outside_window = $8, revision = $9, require_consent = $10, on_reply = $11, reply_within = $12,
       updated_at = clock_timestamp()
 where id = $1
"""

STORE_KEYWORD = """
insert into sequence_keywords (kind, code, sequence_id, written)
values ($1, $2, $3, $4)
"""

REMOVE_OTHER_STEPS = """
update sequence_steps
   set removed_at = clock_timestamp()
 where sequence_id = $1 and removed_at is null and not key = any ($2)
"""

# Move the old positions out of the way, as positions are unique at every moment.
FREE_POSITIONS = """
update sequence_steps
   set position = -1 - position
 where sequence_id = $1 and removed_at is null
"""

STORE_STEP = """
insert into sequence_steps as s
       (sequence_id, key, position, day, at_time, after, wait_for, conditions, expires_after, missed, text, image_url, template,
        on_reply)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
    on conflict (sequence_id, key) do update
   set position = excluded.position, day = excluded.day, at_time = excluded.at_time, after = excluded.after,
       wait_for = excluded.wait_for, conditions = excluded.conditions, expires_after = excluded.expires_after,
       missed = excluded.missed, text = excluded.text,
       image_url = excluded.image_url, template = excluded.template, on_reply = excluded.on_reply,
       removed_at = null
"""


class AppliedSequence(Value):
    """The result of one file."""

    sequence: str
    result: Literal["created", "changed", "unchanged"]
    revision: int
    steps: int
    changes: tuple[str, ...] = ()
    """Each change in words."""
    warnings: tuple[str, ...] = ()
    """What should be looked at, with file and line."""


async def apply_sequences(
    connection: Connection, drafts: Sequence[SequenceDraft], *, usual: Keywords = DEFAULT_KEYWORDS
) -> list[AppliedSequence]:
    """Stores the sequences of the files, in a transaction of its own.

    ``usual``: the stop and start keywords of devices that have none of their own; no keyword of a sequence may be one. Raises FileProblems with every problem of every file, in which case nothing is stored.
    """
    return await all_or_nothing(connection, lambda: _apply(connection, drafts, usual))


async def _apply(
    connection: Connection, drafts: Sequence[SequenceDraft], usual: Keywords
) -> list[AppliedSequence]:
    problems = [problem for draft in drafts for problem in draft.document.problems]
    problems += check_together(drafts)
    problems += await check_with_stored(connection, drafts, usual)
    edits: list[_Edit] = []
    usable = [(draft, draft.sequence) for draft in drafts if draft.sequence is not None]
    for draft, sequence in sorted(usable, key=lambda pair: pair[1].sequence):  # the same lock order for all
        edit = await _Edit.begin(connection, draft, sequence)
        problems += edit.problems()
        edits.append(edit)
    if problems:
        raise FileProblems(list(dict.fromkeys(problems)))
    released = [edit.id for edit in edits if edit.row["trigger"] != edit.sequence.trigger]
    await connection.execute("update sequences set trigger = null where id = any($1)", released)
    renamed = [edit.id for edit in edits if edit.stored_keywords != edit.keywords]
    await connection.execute("delete from sequence_keywords where sequence_id = any($1)", renamed)
    applied = {edit.sequence.sequence: await edit.store(connection) for edit in edits}
    warnings = await warnings_for(connection, drafts, usual)
    return [
        applied[draft.sequence.sequence].model_copy(update={"warnings": tuple(map(str, noted))})
        for draft, noted in zip(drafts, warnings, strict=True)
        if draft.sequence is not None
    ]


_Keywords = dict[tuple[str, str], str]
"""Keywords and advertisements of a sequence: by kind and code, as they are written."""


def _written(keywords: _Keywords, kind: str) -> str:
    return ", ".join(sorted(written for (of, _), written in keywords.items() if of == kind))


class _Edit:
    """The edit of one sequence, from what is stored to what its file says."""

    def __init__(
        self,
        draft: SequenceDraft,
        sequence: SequenceFile,
        row: Record,
        stored: dict[str, StoredStep],
        stored_keywords: _Keywords,
        *,
        new: bool,
    ) -> None:
        self.sequence = sequence
        self.row = row
        self.id: int = row["id"]
        self._draft = draft
        self._stored = stored
        self._new = new
        self.stored_keywords = stored_keywords
        self.keywords: _Keywords = {
            **{("keyword", joined(fold(word))): word for word in sequence.keyword},
            **{("ad", code): code for code in sequence.ad},
        }

    @classmethod
    async def begin(cls, connection: Connection, draft: SequenceDraft, sequence: SequenceFile) -> "_Edit":
        """Locks the sequence and its steps; creates the sequence if it is new."""
        new = await connection.fetchval(
            "insert into sequences (name) values ($1) on conflict (name) do nothing returning true",
            sequence.sequence,
        )
        # A contact that is being enrolled either has its row before we go on, or sees what we store.
        row = await connection.fetchrow(
            "select * from sequences where name = $1 for update", sequence.sequence
        )
        assert row is not None, "sequences are never deleted"
        await connection.execute("select from sequence_steps where sequence_id = $1 for update", row["id"])
        steps = await connection.fetch(SELECT_STEPS, row["id"])
        stored = {step["key"]: StoredStep.model_validate(dict(step)) for step in steps}
        keywords = await connection.fetch(
            "select kind, code, written from sequence_keywords where sequence_id = $1", row["id"]
        )
        stored_keywords = {(one["kind"], one["code"]): one["written"] for one in keywords}
        return cls(draft, sequence, row, stored, stored_keywords, new=bool(new))

    def problems(self) -> list[Problem]:
        """The steps whose IDs would change their meaning."""
        return [
            self._draft.document.problem(("steps", index, "id"), message)
            for index, message in changes_of_meaning(self._stored, self.sequence.steps)
        ]

    async def store(self, connection: Connection) -> AppliedSequence:
        """Writes the differences; nothing if there are none."""
        changes = [] if self._new else self._changes()
        revision: int = self.row["revision"]
        if self._new or changes:
            revision += not self._new
            await say_more(connection, **({} if self._new else {"changes": changes}))
            await self._store_sequence(connection, revision)
            await say_more(connection)
            await self._store_steps(connection)
        return AppliedSequence(
            sequence=self.sequence.sequence,
            result="created" if self._new else "changed" if changes else "unchanged",
            revision=revision,
            steps=len(self.sequence.steps),
            changes=tuple(changes),
        )

    def _changes(self) -> list[str]:
        row, sequence = self.row, self.sequence
        headers = (
            ("trigger", row["trigger"], sequence.trigger),
            ("next_trigger", row["next_trigger"], sequence.next_trigger),
            ("keyword", *(_written(each, "keyword") for each in (self.stored_keywords, self.keywords))),
            ("ad", *(_written(each, "ad") for each in (self.stored_keywords, self.keywords))),
            ("timezone", row["time_zone"], sequence.timezone),
            ("skip_weekends", str(row["skip_weekends"]).lower(), str(sequence.skip_weekends).lower()),
            ("device", row["device_id"], sequence.device),
            ("category", row["category"], sequence.category),
            ("require_consent", str(row["require_consent"]).lower(), str(sequence.require_consent).lower()),
            ("outside_window", row["outside_window"], sequence.outside_window),
            ("on_reply", format_on_reply(read_rules(row["on_reply"])), format_on_reply(sequence.on_reply)),
            ("reply_within", format_duration(row["reply_within"]), format_duration(sequence.reply_within)),
        )
        changes = [f"{name}: {old or 'none'} → {new or 'none'}" for name, old, new in headers if old != new]
        keys = [step.id for step in sequence.steps]
        active = [key for key, step in self._stored.items() if step.removed_at is None]
        changes += [f"step {key!r} removed" for key in active if key not in keys]
        for step in sequence.steps:
            changes += self._changes_of(step, self._stored.get(step.id))
        if [key for key in active if key in keys] != [key for key in keys if key in active]:
            changes.append(f"order of the steps: {', '.join(keys)}")
        return changes

    @staticmethod
    def _changes_of(step: StepFile, before: StoredStep | None) -> list[str]:
        if before is None:
            return [f"step {step.id!r} added"]
        changes = []
        if before.removed_at is not None:
            changes.append(f"step {step.id!r} {'restored' if before.carried else 'added'}")
        elif (old := (before.day, before.at, before.after, before.wait_for)) != (new := _when(step)):
            changes.append(f"step {step.id!r} moved: {format_when(*old)} → {format_when(*new)}")
        if before.removed_at is None and before.conditions != (conditions := _conditions(step)):
            was, now = format_conditions(before.conditions), format_conditions(conditions)
            changes.append(f"step {step.id!r} if: {was or 'none'} → {now or 'none'}")
        if before.removed_at is None and before.expires_after != step.expires_after:
            was, now = (
                format_duration(expiry) if expiry else "none"
                for expiry in (before.expires_after, step.expires_after)
            )
            changes.append(f"step {step.id!r} expires_after: {was} → {now}")
        if before.removed_at is None and before.missed != step.missed:
            changes.append(f"step {step.id!r} missed: {before.missed} → {step.missed}")
        if before.removed_at is None and before.text != step.text:
            changes.append(f"step {step.id!r} reworded")
        if before.removed_at is None and before.image_url != step.image:
            what = "has another image" if before.image_url and step.image else "lost its image"
            changes.append(f"step {step.id!r} {'got an image' if not before.image_url else what}")
        template = step.template.model_dump() if step.template else None
        if before.removed_at is None and before.template != template:
            changes.append(
                f"template of step {step.id!r}: {format_template(before.template)} → {format_template(template)}"
            )
        if before.removed_at is None and before.on_reply != step.on_reply:
            old_rules, new_rules = (
                format_on_reply(rules) or "none" for rules in (before.on_reply, step.on_reply)
            )
            changes.append(f"step {step.id!r} on_reply: {old_rules} → {new_rules}")
        return changes

    async def _store_sequence(self, connection: Connection, revision: int) -> None:
        sequence = self.sequence
        await connection.execute(
            UPDATE_SEQUENCE,
            self.id,
            sequence.trigger,
            sequence.next_trigger,
            sequence.timezone,
            sequence.skip_weekends,
            sequence.device,
            sequence.category,
            sequence.outside_window,
            revision,
            sequence.require_consent,
            as_stored(sequence.on_reply),
            sequence.reply_within,
        )
        if self.keywords != self.stored_keywords:
            await connection.executemany(
                STORE_KEYWORD,
                [(kind, code, self.id, written) for (kind, code), written in self.keywords.items()],
            )

    async def _store_steps(self, connection: Connection) -> None:
        await connection.execute(REMOVE_OTHER_STEPS, self.id, [step.id for step in self.sequence.steps])
        await connection.execute(FREE_POSITIONS, self.id)
        await connection.executemany(
            STORE_STEP,
            [
                (
                    *(self.id, step.id, position, *_when(step), _conditions(step)),
                    *(step.expires_after, step.missed, step.text, step.image),
                    step.template.model_dump() if step.template else None,
                    as_stored(step.on_reply),
                )
                for position, step in enumerate(self.sequence.steps)
            ],
        )


def _when(step: StepFile) -> tuple[int | None, time | None, timedelta | None, timedelta | None]:
    """When it comes, as format_when() takes it."""
    return step.day, step.at, step.after, step.wait_for.reply if step.wait_for else None


def _conditions(step: StepFile) -> dict[str, Any] | None:
    return step.conditions.stored() if step.conditions else None
