"""The inbox: inbound messages that an operator should look at, with the reason for each."""

from datetime import datetime
from typing import Literal

from messaging.common.database import Pool, Record
from messaging.common.errors import NotFound
from messaging.common.values import Value

__all__ = ["InboundReport", "ReviewReason", "count_inbox", "inbound_of_phone", "list_inbox", "mark_reviewed"]

ReviewReason = Literal["answer", "maybe_stop", "number_changed", "unmatched"]
"""Why an operator should look at it. ``unmatched``: no lead has the sender's phone, or the phone is not known."""


class InboundReport(Value):
    """One inbound message."""

    id: int
    phone: str | None
    """None if it is not known: the gateway has given only ``identities``."""
    identities: tuple[str, ...]
    name: str | None
    """The lead's name, else the name in the sender's profile."""
    device: str
    kind: str
    text: str | None
    payload: str | None
    media_id: str | None
    from_me: bool
    """True if it was sent to this phone from our number, but not by Drumbeat: somebody typed it on the device's
    phone.
    """
    meaning: str
    to_review: ReviewReason | None
    reviewed_at: datetime | None
    sent_at: datetime
    answers: str | None
    """The step or campaign that it answers, if it answers a message of ours."""


_SELECT_INBOUND = """
select m.id, m.phone, m.identities, coalesce(nullif(l.name, ''), m.name) as name, m.device_id as device, m.kind, m.text,
       m.payload, m.media_id, m.from_me, m.meaning, m.to_review, m.reviewed_at, m.sent_at,
       (select coalesce(s.name || ' / ' || t.key, 'campaign ' || k.name)
          from broadcast_messages b
          left join sequence_steps t on t.id = b.sequence_stepid
          left join sequences s on s.id = t.sequence_id
          left join campaigns k on k.id = b.campaign_id
         where b.gateway_message_id = m.answers and b.recipient_phone = m.phone limit 1) as answers
  from inbound_messages m
  left join leads l on l.phone = m.phone
"""

# $1: for these reasons; none: for any. $2: to this device; null: to any.
SELECT_INBOX = f"""{_SELECT_INBOUND}
 where m.to_review is not null and m.reviewed_at is null
   and (cardinality($1::text[]) = 0 or m.to_review = any ($1)) and ($2::text is null or m.device_id = $2)
 order by m.sent_at desc, m.id desc
 limit $3
"""

COUNT_INBOX = """
select count(*)
  from inbound_messages
 where to_review is not null and reviewed_at is null
"""

# Left out: our own sends, which some gateways report too, are in the ledger.
SELECT_OF_PHONE = f"""{_SELECT_INBOUND}
 where m.phone = $1 and not (m.from_me and exists (
           select from broadcast_messages b where b.gateway_message_id = m.gateway_message_id))
 order by m.sent_at, m.id
"""

SELECT_ONE = f"{_SELECT_INBOUND} where m.id = $1"

MARK_REVIEWED = """
update inbound_messages
   set reviewed_at = coalesce(reviewed_at, clock_timestamp())
 where id = $1
returning id
"""


async def list_inbox(
    pool: Pool, reasons: tuple[ReviewReason, ...] = (), *, device: str | None = None, limit: int = 100
) -> list[InboundReport]:
    """Messages that nobody has reviewed yet, the newest first. ``reasons``: only these; none: all."""
    return [_report(row) for row in await pool.fetch(SELECT_INBOX, list(reasons), device, limit)]


async def count_inbox(pool: Pool) -> int:
    """How many messages nobody has reviewed yet."""
    count: int = await pool.fetchval(COUNT_INBOX)
    return count


async def inbound_of_phone(pool: Pool, phone: str) -> list[InboundReport]:
    """All inbound messages of a phone, the oldest first, without our own sends."""
    return [_report(row) for row in await pool.fetch(SELECT_OF_PHONE, phone)]


async def mark_reviewed(pool: Pool, identifier: int) -> InboundReport:
    """Takes a message out of the inbox; doing it twice is harmless. Raises NotFound."""
    found = await pool.fetchval(MARK_REVIEWED, identifier)
    if found is None:
        raise NotFound(f"there is no inbound message {identifier}: 'inbox' lists them")
    row = await pool.fetchrow(SELECT_ONE, identifier)
    assert row is not None
    return _report(row)


def _report(row: Record) -> InboundReport:
    return InboundReport.model_validate({**row, "identities": tuple(row["identities"])})
