"""The queries that run for every message: claims, what becomes of attempts, receipts."""

from collections.abc import Callable
from uuid import UUID

import pytest

from messaging.common.database import Pool
from messaging.sending.ledger import Ledger
from messaging.sending.message_status import MessageStatus
from messaging.sending.positions import NextPosition
from messaging.times.calendar import Timeline
from tests.support.big_ledger import NOW, Big
from tests.support.query_costs import Case, Limit, needs_its_index, stays_small

pytestmark = pytest.mark.timeout(400)


async def _claim(pool: Pool, big: Big) -> None:
    await Ledger(pool).claim_stored(big.pending, "token")


async def _claim_paced(pool: Pool, big: Big) -> None:
    await Ledger(pool).claim_stored(big.paced, "token")


async def _claim_new_step(pool: Pool, big: Big) -> None:
    await Ledger(pool).claim_step(
        enrollment_id=big.contact,
        step_id=big.contact_step,
        revision=1,
        message_id=UUID(int=1),
        token="token",
    )


async def _claim_step_again(pool: Pool, big: Big) -> None:
    await Ledger(pool).claim_step(
        enrollment_id=big.contact_waits,
        step_id=0,
        revision=1,
        message_id=big.contact_waits_message,
        token="token",
    )


async def _settle(pool: Pool, big: Big) -> None:
    await Ledger(pool).settle(
        big.sending, "worker", MessageStatus.SENT, NOW, gateway_message_id="wamid.new", content="Half price"
    )


async def _settle_step(pool: Pool, big: Big) -> None:
    position = NextPosition(
        timeline=Timeline(zone="UTC", enrolled_at=NOW, done=("step-1", "step-2", "step-3")),
        next_step_id=None,
        next_due_at=None,
        plan_revision=1,
    )
    await Ledger(pool).settle(
        big.step_sending, "worker", MessageStatus.SENT, NOW, gateway_message_id="wamid.new", position=position
    )


async def _give_back(pool: Pool, big: Big) -> None:
    await Ledger(pool).release(big.sending, "worker", "the gateway is down")


async def _doubt(pool: Pool, big: Big) -> None:
    await Ledger(pool).doubt(big.sending, "worker", "no answer")


async def _note_parts(pool: Pool, big: Big) -> None:
    await Ledger(pool).note_parts(big.sending, "worker", 1, now=NOW)


def _receipt(message: Callable[[Big], UUID | None], gateway_id: Callable[[Big], str]) -> Case:
    async def case(pool: Pool, big: Big) -> None:
        async with pool.acquire() as connection:
            # As the procedure does that is called with all receipts of a request.
            await connection.fetchval(
                "select record_receipt($1, $2, $3, $4, $5, $6, $7, $8)",
                *("simulated", message(big), gateway_id(big), "delivered", NOW, None, None, False),
            )

    return case


CASES: dict[str, tuple[Case, Limit]] = {
    # For every message. What an update costs is for the most part its entries in the indexes: four buffers each.
    "claim": (_claim, Limit(rows=20, buffers=200)),
    "claim on a paced device": (_claim_paced, Limit(rows=20, buffers=200)),
    "claim of a step, its row to be made": (_claim_new_step, Limit(rows=30, buffers=400)),
    "claim of a step that waits": (_claim_step_again, Limit(rows=20, buffers=250)),
    "settle": (_settle, Limit(rows=5, buffers=100)),
    "settle of a step": (_settle_step, Limit(rows=10, buffers=150)),
    "release": (_give_back, Limit(rows=5, buffers=120)),
    "doubt": (_doubt, Limit(rows=5, buffers=100)),
    "parts": (_note_parts, Limit(rows=5, buffers=100)),
    "receipt by our ID": (
        _receipt(lambda big: big.sent, lambda big: f"wamid.c3.{big.half * 2 // 5}"),
        Limit(rows=5, buffers=100),
    ),
    "receipt by the gateway's ID": (
        _receipt(lambda _: None, lambda big: big.gateway_id),
        Limit(rows=5, buffers=100),
    ),
    "receipt of a stranger": (_receipt(lambda _: None, lambda _: "wamid.no"), Limit(rows=0, buffers=25)),
}


@pytest.mark.parametrize("name", CASES)
async def test_it_stays_small(big: Big, name: str) -> None:
    await stays_small(big, *CASES[name])


@pytest.mark.parametrize(
    ("taken_away", "name"),
    [
        # Inside of functions.
        ("drop index broadcast_messages_gateway_id", "receipt by the gateway's ID"),
        ("alter table broadcast_messages drop constraint broadcast_messages_pkey", "claim"),
    ],
)
async def test_without_its_index_it_does_not(big: Big, taken_away: str, name: str) -> None:
    await needs_its_index(big, *CASES[name], taken_away)
