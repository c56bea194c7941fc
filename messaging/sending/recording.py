"""Writes the outcome of an attempt to the ledger: settled, given back for later, or left in doubt to the next
attempt.
"""

import logging
import random
from datetime import timedelta
from functools import partial

from messaging.common.database import Verdict, verdict_of
from messaging.common.storable import LONGEST_REASON, storable
from messaging.gateways.base import (
    DeviceUnfit,
    Gateway,
    MaybeAccepted,
    NotAccepted,
    Recovery,
    Refused,
    WrongContent,
)
from messaging.sending.attempts import InFlight, LostClaim
from messaging.sending.claim_lifetimes import claim_lifetime
from messaging.sending.durable_writes import DurableWrites
from messaging.sending.ledger import Ledger
from messaging.sending.message_status import MessageStatus
from messaging.sending.outcomes import Deferred, Settled
from messaging.sending.positions import Next

__all__ = ["MAX_ATTEMPTS", "Recorder"]

logger = logging.getLogger(__name__)

MAX_ATTEMPTS = 1000
"""Claims of one message before it counts as failed: about three days at the longest back-off."""

PARKED = "device %s is parked: %s"
"""The line of the log."""

LONGEST_WAIT = timedelta(minutes=15)
"""The longest wait that a gateway can ask for; after that, the message is tried again."""


