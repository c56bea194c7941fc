"""Sends one message, from its claim to its settling, in the same way for every kind of message.

The message is claimed (``Ledger``) and handed over to its gateway (``Dispatcher``), and the outcome is written
(``Recorder``): settled, with what comes next, or given back for later, or left in doubt. A step's message is claimed by
:mod:`messaging.sequences.send_step` and sent here.
"""

import logging
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import TypeVar
from uuid import UUID

from messaging.common.clock import Clock, database_clock
from messaging.common.database import Pool
from messaging.common.errors import InvalidInput
from messaging.common.observer import NOBODY, Observer
from messaging.common.storable import LONGEST_REASON, storable
from messaging.gateways import Gateways
from messaging.gateways.base import Accepted, DeviceUnfit, MaybeAccepted, NotAccepted, Refused
from messaging.gateways.webhook_events import InboundMessage
from messaging.sending.attempts import After, Attempt, InFlight, LostClaim, new_attempt
from messaging.sending.claim_answers import Claim, SettledAlready
from messaging.sending.dispatch import Dispatcher
from messaging.sending.durable_writes import DurableWrites
from messaging.sending.ledger import Ledger
from messaging.sending.message_status import MessageStatus
from messaging.sending.outcomes import Deferred, Held, MessageOutcome, Settled
from messaging.sending.recording import Recorder
from messaging.texts.liquid import TemplateProblem

__all__ = ["Sender"]

logger = logging.getLogger(__name__)

Answer = TypeVar("Answer")

Learn = Callable[[str, Sequence[str], datetime], Awaitable[object]]
"""Notes other names that a gateway has for a phone."""

Record = Callable[[str, str, InboundMessage], Awaitable[object]]
"""Records what a gateway says of a person, as if they had written it."""


