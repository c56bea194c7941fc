"""Merges the rows of a file to one for each phone and joins them to the leads, inside the database."""

import json
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

from messaging.common.database import Connection
from messaging.leads.cleaning import TAGS
from messaging.leads.csv_columns import RowReading
from messaging.leads.csv_notes import MOST_EXAMPLES, Notes
from messaging.leads.device_moves import Moved, move_leads
from messaging.leads.store import MERGE, consent_columns

__all__ = [
    "JOINED",
    "STAGED",
    "JoinedRow",
    "fold",
    "forget_rows",
    "joined_rows",
    "merge",
    "move_others",
    "note_leads",
    "prepare",
    "staged",
]

JOINED = "joined to row "
"""How the reason of a row begins that stands among the rejects without being one."""

STAGED = (
    *("row_number", "phone", "name", "niches", "triggers", "target_status", "device_id", "time_zone", "attributes"),
    *("consent", "consent_at", "consent_note", "consent_source", "spelling", "written", "doubtful"),
)  # fmt: skip

CREATE_TABLES = """
create temporary table lead_rows (
    row_number bigint, phone text, name text, niches text[], triggers text[],
    target_status text, device_id text, time_zone text, attributes text,
    consent boolean, consent_at timestamptz, consent_note text, consent_source text,
    spelling text, written text, doubtful text
) on commit drop;
create temporary table given_leads (
    phone text primary key, name text, niches text[], triggers text[],
    target_status text, device_id text, time_zone text, attributes jsonb,
    consent boolean, consent_at timestamptz, consent_note text, consent_source text
) on commit drop
"""

FORGET_ROWS = """
delete from lead_rows r where is_forgotten(r.phone) returning r.row_number
"""

# A phone that its owner has left stands for the one that they have now.
SET_PRESENT_PHONES = """
update lead_rows r
   set phone = present_phone(r.phone)
  from phone_changes c
 where c.old_phone = r.phone and present_phone(r.phone) <> r.phone
returning r.row_number, r.written, r.phone
"""

# One row for one phone. Of several rows, the last one with a value counts; triggers, niches and tags unite in the
# order of the file; a device in a row counts before the one given for the whole file ($1).
FOLD_ROWS = """
with said as (
    select phone,
           (array_agg(name order by row_number desc) filter (where name <> ''))[1] as name,
           (array_agg(target_status order by row_number desc) filter (where target_status is not null))[1]
               as target_status,
           (array_agg(device_id order by row_number) filter (where device_id is not null))[1] as device_id,
           (array_agg(time_zone order by row_number desc) filter (where time_zone is not null))[1] as time_zone,
           max(row_number) filter (where consent is not null) as consent_row
      from lead_rows group by phone
), niches as (
    select phone, array_agg(word order by row_number, place) as words
      from (select distinct on (phone, word) phone, word, row_number, place
              from lead_rows, unnest(niches) with ordinality as u (word, place)
             order by phone, word, row_number, place) first_of_each
     group by phone
), triggers as (
    select phone, array_agg(word order by row_number, place) as words
      from (select distinct on (phone, word) phone, word, row_number, place
              from lead_rows, unnest(triggers) with ordinality as u (word, place)
             order by phone, word, row_number, place) first_of_each
     group by phone
), attributes as (
    select phone, jsonb_object_agg(key, value order by row_number)
                  || case when count(*) filter (where key = 'tags') > 1
                          then jsonb_build_object('tags', array_to_string(words_of(string_agg(value, ',' order by row_number) filter (where key = 'tags')), ', '))
                          else '{}' end as pairs
      from lead_rows, jsonb_each_text(attributes::jsonb) group by phone
)
insert into given_leads (phone, name, niches, triggers, target_status, device_id, time_zone, attributes,
                         consent, consent_at, consent_note, consent_source)
select said.phone, coalesce(said.name, ''), coalesce(niches.words, '{}'), coalesce(triggers.words, '{}'), said.target_status,
       device_in_use(coalesce(said.device_id, $1)), said.time_zone, coalesce(pairs, '{}'),
       c.consent, c.consent_at, c.consent_note, c.consent_source
  from said left join niches using (phone) left join triggers using (phone) left join attributes using (phone)
  left join lead_rows c on c.row_number = said.consent_row
"""

