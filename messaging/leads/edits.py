"""Changes of single columns of a lead, as operators write them: ``city=Ipoh``, ``niche+=VITAC``, ``time_zone=``."""

import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple

from messaging.common.database import Connection
from messaging.common.errors import InvalidInput, NotFound
from messaging.common.phones import quoted
from messaging.common.values import Value
from messaging.common.words import normalise_words
from messaging.events.record import note_each
from messaging.leads.cleaning import TAGS, attribute_name, clean_text, parse_target_status
from messaging.leads.consent import read_consent
from messaging.leads.store import StoredLead, stored_lead
from messaging.times.zones import check_time_zone

__all__ = ["Edit", "LeadEdited", "edit_lead", "edit_leads", "parse_edits"]

LISTS = ("niches", "triggers", TAGS)

_EDIT = re.compile(r"\s*(?P<column>[^=]*?)\s*(?P<how>[+-]?=)(?P<value>.*)", re.DOTALL)
_ATTRIBUTE = "attribute."
_FIELDS = {
    "name": "name",
    "niche": "niches",
    "niches": "niches",
    "trigger": "triggers",
    "triggers": "triggers",
    "tag": TAGS,
    "tags": TAGS,
    "status": "target_status",
    "target_status": "target_status",
    "time_zone": "time_zone",
    "consent": "consent",
}
CONSENT_GIVEN = "import the lead with a column 'consent', or use 'enroll SEQUENCE PHONE --consent TEXT'"
_ELSEWHERE = {
    "phone": "use 'lead rename-phone OLD NEW'",
    "device": "to change the device, use 'lead move PHONE --to DEVICE'",
    **dict.fromkeys(("consent_at", "consent_source"), CONSENT_GIVEN),
}

SELECT_LEADS = "select * from leads where phone = any ($1) order by phone for no key update"

UPDATE_LEAD = """
update leads
   set name = $2, niches = $3, triggers = $4, target_status = $5, time_zone = $6, attributes = $7,
       consent_at = $8, consent_source = $9, consent_note = $10, consent_withdrawn_at = $11, updated_at = clock_timestamp()
 where phone = $1
"""

SELECT_CONSUMED = """
select c.phone, s.trigger, s.name
  from sequences s
  join sequence_contacts c on c.sequence_id = s.id
 where c.phone = any ($1) and s.trigger = any ($2)
 order by c.phone, s.name
"""


class Edit(NamedTuple):
    """One change. ``column``: a field of leads, or an attribute. ``how``: set the value, or add or remove words."""

    column: str
    attribute: bool
    how: Literal["=", "+=", "-="]
    value: str


class LeadEdited(Value):
    """The result: what the columns held before, and what they hold now; only those that have changed."""

    phone: str
    before: dict[str, str]
    after: dict[str, str]


def parse_edits(texts: Iterable[str]) -> list[Edit]:
    """The changes. Raises InvalidInput for what is none, and for columns that are changed in another way."""
    edits = [_parse(text) for text in texts]
    set_ = [edit.column for edit in edits if edit.how == "="]
    if twice := next((column for column in set_ if set_.count(column) > 1), None):
        raise InvalidInput(f"{twice}= is given twice, and a lead has one value there: which one is meant?")
    return edits


async def edit_lead(connection: Connection, phone: str, edits: Sequence[Edit]) -> LeadEdited:
    """Changes a lead's columns, all or nothing; the same again changes nothing. ``phone`` is E.164.

    Raises NotFound if there is no such lead, and InvalidInput for a value that its column cannot have.
    """
    async with connection.transaction():
        for done in await edit_leads(connection, [phone], edits):
            return done
    raise NotFound(f"there is no lead with the phone {phone}")


async def edit_leads(
    connection: Connection, phones: Sequence[str], edits: Sequence[Edit]
) -> list[LeadEdited]:
    """The same for all leads that have one of these phones. Call it in a transaction. Raises InvalidInput."""
    leads = [stored_lead(row) for row in await connection.fetch(SELECT_LEADS, list(phones))]
    edited = [(lead, _all_edits(lead, edits)) for lead in leads]
    changed = [(before, after) for before, after in edited if before != after]
    await _check_triggers(connection, changed)
    await connection.executemany(
        UPDATE_LEAD,
        [
            (
                after.phone,
                *(after.name, after.niches, after.triggers, after.target_status, after.time_zone),
                *(after.attributes, after.consent_at, after.consent_source, after.consent_note),
                after.consent_withdrawn_at,
            )
            for _, after in changed
        ],
    )
    differences = [_differences(before, after) for before, after in changed]
    await note_each(
        connection,
        "lead.changed",
        [(one.phone, {"before": one.before, "after": one.after}) for one in differences],
    )
    return [_differences(before, after) for before, after in edited]


