"""The confirmation of an opt-out by keyword: a message to one phone, which goes out once and is the last.

It is a row of the ledger like any other message, written together with the opt-out, and sent by the same workflow and
claim. It alone passes the opt-out, as long as that stands (the SQL function ``unwanted``).
"""

from messaging.common.database import Connection
from messaging.common.errors import InvalidInput
from messaging.texts.liquid import LEAD_VARIABLES, MAX_TEXT, problems

__all__ = ["check_confirmation", "confirm_opt_out", "note_confirmation"]

NOTE_CONFIRMATION = "update inbound_messages set confirmation = $2 where id = $1"

# $1: the inbound message that opts out, $2: the phone. Only its sender gets the confirmation, not every phone that the
# keyword counts for; and only for the message that the opt-out rests on, not for another STOP. A day later it would only
# be a nuisance.
INSERT_CONFIRMATION = """
insert into broadcast_messages
       (id, purpose, contents, inbound_message_id, lead_id, recipient_phone, device_id, due_at, expires_at)
select gen_random_uuid(), 'opt-out confirmation', jsonb_build_object('text', m.confirmation), m.id,
       (select id from leads where phone = m.phone), m.phone, device_in_use(m.device_id), clock_timestamp(),
       clock_timestamp() + interval '24 hours'
  from inbound_messages m
 where m.id = $1 and m.phone = $2 and m.confirmation is not null
   and not exists (select from suppressions s
                    where s.phone = m.phone and s.category = 'all' and s.inbound_message_id is distinct from m.id)
    on conflict do nothing
"""


def check_confirmation(text: str) -> str:
    """The text as it is. Raises InvalidInput if it cannot be sent: it is Liquid, with the variables of any lead."""
    if len(text) > MAX_TEXT:
        raise InvalidInput(f"has {len(text):,} characters, WhatsApp takes {MAX_TEXT:,}")
    found = problems(text, set(LEAD_VARIABLES))
    if found:
        raise InvalidInput(found[0])
    return text


async def note_confirmation(connection: Connection, identifier: int, text: str) -> None:
    """Notes with what text the opt-out by this inbound message is to be confirmed, if it is one; empty: with none."""
    if text.strip():
        await connection.execute(NOTE_CONFIRMATION, identifier, text)


async def confirm_opt_out(connection: Connection, identifier: int, phone: str) -> None:
    """Has the opt-out of this phone confirmed that rests on the inbound message, if one does, in the caller's transaction.
    Repeating it changes nothing.
    """
    await connection.execute(INSERT_CONFIRMATION, identifier, phone)
