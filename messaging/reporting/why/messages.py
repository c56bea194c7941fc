"""What became of one message, in a sentence."""

from datetime import datetime, tzinfo
from typing import cast
from uuid import UUID

from messaging.common.database import Pool
from messaging.gateways import NAMES, capabilities_of
from messaging.reporting.messages import MessageReport, messages_to
from messaging.times.local_time import format_moment

__all__ = ["Fate", "fates_of_phone"]

SELECT_ARRIVALS = """
select m.id, m.delivered_at, m.read_at, m.claimed_at, m.updated_at, m.sequence_contact_id, m.campaign_id, d.gateway
  from broadcast_messages m
  join devices d on d.id = m.device_id
 where m.recipient_phone = $1
"""


class Fate:
    """One message with what is known of its way."""

    def __init__(self, message: MessageReport, row: dict[str, object]) -> None:
        self.message = message
        self.enrollment = row["sequence_contact_id"]
        self.campaign = row["campaign_id"]
        self._row = row

    @property
    def waits(self) -> bool:
        """True if it is still to go out."""
        return self.message.status in ("pending", "queued", "processing")

    @property
    def delivered_at(self) -> datetime | None:
        """When it was delivered, as far as the gateway reports it."""
        return cast("datetime | None", self._row["delivered_at"])

    @property
    def read_at(self) -> datetime | None:
        """When it was read, as far as the gateway reports it."""
        return cast("datetime | None", self._row["read_at"])

    def sentence(self, zone: tzinfo) -> str:
        """What became of it, or what it waits for and until when. Times in this zone."""
        one, row = self.message, self._row
        name = one.what.rpartition(" / ")[2] if " / " in one.what else "The message"
        reason = f": {one.reason}" if one.reason else ""
        match one.status:
            case "sent":
                return f"{name} was sent on {_at(one.sent_at, zone)} by {one.device}{self._arrival(zone)}."
            case "failed":
                return f"{name} failed on {_at(row['updated_at'], zone)}, by {one.device}{reason}."
            case "unconfirmed":
                return (
                    f"{name} is unconfirmed{reason}: {one.device}'s gateway may have sent it and did not say so."
                    f" Ask the recipient, then 'message resolve {one.id} --sent' or '--resend'."
                )
            case "suppressed" | "cancelled" | "expired":
                return f"{name} was not sent, it is {one.status}{reason}."
            case "processing":
                return (
                    f"{name} is with {one.device} since {_at(row['claimed_at'], zone)}{reason}: an attempt is under way,"
                    " or ended without a result, which a worker finds out within a minute or two."
                )
            case _:
                until = f", and goes out on {_at(one.goes_out_at, zone)}" if one.goes_out_at else ""
                late = "" if one.reason or one.goes_out_at else self._turn()
                return f"{name} was due on {_at(one.due_at, zone)} and waits{reason}{until}{late}."

    def _turn(self) -> str:
        if self.campaign is not None and self.message.status == "pending":
            return ": the campaign has not come to it yet, as each device sends at its pace"
        return ": a worker takes it within moments, if one runs"

    def _arrival(self, zone: tzinfo) -> str:
        read, delivered, gateway = (self._row[name] for name in ("read_at", "delivered_at", "gateway"))
        if read is not None:
            return f", and read on {_at(read, zone)}"
        if delivered is not None:
            return f", and delivered on {_at(delivered, zone)}; that it was read is not reported"
        if gateway in NAMES and not capabilities_of(str(gateway)).receipts:
            return f"; whether it arrived is not known, as {gateway} does not report it for certain"
        return ", but the gateway has not reported that it was delivered: the phone may be off, or have blocked the number"


def _at(moment: object, zone: tzinfo) -> str:
    assert isinstance(moment, datetime)
    return format_moment(moment, zone)


async def fates_of_phone(pool: Pool, phone: str) -> list[Fate]:
    """All messages to this phone (E.164), in the order in which they are due."""
    rows: dict[UUID, dict[str, object]] = {
        row["id"]: dict(row) for row in await pool.fetch(SELECT_ARRIVALS, phone)
    }
    return [Fate(one, rows[one.id]) for one in await messages_to(pool, phone) if one.id in rows]
