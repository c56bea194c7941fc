"""Checks the files of sequences against each other and against what is stored: devices, triggers, variables."""

from collections.abc import Sequence

from messaging.common.database import Connection
from messaging.common.errors import InvalidInput
from messaging.files.checks import (
    check_blanks,
    check_devices,
    check_repeats,
    check_templates,
    check_zone,
    devices_with_service_window,
    free_text_warning,
)
from messaging.files.fields import FileText, parse_trigger
from messaging.files.yaml import Problem
from messaging.sequences.file import SequenceDraft

__all__ = ["check_together", "check_with_stored", "warnings_for"]


def check_together(drafts: Sequence[SequenceDraft]) -> list[Problem]:
    """Problems of files with each other: two files of one sequence, or two with the same trigger."""
    return [*check_repeats(_given(drafts, "sequence")), *check_repeats(_triggers(drafts))]


async def check_with_stored(connection: Connection, drafts: Sequence[SequenceDraft]) -> list[Problem]:
    """Problems with what is stored: an unknown device, a trigger that is taken, unknown variables of templates."""
    return [
        *await check_devices(connection, _given(drafts, "device")),
        *await _check_triggers(connection, drafts),
        *await check_templates(connection, [text for draft in drafts for text in draft.texts]),
    ]


async def _check_triggers(connection: Connection, drafts: Sequence[SequenceDraft]) -> list[Problem]:
    # Files of the same apply give up their old triggers, and were compared with each other before.
    rows = await connection.fetch(
        "select trigger, name from sequences where trigger is not null and not name = any($1)",
        [name for _, _, name in _given(drafts, "sequence")],
    )
    taken = {row["trigger"]: row["name"] for row in rows}
    return [
        document.problem(path, f"{trigger!r} is the trigger of sequence {taken[trigger]!r}")
        for document, path, trigger in _triggers(drafts)
        if trigger in taken
    ]


def _given(drafts: Sequence[SequenceDraft], field: str) -> list[FileText]:
    """This field of each file in which it is a text, whatever else is wrong with the file."""
    return [
        FileText(draft.document, (field,), value)
        for draft in drafts
        if isinstance(value := draft.document.data.get(field), str)
    ]


def _triggers(drafts: Sequence[SequenceDraft]) -> list[FileText]:
    """The trigger of each file that has a usable one, in the form that leads have."""
    found = []
    for given in _given(drafts, "trigger"):
        try:
            found.append(given._replace(text=parse_trigger(given.text)))
        except InvalidInput:
            continue  # the problem was noted when the file was read
    return found


async def warnings_for(connection: Connection, drafts: Sequence[SequenceDraft]) -> list[list[Problem]]:
    """Warnings for each file without problems: blanks in messages, a ``next_trigger`` of no sequence."""
    rows = await connection.fetch("select trigger from sequences where trigger is not null")
    triggers = {row["trigger"] for row in rows}
    devices = await devices_with_service_window(connection)  # a lead's own device may be any device
    return [
        [
            *_check_chain(draft, triggers),
            *(check_zone(draft.document, draft.sequence.timezone) if draft.sequence else ()),
            *await check_blanks(connection, draft.texts),
            *_check_service_window(draft, devices),
        ]
        for draft in drafts
    ]


def _check_service_window(draft: SequenceDraft, devices: list[str]) -> list[Problem]:
    if draft.sequence is None or not devices:
        return []
    without = [index for index, step in enumerate(draft.sequence.steps) if step.template is None]
    return [
        draft.document.problem(("steps", index, "template"), free_text_warning(devices)) for index in without
    ]


def _check_chain(draft: SequenceDraft, triggers: set[str]) -> list[Problem]:
    sequence = draft.sequence
    if sequence is None or sequence.next_trigger is None:
        return []
    if sequence.next_trigger == sequence.trigger:
        message = "is the sequence's own trigger, and a contact goes through a sequence only once"
    elif sequence.next_trigger not in triggers:
        message = f"no sequence has the trigger {sequence.next_trigger!r} yet"
    else:
        return []
    return [draft.document.problem(("next_trigger",), f"warning: {message}")]
