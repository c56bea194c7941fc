"""From a claim to what came of it: render, call the gateway, settle.

An attempt that finds its message ``taken_over`` must not guess: an earlier attempt died with it, or never got an
answer. Where the gateway honours an idempotency key it sends again under the same one, where the gateway can be asked
it asks, and otherwise the message becomes ``unconfirmed``; it is never sent again blindly.
"""

import logging
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from messaging.common.database import Verdict, verdict_of
from messaging.common.errors import InvalidInput
from messaging.common.storable import LONGEST_REASON, storable
from messaging.gateways import Gateways
from messaging.gateways.base import (
    Accepted,
    DeviceUnfit,
    Gateway,
    MaybeAccepted,
    NotAccepted,
    OutgoingMessage,
    Recovery,
    Refused,
    WrongContent,
)
from messaging.sending.compose import compose, wording
from messaging.sending.ledger import (
    CALL_GRACE,
    Claim,
    Ledger,
    NextPosition,
    Outcome,
    StepAnswer,
    claim_lifetime,
)
from messaging.sending.message_status import MessageStatus
from messaging.sending.outcomes import Deferred, Settled
from messaging.sending.settling import Outcomes
from messaging.texts.liquid import TemplateProblem

__all__ = ["MAX_ATTEMPTS", "Attempt", "Dispatcher"]

logger = logging.getLogger(__name__)

MAX_ATTEMPTS = 1000
"""Claims of one message before it counts as failed: some three days at the longest back-off."""

FRESH = timedelta(seconds=0.1)
"""An attempt that is older than this when it is about to call (it fetched an image, or was suspended) checks again that it may."""

SHORTEST_CALL = 2.0
"""Seconds; with less than that left of a claim, no part of a message is begun."""

LONGEST_WAIT = timedelta(minutes=15)
"""The longest wait that a gateway can ask for; after it, the message is tried again."""

_age_clock = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def _age_now() -> float:
    """Seconds that also pass while the process or the machine is suspended."""
    return time.clock_gettime(_age_clock)


class _LostClaim(Exception):
    """Another attempt has taken the message over; what this one learned was not recorded."""


class Attempt:
    """One attempt at one message. Made before the claim, for its age counts from there."""

    def __init__(self, message_id: UUID, token: str) -> None:
        self.message_id = message_id
        self.token = token
        self._began = _age_now()

    @property
    def age(self) -> timedelta:
        """How long ago it began."""
        return timedelta(seconds=_age_now() - self._began)

    def refuse_if_late(self) -> None:
        """The last look before the call. An attempt that was suspended or starved since its claim must not send.

        Others may have the message by now, and the device's pace was promised to others. Raises NotAccepted.
        """
        if self.age > CALL_GRACE:
            raise NotAccepted("the worker was too slow to send it", concerns="message")

    def time_left(self, answers_within: float) -> float:
        """Seconds that the gateway may take: all parts together must be through while the claim lives."""
        return min(answers_within, (CALL_GRACE - self.age).total_seconds() + answers_within)

    def refuse_if_no_time_left(self, answers_within: float) -> None:
        """As before the first part, so before another one. Raises NotAccepted."""
        if self.time_left(answers_within) < SHORTEST_CALL:
            raise NotAccepted(
                "the gateway was too slow for the second part, which follows", concerns="message"
            )


After = Callable[[datetime], NextPosition | None]
"""Where the contact stands once its message was settled at that moment."""


