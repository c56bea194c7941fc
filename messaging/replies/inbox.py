"""The inbox: inbound messages that an operator should look at, with the reason for each."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, Literal

from messaging.common.database import Pool, Record
from messaging.common.errors import NotFound
from messaging.common.suggestions import did_you_mean
from messaging.common.values import Value
from messaging.replies.consequences import Effect

__all__ = [
    "Cleared",
    "InboundReport",
    "InboxFilter",
    "InboxPage",
    "ReviewReason",
    "count_inbox",
    "inbound_of_phone",
    "list_inbox",
    "mark_matching",
    "mark_reviewed",
]

ReviewReason = Literal[
    "answer", "maybe_stop", "number_changed", "numbers_joined", "unmatched", "enrolled", "not_enrolled"
]
"""Why an operator should look at it. ``unmatched``: no lead has the sender's phone, or the phone is not known. ``enrolled``: it
was the keyword of a sequence, and there is no need to; it is listed only if that is asked for. ``not_enrolled``: it asks
for a sequence, and its sender is not enrolled, or was there before.
"""


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
    """As the gateway says, in whole seconds."""
    known_at: datetime
    """The latest moment at which it can have been sent: its place among our own messages."""
    answers: str | None
    """The step or campaign that it answers, if it quotes a message of ours."""
    counts_for: tuple[str, ...] = ()
    """The steps and campaigns that count it as a reply."""
    opts_out_of: str | None = None
    """If it opted its sender out: the step or campaign that counts it, as the last one that went to the phone before."""
    asks: tuple[str, ...] = ()
    """The sequences whose keyword or advertisement it has."""
    enrolled: tuple[str, ...] = ()
    """Those of them in which its sender is, or was before."""
    did: tuple[str, ...] = ()
    """What it did, in words, e.g. ``opted out``, ``paused cold-vitac``."""


class InboxFilter(Value):
    """Which messages of the inbox are meant; by default all."""

    reasons: tuple[ReviewReason, ...] = ()
    device: str | None = None
    sequence: str | None = None
    """Only what counts for one of its steps."""
    campaign: str | None = None
    phone: str | None = None
    """E.164."""
    since: datetime | None = None


class Cleared(Value):
    """How many messages were marked as done."""

    done: int


class InboxPage(Value):
    """Some messages of the inbox, the newest first. ``total``: how many match the filter; ``newest``: the highest ID of
    them, 0 if there are none. ``enrolled``: how many keywords of the last 24 hours have enrolled their senders,
    if there is no filter.
    """

    total: int
    newest: int
    more: bool
    """Whether there are more after these."""
    messages: tuple[InboundReport, ...]
    enrolled: int = 0


_SELECT_INBOUND = """
select m.id, m.phone, m.identities, coalesce(nullif(l.name, ''), m.name) as name, m.device_id as device, m.kind, m.text,
       m.payload, m.media_id, m.from_me, m.meaning, m.to_review, m.reviewed_at, m.sent_at, m.effects,
       least(m.sent_at + interval '1 second', m.received_at) as known_at,
       (select message_name(b) from broadcast_messages b
         where b.gateway_message_id = m.answers and b.recipient_phone = m.phone limit 1) as answers,
       array(select message_name(b) from answered_messages(m) b order by b.sent_at, b.id) as counts_for,
       (select message_name(b) from message_before(m) b where m.meaning = 'stop' and m.phone is not null) as opts_out_of,
       m.asks, case when m.asks = '{}' then '{}'
                    else array(select s.name from sequence_contacts c join sequences s on s.id = c.sequence_id
                                where c.phone = m.phone and s.name = any (m.asks) order by s.name) end as enrolled,
       m.asks <> '{}' and exists (select from suppressions o where o.phone = m.phone) as opted_out
  from inbound_messages m
  left join leads l on l.phone = m.phone
