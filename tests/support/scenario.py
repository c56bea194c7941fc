"""What most tests begin with: a device on the simulated gateway, sequences, and what the gateway got of them."""

import itertools
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from messaging.campaigns.apply import apply_campaigns
from messaging.campaigns.file import read_campaign
from messaging.common.database import Pool
from messaging.devices.device import DeviceSettings, parse_hours
from messaging.devices.store import add_device
from messaging.leads.lead import Lead
from messaging.sequences.apply import apply_sequences
from messaging.sequences.contract import Enrolled, EnrollmentRequest
from messaging.sequences.enrollments import Enrollments
from messaging.sequences.file import read_sequence
from rig.gateway_control import accepted, offer, requests_log, set_faults
from rig.people import phone

__all__ = ["Scenario"]

_numbers = itertools.count(1)


@dataclass
class Scenario:
    """A database of its own and a device that no other test sends through."""

    pool: Pool
    simulator_url: str
    device: str = field(default_factory=lambda: f"device-{next(_numbers)}")

    async def add_device(
        self,
        *,
        min_delay: float = 0,
        max_delay: float = 0,
        daily_limit: int | None = None,
        hours: str | None = None,
        time_zone: str | None = None,
        device: str | None = None,
    ) -> str:
        """Adds the device (or another), and makes the gateway forget what it has recorded of it."""
        settings = DeviceSettings(
            id=device or self.device,
            gateway="simulated",
            options={"url": self.simulator_url},
            min_delay=min_delay,
            max_delay=max_delay,
            daily_limit=daily_limit,
            hours=parse_hours(hours) if hours else None,
            time_zone=time_zone,
        )
        async with self.pool.acquire() as connection:
            await add_device(connection, settings)
        return settings.id

    async def apply(self, source: str) -> None:
        """Applies a sequence's YAML."""
        async with self.pool.acquire() as connection:
            await apply_sequences(connection, [read_sequence(source, "test.yaml")])

    async def apply_campaign(self, source: str) -> None:
        """Applies a campaign's YAML."""
        async with self.pool.acquire() as connection:
            await apply_campaigns(connection, [read_campaign(source, "test.yaml")])

    async def add_leads(
        self, count: int, *, niche: str = "VITAC", device: str | None = None, first: int = 0
    ) -> None:
        """Leads with the phones from ``phone(first)`` on, of the device (or another)."""
        await self.pool.executemany(
            "insert into leads (phone, name, niches, device_id) values ($1, $2, $3, $4)",
            [
                (phone(index), f"Lead {index}", [niche], device or self.device)
                for index in range(first, first + count)
            ],
        )

    async def enroll(
        self, sequence: str, number: str, *, now: datetime | None = None, run: str = "run-1", **lead: Any
    ) -> Enrolled:
        """Enrolls without a workflow."""
        request = EnrollmentRequest(sequence=sequence, lead=Lead(phone=number, device_id=self.device, **lead))
        outcome = await Enrollments(self.pool).enroll(
            request, workflow_id=f"sequence:{sequence}:{number}", run_id=run, now=now
        )
        assert isinstance(outcome, Enrolled), outcome
        return outcome

    async def offer(self, *, keys: bool, look_up: bool) -> None:
        """What the gateway is to offer to this scenario's device: keys that it honours, look-ups that it answers."""
        await offer(self.simulator_url, self.device, keys=keys, look_up=look_up)

    async def faults(self, *faults: dict[str, Any]) -> None:
        """Faults of this scenario's device; those of before are gone."""
        await set_faults(self.simulator_url, *({"device": self.device, **fault} for fault in faults))

    async def accepted(self, device: str | None = None) -> list[dict[str, Any]]:
        """What the gateway accepted from the device, oldest first."""
        return await accepted(self.simulator_url, device=device or self.device)

    async def requests(self) -> list[dict[str, Any]]:
        """Every send request of the device, also those that came to nothing."""
        return [
            row
            for row in await requests_log(self.simulator_url, device=self.device)
            if row["method"] == "POST"
        ]

    async def messages(self) -> list[dict[str, Any]]:
        """The ledger."""
        rows = await self.pool.fetch(
            "select m.*, s.key as step from broadcast_messages m"
            " left join sequence_steps s on s.id = m.sequence_stepid order by m.created_at, m.id"
        )
        return [dict(row) for row in rows]