class Dispatcher:
    """Carries claims out. Safe to share between tasks."""

    def __init__(self, ledger: Ledger, gateways: Gateways, outcomes: Outcomes | None = None) -> None:
        self._ledger = ledger
        self._gateways = gateways
        self._outcomes = outcomes or Outcomes()

    async def carry_out(self, attempt: Attempt, claim: Claim, after: After) -> Settled | Deferred:
        """Sends the claimed message, or finds out what an earlier attempt did, and records the outcome.

        The outcome is written for as long as the process lives, also where this call is cancelled.
        """
        try:
            return await self._carry_out(_InFlight(attempt, claim, after))
        except _LostClaim:
            # Another attempt holds the message now: claim again, and see what came of it.
            return Deferred(until=claim.now, reason="another attempt took the message over")

    async def ask(self, attempt: Attempt, claim: Awaitable[StepAnswer]) -> StepAnswer:
        """The answer to a claim. Where it got lost on the way here, the message may be claimed: it is given back.

        Raises database errors.
        """
        try:
            return await claim
        except Exception:
            self.give_back(attempt, "the database went away at its claim")
            raise

    def give_back(self, attempt: Attempt, reason: str) -> None:
        """Gives back, soon, a claim with which the gateway was not called: if the attempt holds one."""
        text = storable(reason, LONGEST_REASON)
        self._outcomes.begin(lambda: self._ledger.release(attempt.message_id, attempt.token, text))

    async def _carry_out(self, in_flight: "_InFlight") -> Settled | Deferred:
        claim = in_flight.claim
        try:
            gateway = await self._gateways.of(claim.gateway, claim.options)
        except InvalidInput as error:
            return await self._try_later(in_flight, DeviceUnfit(str(error)))
        try:
            accepted = await self._send(gateway, in_flight)
        except (TemplateProblem, Refused) as error:
            if in_flight.may_have_arrived:
                reason = f"an earlier attempt may have sent it, and another one cannot: {error}"
                return await self._settle(in_flight, MessageStatus.UNCONFIRMED, reason=reason)
            if isinstance(error, Refused):
                return await self._refuse(in_flight, error)
            return await self._settle(in_flight, MessageStatus.FAILED, reason=str(error))
        except NotAccepted as error:
            return await self._try_later(in_flight, error)
        except MaybeAccepted as error:
            return await self._in_doubt(gateway, in_flight, error)
        except _LostClaim:
            raise
        except Exception as error:
            # A fault of ours. What became of the message is known all the same, as far as it can be.
            logger.exception("the send of message %s failed", in_flight.attempt.message_id)
            why = f"an unexpected error, which the worker's log has in full: {type(error).__name__}: {error}"
            if in_flight.called:
                return await self._in_doubt(gateway, in_flight, MaybeAccepted(why))
            return await self._try_later(in_flight, NotAccepted(why, concerns="message"))
        return await self._settle(
            in_flight, MessageStatus.SENT, gateway_message_id=accepted.gateway_message_id
        )

    async def _send(self, gateway: Gateway, in_flight: "_InFlight") -> Accepted:
        """Hands over what has not gone out yet, part by part."""
        attempt, claim = in_flight.attempt, in_flight.claim
        if claim.outcome == "taken_over":
            accepted = await self._find_out(gateway, in_flight)
            if accepted is not None:
                return accepted
        in_flight.parts = await compose(
            claim, attempt.message_id, gateway.capabilities, self._gateways.images
        )
        if attempt.age > FRESH and not await self._ledger.may_go_out(attempt.message_id, attempt.token):
            raise NotAccepted("it was stopped at the last moment", concerns="message")
        attempt.refuse_if_late()
        within = gateway.capabilities.answers_within
        *first, last = in_flight.parts
        if first and claim.parts_sent == 0:
            if not await self._has_arrived(gateway, claim, first[0]):
                in_flight.called = True
                await gateway.send(first[0], timeout=attempt.time_left(within))
            # It must not go out again, and the second not too late.
            if not await self._outcomes.write(
                lambda: self._ledger.note_parts(attempt.message_id, attempt.token, 1, now=in_flight.now)
            ):
                raise _LostClaim
            attempt.refuse_if_no_time_left(within)
        in_flight.called = True
        return await gateway.send(last, timeout=attempt.time_left(within))

    async def _has_arrived(self, gateway: Gateway, claim: Claim, part: OutgoingMessage) -> bool:
        """Whether a dead attempt has sent this part, where the gateway can be asked; where it honours keys, all the
        same: it gets the part again under the same key."""
        if claim.outcome != "taken_over" or await gateway.recovery(claim.device) is not Recovery.LOOK_UP:
            return False
        return await gateway.look_up(claim.device, part.message_id) is not None

    async def _find_out(self, gateway: Gateway, in_flight: "_InFlight") -> Accepted | None:
        """What the gateway knows of a message in doubt; None means: send it again, under the same key."""
        claim = in_flight.claim
        recovery = await gateway.recovery(claim.device)
        # One that must not go out is not sent again under its key either, and looked up where that can be done.
        ask = claim.must_not_send and recovery is Recovery.RESEND and gateway.capabilities.look_up
        if recovery is Recovery.LOOK_UP or ask:
            try:
                accepted = await gateway.look_up(claim.device, in_flight.attempt.message_id)
            except MaybeAccepted as error:
                raise MaybeAccepted(
                    f"{_format_unwanted(claim)} while it was being sent, and {error}"
                ) from error
            if accepted is not None:
                return accepted
            in_flight.may_have_arrived = False
        if recovery is Recovery.NONE:
            raise MaybeAccepted("a worker stopped in the middle of sending it")
        if claim.must_not_send and in_flight.may_have_arrived:
            raise MaybeAccepted(f"{_format_unwanted(claim)} while it was being sent")
        if claim.must_not_send:
            raise NotAccepted(f"it had not arrived, and {_format_unwanted(claim)}", concerns="message")
        return None

    async def _in_doubt(
        self, gateway: Gateway, in_flight: "_InFlight", error: MaybeAccepted
    ) -> Settled | Deferred:
        claim, reason = in_flight.claim, _format_error(error)
        try:
            recovery = await gateway.recovery(claim.device)
        except NotAccepted:
            recovery = None
        if recovery is Recovery.NONE or claim.must_not_send or claim.attempts >= MAX_ATTEMPTS:
            return await self._settle(in_flight, MessageStatus.UNCONFIRMED, reason=reason)
        if recovery is Recovery.RESEND:
            until = in_flight.now + _back_off(claim.attempts)
        else:
            # A look-up proves nothing before the gateway has had the time that it may take.
            until = claim.now + claim_lifetime(gateway.capabilities.answers_within)
        retry_now = recovery is Recovery.RESEND
        if not await self._doubt(in_flight, reason, retry_now=retry_now):
            # A receipt was faster than the answer: it has settled the message, and knows nothing of its contents.
            return await self._settle(in_flight, MessageStatus.UNCONFIRMED, reason=reason)
        return Deferred(until=until, reason=reason)

    async def _doubt(self, in_flight: "_InFlight", reason: str, *, retry_now: bool) -> bool:
        attempt = in_flight.attempt
        return await self._outcomes.write(
            lambda: self._ledger.doubt(
                attempt.message_id, attempt.token, reason, retry_now=retry_now, **in_flight.contents
            )
        )

    async def _try_later(self, in_flight: "_InFlight", error: NotAccepted) -> Settled | Deferred:
        attempt, claim, reason = in_flight.attempt, in_flight.claim, _format_error(error)
        doubt = in_flight.may_have_arrived
        if doubt and claim.device_replaced:
            # It may never answer again, and the contact's next message goes by another device.
            return await self._settle(
                in_flight, MessageStatus.UNCONFIRMED, reason=f"{_format_unwanted(claim)}: {reason}"
            )
        if claim.attempts >= MAX_ATTEMPTS:
            status = MessageStatus.UNCONFIRMED if doubt else MessageStatus.FAILED
            return await self._settle(
                in_flight, status, reason=f"gave up after {claim.attempts} attempts: {reason}"
            )
        now = in_flight.now
        until = now + _back_off(claim.attempts)
        asked = None
        if error.retry_after is not None:
            asked = now + min(timedelta(seconds=error.retry_after), LONGEST_WAIT)
            until = max(until, asked)
        device_waits_until = asked if error.concerns == "device" else None

        if doubt:
            if not await self._doubt(in_flight, reason, retry_now=True):
                return await self._settle(in_flight, MessageStatus.UNCONFIRMED, reason=reason)
        elif not await self._outcomes.write(
            lambda: self._ledger.release(
                attempt.message_id, attempt.token, reason, device_waits_until=device_waits_until
            )
        ):
            raise _LostClaim
        # The next claim sees the hold and answers *held*, or *settled* where the message is not wanted any more.
        if isinstance(error, WrongContent):
            await self._outcomes.write(
                lambda: self._ledger.hold_contents(attempt.message_id, claim.now, reason)
            )
            return Deferred(until=now, reason=reason)
        if isinstance(error, DeviceUnfit):
            waits_until = await self._outcomes.write(
                lambda: self._ledger.device_fault(claim.device, claim.now, reason, now=now)
            )
            if waits_until is None:
                logger.error("device %s is parked: %s", claim.device, reason)
                return Deferred(until=now, reason=reason)
            until = max(until, waits_until)
        return Deferred(until=until, reason=reason)

    async def _refuse(self, in_flight: "_InFlight", error: Refused) -> Settled | Deferred:
        """Settles it as failed, or leaves it to wait with its device, where that gets nothing but such answers."""
        settled = await self._settle(in_flight, MessageStatus.FAILED, reason=str(error), refused=error)
        if settled.status is not MessageStatus.QUEUED:
            return settled
        logger.error("device %s is parked: %s", in_flight.claim.device, settled.reason)
        return Deferred(until=in_flight.now, reason=settled.reason or "")

    async def _settle(
        self,
        in_flight: "_InFlight",
        status: MessageStatus,
        *,
        reason: str | None = None,
        gateway_message_id: str | None = None,
        refused: Refused | None = None,
    ) -> Settled:
        attempt, at = in_flight.attempt, in_flight.now
        reason = storable(reason, LONGEST_REASON) if reason is not None else None
        contact, wrong = None, None
        try:
            contact = in_flight.after(at)
        except Exception as error:  # noqa: BLE001 - first what became of the message is written
            wrong = error

        async def write() -> Outcome | None:
            if refused is not None:
                return await self._ledger.refuse(
                    attempt.message_id,
                    attempt.token,
                    at,
                    reason or "",
                    sign=refused.sign,
                    contact=contact,
                    **in_flight.contents,
                )
            return await self._ledger.settle(
                attempt.message_id,
                attempt.token,
                status,
                at,
                gateway_message_id=gateway_message_id,
                reason=reason,
                contact=contact,
                **in_flight.contents,
            )

        try:
            outcome = await self._outcomes.write(write)
        except Exception as error:
            if verdict_of(error) is not Verdict.WRONG:
                raise
            logger.exception("the outcome of message %s could not be written in full", attempt.message_id)
            outcome = await self._settle_plainly(in_flight, status, at, gateway_message_id)
        if wrong is not None:
            raise wrong
        if outcome is None:
            raise _LostClaim
        return Settled(message_id=attempt.message_id, status=outcome.status, reason=outcome.reason)

    async def _settle_plainly(
        self, in_flight: "_InFlight", status: MessageStatus, at: datetime, gateway_message_id: str | None
    ) -> Outcome | None:
        """Writes the status alone, where the reason or the text cannot be stored. The next claim moves the contact on."""
        attempt = in_flight.attempt
        reason = None if status is MessageStatus.SENT else "its reason could not be stored; the log has it"
        return await self._outcomes.write(
            lambda: self._ledger.settle(
                attempt.message_id,
                attempt.token,
                status,
                at,
                gateway_message_id=gateway_message_id,
                reason=reason,
            )
        )


