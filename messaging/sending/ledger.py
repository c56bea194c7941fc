"""The ledger: it decides which attempt may send a message now, and records the outcome.

The rules are in the database (migrations: ``claim_message`` and related functions), where each is one transaction and
one round trip. This module gives types to their answers. Times are aware UTC.
"""

from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg

from messaging.common.database import Pool
from messaging.common.errors import NotFound
from messaging.devices.waits import FAULT_WAIT, FAULTS_IN_A_ROW
from messaging.sending.claim_answers import (
    Outcome,
    StepAnswer,
    StoredAnswer,
    read_step_answer,
    read_stored_answer,
)
from messaging.sending.claim_lifetimes import CALL_GRACE, CLAIM_LIFETIME, longer_lifetimes
from messaging.sending.message_status import MessageStatus
from messaging.sending.positions import NextPosition

__all__ = ["Ledger"]

MAY_GO_OUT = """
    select exists (
        select from broadcast_messages m
         where id = $1 and status = 'processing' and processing_worker_id = $2
           and (unwanted(m)).status is null and hold_of(m) is null
           and (parts_sent > 0 or failed_condition(m) is null))
"""


class Ledger:
    """Claims, settles and gives back messages. Safe to share between tasks."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._lifetimes = longer_lifetimes()

    async def claim_step(
        self,
        *,
        enrollment_id: int,
        step_id: int,
        revision: int,
        message_id: UUID,
        token: str,
        now: datetime | None = None,
    ) -> StepAnswer:
        """Claims one step's message for the attempt ``token``; creates its row if there is none.

        ``now``: the present moment; None for the database's clock.
        """
        answer = await self._pool.fetchval(
            "select claim_step_message($1, $2, $3, $4, $5, $6, $7, $8, $9)",
            enrollment_id,
            step_id,
            revision,
            message_id,
            token,
            CLAIM_LIFETIME,
            self._lifetimes,
            CALL_GRACE,
            now,
        )
        return read_step_answer(answer)

    async def claim_stored(
        self, message_id: UUID, token: str, *, now: datetime | None = None
    ) -> StoredAnswer:
        """Claims a message whose row is in the ledger: a campaign's, or one that is sent again. Raises NotFound if
        there is none.
        """
        try:
            answer = await self._pool.fetchval(
                "select claim_stored_message($1, $2, $3, $4, $5, $6)",
                message_id,
                token,
                CLAIM_LIFETIME,
                self._lifetimes,
                CALL_GRACE,
                now,
            )
        except asyncpg.NoDataFoundError as error:
            raise NotFound(f"there is no message {message_id}") from error
        return read_stored_answer(answer)

    async def settle(
        self,
        message_id: UUID,
        token: str,
        status: MessageStatus,
        at: datetime,
        *,
        gateway_message_id: str | None = None,
        reason: str | None = None,
        content: str | None = None,
        image_url: str | None = None,
        position: NextPosition | None = None,
    ) -> Outcome | None:
        """Records the outcome of the attempt. None if another attempt holds the message, or it waits to be sent again.

        The status answered may differ from ``status``, as a receipt that came earlier knows more.
        """
        settled: dict[str, Any] | None = await self._pool.fetchval(
            "select settle_attempt($1, $2, $3, $4, $5, $6, $7, $8, $9)",
            message_id,
            token,
            status.value,
            at,
            gateway_message_id,
            reason,
            content,
            image_url,
            position.model_dump(mode="json") if position else None,
        )
        return Outcome.model_validate(settled) if settled is not None else None

    async def refuse(
        self,
        message_id: UUID,
        token: str,
        at: datetime,
        reason: str,
        *,
        sign: str | None,
        content: str | None = None,
        image_url: str | None = None,
        position: NextPosition | None = None,
    ) -> Outcome | None:
        """Settles as ``failed`` a message that the gateway will never take; or gives it back (``queued``) if the device
        is parked.

        A device is parked if its last answers were all refusals with the same ``sign``. None: as for :meth:`settle`.
        """
        refused: dict[str, Any] | None = await self._pool.fetchval(
            "select refuse_attempt($1, $2, $3, $4, $5, $6, $7, $8)",
            message_id,
            token,
            at,
            reason,
            content,
            image_url,
            position.model_dump(mode="json") if position else None,
            sign,
        )
        return Outcome.model_validate(refused) if refused is not None else None

    async def release(
        self, message_id: UUID, token: str, reason: str, *, device_waits_until: datetime | None = None
    ) -> bool:
        """Gives back the claim of a message that was surely not sent; False if the attempt does not hold it any
        more.
        """
        released: bool = await self._pool.fetchval(
            "select release_attempt($1, $2, $3, $4)", message_id, token, reason, device_waits_until
        )
        return released

    async def refuse_window(self, message_id: UUID, token: str, at: datetime, reason: str) -> bool:
        """Gives back a message whose text was refused as outside the service window; False if it went out in another form,
        or the attempt does not hold it any more.
        """
        given_back: bool = await self._pool.fetchval(
            "select refuse_window($1, $2, $3, $4)", message_id, token, at, reason
        )
        return given_back

    async def may_go_out(self, message_id: UUID, token: str) -> bool:
        """True if the attempt still holds the message and no stop, pause or opt-out has come since the claim."""
        may: bool = await self._pool.fetchval(MAY_GO_OUT, message_id, token)
        return may

    async def note_parts(self, message_id: UUID, token: str, parts: int, *, now: datetime) -> bool:
        """Notes how many parts have gone out; False if the attempt does not hold the message any more."""
        noted: bool = await self._pool.fetchval(
            "select note_parts($1, $2, $3, $4, $5)", message_id, token, parts, CALL_GRACE, now
        )
        return noted

    async def device_fault(
        self, device_id: str, claimed_at: datetime, reason: str, *, now: datetime
    ) -> datetime | None:
        """Counts a failure that was the device's own. Answers until when the device waits; None if it is parked for an
        operator.
        """
        until: datetime | None = await self._pool.fetchval(
            "select device_fault($1, $2, $3, $4, $5, $6)",
            device_id,
            claimed_at,
            reason,
            FAULTS_IN_A_ROW,
            FAULT_WAIT,
            now,
        )
        return until

    async def hold_contents(self, message_id: UUID, claimed_at: datetime, reason: str) -> None:
        """Pauses the campaign or sequence of a message whose contents the gateway would take for no recipient.

        Does nothing if it was edited or resumed since the claim.
        """
        await self._pool.execute("select hold_contents($1, $2, $3)", message_id, claimed_at, reason)

    async def doubt(
        self,
        message_id: UUID,
        token: str,
        reason: str,
        *,
        content: str | None = None,
        image_url: str | None = None,
        retry_now: bool = True,
    ) -> bool:
        """Leaves a message that may have been sent to the next attempt; False if this attempt does not hold it any
        more.

        ``retry_now``: the next attempt need not wait until this claim has run out, as it resends under the same key.
        """
        doubted: bool = await self._pool.fetchval(
            "select doubt_message($1, $2, $3, $4, $5, $6)",
            message_id,
            token,
            reason,
            content,
            image_url,
            retry_now,
        )
        return doubted
