"""Lists of messages for operators."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from messaging.campaigns.store import require_campaign
from messaging.common.database import Pool
from messaging.common.values import Value
from messaging.sending.claim_lifetimes import CLAIM_LIFETIME, longer_lifetimes
from messaging.sending.message_status import MessageStatus
from messaging.sequences.store import find_sequence, no_such_sequence

__all__ = ["MessageReport", "count_in_doubt", "list_messages", "messages_to"]


class MessageReport(Value):
    """One message of the ledger."""

    id: UUID
    phone: str
    what: str
    status: str
    due_at: datetime
    goes_out_at: datetime | None
    """When a waiting message is to go out; None if it does not wait, or if that cannot be known."""
    sent_at: datetime | None
    device: str
    reason: str | None
    text: str | None


# What a claim notes of a hold or of its device (waits_for) is as old as that claim: the device may be paused, resumed, or
# have other hours since. So it is computed again, as the next claim would find it. Other reasons are the message's own.
# goes_out_at: like a claim, it respects the recipient's hours and the device's hours.
SELECT_MESSAGES = """
select m.id, m.recipient_phone as phone, coalesce(s.name || ' / ' || t.key, 'campaign ' || k.name, message_name(m)) as what,
       m.status, m.due_at, m.sent_at, m.device_id as device, m.content as text,
       case when not is_waiting(m.status) then m.reason
            when h.hold is not null then h.hold
            when e.why is not null then e.why
            when m.waits_for is null then m.reason
            when m.slot_at > clock_timestamp() then 'waits for its slot' end as reason,
       case when is_waiting(m.status) and h.hold is null and o.opening > clock_timestamp() then o.opening end as goes_out_at
  from broadcast_messages m
  join devices d on d.id = m.device_id
 cross join lateral (select case when is_waiting(m.status) then hold_of(m) end as hold) h
 cross join lateral earliest_send(d, m.place_day, greatest(m.due_at, m.slot_at, clock_timestamp())) e
 cross join lateral (select next_opening(recipient_opening(m, greatest(m.due_at, m.slot_at, e.free_at)),
                                         d.opens_at, d.closes_at, d.time_zone) as opening) o
  left join sequence_steps t on t.id = m.sequence_stepid
  left join sequences s on s.id = t.sequence_id
  left join campaigns k on k.id = m.campaign_id
"""

SELECT_MESSAGES_TO = (
    f"{SELECT_MESSAGES} where m.recipient_phone = any (former_phones($1)) order by m.due_at, m.created_at"
)


# The latest first: by when they were sent, the others by when something last happened to them. A receipt of a message
# that was sent does not bring it forward.
LATEST_FIRST = "coalesce(m.sent_at, m.updated_at) desc, m.id"


def _latest(condition: str) -> str:
    """The latest $1 with that condition. They are chosen first: what is said of each takes its time."""
    latest = f"select m.id from broadcast_messages m where {condition} order by {LATEST_FIRST} limit $1"  # noqa: S608
    return f"{SELECT_MESSAGES} where m.id = any (array({latest})) order by {LATEST_FIRST}"


SELECT_LATEST = _latest("m.status = any ($2)")
SELECT_LATEST_OF_CAMPAIGN = _latest(
    "m.status = any ($2) and m.campaign_id = (select id from campaigns where name = $3)"
)
SELECT_LATEST_OF_SEQUENCE = _latest(
    "m.status = any ($2) and m.sequence_stepid = any (array("
    "select t.id from sequence_steps t join sequences s on s.id = t.sequence_id where s.name = $3))"
)

# $2, $3: as is_abandoned takes them.
IN_DOUBT = "m.status = 'processing' and is_abandoned(m, $2, $3, clock_timestamp())"

SELECT_LATEST_IN_DOUBT = _latest(IN_DOUBT)

COUNT_IN_DOUBT = f"select count(*) from (select from broadcast_messages m where {IN_DOUBT} and m.purpose is distinct from 'test' limit $1) found"  # noqa: S608 - of this module


async def list_messages(
    pool: Pool,
    statuses: Sequence[MessageStatus],
    limit: int,
    *,
    campaign: str | None = None,
    sequence: str | None = None,
) -> list[MessageReport]:
    """The latest ``limit`` messages of the ledger with one of these statuses, the newest first: of one campaign, of one
    sequence, or all.

    ``unconfirmed`` also lists messages in doubt of all, which a worker resolves by itself. Raises NotFound.
    """
    values = [status.value for status in statuses]
    if campaign is not None or sequence is not None:
        async with pool.acquire() as connection:
            if campaign is not None:
                await require_campaign(connection, campaign)
            elif await find_sequence(connection, sequence or "") is None:
                raise await no_such_sequence(connection, sequence or "")
        query = SELECT_LATEST_OF_CAMPAIGN if campaign is not None else SELECT_LATEST_OF_SEQUENCE
        rows = await pool.fetch(query, limit, values, campaign or sequence)
        return [MessageReport.model_validate(dict(row)) for row in rows]
    rows = await pool.fetch(SELECT_LATEST, limit, values)
    found = [MessageReport.model_validate(dict(row)) for row in rows]
    if MessageStatus.UNCONFIRMED in statuses and MessageStatus.PROCESSING not in statuses:
        doubtful = await pool.fetch(SELECT_LATEST_IN_DOUBT, limit, CLAIM_LIFETIME, longer_lifetimes())
        found = [MessageReport.model_validate(dict(row)) for row in doubtful] + found
    return found[:limit]


async def messages_to(pool: Pool, phone: str) -> list[MessageReport]:
    """All messages to this E.164 phone, and to those that its owner had before, in the order in which they are due."""
    return [MessageReport.model_validate(dict(row)) for row in await pool.fetch(SELECT_MESSAGES_TO, phone)]


async def count_in_doubt(pool: Pool, limit: int) -> int:
    """How many messages are in doubt, tests aside, counted up to ``limit``."""
    count: int = await pool.fetchval(COUNT_IN_DOUBT, limit, CLAIM_LIFETIME, longer_lifetimes())
    return count
