"""Finds the sender of an inbound message: by phone, by another name from the gateway, or by the message it answers."""

from collections.abc import Sequence

from messaging.common.database import Connection
from messaging.common.whatsapp_numbers import canonical_phone
from messaging.gateways.webhook_events import InboundMessage
from messaging.replies.numbers import free_number

__all__ = ["attribute", "learn", "names_of", "phone_of_sender", "phones_concerned"]

TOLD = ("preference", "number_changed", "user_id_changed")
"""Kinds that no person has sent from the phone: WhatsApp says so of its owner."""

# $1: the phone that the gateway names, $2: the answered message, $3: the gateway, $4: other names of the sender, $5: when
# it was sent. freed: the owner of that phone had left it by then.
SELECT_PHONE = """
select coalesce(
    (select phone from leads where phone = $1),
    (select m.recipient_phone from broadcast_messages m join devices d on d.id = m.device_id
      where m.gateway_message_id = $2 and d.gateway = $3 limit 1),
    (select phone from identities where identity = any ($4) order by learned_at desc limit 1),
    present_phone($1)) as phone,
    exists (select from phone_changes where old_phone = $1 and changed_at < $5) as freed
"""

# $1: the answered message, $2: the gateway, $3: names of the sender.
SELECT_CONCERNED = """
select m.recipient_phone as phone
  from broadcast_messages m
  join devices d on d.id = m.device_id
 where m.gateway_message_id = $1 and d.gateway = $2
union
select phone from identities where identity = any ($3)
"""

LEARN_IDENTITIES = """
insert into identities (identity, phone, learned_at)
select name, $2, least($3, clock_timestamp()) from unnest($1::text[]) name
on conflict (identity) do update set phone = excluded.phone, learned_at = excluded.learned_at
 where identities.learned_at <= excluded.learned_at and identities.phone <> excluded.phone
"""

# Earlier messages of a sender whose phone has just become known. $1: the sender's names, $2: the phone, $3: phones among
# the names; what is stored under one of them is the sender's unless a lead has that phone.
ATTRIBUTE_TO_PHONE = """
update inbound_messages m
   set phone = $2,
       to_review = case when m.to_review is distinct from 'unmatched'
                             or not exists (select from leads where phone = $2) then m.to_review
                        when m.meaning in ('stop', 'start') then null
                        when m.meaning = 'maybe_stop' then 'maybe_stop' else 'answer' end
 where m.phone is null and m.identities && $1::text[]
    or m.phone = any ($3::text[]) and m.phone <> $2 and not exists (select from leads l where l.phone = m.phone)
returning m.id, m.sent_at
"""


def names_of(message: InboundMessage) -> list[str]:
    """All names of the sender: the gateway's names, the phone, and a new user ID."""
    names = {*message.identities}
    if message.phone is not None:
        names.add(f"wa_id:{message.phone.removeprefix('+')}")
    if message.kind == "user_id_changed" and message.payload:
        names.add(f"user_id:{message.payload}")
    return sorted(names)


async def phone_of_sender(connection: Connection, gateway: str, message: InboundMessage) -> str | None:
    """The sender's phone in E.164; None if it cannot be known. Nothing is guessed.

    The phone that the gateway names counts if it is a lead's. Otherwise the recipient of the message that is answered:
    only they can answer it, whatever the gateway calls them ("ID and phone number may not always match", Meta).
    Otherwise a phone that the gateway has given before together with another name of the sender; or the one that the
    owner of the phone has now, unless somebody else has it since.
    """
    arguments = (
        message.phone,
        None if message.from_me else message.answers,
        gateway,
        names_of(message),
        message.at,
    )
    row = await connection.fetchrow(SELECT_PHONE, *arguments)
    assert row is not None
    if row["freed"] and message.phone is not None and not message.from_me and message.kind not in TOLD:
        await free_number(connection, message.phone, names_of(message), message.at)
        row = await connection.fetchrow(SELECT_PHONE, *arguments)
        assert row is not None
    phone: str | None = row["phone"]
    return phone


async def phones_concerned(
    connection: Connection, gateway: str, message: InboundMessage, phone: str
) -> list[str]:
    """The phones that a keyword in this message counts for, sorted: the sender's ``phone``, the one that the gateway names,
    the recipient of the message that is answered, and those for which the gateway has called the recipient by one of the
    sender's names. They differ where a person is written to under an older number.
    """
    answered = None if message.from_me else message.answers
    rows = await connection.fetch(SELECT_CONCERNED, answered, gateway, names_of(message))
    return sorted({phone, message.phone or phone, *(row["phone"] for row in rows)})


async def learn(connection: Connection, message: InboundMessage, phone: str) -> list[int]:
    """Notes the other names of this phone; answers the earlier messages that are now known to be from it, the oldest
    first.
    """
    names = [name for name in names_of(message) if name != f"wa_id:{phone.removeprefix('+')}"]
    if not names:
        return []
    await connection.execute(LEARN_IDENTITIES, names, phone, message.at)
    return await attribute(connection, names, phone)


async def attribute(connection: Connection, names: Sequence[str], phone: str) -> list[int]:
    """Messages of a sender of these names, whose phone was not known or is no lead's, are of this phone now; answers
    them, the oldest first.
    """
    phones = [
        canonical_phone(f"+{name.removeprefix('wa_id:')}") for name in names if name.startswith("wa_id:")
    ]
    rows = await connection.fetch(ATTRIBUTE_TO_PHONE, names, phone, phones)
    return [row["id"] for row in sorted(rows, key=lambda row: (row["sent_at"], row["id"]))]
