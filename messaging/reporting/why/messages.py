"""What became of one message, in a sentence."""

import re
from collections.abc import Iterable
from datetime import datetime, tzinfo
from typing import cast
from uuid import UUID

from messaging.common.database import Pool
from messaging.gateways import NAMES, capabilities_of
from messaging.reporting.messages import MessageReport, messages_to
from messaging.times.local_time import format_wall

__all__ = ["Fate", "fates_of_phone", "silent_gateways"]

SELECT_ARRIVALS = """
select m.id, m.delivered_at, m.read_at, m.claimed_at, m.updated_at, m.sequence_contact_id, m.campaign_id, d.gateway
  from broadcast_messages m
  join devices d on d.id = m.device_id
 where m.recipient_phone = $1
"""

_PAUSED = re.compile(r"(the contact|(campaign|sequence|device) \S+) is paused")
"""As pause_of() says it."""


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

    @property
    def silent_gateway(self) -> str | None:
        """The gateway that sent it, if this one does not say for certain whether a message arrived."""
        gateway = self._row["gateway"]
        known = self.delivered_at or self.read_at or self.message.status != "sent"
        silent = gateway in NAMES and not capabilities_of(str(gateway)).receipts
        return str(gateway) if silent and not known else None

    def sentence(self, zone: tzinfo, *, pause_is_told: bool = False) -> str:
        """What became of it, or what it waits for and until when. Times in this zone, without its name.

        ``pause_is_told``: what is paused and holds it is said in a sentence of its own.
        """
        one, row = self.message, self._row
        name = one.what.rpartition(" / ")[2] if " / " in one.what else "The message"
        reason = f": {one.reason}" if one.reason else ""
        match one.status:
            case "sent":
                return f"{name} was sent on {_at(one.sent_at, zone)} by {one.device}{self._arrival(zone)}."
            case "failed":
                return f"{name} failed on {_at(row['updated_at'], zone)}, by {one.device}{reason}."
            case "unconfirmed":
                unsaid = f": {one.device}'s gateway may have sent it and did not say so"
                return (
                    f"{name} is unconfirmed{reason or unsaid}."
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
                if pause_is_told and one.reason is not None and _PAUSED.match(one.reason):
                    reason = ""
                elif one.reason is not None and one.reason.startswith("waits "):
                    reason = one.reason.removeprefix("waits")
                return f"{name} was due on {_at(one.due_at, zone)} and waits{reason}{until}{late}."

    def _turn(self) -> str:
        if self.campaign is not None and self.message.status == "pending":
            return ": the campaign has not come to it yet, as each device sends at its pace"
        return ": a worker takes it within moments, if one runs"

    def _arrival(self, zone: tzinfo) -> str:
        read, delivered = self.read_at, self.delivered_at
        if read is not None:
            return f", and read on {_at(read, zone)}"
        if delivered is not None:
            return f", and delivered on {_at(delivered, zone)}; that it was read is not reported"
        if self.silent_gateway is not None:
            return ""  # said once, of all that it has sent
        return ", but the gateway has not reported that it was delivered: the phone may be off, or have blocked the number"


def _at(moment: object, zone: tzinfo) -> str:
    assert isinstance(moment, datetime)
    return format_wall(moment, zone)


def silent_gateways(fates: Iterable[Fate], name: str | None = None) -> list[str]:
    """A sentence for each gateway of these messages that does not say whether they arrived: of all, or only of the sequence or
    campaign ``name``.
    """
    of = (
        one for one in fates if name in (None, *one.message.what.removeprefix("campaign ").split(" / ")[:1])
    )
    return [
        f"Whether a sent message arrived is not known, as {gateway} does not report it for certain."
        for gateway in sorted({one.silent_gateway for one in of if one.silent_gateway is not None})
    ]


async def fates_of_phone(pool: Pool, phone: str) -> list[Fate]:
    """All messages to this phone (E.164), in the order in which they are due."""
    rows: dict[UUID, dict[str, object]] = {
        row["id"]: dict(row) for row in await pool.fetch(SELECT_ARRIVALS, phone)
    }
    return [Fate(one, rows[one.id]) for one in await messages_to(pool, phone) if one.id in rows]
