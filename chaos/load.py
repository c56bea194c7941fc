"""The load of a chaos run: contacts in a sequence of short steps, and a campaign."""

import asyncio
import random
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from chaos.plan import Plan
from chaos.topology import (
    CAMPAIGN,
    CAMPAIGN_TEXT,
    DEVICES,
    EXPIRES,
    EXPIRES_AFTER,
    SEQUENCE,
    STEPS,
    device_of,
)
from messaging.devices.device import DeviceSettings
from operations import campaigns, devices, enrollment, sequences
from operations.connection import Drumbeat
from rig import gateway_control
from rig.people import phone
from rig.waiting import insist

__all__ = ["NICHE", "Load", "sequence_file"]

NICHE = "CHAOS"

_CAMPAIGN = f"""campaign: {CAMPAIGN}
target: {{niche: {NICHE}}}
text: "{CAMPAIGN_TEXT}"
"""

WHEN = {"one": "day: 1", "two": "after: 2s", "three": "after: 3s"}
WHEN[EXPIRES] += f", expires_after: {EXPIRES_AFTER}s"


ON_REPLY = "[{when: [GO ON], do: continue}, {do: stop}]"


def sequence_file(without: str | None = None) -> str:
    """The file of the sequence, perhaps without one of its steps."""
    steps = (
        f'  - {{id: {step}, {WHEN[step]}, text: "{text}"}}\n'
        for step, text in STEPS.items()
        if step != without
    )
    return f"sequence: {SEQUENCE}\non_reply: {ON_REPLY}\nsteps:\n{''.join(steps)}"


FIRST, LAST = 0.02, 0.7
"""Contacts are enrolled between these fractions of the plan's time, so that every action meets messages under way."""

CAMPAIGN_AT = 0.25
"""The fraction of the plan's time after which the campaign starts."""

_LEAD = "insert into leads (phone, name, niches, device_id) values ($1, $2, $3, $4)"


class Load:
    """The same seed, seconds and numbers make the same load. As many people as possible are in both the sequence and
    the campaign.
    """

    def __init__(
        self, connection: Drumbeat, plan: Plan, gateway_options: Mapping[str, str] | None = None
    ) -> None:
        """``gateway_options``: of the devices."""
        self._connection = connection
        self._gateway_options = dict(gateway_options or {})
        self._leads = plan.leads
        self._campaign_at = CAMPAIGN_AT * plan.seconds
        draw = random.Random(f"load {plan.seed}")  # noqa: S311 - repeatable, not secret
        self._moments = sorted(draw.uniform(FIRST, LAST) * plan.seconds for _ in range(plan.contacts))

    async def prepare(self, gateway: str) -> None:
        """Creates the devices, leads, the sequence, and the campaign as a draft."""
        for name, traits in DEVICES.items():
            await devices.add(
                self._connection,
                DeviceSettings(
                    id=name,
                    gateway="simulated",
                    options=self._gateway_options,
                    min_delay=traits.min_delay,
                    max_delay=traits.max_delay,
                ),
            )
            await gateway_control.offer(gateway, name, keys=traits.idempotency, look_up=traits.lookup)
        pool = await self._connection.pool()
        await pool.executemany(
            _LEAD,
            [(phone(index), f"Lead {index}", [NICHE], device_of(index)) for index in range(self._leads)],
        )
        with tempfile.TemporaryDirectory() as folder:
            sequence, campaign = Path(folder) / "sequence.yaml", Path(folder) / "campaign.yaml"
            sequence.write_text(sequence_file())
            await sequences.apply(self._connection, [sequence])
            if self._leads:
                campaign.write_text(_CAMPAIGN)
                await campaigns.apply(self._connection, [campaign])

    async def run(self, elapsed: Callable[[], float]) -> None:
        """Enrolls all contacts and starts the campaign, each at its time. ``elapsed``: seconds since the start.

        A call that fails while a server is down is repeated, which is harmless. Raises NeverHappened.
        """
        async with asyncio.TaskGroup() as tasks:
            for index, moment in enumerate(self._moments):
                tasks.create_task(self._enroll(index, moment - elapsed()))
            if self._leads:
                tasks.create_task(self._start_campaign(self._campaign_at - elapsed()))

    async def _enroll(self, index: int, wait: float) -> None:
        await asyncio.sleep(wait)
        await insist(
            f"{phone(index)} is enrolled",
            lambda: enrollment.enroll(self._connection, SEQUENCE, phone(index), device=device_of(index)),
        )

    async def _start_campaign(self, wait: float) -> None:
        await asyncio.sleep(wait)
        await insist("the campaign starts", lambda: campaigns.start(self._connection, CAMPAIGN))
