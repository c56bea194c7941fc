"""An enrolled contact and its send activity, without a workflow: the ledger and the gateway are real, time is the test's."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import uuid4

from activities.limiter import DeviceLimiter
from activities.sequences import SequenceActivities
from messaging.gateways import Gateways
from messaging.sending.claim_answers import StepClaim
from messaging.sending.ledger import Ledger
from messaging.sending.message_ids import sequence_message_id
from messaging.sending.send import Sender
from messaging.sequences.contract import Enrolled, SendOutcome, StepRef
from messaging.times.calendar import Due
from rig.people import phone
from tests.support.scenario import Scenario

__all__ = ["NOON", "SEQUENCE", "Contact", "enrolled_contact"]

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)

SEQUENCE = """
sequence: welcome
steps:
  - id: hello
    day: 1
    text: "Hi {{ name | default: 'friend' }}"
  - id: more
    after: 1h
    text: "More"
"""


@dataclass
class Contact:
    """An enrolled contact whose clock the test turns."""

    scenario: Scenario
    gateways: Gateways
    now: datetime = NOON
    phone: str = phone(1)
    enrolled: Enrolled | None = None
    due: Due | None = None
    activities: SequenceActivities = field(init=False)
    sender: Sender = field(init=False)
    """Of messages that have their row."""

    def __post_init__(self) -> None:
        async def clock() -> datetime:
            return self.now

        self.sender = Sender(self.scenario.pool, self.gateways, clock)
        self.activities = SequenceActivities(self.scenario.pool, self.sender, DeviceLimiter(), clock)

    async def enroll(self, number: str | None = None, sequence: str = "welcome") -> None:
        if number:
            self.phone = number
        self.enrolled = await self.scenario.enroll(sequence, self.phone, now=self.now, name="Aisha")
        self.due = self.enrolled.next

    def ref(self) -> StepRef:
        assert self.enrolled is not None
        assert self.due is not None
        return StepRef(
            enrollment_id=self.enrolled.enrollment_id,
            step_id=self.due.step_id,
            revision=self.due.revision,
            phone=self.phone,
            device_id=self.enrolled.device_id,
        )

    async def send(self) -> SendOutcome:
        return await self.activities.send_step(self.ref())

    async def claim(self, token: str = "") -> StepClaim:
        """Claims as an attempt that dies right after would."""
        ref = self.ref()
        answer = await Ledger(self.scenario.pool).claim_step(
            enrollment_id=ref.enrollment_id,
            step_id=ref.step_id,
            revision=ref.revision,
            message_id=sequence_message_id(ref.step_id, ref.phone),
            token=token or f"dead/{uuid4().hex}",
            now=self.now,
        )
        assert isinstance(answer, StepClaim)
        return answer

    async def message(self) -> dict[str, object]:
        (row,) = await self.scenario.messages()
        return row


@asynccontextmanager
async def enrolled_contact(scenario: Scenario) -> AsyncIterator[Contact]:
    """A contact whose first step is due."""
    await scenario.add_device()
    await scenario.apply(SEQUENCE)
    gateways = Gateways()
    contact = Contact(scenario, gateways)
    await contact.enroll()
    try:
        yield contact
    finally:
        await scenario.faults()
        await gateways.close()
