"""Enrollment by a message: a keyword of a sequence, as the whole message, or a click on an advertisement.

The message notes the sequences that it asks for, as they were set when it came. In the transaction that records it, or that
finds out whose it is, its sender becomes a lead with consent, and the enrollments are wanted (messaging.sequences.wanted). A
sender who has opted out stays out; a later START makes up for a keyword that was sent after it and came before it.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from messaging.common.database import Connection, Record
from messaging.common.keywords import LONGEST_JUDGED, fold, fold_keyword, is_keyword, joined
from messaging.common.storable import storable
from messaging.gateways.webhook_events import InboundMessage
from messaging.leads.cleaning import printable
from messaging.leads.consent import Consent
from messaging.leads.lead import Lead
from messaging.leads.store import upsert_lead
from messaging.replies.consequences import Consequences
from messaging.sequences.wanted import want_enrollment

__all__ = ["Asks", "asked_for", "enroll_by", "make_up"]

NOTED = 100
"""Characters of the message in the note on consent."""

SELECT_ASKED = """
select s.name, k.kind, k.written
  from sequence_keywords k
  join sequences s on s.id = k.sequence_id
 where (k.kind = 'keyword' and k.code = any ($1)) or (k.kind = 'ad' and k.code = $2)
 order by s.id
"""

SELECT_ASKING = """
select m.asks, m.meaning, m.phone, m.name, m.device_id, m.sent_at, coalesce(m.text, m.payload) as said,
       m.referral ->> 'source_id' as ad, exists (select from leads l where l.phone = m.phone) as is_lead
  from inbound_messages m
 where m.id = $1 and m.phone is not null and m.asks <> '{}'
"""

# Those of the sequences $1 whose messages the phone $2 has not opted out of.
SELECT_OPEN = """
select s.id
  from sequences s
 where s.name = any ($1)
   and not exists (select from suppressions o where o.phone = $2 and o.category in ('all', s.category))
 order by s.id
"""

IS_IN_ONE = """
select exists (select from sequence_contacts c join sequences s on s.id = c.sequence_id
                where s.name = any ($1) and c.phone = $2 and c.status = 'active')
"""

NOTE_REVIEW = "update inbound_messages set to_review = $2 where id = $1"

SELECT_ASKED_SINCE = """
select id
  from inbound_messages
 where phone = $1 and asks <> '{}' and sent_at >= $2
 order by sent_at, id
"""


class Asks(NamedTuple):
    """The sequences that a message asks for. ``by_keyword``: the message is a keyword, and says nothing else."""

    sequences: tuple[str, ...] = ()
    by_keyword: bool = False


async def asked_for(connection: Connection, message: InboundMessage, said: Sequence[str | None]) -> Asks:
    """What a message asks for. ``said``: what may be a keyword in it."""
    codes = [joined(fold(text)) for text in said if text and len(text) <= LONGEST_JUDGED]
    ad = (message.referral or {}).get("source_id")
    if message.from_me or not (codes or ad):
        return Asks()
    rows = await connection.fetch(SELECT_ASKED, codes, ad)
    found = [row for row in rows if row["kind"] == "ad" or is_keyword([fold_keyword(row["written"])], *said)]
    names = dict.fromkeys(row["name"] for row in found)
    return Asks(tuple(names), any(row["kind"] == "keyword" for row in found))


async def enroll_by(connection: Connection, identifier: int) -> Consequences:
    """Has the sender of a stored message enrolled in what it asks for, in the caller's transaction; a sender who is no lead
    becomes one. Nothing for a message that asks for nothing, or whose sender's phone is not known.
    """
    message = await connection.fetchrow(SELECT_ASKING, identifier)
    if message is None:
        return Consequences()
    phone, asks = message["phone"], message["asks"]
    wanted = []
    if still_open := await connection.fetch(SELECT_OPEN, asks, phone):
        await upsert_lead(connection, _lead(message))
        for sequence in still_open:
            request = await want_enrollment(connection, sequence["id"], phone, identifier)
            if request is not None:
                wanted.append(request)
    enrolled = bool(wanted) or await connection.fetchval(IS_IN_ONE, asks, phone)
    await connection.execute(NOTE_REVIEW, identifier, _to_review(message["meaning"], enrolled=enrolled))
    return Consequences(wanted=tuple(wanted))


async def make_up(connection: Connection, phone: str, started_at: datetime) -> list[Consequences]:
    """Has a phone that has opted in again enrolled by what it has sent since."""
    asked = await connection.fetch(SELECT_ASKED_SINCE, phone, started_at)
    return [await enroll_by(connection, row["id"]) for row in asked]


def _to_review(meaning: str, *, enrolled: bool) -> str:
    """A person has to look at it if it says more than a keyword, or if it came to nothing."""
    if not enrolled:
        return "not_enrolled"
    return {"enroll": "enrolled", "maybe_stop": "maybe_stop"}.get(meaning, "answer")


def _lead(message: Record) -> Lead:
    """The sender as a lead: the profile's name is for a new one only, the device for one that has none."""
    said = " ".join((message["said"] or f"by the advertisement {message['ad']}").split())
    note = printable(f"wrote to us: {storable(said, NOTED)}")
    return Lead(
        phone=message["phone"],
        name="" if message["is_lead"] else printable(message["name"] or ""),
        device_id=message["device_id"],
        consent=Consent(at=message["sent_at"], note=note, source="inbound"),
    )
