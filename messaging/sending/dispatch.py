"""Takes a claimed message to its gateway: finds out what an earlier attempt did, composes, checks once more, calls.

An attempt that has ``taken_over`` its message must not guess: an earlier attempt died, or never got an answer. If the
gateway honours an idempotency key, the attempt sends again under the same key. If the gateway can be asked, it asks.
Otherwise the message becomes ``unconfirmed``. It is never sent again blindly.
"""

from datetime import timedelta

from messaging.gateways.base import Accepted, Gateway, MaybeAccepted, NotAccepted, OutgoingMessage, Recovery
from messaging.gateways.images import ImageStore
from messaging.sending.attempts import InFlight, LostClaim
from messaging.sending.claim_answers import Claim
from messaging.sending.compose import compose
from messaging.sending.durable_writes import DurableWrites
from messaging.sending.ledger import Ledger

__all__ = ["Dispatcher"]

FRESH = timedelta(seconds=0.1)
"""An attempt older than this when it is about to call (it fetched an image, or was suspended) checks its claim
again.
"""


class Dispatcher:
    """Brings claimed messages to their gateways. Safe to share between tasks."""

    def __init__(self, ledger: Ledger, images: ImageStore, writes: DurableWrites) -> None:
        self._ledger = ledger
        self._images = images
        self._writes = writes

    async def hand_over(self, gateway: Gateway, flight: InFlight) -> Accepted:
        """Sends the parts that have not gone out yet, one by one; ``flight`` keeps how far it came.

        Raises TemplateProblem if the text cannot be rendered for this lead, the gateway's errors (Refused, NotAccepted,
        MaybeAccepted), and LostClaim if another attempt holds the message by now.
        """
        attempt, claim = flight.attempt, flight.claim
        if claim.outcome == "taken_over":
            accepted = await self._find_out(gateway, flight)
            if accepted is not None:
                return accepted
        flight.parts = await compose(claim, attempt.message_id, gateway.capabilities, self._images)
        if attempt.age > FRESH and not await self._ledger.may_go_out(attempt.message_id, attempt.token):
            raise NotAccepted("it was stopped at the last moment", concerns="message")
        attempt.refuse_if_late()
        within = gateway.capabilities.answers_within
        *first, last = flight.parts
        if first and claim.parts_sent == 0:
            if not await self._has_arrived(gateway, claim, first[0]):
                flight.called = True
                await gateway.send(first[0], timeout=attempt.time_left(within))
            # This part must not go out again, and the next part must not go out too late.
            if not await self._writes.write(
                lambda: self._ledger.note_parts(attempt.message_id, attempt.token, 1, now=flight.now)
            ):
                raise LostClaim
            # Sending the first part took a while, in which a stop may have been acknowledged.
            if not await self._writes.write(
                lambda: self._ledger.may_go_out(attempt.message_id, attempt.token)
            ):
                raise NotAccepted("it was stopped between its two parts", concerns="message")
            attempt.refuse_if_no_time_left(within)
        flight.called = True
        return await gateway.send(last, timeout=attempt.time_left(within))

    async def _has_arrived(self, gateway: Gateway, claim: Claim, part: OutgoingMessage) -> bool:
        """True if the gateway can be asked and knows this part from an earlier attempt. False for a gateway that
        honours idempotency keys: it gets the part again under the same key.
        """
        if claim.outcome != "taken_over" or await gateway.recovery(claim.device_id) is not Recovery.LOOK_UP:
            return False
        return await gateway.look_up(claim.device_id, part.message_id) is not None

    async def _find_out(self, gateway: Gateway, flight: InFlight) -> Accepted | None:
        """What the gateway knows of a message in doubt; None means that it is to be sent (again)."""
        claim = flight.claim
        recovery = await gateway.recovery(claim.device_id)
        # A message that must not go out is not sent again under its key either; it is looked up if the gateway can do
        # that.
        ask = claim.must_not_send and recovery is Recovery.RESEND and gateway.capabilities.look_up
        if recovery is Recovery.LOOK_UP or ask:
            try:
                accepted = await gateway.look_up(claim.device_id, flight.attempt.message_id)
            except MaybeAccepted as error:
                raise MaybeAccepted(f"{claim.unwanted} while it was being sent, and {error}") from error
            if accepted is not None:
                return accepted
            flight.may_have_arrived = False
        if recovery is Recovery.NONE:
            raise MaybeAccepted("a worker stopped in the middle of sending it")
        if claim.must_not_send and flight.may_have_arrived:
            raise MaybeAccepted(f"{claim.unwanted} while it was being sent")
        if claim.must_not_send:
            raise NotAccepted(f"it had not arrived, and {claim.unwanted}", concerns="message")
        return None
