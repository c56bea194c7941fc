"""Finds everything by which the ledger knows a person: phones, former ones too, and other names that gateways have for them."""

from collections.abc import Sequence
from typing import Literal, NamedTuple
from uuid import UUID

from messaging.common.database import Connection, Pool
from messaging.leads.phone_changes import present_phone

__all__ = ["Person", "Workflow", "find_person", "parents_of", "workflows_of"]

# $1: the phone that they have now, $2: phones that are theirs for another reason, $3: other names.
SELECT_PERSON = """
with phones as (
    select unnest(former_phones($1)) as phone union select unnest($2::text[])
), lead as (
    select id from leads where phone in (select phone from phones)
), more as (
    select phone from phones union select phone from joined_leads where into_lead in (select id from lead)
), contact as (
    select id, phone from sequence_contacts where lead_id in (select id from lead)
    union
    select id, phone from sequence_contacts where phone in (select phone from more)
), message_id as (
    select id from broadcast_messages where lead_id in (select id from lead)
    union
    select id from broadcast_messages where recipient_phone in (select phone from more)
    union
    select id from broadcast_messages where went_to in (select phone from more)
    union
    select id from broadcast_messages where sequence_contact_id in (select id from contact)
), message as (
    select id, recipient_phone, gateway_message_id, earlier_gateway_ids, purpose
      from broadcast_messages where id in (select id from message_id)
), names as (
    select identity from identities where phone in (select phone from more) union select unnest($3::text[])
)
select array(select phone from more order by phone) as phones,
       array(select identity from names order by identity) as names,
       array(select id from lead) as leads,
       array(select id from contact) as enrollments,
       array(select id from message) as messages,
       array(select unnest(gateway_message_id || earlier_gateway_ids) from message where gateway_message_id is not null
                                                                                      or earlier_gateway_ids <> '{}') as gateway_ids,
       array(select phone from contact union select recipient_phone from message
              where purpose is null or recipient_phone in (select phone from more)) as recipients
"""

# What their workflows are named for. An enrollment that no worker has taken yet is none of the ledger's.
SELECT_WORKFLOWS = """
select 'known' as kind, workflow_id as name, '' as phone from sequence_contacts where id = any ($2)
union
select 'sequence', s.name, p.phone from sequences s, unnest($1::text[]) p (phone)
union
select 'campaign', k.name, p.phone
  from broadcast_messages m
  join campaigns k on k.id = m.campaign_id
 cross join lateral (select unnest(m.key_phone || m.recipient_phone || $1::text[])) p (phone)
 where m.id = any ($3) and p.phone is not null
union
select 'message', id::text, '' from unnest($3::uuid[]) id
 order by 1, 2, 3
"""

# Workflows that have started theirs: their histories name them.
SELECT_PARENTS = """
select distinct unnest(array['campaign:' || k.name, 'campaign:' || k.name || ':shard-' || m.campaign_shard]) as workflow_id
  from broadcast_messages m
  join campaigns k on k.id = m.campaign_id
 where m.id = any ($1)
"""


class Person(NamedTuple):
    """What a person's rows are found by."""

    phones: list[str]
    """The present one, and those that they had before. E.164."""
    names: list[str]
    """Other names of gateways: ``user_id:…``, ``lid:…``."""
    leads: list[int]
    enrollments: list[int]
    messages: list[UUID]
    gateway_ids: list[str]
    recipients: list[str]
    """Under which their rows stand; also a phone that somebody else has now."""

    @property
    def all_names(self) -> list[str]:
        """Whatever a gateway may call them."""
        return [*self.phones, *self.names, *(f"wa_id:{digits}" for digits in self.digits)]

    @property
    def digits(self) -> list[str]:
        """The phones without the plus."""
        return [phone.removeprefix("+") for phone in self.phones]

    @property
    def arguments(self) -> tuple[object, ...]:
        """What the conditions of messaging.privacy.tables take."""
        return (
            *(self.phones, [*self.names, *(f"wa_id:{one}" for one in self.digits)]),
            *(self.leads, self.enrollments, self.messages, self.digits, self.gateway_ids),
        )


async def find_person(
    connection: Connection | Pool, phone: str, phones: Sequence[str] = (), names: Sequence[str] = ()
) -> Person:
    """The person with this phone (E.164), by whichever of their phones it is. ``phones``, ``names``: what else is known
    to be theirs.
    """
    row = await connection.fetchrow(
        SELECT_PERSON, await present_phone(connection, phone), [phone, *phones], list(names)
    )
    assert row is not None
    return Person(**{name: list(row[name]) for name in row.keys()})  # noqa: SIM118 - a record has no other way


class Workflow(NamedTuple):
    """A workflow that may be there: of a phone in a sequence or campaign, of a message, or one whose ID is known."""

    kind: Literal["known", "sequence", "campaign", "message"]
    name: str
    """The ID that is known; of the sequence or campaign; or the message's ID."""
    phone: str


async def workflows_of(connection: Connection, person: Person) -> list[Workflow]:
    """The workflows that these may have; there need be none."""
    rows = await connection.fetch(SELECT_WORKFLOWS, person.phones, person.enrollments, person.messages)
    return [Workflow(**dict(row)) for row in rows]


async def parents_of(connection: Connection, person: Person) -> list[str]:
    """The workflows of campaigns that have started some of them."""
    rows = await connection.fetch(SELECT_PARENTS, person.messages)
    return sorted(row["workflow_id"] for row in rows)