@dataclass
class _InFlight:
    """One claim being carried out."""

    attempt: Attempt
    claim: Claim
    after: After
    parts: tuple[OutgoingMessage, ...] = ()
    """What is sent, as far as it is known."""
    called: bool = False
    """Whether the gateway was called by this attempt."""
    may_have_arrived: bool = field(init=False)
    """Whether an earlier attempt may have sent it, for all that is known."""

    def __post_init__(self) -> None:
        self.may_have_arrived = self.claim.outcome == "taken_over"

    @property
    def contents(self) -> dict[str, str | None]:
        """What is sent, as the ledger keeps it."""
        if not self.parts:
            return {"content": None, "image_url": None}
        return {"content": wording(self.parts), "image_url": self.parts[0].image_url}

    @property
    def now(self) -> datetime:
        """The present by the clock of the claim, which is the database's."""
        return self.claim.now + self.attempt.age


def _format_unwanted(claim: Claim) -> str:
    return f"device {claim.device} was replaced" if claim.device_replaced else "it was not wanted any more"


def _back_off(attempts: int) -> timedelta:
    """2 s, 4 s, 8 s … at most 5 minutes, give or take a fifth, so that many do not come back at once."""
    seconds = min(2.0 ** min(attempts, 9), 300.0)
    return timedelta(seconds=seconds * random.uniform(0.8, 1.2))  # noqa: S311 - spread, not secrecy


def _format_error(error: Exception) -> str:
    """What is wrong, as it may be stored and travel."""
    return storable(str(error), LONGEST_REASON)
