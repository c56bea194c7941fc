"""Resolving messages in doubt: an operator says that one arrived, or has it sent again.

A message is in doubt if it is ``unconfirmed``, or if its attempt has ended without an outcome.
"""

import math
from typing import Any, Literal
from uuid import UUID

from messaging.common.database import Connection, Record
from messaging.common.errors import Conflict, NotFound
from messaging.common.values import Value
from messaging.events.record import note
from messaging.sending.claim_lifetimes import CLAIM_LIFETIME, longer_lifetimes
from messaging.sending.message_ids import message_name
from messaging.sending.message_status import WAITING
from messaging.sending.outcomes import MessageRef

__all__ = ["Resolution", "UnconfirmedMessage", "find_unconfirmed", "resolve_as_sent", "send_again"]


class Resolution(Value):
    """What was done about a message. ``campaign`` or ``again`` says which workflow has to deliver it."""

    message_id: UUID
    phone: str
    what: str
    result: Literal["sent", "sending again", "still unconfirmed", "expired"]
    already: bool = False
    """True if it was so before: nothing was changed."""
    campaign: str | None = None
    again: MessageRef | None = None


class UnconfirmedMessage(Value):
    """A message in doubt, and the device whose gateway may know it."""

    phone: str
    what: str
    device_id: str
    gateway: str
    options: dict[str, Any]


# claimed_for: seconds for which an attempt may still be at the gateway; $2, $3: see claim_life.
LOCK_MESSAGE = """
select m.*, s.name as sequence, t.key as step, k.name as campaign,
       d.gateway, d.gateway_options, coalesce((unwanted(m)).status = 'suppressed', false) as opted_out,
       lacks_consent(m) as lacks_consent,
       case when isfinite(m.claimed_at)
            then extract(epoch from m.claimed_at + claim_life(m, $2, $3) - clock_timestamp())::float8 end as claimed_for
  from broadcast_messages m
  join devices d on d.id = m.device_id
  left join sequence_steps t on t.id = m.sequence_stepid
  left join sequences s on s.id = t.sequence_id
  left join campaigns k on k.id = m.campaign_id
 where m.id = $1
   for no key update of m
"""

SET_SENT = """
update broadcast_messages
   set status = 'sent', sent_at = case when isfinite(claimed_at) then claimed_at else updated_at end,
       reason = null, slot_at = null, gateway_message_id = coalesce($2, gateway_message_id),
       updated_at = clock_timestamp()
 where id = $1 and status <> 'sent'
"""

EXPIRE = """
update broadcast_messages
   set status = 'expired', slot_at = null, reason = expiry_of(expires_at), updated_at = clock_timestamp()
 where id = $1 and status in ('unconfirmed', 'processing') and expires_at <= clock_timestamp()
returning true
"""


async def find_unconfirmed(connection: Connection, message_id: UUID) -> UnconfirmedMessage | Resolution:
    """The message in doubt; or the answer that it is sent already.

    Raises NotFound, and Conflict for a message that is not in doubt or is being sent again.
    """
    row = await _in_doubt(connection, message_id, "sent")
    if row["status"] == "sent":
        return _sent(row, already=True)
    if row["status"] in WAITING:
        raise Conflict(
            f"message {message_id} is being sent again already: 'contact {row['recipient_phone']}' shows how far"
        )
    return UnconfirmedMessage(
        phone=row["recipient_phone"],
        what=_name(row),
        device_id=row["device_id"],
        gateway=row["gateway"],
        options=row["gateway_options"],
    )


async def _in_doubt(connection: Connection, message_id: UUID, *also: str) -> Record:
    """The message's row, locked until the transaction ends. ``also``: statuses that are allowed besides those in
    doubt.
    """
    row = await connection.fetchrow(LOCK_MESSAGE, message_id, CLAIM_LIFETIME, longer_lifetimes())
    if row is None:
        raise NotFound(f"there is no message {message_id}: 'messages' lists those that are unconfirmed")
    if row["status"] in also:
        return row
    if row["status"] == "processing" and (row["claimed_for"] or 0) > 0:
        raise Conflict(
            f"message {message_id} is being sent just now: ask again in {math.ceil(row['claimed_for'])} seconds"
        )
    waits = row["resends"] > 0 and row["status"] in WAITING
    if row["status"] not in ("unconfirmed", "processing") and not waits:
        raise Conflict(f"message {message_id} is {row['status']}, and only an unconfirmed one is resolved")
    return row


