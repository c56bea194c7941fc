"""Stores leads: one row for one phone, and the one rule by which new data is merged.

The rule, for a row of a file as for a service's request:

- a name, target status, time zone or attribute that is given replaces the stored one; one that is not leaves it;
- triggers, niches and tags unite, in the order in which they came;
- a trigger does not come back once it was consumed: the phone has been through the sequence of that trigger;
- consent has its own rule: ``consent_after`` in SQL;
- a phone that its owner has left stands for the one that they have now (messaging.leads.phone_changes);
- the device that owns a lead is the first that was given. Its owner knows that number; importing the lead for another
  does not take it away, unless that is asked for (messaging.leads.device_moves). One that was replaced stands for its successor;
- a new lead without a target status is a prospect.

What changes nothing writes nothing: ``updated_at`` stays.
"""

from datetime import datetime

import asyncpg

from messaging.common.database import Connection, Record
from messaging.common.errors import Conflict, InvalidInput
from messaging.common.values import Value
from messaging.leads.cleaning import clean_lead
from messaging.leads.consent import ConsentSource
from messaging.leads.forgotten import ASKED, refused_as_forgotten
from messaging.leads.lead import Lead, TargetStatus

__all__ = ["MERGE", "StoredLead", "consent_columns", "load_lead", "upsert_lead"]

# Merges the relation given_leads (columns of leads, null or empty if not given, each phone once) into the table leads.
# It goes in the order of phones, so that two of these at once lock rows in the same order and do not deadlock.
MERGE = """
insert into leads as l (phone, name, niches, triggers, target_status, device_id, time_zone, attributes,
                        consent_at, consent_source, consent_note, consent_withdrawn_at)
select g.phone, g.name, g.niches,
       array(select t.word from unnest(g.triggers) with ordinality as t (word, place)
              where not exists (select from sequences s join sequence_contacts c on c.sequence_id = s.id
                                 where s.trigger = t.word and c.phone = g.phone)
              order by t.place),
       coalesce(g.target_status, 'prospect'), g.device_id, g.time_zone, g.attributes,
       c.consent_at, c.consent_source, c.consent_note, c.consent_withdrawn_at
  from given_leads g
 cross join lateral consent_after(null, g.consent, g.consent_at, g.consent_note, g.consent_source) c
 order by g.phone
    on conflict (phone) do update
   set name = coalesce(nullif(excluded.name, ''), l.name),
       niches = l.niches || array(select n.word from unnest(excluded.niches) with ordinality as n (word, place)
                                   where n.word <> all (l.niches) order by n.place),
       triggers = l.triggers || array(select t.word from unnest(excluded.triggers) with ordinality as t (word, place)
                                       where t.word <> all (l.triggers) order by t.place),
       target_status = coalesce((select g.target_status from given_leads g where g.phone = l.phone), l.target_status),
       device_id = coalesce(l.device_id, excluded.device_id),
       time_zone = coalesce(excluded.time_zone, l.time_zone),
       attributes = merged_attributes(l.attributes, excluded.attributes),
       (consent_at, consent_source, consent_note, consent_withdrawn_at) = (
           select c.consent_at, c.consent_source, c.consent_note, c.consent_withdrawn_at
             from given_leads g, consent_after(l, g.consent, g.consent_at, g.consent_note, g.consent_source) c
            where g.phone = l.phone),
       updated_at = clock_timestamp()
 where excluded.name not in ('', l.name)
    or not excluded.niches <@ l.niches
    or not excluded.triggers <@ l.triggers
    or (select g.target_status from given_leads g where g.phone = l.phone) <> l.target_status
    or (l.device_id is null and excluded.device_id is not null)
    or excluded.time_zone is distinct from coalesce(l.time_zone, '') and excluded.time_zone is not null
    or not has_attributes(l.attributes, excluded.attributes)
    or exists (select from given_leads g, consent_after(l, g.consent, g.consent_at, g.consent_note, g.consent_source) c
                where g.phone = l.phone and g.consent is not null
                  and (c.consent_at, c.consent_note, c.consent_withdrawn_at)
                      is distinct from (l.consent_at, l.consent_note, l.consent_withdrawn_at))
"""

UPSERT_LEAD = f"""
with given_leads as (
    select present_phone($1::text) as phone, $2::text as name, $3::text[] as niches, $4::text[] as triggers,
           $5::text as target_status, device_in_use($6) as device_id, $7::text as time_zone, $8::jsonb as attributes,
           $9::boolean as consent, $10::timestamptz as consent_at, $11::text as consent_note, $12::text as consent_source
), merged as ({MERGE} returning id)
select id from merged union all select id from leads where phone = present_phone($1) limit 1
"""  # noqa: S608 - constants of this module


class StoredLead(Value):
    """A lead as it is stored. Times are aware UTC."""

    id: int
    phone: str
    name: str
    niches: tuple[str, ...]
    triggers: tuple[str, ...]
    target_status: TargetStatus
    device_id: str | None
    time_zone: str | None
    attributes: dict[str, str]
    consent_at: datetime | None
    """When they agreed to be written to; None if they have not, or not any more."""
    consent_source: ConsentSource | None
    consent_note: str | None
    consent_withdrawn_at: datetime | None
    created_at: datetime
    updated_at: datetime


def consent_columns(
    lead: Lead,
) -> tuple[bool | None, datetime | None, str | None, ConsentSource | None]:
    """The columns of given_leads about consent: whether it is given, when, the note and the source."""
    said = lead.consent
    return (None, None, None, None) if said is None else (said.given, said.at, said.note, said.source)


async def upsert_lead(connection: Connection, lead: Lead) -> int:
    """Merges new data about one lead into what is stored, by the rule above; answers its ID.

    In a transaction, the lead's row is locked from here on. Raises InvalidInput for values that cannot be stored, and
    for an unknown device; and Conflict if the person is to be forgotten.
    """
    lead = clean_lead(lead)
    try:
        lead_id: int | None = await connection.fetchval(
            UPSERT_LEAD,
            lead.phone,
            lead.name,
            lead.niches,
            lead.triggers,
            lead.target_status,
            lead.device_id,
            lead.time_zone,
            lead.attributes,
            *consent_columns(lead),
        )
    except asyncpg.ForeignKeyViolationError as error:
        raise InvalidInput(
            f"there is no device {lead.device_id!r}: create it with 'device add {lead.device_id} --gateway NAME'"
        ) from error
    except asyncpg.CheckViolationError as error:
        if refused_as_forgotten(error):
            raise Conflict(f"{lead.phone} is not stored: {ASKED}") from error
        raise
    if lead_id is None:
        # Another session stored the same lead after this statement had begun: only a new statement sees the row.
        lead_id = await connection.fetchval(
            "select id from leads where phone = present_phone($1)", lead.phone
        )
    assert lead_id is not None
    return lead_id


async def load_lead(connection: Connection, phone: str) -> StoredLead | None:
    """The lead with this phone (E.164), None if there is none."""
    row = await connection.fetchrow("select * from leads where phone = $1", phone)
    return None if row is None else stored_lead(row)


def stored_lead(row: Record) -> StoredLead:
    """A lead from its row."""
    return StoredLead(**dict(row))