"""

# $1: for these reasons; none: for any that a person has to look at. $2: to this device, $3: of a sequence, $4: of a campaign, $5: from this phone, $6: sent
# from then on; null: any.
_MATCHES = """
       m.to_review is not null and m.reviewed_at is null
   and case when cardinality($1::text[]) = 0 then m.to_review <> 'enrolled' else m.to_review = any ($1) end and ($2::text is null or m.device_id = $2)
   and ($3::bigint is null or exists (select from answered_messages(m) b join sequence_contacts c on c.id = b.sequence_contact_id
                                       where c.sequence_id = $3))
   and ($4::bigint is null or exists (select from answered_messages(m) b where b.campaign_id = $4))
   and ($5::text is null or m.phone = $5) and ($6::timestamptz is null or m.sent_at >= $6)
"""

# $7: how many; $8: only those that come after this one in the list; null: from the beginning.
SELECT_INBOX = f"""{_SELECT_INBOUND}
 where {_MATCHES}
   and ($8::bigint is null or (m.sent_at, m.id) < (select sent_at, id from inbound_messages where id = $8))
 order by m.sent_at desc, m.id desc
 limit $7
"""  # noqa: S608 - of this module

COUNT_MATCHING = f"""
select count(*) as total, max(id) as newest
  from inbound_messages m
 where {_MATCHES}
"""  # noqa: S608 - of this module

COUNT_INBOX = """
select count(*)
  from inbound_messages
 where to_review is not null and to_review <> 'enrolled' and reviewed_at is null
"""

COUNT_ENROLLED = """
select count(*)
  from inbound_messages
 where to_review = 'enrolled' and reviewed_at is null and sent_at > clock_timestamp() - interval '1 day'
"""

# Left out: our own sends, which some gateways report too, are in the ledger.
SELECT_OF_PHONE = f"""{_SELECT_INBOUND}
 where m.phone = $1 and not (m.from_me and exists (
           select from broadcast_messages b where b.gateway_message_id = m.gateway_message_id))
 order by m.sent_at, m.id
"""

SELECT_SOME = f"{_SELECT_INBOUND} where m.id = any ($1) order by m.sent_at desc, m.id desc"

MARK_REVIEWED = """
update inbound_messages
   set reviewed_at = coalesce(reviewed_at, clock_timestamp())
 where id = any ($1)
returning id
"""

# $7: up to this ID, so that nothing is marked that came after the operator looked.
MARK_MATCHING = f"""
update inbound_messages m
   set reviewed_at = clock_timestamp()
 where {_MATCHES} and m.id <= $7