COUNT_LEADS = """
select count(*) as leads, count(*) filter (where l.device_id <> g.device_id) as kept_device
  from given_leads g
  left join leads l using (phone)
"""

# Known leads that belong to another device than the file says.
SELECT_LEADS_OF_OTHERS = """
select g.device_id, array_agg(g.phone order by g.phone) as phones
  from given_leads g
  join leads l using (phone)
 where l.device_id <> g.device_id
 group by g.device_id
 order by g.device_id
"""

MERGE_AND_COUNT = f"""
with merged as ({MERGE} returning xmax = 0 as is_new)  -- a row that was there before bears our lock in xmax
select count(*) filter (where is_new) as imported, count(*) filter (where not is_new) as updated
  from merged
"""  # noqa: S608 - constants

# Rows that say something else than what counts, with the last other row of the phone.
SELECT_JOINED_ROWS = """
with repeated as (select phone, array_agg(row_number order by row_number desc) as numbers
                    from lead_rows group by phone having count(*) > 1)
select r.row_number, r.phone, r.written, r.name, r.target_status, r.device_id, r.time_zone,
       r.attributes::jsonb as attributes, coalesce(r.consent_note, case r.consent when true then 'yes' when false then 'no' end) as consent,
       coalesce(g.consent_note, case when g.consent then 'yes' else 'no' end) as that_consent,
       case numbers[1] when r.row_number then numbers[2] else numbers[1] end as other,
       g.name as that_name, g.target_status as that_target_status, g.device_id as that_device_id,
       g.time_zone as that_time_zone, g.attributes as that_attributes
  from repeated join lead_rows r using (phone) join given_leads g using (phone)
 where (r.name <> '' and r.name <> g.name) or r.target_status <> g.target_status or device_in_use(r.device_id) <> g.device_id
    or r.time_zone <> g.time_zone or not has_attributes(g.attributes, r.attributes::jsonb)
    or (r.consent, r.consent_note) is distinct from (g.consent, g.consent_note) and r.consent is not null
 order by r.row_number
"""

SELECT_SPELLINGS = """
select count(*) over () as leads, phone, array_agg(row_number order by row_number) as numbers,
       array_agg(written order by row_number) as written, max(doubtful) as doubtful
  from lead_rows
 group by phone
having count(distinct spelling) > 1
 order by min(row_number)
 limit $1
"""

# No word in common. Not even a single one: people who marry keep the first name.
WORDS_OF = r"""array_remove(regexp_split_to_array(lower({0}), '[\s.,;()"''-]+'), '')"""
SELECT_RENAMED = f"""
select count(*) over () as leads, phone, l.name as before, g.name as after
  from given_leads g join leads l using (phone)
 where l.name <> '' and g.name <> '' and not {WORDS_OF.format("l.name")} && {WORDS_OF.format("g.name")}
 order by phone
 limit $1
"""  # noqa: S608 - constants

# A row without a later date does not give anew what was taken back.
SELECT_WITHDRAWN = """
select count(*) over () as leads, phone, l.consent_withdrawn_at as withdrawn_at
  from given_leads g join leads l using (phone)
 where g.consent and l.consent_withdrawn_at is not null and not coalesce(g.consent_at > l.consent_withdrawn_at, false)
 order by phone
 limit $1
"""


# A no, and whether there is a consent that it takes back: it is not older.
SELECT_NO_CONSENT = """
select count(*) over () as leads, phone, coalesce(l.consent_at is not null and coalesce(g.consent_at >= l.consent_at, true), false) as taken_back
  from given_leads g left join leads l using (phone)
 where not g.consent
 order by taken_back desc, phone
 limit $1
"""


class JoinedRow(NamedTuple):
    """A row that says something else about a phone than what counts."""

    number: int
    written: str
    name: str
    reason: str


async def prepare(connection: Connection) -> None:
    """Makes the tables that live as long as the transaction."""
    await connection.execute(CREATE_TABLES)


