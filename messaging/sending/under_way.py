"""Messages that are under way when an opt-out, a stop, a pause or a campaign's cancellation ends sending.

Such a change holds for every claim after its commit. An attempt that claimed its message before may still begin its
call to the gateway, within CALL_GRACE. The command that made the change waits until no attempt can do that any more,
and then answers: from then on nothing is sent, and the messages that were at the gateway already are named.
"""

import asyncio
from collections.abc import Sequence
from uuid import UUID

from messaging.common.database import Pool
from messaging.common.values import Value
from messaging.sending.claim_lifetimes import CALL_GRACE, CLAIM_LIFETIME, longer_lifetimes

__all__ = ["UnderWay", "format_under_way", "nothing_begins_any_more"]

LOOK_EVERY = 0.05
"""Seconds."""

MARGIN = 0.5
"""Seconds that an attempt which is too late for its call may take to give its claim back."""

NAMED = 100
"""How many messages are named at most."""


class UnderWay(Value):
    """A message that an attempt held. ``sent``: it has gone out; otherwise the gateway has not answered yet."""

    message_id: UUID
    phone: str
    what: str
    sent: bool


# oldest: all transactions before this one have ended, so a claim that did not see the change is visible here. $1 to $5:
# which messages, of a phone those that its opt-out concerns; $6: CALL_GRACE; $7, $8: see claim_life.
SELECT_CLAIMED = """
select pg_snapshot_xmin(pg_current_snapshot())::text::bigint as oldest,
       pg_snapshot_xmax(pg_current_snapshot())::text::bigint as newest,
       coalesce(array_agg(m.id), '{}') as held,
       coalesce(bool_or(m.claimed_at + $6 > clock_timestamp()), false) as may_begin
  from broadcast_messages m
  left join sequence_contacts c on c.id = m.sequence_contact_id
  left join sequences s on s.id = c.sequence_id
  left join campaigns k on k.id = m.campaign_id
 where m.status = 'processing' and m.claimed_at + claim_life(m, $7, $8) > clock_timestamp()
   and ($1::text[] is null or m.recipient_phone = any ($1) and (unwanted(m)).status = 'suppressed')
   and ($2::text is null or m.device_id = $2)
   and ($3::text is null or s.name = $3) and ($4::text is null or k.name = $4)
   and ($5::bigint[] is null or c.id = any ($5))
"""

SELECT_WHAT_WENT_OUT = """
select m.id as message_id, m.recipient_phone as phone, m.status = 'sent' as sent,
       coalesce(s.name || ' / ' || t.key, 'campaign ' || k.name, message_name(m)) as what
  from broadcast_messages m
  left join sequence_steps t on t.id = m.sequence_stepid
  left join sequences s on s.id = t.sequence_id
  left join campaigns k on k.id = m.campaign_id
 where m.id = any ($1) and m.status in ('processing', 'sent')
 order by m.claimed_at
 limit $2
"""


async def nothing_begins_any_more(
    pool: Pool,
    *,
    phones: Sequence[str] | None = None,
    device: str | None = None,
    sequence: str | None = None,
    campaign: str | None = None,
    enrollments: Sequence[int] | None = None,
) -> tuple[UnderWay, ...]:
    """Waits until no attempt from before this call can begin to send: some milliseconds, or CALL_GRACE at most.

    Call it after the commit of the change that stops later claims. Answers the messages that an attempt held and that
    went out, or that are still at the gateway.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + CALL_GRACE.total_seconds() + MARGIN
    held: set[UUID] = set()
    newest: int | None = None
    while True:
        row = await pool.fetchrow(
            *(SELECT_CLAIMED, phones, device, sequence, campaign, enrollments),
            *(CALL_GRACE, CLAIM_LIFETIME, longer_lifetimes()),
        )
        assert row is not None
        held.update(row["held"])
        newest = newest or row["newest"]
        if (row["oldest"] >= newest and not row["may_begin"]) or loop.time() > deadline:
            break
        await asyncio.sleep(LOOK_EVERY)
    return await _what_became_of(pool, held) if held else ()


async def _what_became_of(pool: Pool, held: set[UUID]) -> tuple[UnderWay, ...]:
    rows = await pool.fetch(SELECT_WHAT_WENT_OUT, list(held), NAMED)
    return tuple(UnderWay.model_validate(dict(row)) for row in rows)


def format_under_way(messages: tuple[UnderWay, ...]) -> str:
    """The end of an answer that says so, one clause for each kind; empty if there are no such messages."""
    parts = []
    for sent, words in (
        (True, "had been handed to the gateway just before, and went out"),
        (False, "is at the gateway just now, and may still arrive"),
    ):
        some = [one for one in messages if one.sent is sent]
        if len(some) == 1:
            parts.append(f"one message ({some[0].what}) {words}")
        elif some:
            parts.append(f"{len(some):,} messages {words.replace('is at', 'are at')}")
    return "".join(f"; {part}" for part in parts)