class Recorder:
    """Writes the outcomes of attempts. Each method raises LostClaim if another attempt holds the message by now."""

    def __init__(self, ledger: Ledger, writes: DurableWrites) -> None:
        self._ledger = ledger
        self._writes = writes

    async def settle(
        self,
        flight: InFlight,
        status: MessageStatus,
        *,
        reason: str | None = None,
        gateway_message_id: str | None = None,
    ) -> Settled:
        """Settles the message, and moves its contact on in the same transaction.

        The status answered may differ from ``status``, as a receipt that came earlier knows more.
        """
        return await self._settle(flight, status, reason=reason, gateway_message_id=gateway_message_id)

    async def refuse(self, flight: InFlight, refused: Refused) -> Settled | Deferred:
        """Settles it as failed; or leaves it waiting with its device, if the device gets only such answers and is
        parked. A text that was refused as outside the service window is decided on anew: it goes out by its template, or
        fails, or waits until the recipient writes.
        """
        if refused.because == "outside window" and await self._writes.write(
            lambda: self._ledger.refuse_window(
                flight.attempt.message_id, flight.attempt.token, flight.now, _format_error(refused)
            )
        ):
            return Deferred(until=flight.now, reason=_format_error(refused))
        settled = await self._settle(flight, MessageStatus.FAILED, reason=str(refused), refused=refused)
        if settled.status is not MessageStatus.QUEUED:
            return settled
        logger.error(PARKED, flight.claim.device_id, _for_the_log(flight, settled.reason or ""))
        return Deferred(until=flight.now, reason=settled.reason or "")

    async def put_off(self, flight: InFlight, error: NotAccepted) -> Settled | Deferred:
        """This attempt surely did not send it: it is tried again later, unless there were too many attempts."""
        attempt, claim, reason = flight.attempt, flight.claim, _format_error(error)
        doubt = flight.may_have_arrived
        if doubt and claim.device_replaced:
            # The old device's gateway may never answer again, and the contact's next message goes out through another
            # device.
            return await self.settle(flight, MessageStatus.UNCONFIRMED, reason=f"{claim.unwanted}: {reason}")
        if claim.attempts >= MAX_ATTEMPTS:
            status = MessageStatus.UNCONFIRMED if doubt else MessageStatus.FAILED
            return await self.settle(
                flight, status, reason=f"gave up after {claim.attempts} attempts: {reason}"
            )
        now = flight.now
        until = now + _back_off(claim.attempts)
        asked = None
        if error.retry_after is not None:
            asked = now + min(timedelta(seconds=error.retry_after), LONGEST_WAIT)
            until = max(until, asked)
        device_waits_until = asked if error.concerns == "device" else None

        if doubt:
            if not await self._leave_in_doubt(flight, reason, retry_now=True):
                return await self.settle(flight, MessageStatus.UNCONFIRMED, reason=reason)
        elif not await self._writes.write(
            lambda: self._ledger.release(
                attempt.message_id, attempt.token, reason, device_waits_until=device_waits_until
            )
        ):
            raise LostClaim
        # Try again at once: the next claim sees the hold and answers *held*, or *settled* if the message is not wanted
        # any more.
        if isinstance(error, WrongContent):
            await self._writes.write(
                lambda: self._ledger.hold_contents(attempt.message_id, claim.now, reason)
            )
            return Deferred(until=now, reason=reason)
        if isinstance(error, DeviceUnfit):
            waits_until = await self._writes.write(
                lambda: self._ledger.device_fault(claim.device_id, claim.now, reason, now=now)
            )
            if waits_until is None:
                logger.error(PARKED, claim.device_id, _for_the_log(flight, reason))
                return Deferred(until=now, reason=reason)
            until = max(until, waits_until)
        return Deferred(until=until, reason=reason)

    async def doubt(self, flight: InFlight, error: MaybeAccepted, gateway: Gateway) -> Settled | Deferred:
        """It may have arrived: leaves it to the next attempt if that can find out; otherwise it becomes
        ``unconfirmed``.
        """
        claim, reason = flight.claim, _format_error(error)
        try:
            recovery = await gateway.recovery(claim.device_id)
        except NotAccepted:
            recovery = None
        if recovery is Recovery.NONE or claim.must_not_send or claim.attempts >= MAX_ATTEMPTS:
            return await self.settle(flight, MessageStatus.UNCONFIRMED, reason=reason)
        retry_now = recovery is Recovery.RESEND
        if retry_now:
            until = flight.now + _back_off(claim.attempts)
        else:
            # A look-up proves nothing until the gateway has had all the time that its answer may take.
            until = claim.now + claim_lifetime(gateway.capabilities.answers_within)
        if not await self._leave_in_doubt(flight, reason, retry_now=retry_now):
            # A receipt came before the answer and has settled the message, but does not contain the text: store that.
            return await self.settle(flight, MessageStatus.UNCONFIRMED, reason=reason)
        return Deferred(until=until, reason=reason)

    async def _leave_in_doubt(self, flight: InFlight, reason: str, *, retry_now: bool) -> bool:
        attempt = flight.attempt
        return await self._writes.write(
            lambda: self._ledger.doubt(
                attempt.message_id,
                attempt.token,
                reason,
                retry_now=retry_now,
                content=flight.content,
                image_url=flight.image_url,
            )
        )

    async def _settle(
        self,
        flight: InFlight,
        status: MessageStatus,
        *,
        reason: str | None,
        gateway_message_id: str | None = None,
        refused: Refused | None = None,
    ) -> Settled:
        attempt, at = flight.attempt, flight.now
        words = storable(reason, LONGEST_REASON) if reason is not None else None
        following: Next | None = None
        wrong: Exception | None = None
        if flight.after is not None:
            try:
                following = flight.after(at)
            except Exception as error:  # noqa: BLE001 - first what became of the message is written
                wrong = error
        settle = partial(
            self._ledger.settle,
            *(attempt.message_id, attempt.token, status, at),
            gateway_message_id=gateway_message_id,
        )
        write = partial(settle, reason=words)
        if refused is not None:
            write = partial(
                self._ledger.refuse,
                *(attempt.message_id, attempt.token, at, words or ""),
                sign=refused.sign,
            )
        try:
            outcome = await self._writes.write(
                lambda: write(
                    content=flight.content,
                    image_url=flight.image_url,
                    position=following.position if following is not None else None,
                )
            )
        except Exception as error:
            if verdict_of(error) is not Verdict.WRONG:
                raise
            logger.exception("the outcome of message %s could not be written in full", attempt.message_id)
            # Write the status alone, as the reason or the text cannot be stored. The next claim moves the contact on.
            lost = "its reason could not be stored; the log has it"
            plainly = partial(settle, reason=None if status is MessageStatus.SENT else lost)
            outcome = await self._writes.write(plainly)
        if wrong is not None:
            raise wrong
        if outcome is None:
            raise LostClaim
        return Settled(
            message_id=attempt.message_id,
            status=outcome.status,
            reason=outcome.reason,
            next=following.due if following is not None else None,
        )


def _for_the_log(flight: InFlight, reason: str) -> str:
    """What a gateway said, without the message's text and the person's name, which it may repeat."""
    for said in (flight.content, flight.claim.lead.name):
        if said:
            reason = reason.replace(said, "***")
    return reason


def _back_off(attempts: int) -> timedelta:
    """2 s, 4 s, 8 s … at most 5 minutes, plus or minus a fifth, so that many messages do not come back at once."""
    seconds = min(2.0 ** min(attempts, 9), 300.0)
    return timedelta(seconds=seconds * random.uniform(0.8, 1.2))  # noqa: S311 - spread, not secrecy


def _format_error(error: Exception) -> str:
    """The error's text, in a form that can be stored and sent."""
    return storable(str(error), LONGEST_REASON)