def staged(number: int, reading: RowReading) -> tuple[object, ...]:
    """A row as it is copied into the database."""
    lead = reading.lead
    return (
        number,
        lead.phone,
        lead.name,
        lead.niches,
        lead.triggers,
        lead.target_status,
        lead.device_id,
        lead.time_zone,
        json.dumps(lead.attributes),
        *consent_columns(lead),
        reading.phone.written,
        reading.written,
        reading.phone.doubtful,
    )


async def forget_rows(connection: Connection) -> list[int]:
    """Takes out the rows of persons who are to be forgotten; answers their numbers."""
    return sorted(row["row_number"] for row in await connection.fetch(FORGET_ROWS))


async def fold(connection: Connection, device: str | None, notes: Notes) -> None:
    """One row for one phone. Notes the rows whose phone was left for another one."""
    for row in await connection.fetch(SET_PRESENT_PHONES):
        notes.add("changed_number", f"row {row['row_number']}: {row['written']!r} is {row['phone']} now")
    await connection.execute("analyze lead_rows")
    await connection.execute(FOLD_ROWS, device)
    await connection.execute("analyze given_leads")


async def joined_rows(connection: Connection) -> AsyncIterator[JoinedRow]:
    """The rows of which something does not count, in the order of the file."""
    async for row in connection.cursor(SELECT_JOINED_ROWS):
        pairs: list[tuple[str, Any, Any]] = [
            ("name", row["name"], row["that_name"]),
            ("target status", row["target_status"], row["that_target_status"]),
            ("device", row["device_id"], row["that_device_id"]),
            ("time zone", row["time_zone"], row["that_time_zone"]),
            ("consent", row["consent"], row["that_consent"]),
            *(
                (key, value, row["that_attributes"].get(key))
                for key, value in row["attributes"].items()
                if key != TAGS
            ),
        ]
        lost = [
            f"{field} {that!r} counts, not {this!r}" for field, this, that in pairs if this and this != that
        ]
        yield JoinedRow(
            row["row_number"],
            row["written"],
            row["name"],
            f"{JOINED}{row['other']}, {row['phone']} as well: {'; '.join(lost)}",
        )


async def note_leads(connection: Connection, notes: Notes) -> None:
    """Which leads stand in the file in two spellings, which known ones get another name, and which have taken their consent
    back. Before the merge.
    """
    for row in await connection.fetch(SELECT_SPELLINGS, MOST_EXAMPLES):
        rows = ", ".join(map(str, row["numbers"][:MOST_EXAMPLES]))
        spellings = " and ".join(map(repr, dict.fromkeys(row["written"][:MOST_EXAMPLES])))
        doubt = f"; {row['doubtful']}" if row["doubtful"] else ""
        notes.add("one_account", f"rows {rows}: {spellings} are {row['phone']}{doubt}")
        notes.set_count("one_account", row["leads"])
    for row in await connection.fetch(SELECT_RENAMED, MOST_EXAMPLES):
        notes.add("renamed", f"{row['phone']}: {row['before']!r} becomes {row['after']!r}")
        notes.set_count("renamed", row["leads"])
    for row in await connection.fetch(SELECT_WITHDRAWN, MOST_EXAMPLES):
        notes.add(
            "consent_withdrawn", f"{row['phone']}: taken back on {row['withdrawn_at']:%Y-%m-%d %H:%M} UTC"
        )
        notes.set_count("consent_withdrawn", row["leads"])
    for row in await connection.fetch(SELECT_NO_CONSENT, MOST_EXAMPLES):
        did = "its consent is taken back" if row["taken_back"] else "there is none to take back"
        notes.add("no_consent", f"{row['phone']}: {did}")
        notes.set_count("no_consent", row["leads"])


async def move_others(connection: Connection) -> Moved:
    """Gives leads that belong to another device to that of the file. Before the merge: messages are locked before leads."""
    return Moved.sum(
        [
            await move_leads(connection, row["phones"], row["device_id"])
            for row in await connection.fetch(SELECT_LEADS_OF_OTHERS)
        ]
    )


async def merge(connection: Connection) -> dict[str, int]:
    """Joins the folded rows to the leads; answers the counts."""
    counts = await connection.fetchrow(COUNT_LEADS)
    merged = await connection.fetchrow(MERGE_AND_COUNT)
    assert counts is not None
    assert merged is not None
    return {**counts, **merged}