def _all_edits(lead: StoredLead, edits: Sequence[Edit]) -> StoredLead:
    for edit in edits:
        lead = _edited(lead, edit)
    return lead


async def _check_triggers(connection: Connection, changed: Sequence[tuple[StoredLead, StoredLead]]) -> None:
    """Raises InvalidInput for a trigger whose sequence the lead has been through."""
    added = {after.phone: set(after.triggers) - set(before.triggers) for before, after in changed}
    words = sorted(set().union(*added.values()))
    for row in await connection.fetch(SELECT_CONSUMED, list(added), words) if words else ():
        if row["trigger"] in added[row["phone"]]:
            raise InvalidInput(
                f"trigger {row['trigger']} cannot come back: {row['phone']} has been in {row['name']}, and no phone goes"
                " through a sequence twice"
            )


def _differences(lead: StoredLead, changed: StoredLead) -> LeadEdited:
    before, after = _columns(lead), _columns(changed)
    columns = [column for column in {**before, **after} if before.get(column, "") != after.get(column, "")]
    return LeadEdited(
        phone=lead.phone,
        before={column: before.get(column, "") for column in columns},
        after={column: after.get(column, "") for column in columns},
    )


def _parse(text: str) -> Edit:
    match = _EDIT.fullmatch(text)
    if match is None:
        raise InvalidInput(f"{quoted(text)} is no change: write COLUMN=VALUE, or niche+=WORD and niche-=WORD")
    name, how = match["column"], match["how"]
    explicit = name.lower().startswith(_ATTRIBUTE)
    column = attribute_name(name[len(_ATTRIBUTE) :] if explicit else name)
    if not column:
        raise InvalidInput(f"{quoted(text)} names no column: write COLUMN=VALUE")
    attribute = explicit or column not in {*_FIELDS, *_ELSEWHERE}
    if not attribute and column in _ELSEWHERE:
        raise InvalidInput(f"{column} cannot be set: {_ELSEWHERE[column]}")
    column = column if attribute else _FIELDS[column]
    if how != "=" and (attribute or column not in LISTS):
        raise InvalidInput(f"{quoted(text)}: only niches, triggers and tags are lists; write {column}=VALUE")
    return Edit(column, attribute, how, clean_text(match["value"], f"the value of {column!r}"))  # type: ignore[arg-type]


def _edited(lead: StoredLead, edit: Edit) -> StoredLead:
    value: Any
    if edit.attribute:
        others = {name: value for name, value in lead.attributes.items() if name != edit.column}
        return lead.model_copy(
            update={"attributes": {**others, edit.column: edit.value} if edit.value else others}
        )
    match edit.column:
        case "niches" | "triggers":
            value = _words(getattr(lead, edit.column), edit)
        case "tags":
            tags = ", ".join(_words(normalise_words(lead.attributes.get(TAGS, "")), edit))
            others = {name: value for name, value in lead.attributes.items() if name != TAGS}
            return lead.model_copy(update={"attributes": {**others, TAGS: tags} if tags else others})
        case "target_status":
            value = parse_target_status(edit.value)
            if value is None:
                raise InvalidInput("target_status cannot be empty: it is prospect or customer")
        case "consent":
            return _without_consent(lead, edit.value)
        case "time_zone":
            value = check_time_zone(edit.value) if edit.value else None
        case _:
            value = edit.value
    return lead.model_copy(update={edit.column: value})


def _words(stored: tuple[str, ...], edit: Edit) -> tuple[str, ...]:
    """A list after the change."""
    words = normalise_words(edit.value)
    match edit.how:
        case "+=":
            return (*stored, *(word for word in words if word not in stored))
        case "-=":
            return tuple(word for word in stored if word not in words)
        case "=":
            return words


def _without_consent(lead: StoredLead, said: str) -> StoredLead:
    """The lead after it has taken its consent back. A consent is given with what shows it, and not here."""
    word = read_consent(said)
    if word is None or word[0]:
        raise InvalidInput(
            f"consent can only be taken back here, with consent=no: to state how it was given, {CONSENT_GIVEN}"
        )
    if lead.consent_at is None:
        return lead
    return lead.model_copy(
        update={
            "consent_at": None,
            "consent_source": None,
            "consent_note": None,
            "consent_withdrawn_at": datetime.now(UTC),
        }
    )


def _columns(lead: StoredLead) -> dict[str, str]:
    return {
        "name": lead.name,
        "niches": ", ".join(lead.niches),
        "triggers": ", ".join(lead.triggers),
        "target_status": lead.target_status,
        "time_zone": lead.time_zone or "",
        "consent": (lead.consent_note or "yes")
        if lead.consent_at
        else "no"
        if lead.consent_withdrawn_at
        else "",
        **dict(sorted(lead.attributes.items())),
    }