class Sender:
    """Sends messages, one for each call. One instance for a worker; safe to share between tasks."""

    def __init__(
        self,
        pool: Pool,
        gateways: Gateways,
        clock: Clock = database_clock,
        writes: DurableWrites | None = None,
        learn: Learn | None = None,
        record: Record | None = None,
        observer: Observer = NOBODY,
    ) -> None:
        """``writes``: writes outcomes, given from outside so that the end of the process can wait for it.

        ``learn``: called for a phone that the gateway has other names for, with these names and the moment.
        ``record``: called with a gateway, a device, and what an answer of the gateway says of the recipient. ``observer``: is
        told of each attempt.
        """
        self._ledger = Ledger(pool)
        self._gateways = gateways
        self._clock = clock
        self._writes = writes or DurableWrites()
        self._dispatcher = Dispatcher(self._ledger, gateways.images, self._writes)
        self._recorder = Recorder(self._ledger, self._writes)
        self._learn, self._record = learn, record
        self._observer = observer

    async def send_stored(self, message_id: UUID, *, kind: str = "other") -> MessageOutcome:
        """Sends a message whose row is in the ledger, or answers when to try again or why not. ``kind``: for the observer.

        Safe to repeat, whatever happened to the last attempt. Raises NotFound if there is no such message, and errors
        of the database.
        """
        attempt = new_attempt(message_id)
        answer = await self.claim(
            attempt, self._ledger.claim_stored(message_id, attempt.token, now=await self._clock())
        )
        match answer:
            case Claim():
                return await self.carry_out(attempt, answer, kind=kind)
            case SettledAlready():
                return Settled(message_id=message_id, status=answer.status, reason=answer.reason)
            case Deferred() | Held():
                return answer

    async def claim(self, attempt: Attempt, answer: Awaitable[Answer]) -> Answer:
        """The ledger's answer to the attempt's claim. Raises NotFound and errors of the database.

        If the answer was lost on its way, the message may have been claimed: then the claim is given back.
        """
        try:
            return await answer
        except Exception:
            self.give_back(attempt, "the database went away at its claim")
            raise

    def give_back(self, attempt: Attempt, reason: str) -> None:
        """Gives back in the background a claim for which the gateway was not called, if the attempt holds one."""
        text = storable(reason, LONGEST_REASON)
        self._writes.begin(lambda: self._ledger.release(attempt.message_id, attempt.token, text))

    async def carry_out(
        self, attempt: Attempt, claim: Claim, after: After | None = None, *, kind: str
    ) -> Settled | Deferred:
        """Sends the claimed message, or finds out what an earlier attempt did, and records the outcome.

        ``after`` is called once it is known when the message was settled: its answer is written with the outcome.
        Writing the outcome is retried for as long as the process lives, even if this call is cancelled.
        """
        flight = InFlight(attempt, claim, after)
        try:
            outcome = await self._carry_out(flight)
        except LostClaim:
            # Another attempt holds the message now: claim again later, and learn its outcome.
            return Deferred(until=claim.now, reason="another attempt took the message over")
        self._tell(flight, outcome, kind)
        return outcome

    def _tell(self, flight: InFlight, outcome: Settled | Deferred, kind: str) -> None:
        claim, status = flight.claim, outcome.status if isinstance(outcome, Settled) else None
        # An attempt that took a message over may have found that it went out long ago.
        sent = status is MessageStatus.SENT and claim.outcome == "claimed"
        self._observer.attempt_ended(
            device=claim.device_id,
            gateway=claim.gateway,
            kind=kind,
            status=status,
            took=flight.attempt.age,
            late=flight.now - claim.due_at if sent else None,
        )

    async def _carry_out(self, flight: InFlight) -> Settled | Deferred:
        """Maps each answer of the gateway to one outcome to record."""
        record, claim = self._recorder, flight.claim
        try:
            gateway = await self._gateways.of(claim.gateway, claim.options)
        except InvalidInput as error:
            return await record.put_off(flight, DeviceUnfit(str(error)))
        try:
            accepted = await self._dispatcher.hand_over(gateway, flight)
        except (TemplateProblem, Refused) as error:
            if flight.may_have_arrived:
                reason = f"an earlier attempt may have sent it, and another one cannot: {error}"
                return await record.settle(flight, MessageStatus.UNCONFIRMED, reason=reason)
            if isinstance(error, Refused):
                outcome = await record.refuse(flight, error)
                self._hear(flight, error)
                return outcome
            return await record.settle(flight, MessageStatus.FAILED, reason=str(error))
        except NotAccepted as error:
            return await record.put_off(flight, error)
        except MaybeAccepted as error:
            return await record.doubt(flight, error, gateway)
        except LostClaim:
            raise
        except Exception as error:
            # A bug in Drumbeat. What is known about the message is recorded all the same.
            logger.exception("the send of message %s failed", flight.attempt.message_id)
            why = f"an unexpected error, which the worker's log has in full: {type(error).__name__}: {error}"
            if flight.called:
                return await record.doubt(flight, MaybeAccepted(why), gateway)
            return await record.put_off(flight, NotAccepted(why, concerns="message"))
        settled = await record.settle(
            flight, MessageStatus.SENT, gateway_message_id=accepted.gateway_message_id
        )
        self._learn_names(claim.lead.phone, accepted, flight)
        return settled

    def _hear(self, flight: InFlight, refused: Refused) -> None:
        """Notes in the background that the recipient has stopped marketing messages, if the gateway says so. If the process
        dies before, the next marketing message gets the same answer.
        """
        if refused.because != "stopped marketing" or self._record is None:
            return
        claim, record = flight.claim, self._record
        told = InboundMessage(
            gateway_message_id=f"preference stop {flight.attempt.message_id}",
            at=flight.now,
            kind="preference",
            phone=claim.lead.phone,
            text=str(refused),
            payload="stop",
        )
        self._writes.begin(lambda: record(claim.gateway, claim.device_id, told))

    def _learn_names(self, phone: str, accepted: Accepted, flight: InFlight) -> None:
        """Notes in the background what else the gateway calls the recipient. Nothing is to be noted in most cases, as WhatsApp's
        own name is the phone. If the process dies before, a receipt of the message says the same.
        """
        names = [name for name in accepted.recipient if name != f"wa_id:{phone.removeprefix('+')}"]
        if names and self._learn is not None:
            learn, at = self._learn, flight.now
            self._writes.begin(lambda: learn(phone, names, at))
