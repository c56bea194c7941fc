"""From a claim to what came of it: render, call the gateway, settle.

An attempt that finds its message ``taken_over`` must not guess: an earlier attempt died with it, or never got an
answer. Where the gateway honours an idempotency key it sends again under the same one, where the gateway can be asked
it asks, and otherwise the message becomes ``unconfirmed``; it is never sent again blindly.
"""

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from uuid import UUID

import asyncpg

from messaging.errors import InvalidInput
from messaging.gateways import Gateways
from messaging.gateways.base import (
    Accepted,
    Gateway,
    MaybeAccepted,
    NotAccepted,
    OutgoingMessage,
    Recovery,
    Refused,
)
from messaging.ledger import CALL_GRACE, CALL_TIMEOUT, CLAIM_LIFETIME, Claim, ContactPosition, Ledger
from messaging.models import Deferred, MessageStatus, Settled
from messaging.templates import MAX_CAPTION, MAX_TEXT, TemplateProblem, lead_variables, render

__all__ = ["MAX_ATTEMPTS", "Attempt", "Dispatcher", "LostClaim"]

logger = logging.getLogger(__name__)

MAX_ATTEMPTS = 1000
"""Claims of one message before it counts as failed: some three days at the longest back-off."""

SETTLE_FOR = 5.0
"""Seconds for which an outcome is tried to be written before the attempt fails and another one takes over."""

_age_clock = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def _age_now() -> float:
    """Seconds that also pass while the process or the machine is suspended."""
    return time.clock_gettime(_age_clock)


class LostClaim(Exception):
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
            raise NotAccepted("the worker was too slow to send it")


After = Callable[[datetime], ContactPosition | None]
"""Where the contact stands once its message was settled at that moment."""


