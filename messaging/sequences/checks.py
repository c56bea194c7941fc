"""Checks the files of sequences against each other and against what is stored: devices, triggers, keywords, variables."""

from collections.abc import Sequence

from messaging.common.counts import count_of
from messaging.common.database import Connection
from messaging.common.errors import InvalidInput
from messaging.common.keywords import Keywords, joined
from messaging.common.suggestions import did_you_mean
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
from messaging.sequences.reply_checks import check_replies, reply_warnings

__all__ = ["check_stop_words", "check_together", "check_with_stored", "warnings_for"]

# $1: the sequences of the files, which give up the keywords that they have.
SELECT_OTHER_KEYWORDS = """
select k.kind, k.code, s.name
  from sequence_keywords k
  join sequences s on s.id = k.sequence_id
 where not s.name = any ($1)
"""

COUNT_WITHOUT_CONSENT = """
select count(*)
  from sequence_contacts c
  join sequences s on s.id = c.sequence_id
  join leads l on l.id = c.lead_id
 where s.name = $1 and c.status = 'active' and l.consent_at is null
"""

SELECT_KEYWORD = """
select k.written, s.name
  from sequence_keywords k
  join sequences s on s.id = k.sequence_id
 where k.kind = 'keyword' and k.code = any ($1)
 order by k.code
 limit 1
"""


def check_together(drafts: Sequence[SequenceDraft]) -> list[Problem]:
    """Problems of files with each other: two files of one sequence, or two with the same trigger, keyword or advertisement."""
    return [
        *check_repeats(_given(drafts, "sequence")),
        *check_repeats(_triggers(drafts)),
        *check_repeats(keyword for draft in drafts for keyword in draft.keywords),
        *check_repeats(ad for draft in drafts for ad in draft.ads),
    ]


async def check_with_stored(
    connection: Connection, drafts: Sequence[SequenceDraft], usual: Keywords
) -> list[Problem]:
    """Problems with what is stored: an unknown device, a trigger or keyword that is taken, unknown variables of templates.

    ``usual``: the stop and start keywords of devices that have none of their own.
    """
    return [
        *await check_devices(connection, _given(drafts, "device")),
        *await _check_triggers(connection, drafts),
        *await _check_keywords(connection, drafts),
        *await _check_stop_words(connection, drafts, usual),
        *await check_replies(connection, drafts),
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


async def check_stop_words(connection: Connection, words: Sequence[str]) -> None:
    """Raises InvalidInput if one of these folded stop or start keywords of a device is a keyword of a sequence."""
    row = await connection.fetchrow(SELECT_KEYWORD, [joined(word) for word in words])
    if row is not None:
        raise InvalidInput(
            f"{row['written']!r} is a keyword of sequence {row['name']!r}, and would enroll nobody any more: choose another"
            " word, or change the sequence first"
        )


async def _check_keywords(connection: Connection, drafts: Sequence[SequenceDraft]) -> list[Problem]:
    rows = await connection.fetch(SELECT_OTHER_KEYWORDS, [name for _, _, name in _given(drafts, "sequence")])
    taken = {(row["kind"], row["code"]): row["name"] for row in rows}
    found = []
    for kind, what, given in [
        *(("keyword", "a keyword", one) for draft in drafts for one in draft.keywords),
        *(("ad", "an advertisement", one) for draft in drafts for one in draft.ads),
    ]:
        if (kind, given.text) in taken:
            message = f"{given.text!r} is {what} of sequence {taken[kind, given.text]!r}"
            found.append(given.document.problem(given.path, message))
    return found


async def _check_stop_words(
    connection: Connection, drafts: Sequence[SequenceDraft], usual: Keywords
) -> list[Problem]:
    """A keyword that opts out, or in again, at some device would never enroll there."""
    rows = await connection.fetch(
        "select id, stop_keywords, start_keywords from devices where replaced_by is null order by id"
    )
    devices = {"": usual} | {
        f" of device {row['id']}": usual.instead(row["stop_keywords"], row["start_keywords"]) for row in rows
    }
    found = []
    for given in (one for draft in drafts for one in draft.keywords):
        for whose, keywords in devices.items():
            meaning = keywords.meaning(given.text)
            if meaning in ("stop", "start"):
                message = f"{given.text!r} is a {meaning} keyword{whose}, which counts before any other: choose another word"
                found.append(given.document.problem(given.path, message))
                break
    return found


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


async def warnings_for(
    connection: Connection, drafts: Sequence[SequenceDraft], keywords: Keywords
) -> list[list[Problem]]:
    """Warnings for each file without problems: blanks in messages, a ``next_trigger`` of no sequence, conditions on
    attributes of no lead, rules for replies that cannot work.
    """
    rows = await connection.fetch("select trigger from sequences where trigger is not null")
    triggers = {row["trigger"] for row in rows}
    devices = await devices_with_service_window(connection)  # a lead's own device may be any device
    of_replies = await reply_warnings(connection, drafts, keywords)
    return [
        [
            *_check_chain(draft, triggers),
            *(check_zone(draft.document, draft.sequence.timezone) if draft.sequence else ()),
            *await check_blanks(connection, draft.texts),
            *_check_service_window(draft, devices),
            *await _check_consent(connection, draft),
            *await _check_attributes(connection, draft),
            *replies,
        ]
        for draft, replies in zip(drafts, of_replies, strict=True)
    ]


async def _check_consent(connection: Connection, draft: SequenceDraft) -> list[Problem]:
    """How many contacts under way get nothing more, as consent is required."""
    if draft.sequence is None or not draft.sequence.require_consent:
        return []
    without = await connection.fetchval(COUNT_WITHOUT_CONSENT, draft.sequence.sequence)
    if not without:
        return []
    contacts = count_of(without, "contact under way has", "contacts under way have")
    message = f"warning: {contacts} not consented, and what would come next is cancelled"
    return [draft.document.problem(("require_consent",), message)]


async def _check_attributes(connection: Connection, draft: SequenceDraft) -> list[Problem]:
    asked = [
        (index, name)
        for index, step in enumerate(draft.sequence.steps if draft.sequence else ())
        for name in (step.conditions.attribute if step.conditions else None) or ()
    ]
    if not asked:
        return []
    rows = await connection.fetch(
        "select distinct jsonb_object_keys(attributes) as name from leads order by 1"
    )
    known = [row["name"] for row in rows]
    return [
        draft.document.problem(
            ("steps", index, "if", "attribute"),
            f"warning: no lead has the attribute {name!r}; {did_you_mean(name, known) or 'import leads that have it'}",
        )
        for index, name in asked
        if name not in known
    ]


def _check_service_window(draft: SequenceDraft, devices: list[str]) -> list[Problem]:
    if draft.sequence is None or not devices:
        return []
    without = {step.id: index for index, step in enumerate(draft.sequence.steps) if step.template is None}
    if not without:
        return []
    warning = free_text_warning(devices, draft.sequence.outside_window, list(without))
    return [draft.document.problem(("steps", min(without.values()), "template"), warning)]


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
