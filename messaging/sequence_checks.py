"""What can be wrong with the files of sequences beside other files and what is stored: devices, triggers, variables."""

from collections.abc import Sequence

from messaging.database import Connection
from messaging.errors import InvalidInput
from messaging.sequence_files import SequenceDraft, parse_trigger
from messaging.suggestions import did_you_mean
from messaging.templates import (
    LEAD_VARIABLES,
    problems,
    unguarded_variables_of,
)
from messaging.yaml_files import Problem

__all__ = ["check_together", "check_with_stored", "warnings_for"]

_EMPTY = {
    "name": "name = ''",
    "niche": "niches = '{}'",
    "trigger": "triggers = '{}'",
    "device": "device_id is null",
}


def check_together(drafts: Sequence[SequenceDraft]) -> list[Problem]:
    """Problems of files with each other: two of one sequence, or with one trigger."""
    found = []
    for field in ("sequence", "trigger"):
        first: dict[str, str] = {}
        for draft in drafts:
            value = _trigger_of(draft) if field == "trigger" else draft.document.data.get(field)
            if not isinstance(value, str):
                continue
            if value in first:
                message = f"{value!r} is in {first[value]} too, give each its own"
                found.append(draft.document.problem((field,), message))
            first.setdefault(value, draft.document.file)
    return found


async def check_with_stored(connection: Connection, drafts: Sequence[SequenceDraft]) -> list[Problem]:
    """Problems with what is stored: no such device, a trigger that is taken, unknown variables of templates."""
    return [
        *await _check_devices(connection, drafts),
        *await _check_triggers(connection, drafts),
        *await _check_templates(connection, drafts),
    ]


async def _check_devices(connection: Connection, drafts: Sequence[SequenceDraft]) -> list[Problem]:
    devices = [row["id"] for row in await connection.fetch("select id from devices order by id")]
    return [
        draft.document.problem(
            ("device",),
            f"there is no device {device!r}, {did_you_mean(device, devices) or 'add it first, with device add'}",
        )
        for draft in drafts
        if isinstance(device := draft.document.data.get("device"), str) and device not in devices
    ]


async def _check_triggers(connection: Connection, drafts: Sequence[SequenceDraft]) -> list[Problem]:
    # Files of the same apply give up their old triggers, and were compared with each other.
    names = [name for draft in drafts if isinstance(name := draft.document.data.get("sequence"), str)]
    rows = await connection.fetch(
        "select trigger, name from sequences where trigger is not null and not name = any($1)", names
    )
    taken = {row["trigger"]: row["name"] for row in rows}
    return [
        draft.document.problem(("trigger",), f"{trigger!r} is the trigger of sequence {taken[trigger]!r}")
        for draft in drafts
        if (trigger := _trigger_of(draft)) in taken
    ]


def _trigger_of(draft: SequenceDraft) -> str | None:
    """The file's trigger, if it has a usable one, whatever else is wrong with it."""
    try:
        return parse_trigger(draft.document.data.get("trigger", ""))
    except (InvalidInput, TypeError):
        return None


async def _check_templates(connection: Connection, drafts: Sequence[SequenceDraft]) -> list[Problem]:
    known = set(LEAD_VARIABLES)
    texts = [text for draft in drafts for _, text in draft.texts]
    if any(problems(text, known) for text in texts):
        rows = await connection.fetch("select distinct jsonb_object_keys(attributes) as name from leads")
        known |= {row["name"] for row in rows}
    return [
        draft.document.problem(("steps", index, "text"), message)
        for draft in drafts
        for index, text in draft.texts
        for message in problems(text, known)
    ]


async def warnings_for(connection: Connection, drafts: Sequence[SequenceDraft]) -> list[list[Problem]]:
    """For each file without problems, what may not be meant: blanks in messages, a ``next_trigger`` of no sequence."""
    rows = await connection.fetch("select trigger from sequences where trigger is not null")
    triggers = {row["trigger"] for row in rows}
    return [[*_check_chain(draft, triggers), *await _check_blanks(connection, draft)] for draft in drafts]


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


async def _check_blanks(connection: Connection, draft: SequenceDraft) -> list[Problem]:
    """Variables that some stored leads lack, where the text has no ``default`` for them."""
    found = []
    lacking: dict[str, tuple[int, int]] = {}
    for index, text in draft.texts:
        for variable in sorted(unguarded_variables_of(text)):
            if variable not in lacking:
                lacking[variable] = await _leads_without(connection, variable)
            without, leads = lacking[variable]
            if without:
                found.append(
                    draft.document.problem(
                        ("steps", index, "text"),
                        f"warning: {variable!r} is empty for {without:,} of {leads:,} leads,"
                        f" give a default: {{{{ {variable} | default: '…' }}}}",
                    )
                )
    return found


async def _leads_without(connection: Connection, variable: str) -> tuple[int, int]:
    """How many stored leads would have a blank there, and of how many."""
    if variable in LEAD_VARIABLES:
        condition = _EMPTY.get(variable, "false")
        row = await connection.fetchrow(
            f"select count(*) filter (where {condition}) as without, count(*) as leads from leads"  # noqa: S608
        )
    else:
        row = await connection.fetchrow(
            "select count(*) filter (where coalesce(attributes ->> $1, '') = '') as without, count(*) as leads from leads",
            variable,
        )
    assert row is not None
    return row["without"], row["leads"]