class Dispatcher:
    """Carries claims out. Safe to share between tasks."""

    def __init__(self, ledger: Ledger, gateways: Gateways) -> None:
        self._ledger = ledger
        self._gateways = gateways

    async def carry_out(self, attempt: Attempt, claim: Claim, after: After) -> Settled | Deferred:
        """Sends the claimed message, or finds out what an earlier attempt did, and records the outcome.

        Raises LostClaim where the message was taken from this attempt, and database errors.
        """
        try:
            limit = MAX_CAPTION if claim.image_url else MAX_TEXT
            text = render(claim.template, lead_variables(claim.lead), limit=limit)
        except TemplateProblem as problem:
            if claim.outcome == "claimed":
                return await self._settle(attempt, claim, after, MessageStatus.FAILED, reason=str(problem))
            text = claim.template
        message = OutgoingMessage(
            message_id=attempt.message_id,
            device_id=claim.device,
            phone=claim.lead.phone,
            text=text,
            image_url=claim.image_url,
        )
        accepted: Accepted | None = None
        try:
            gateway = await self._gateways.of(claim.gateway, claim.options)
        except InvalidInput as error:
            return await self._try_later(attempt, claim, after, message, NotAccepted(str(error)))
        try:
            if claim.outcome == "taken_over":
                accepted = await self._find_out(gateway, claim, message)
            if accepted is None:
                attempt.refuse_if_late()
                accepted = await gateway.send(message, timeout=CALL_TIMEOUT.total_seconds())
        except Refused as error:
            return await self._settle(attempt, claim, after, MessageStatus.FAILED, message, reason=str(error))
        except NotAccepted as error:
            return await self._try_later(attempt, claim, after, message, error)
        except MaybeAccepted as error:
            return await self._in_doubt(gateway, attempt, claim, after, message, error)
        return await self._settle(
            attempt, claim, after, MessageStatus.SENT, message, gateway_message_id=accepted.gateway_message_id
        )

    async def _find_out(self, gateway: Gateway, claim: Claim, message: OutgoingMessage) -> Accepted | None:
        """What the gateway knows of a message in doubt; None means: send it again, under the same key."""
        recovery = await gateway.recovery(claim.device)
        if recovery is Recovery.LOOK_UP:
            accepted = await gateway.look_up(claim.device, message.message_id)
            if accepted is not None:
                return accepted
        if recovery is Recovery.NONE:
            raise MaybeAccepted("a worker stopped in the middle of sending it")
        if claim.must_not_send:
            raise MaybeAccepted("the contact opted out or ended while it was being sent")
        return None

    async def _in_doubt(
        self,
        gateway: Gateway,
        attempt: Attempt,
        claim: Claim,
        after: After,
        message: OutgoingMessage,
        error: MaybeAccepted,
    ) -> Settled | Deferred:
        reason = str(error)
        try:
            recovery = await gateway.recovery(claim.device)
        except NotAccepted:
            recovery = None
        if recovery is Recovery.NONE or claim.must_not_send or claim.attempts >= MAX_ATTEMPTS:
            return await self._settle(
                attempt, claim, after, MessageStatus.UNCONFIRMED, message, reason=reason
            )
        if recovery is Recovery.RESEND:
            wait = _back_off(claim.attempts)
            if not await _insist(lambda: self._ledger.doubt(attempt.message_id, attempt.token, reason)):
                raise LostClaim
            return Deferred(until=self._now(claim, attempt) + wait, reason=reason)
        # A look-up proves nothing before the gateway has had the time that it may take.
        return Deferred(until=claim.now + CLAIM_LIFETIME, reason=reason)

    async def _try_later(
        self, attempt: Attempt, claim: Claim, after: After, message: OutgoingMessage, error: NotAccepted
    ) -> Settled | Deferred:
        reason = str(error)
        doubt = claim.outcome == "taken_over"
        if claim.attempts >= MAX_ATTEMPTS:
            status = MessageStatus.UNCONFIRMED if doubt else MessageStatus.FAILED
            reason = f"gave up after {claim.attempts} attempts: {reason}"
            return await self._settle(attempt, claim, after, status, message, reason=reason)
        now = self._now(claim, attempt)
        until = now + _back_off(claim.attempts)
        asked = None
        if error.retry_after is not None:
            asked = now + timedelta(seconds=error.retry_after)
            until = max(until, asked)

        async def give_back() -> bool:
            if doubt:
                return await self._ledger.doubt(attempt.message_id, attempt.token, reason)
            return await self._ledger.release(
                attempt.message_id, attempt.token, reason, device_waits_until=asked
            )

        if not await _insist(give_back):
            raise LostClaim
        return Deferred(until=until, reason=reason)

    async def _settle(
        self,
        attempt: Attempt,
        claim: Claim,
        after: After,
        status: MessageStatus,
        message: OutgoingMessage | None = None,
        *,
        reason: str | None = None,
        gateway_message_id: str | None = None,
    ) -> Settled:
        at = self._now(claim, attempt)
        contact = after(at)
        settled = await _insist(
            lambda: self._ledger.settle(
                attempt.message_id,
                attempt.token,
                status,
                at,
                gateway_message_id=gateway_message_id,
                reason=reason,
                content=message.text if message else None,
                image_url=message.image_url if message else None,
                contact=contact,
            )
        )
        if not settled:
            raise LostClaim
        return Settled(message_id=attempt.message_id, status=status, reason=reason)

    @staticmethod
    def _now(claim: Claim, attempt: Attempt) -> datetime:
        """The present by the clock of the claim, which is the database's."""
        return claim.now + attempt.age


def _back_off(attempts: int) -> timedelta:
    """2 s, 4 s, 8 s … at most 5 minutes, give or take a fifth, so that many do not come back at once."""
    seconds = min(2.0 ** min(attempts, 9), 300.0)
    return timedelta(seconds=seconds * random.uniform(0.8, 1.2))  # noqa: S311 - spread, not secrecy


async def _insist(write: Callable[[], Awaitable[bool]]) -> bool:
    """Writes an outcome, through a short outage of the database: what the gateway said must not be forgotten.

    A repeated write that had gone through finds nothing to do and answers False, as if the claim were lost; the
    next attempt then finds the message settled.
    """
    deadline = _age_now() + SETTLE_FOR
    while True:
        try:
            return await write()
        except (
            OSError,
            asyncpg.PostgresConnectionError,
            asyncpg.InterfaceError,
            asyncpg.CannotConnectNowError,
        ):
            if _age_now() > deadline:
                raise
            logger.warning("the outcome of a message could not be written yet; trying again")
            await asyncio.sleep(0.2)