returning id
"""  # noqa: S608 - of this module


async def list_inbox(
    pool: Pool,
    wanted: InboxFilter | None = None,
    *,
    limit: int = 100,
    before: int | None = None,
) -> InboxPage:
    """Messages that nobody has reviewed yet, the newest first. ``before``: the ID of the last one of the page before.

    Raises NotFound if the filter names a sequence or campaign that does not exist.
    """
    arguments = await _arguments(pool, wanted or InboxFilter())
    if before is not None and not await pool.fetchval(
        "select exists (select from inbound_messages where id = $1)", before
    ):
        raise _no_such_message([before])
    rows = await pool.fetch(SELECT_INBOX, *arguments, limit + 1, before)
    count = await pool.fetchrow(COUNT_MATCHING, *arguments)
    assert count is not None, "an aggregate has a row"
    return InboxPage(
        total=count["total"],
        newest=count["newest"] or 0,
        more=len(rows) > limit,
        messages=tuple(map(_report, rows[:limit])),
        enrolled=await pool.fetchval(COUNT_ENROLLED) if wanted in (None, InboxFilter()) else 0,
    )


async def count_inbox(pool: Pool) -> int:
    """How many messages nobody has reviewed yet."""
    count: int = await pool.fetchval(COUNT_INBOX)
    return count


async def inbound_of_phone(pool: Pool, phone: str) -> list[InboundReport]:
    """All inbound messages of a phone, the oldest first, without our own sends."""
    return [_report(row) for row in await pool.fetch(SELECT_OF_PHONE, phone)]


async def mark_reviewed(pool: Pool, identifiers: Sequence[int]) -> list[InboundReport]:
    """Takes messages out of the inbox; doing it twice is harmless. Raises NotFound, and then marks none."""
    async with pool.acquire() as connection, connection.transaction():
        found = {row["id"] for row in await connection.fetch(MARK_REVIEWED, list(identifiers))}
        if missing := [one for one in identifiers if one not in found]:
            raise _no_such_message(missing)
    return [_report(row) for row in await pool.fetch(SELECT_SOME, list(identifiers))]


async def mark_matching(pool: Pool, wanted: InboxFilter, *, newest: int) -> Cleared:
    """Takes all matching messages out of the inbox, up to the ID ``newest``. Raises NotFound."""
    return Cleared(done=len(await pool.fetch(MARK_MATCHING, *await _arguments(pool, wanted), newest)))


async def _arguments(pool: Pool, wanted: InboxFilter) -> list[Any]:
    """The parameters $1 to $6 of the statements. Raises NotFound."""
    await _find(pool, "device", wanted.device)
    sequence = await _find(pool, "sequence", wanted.sequence)
    campaign = await _find(pool, "campaign", wanted.campaign)
    return [list(wanted.reasons), wanted.device, sequence, campaign, wanted.phone, wanted.since]


NAMES = {
    "device": "select id as name, null as id from devices order by id",
    "sequence": "select name, id from sequences order by name",
    "campaign": "select name, id from campaigns order by name",
}


async def _find(pool: Pool, kind: str, name: str | None) -> int | None:
    """The number of the sequence or campaign of this name. Raises NotFound."""
    if name is None:
        return None
    found: dict[str, int | None] = {row["name"]: row["id"] for row in await pool.fetch(NAMES[kind])}
    if name not in found:
        hint = did_you_mean(name, list(found)) or f"'{kind} list' lists them"
        raise NotFound(f"there is no {kind} {name!r}: {hint}")
    return found[name]


def _no_such_message(identifiers: Sequence[int]) -> NotFound:
    return NotFound(f"there is no inbound message {', '.join(map(str, identifiers))}: 'inbox' lists them")


_EFFECTS = {
    "paused": "paused {sequence}",
    "stopped": "stopped {sequence}",
    "went_on": "went on to {to} of {sequence}",
    "enrolled": "stopped {sequence}, enrolled in {to}",
}


def _report(row: Record) -> InboundReport:
    return InboundReport.model_validate(
        {
            **{name: value for name, value in row.items() if name not in ("effects", "opted_out")},
            **{name: tuple(row[name]) for name in ("identities", "counts_for", "asks", "enrolled")},
            "did": tuple(_did(row)),
        }
    )


def _did(row: Record) -> Iterator[str]:
    """What a message did, in words."""
    for effect in map(Effect.model_validate, row["effects"]):
        yield _EFFECTS[effect.did].format(sequence=effect.sequence, to=effect.to)
    if row["asks"]:
        yield _asked(row)
    if row["from_me"] or row["phone"] is None:
        return
    if row["meaning"] == "stop":
        yield "opted out"
    if row["meaning"] == "start":
        yield "took back an earlier stop"


def _asked(row: Record) -> str:
    """What came of a message that asks for sequences."""
    asks, enrolled = f"asks for {', '.join(row['asks'])}", ", ".join(row["enrolled"])
    if row["to_review"] == "not_enrolled":
        why = "has opted out" if row["opted_out"] else "was there before" if enrolled else "is not enrolled"
        return f"{asks}, and {why}"
    if enrolled:
        return f"enrolled in {enrolled}"
    if row["phone"] is None:
        return asks
    return f"{asks}, and {'has opted out since' if row['opted_out'] else 'is enrolled next'}"
