"""A sequence of two steps and a campaign: what went out, what people wrote back, and what came of it."""

from datetime import datetime, timedelta
from uuid import uuid4

from messaging.campaigns.store import list_campaigns
from messaging.common.keywords import DEFAULT_KEYWORDS
from messaging.replies.record import record_inbound
from messaging.sending.results import Results
from messaging.sequences.store import show_sequence
from rig.people import phone
from tests.support.replies import NOON, inbound
from tests.support.scenario import Scenario

__all__ = ["DAY", "HOUR", "Told"]

TWO_STEPS = """
sequence: intro
steps:
  - {id: one, day: 1, text: One}
  - {id: two, after: 1h, text: Two}
"""
CAMPAIGN = "{campaign: sale, target: {status: all}, text: Half price}"
HOUR, DAY = 3600, 86_400

ADD_SENT = """
insert into broadcast_messages (id, sequence_stepid, sequence_contact_id, campaign_id, campaign_shard, campaign_position,
                                lead_id, recipient_phone, device_id, status, due_at, sent_at, gateway_message_id,
                                delivered_at, read_at)
select $1::uuid, t.id, c.id, k.id, case when k.id is not null then 0 end, case when k.id is not null then 0 end, l.id, l.phone, $4,
       'sent', $5, $5, $1::uuid::text, case when $6 then $5::timestamptz end, case when $7 then $5::timestamptz end
  from leads l
  left join sequence_steps t on t.key = $3
  left join sequence_contacts c on c.sequence_id = t.sequence_id and c.phone = l.phone
  left join campaigns k on t.id is null and k.name = $3
 where l.phone = $2
"""


class Told:
    """A sequence of two steps and a campaign, and what went out and came back."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario, self.pool = scenario, scenario.pool
        self._inbound = 0

    async def begin(self, people: int) -> None:
        await self.scenario.add_device()
        await self.scenario.add_device(device="other")
        await self.scenario.apply(TWO_STEPS)
        await self.scenario.apply_campaign(CAMPAIGN)
        for number in range(people):
            await self.scenario.enroll("intro", phone(number), now=NOON)

    async def sent(
        self,
        what: str,
        number: int,
        after: float = 0,
        *,
        device: str | None = None,
        delivered: bool = False,
        read: bool = False,
    ) -> str:
        """A message that went out, so many seconds after noon; answers the gateway's ID."""
        identifier = uuid4()
        at: datetime = NOON + timedelta(seconds=after)
        device = device or self.scenario.device
        await self.pool.execute(
            ADD_SENT, identifier, phone(number), what, device, at, delivered or read, read
        )
        return str(identifier)

    async def said(
        self, number: int, text: str | None, after: float, *, device: str | None = None, **others: object
    ) -> None:
        """What somebody wrote, so many seconds after noon."""
        self._inbound += 1
        message = inbound(f"in-{self._inbound}", phone(number), text, after=after, **others)
        async with self.pool.acquire() as connection:
            await record_inbound(
                connection, "simulated", device or self.scenario.device, [message], DEFAULT_KEYWORDS
            )

    async def results(self) -> dict[str, Results]:
        """Of the sequence, its steps and the campaign."""
        async with self.pool.acquire() as connection:
            sequence = await show_sequence(connection, "intro")
            (campaign,) = await list_campaigns(connection, "sale")
        assert campaign.results is not None
        steps = {step.key: step.results for step in sequence.steps}
        return {"intro": sequence.results, "sale": campaign.results, **steps}

    async def replied(self) -> dict[str, int]:
        return {name: one.replied for name, one in (await self.results()).items() if one.replied}

    async def opted_out(self) -> dict[str, int]:
        return {name: one.opted_out for name, one in (await self.results()).items() if one.opted_out}