async def resolve_as_sent(
    connection: Connection, message_id: UUID, gateway_message_id: str | None = None
) -> Resolution:
    """Notes that the message did arrive. Raises NotFound and Conflict."""
    async with connection.transaction():
        row = await _in_doubt(connection, message_id, "sent")
        await connection.execute(SET_SENT, message_id, gateway_message_id)
        await _note(connection, row, "sent")
        await connection.execute("select apply_early_receipts($1)", message_id)
    return _sent(row, already=row["status"] == "sent")


async def send_again(connection: Connection, message_id: UUID) -> Resolution:
    """Makes the message due again, because an operator knows that it did not arrive. Raises NotFound and Conflict.

    Asking twice is harmless, even after it was sent again. A message whose time is over is settled as ``expired``
    instead.
    """
    async with connection.transaction():
        row = await _in_doubt(connection, message_id, "sent")
        if row["status"] == "sent":
            if not row["resends"]:
                raise Conflict(f"message {message_id} is sent, and only an unconfirmed one is sent again")
            return _sent(row, already=True)
        if row["recipient_phone"].startswith("forgotten-"):
            raise Conflict(f"message {message_id} is not sent again: the person asked to be forgotten")
        if row["opted_out"]:
            raise Conflict(f"{row['recipient_phone']} has opted out: nothing is sent to them")
        if row["lacks_consent"]:
            raise Conflict(f"{row['recipient_phone']} has not consented, which this message requires")
        # Locked like at the campaign's end and cancellation: either these see the message that waits again, or we see
        # them.
        status = await connection.fetchval(
            "select status from campaigns where id = $1 for no key update", row["campaign_id"]
        )
        if status == "cancelled":
            raise Conflict(f"campaign {row['campaign']!r} was cancelled: nothing of it is sent any more")
        over = await connection.fetchval(EXPIRE, message_id)
        if over:
            await _note(connection, row, "expired")
            return Resolution(
                message_id=message_id,
                phone=row["recipient_phone"],
                what=_name(row),
                result="expired",
            )
        if row["status"] in ("unconfirmed", "processing"):
            await connection.execute("select send_again(array[$1::uuid], 'operator', null)", message_id)
        if status is not None:
            await connection.execute("select reopen_campaign($1)", row["campaign_id"])
    again = None
    if row["campaign"] is None:
        again = MessageRef(
            message_id=message_id,
            phone=row["recipient_phone"],
            device_id=row["device_id"],
            sequence=row["sequence"] or "",
            step=row["step"] or "",
            purpose=row["purpose"] or "",
        )
    return Resolution(
        message_id=message_id,
        phone=row["recipient_phone"],
        what=_name(row),
        result="sending again",
        campaign=row["campaign"],
        again=again,
    )


async def _note(connection: Connection, row: Record, status: str) -> None:
    """Notes what became of a message whose attempt had left it in doubt, or that was to be sent again and is not; of an
    unconfirmed one, the trigger does.
    """
    if row["status"] in ("processing", *WAITING):
        await note(
            connection,
            "message.resolved",
            phone=row["recipient_phone"],
            sequence=row["sequence"],
            campaign=row["campaign"],
            device=row["device_id"],
            message_id=row["id"],
            **({"step": row["step"]} if row["step"] else {}),
            status=status,
        )


def _name(row: Record) -> str:
    return message_name(row["campaign"], row["sequence"], row["step"], row["purpose"])


def _sent(row: Record, *, already: bool) -> Resolution:
    return Resolution(
        message_id=row["id"],
        phone=row["recipient_phone"],
        what=_name(row),
        result="sent",
        already=already,
    )
