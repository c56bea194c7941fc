"""Makes a random plan from a seed."""

import random
from collections.abc import Iterator
from typing import Any

from chaos.plan import CONTACTS, LEADS, LONGEST, SECONDS, Plan, parse_action
from chaos.topology import CAMPAIGN, DEVICES, EXPIRES_AFTER, WORKERS
from rig.people import phone

__all__ = ["OUTAGE", "make_plan"]


def make_plan(seed: int, seconds: float = SECONDS, contacts: int = CONTACTS, leads: int = LEADS) -> Plan:
    """The same seed always makes the same plan, in one version of Drumbeat."""
    written = sorted(_Author(seed, seconds).write(), key=lambda action: float(action["at"]))
    return Plan(
        seed=seed,
        seconds=seconds,
        contacts=contacts,
        leads=leads,
        actions=tuple(parse_action(action) for action in written),
    )


EVERY = 2.2
"""About how many seconds are between two actions."""

QUIET = 2.0
"""Seconds without actions at the start, so that messages are under way."""

RECOVERY = 12.0
"""Seconds before the same server is killed again: it should be at work, not starting."""

LATE = 0.6
"""The part of a plan after which the campaign may be cancelled, or a step removed."""

DECK = (
    *("kill-worker",) * 5,
    *("stop-worker",) * 2,
    *("kill-temporal", "kill-postgres", "kill-gateway") * 2,
    *("faults",) * 6,
    *("pause-device",) * 2,
    *("pause-campaign",),
    *("leave",) * 8,
    *("reply",) * 8,
    *("outage",) * 2,
    "cancel-campaign",
    "remove-step",
)
"""The actions of a minute and a half, which the seed shuffles. A longer plan repeats them."""

OUTAGE = (3, 8)
"""Seconds for which a device's gateway is away longer than its messages may wait, so that some of them expire."""


class _Author:
    """Writes one plan. An action on something that is down already is replaced by other faults."""

    def __init__(self, seed: int, seconds: float) -> None:
        self._random = random.Random(f"plan {seed}")  # noqa: S311 - repeatable, not secret
        self._seconds = seconds
        self._free_at: dict[str, float] = {}
        # Permanent, and so in every list of faults.
        self._refused = [phone(index) for index in sorted(self._random.sample(range(20), 2))]
        self._outages: list[tuple[str, float]] = []
        """Devices, and when each is over."""
        self._actions: list[dict[str, Any]] = []

    def write(self) -> list[dict[str, Any]]:
        """The actions."""
        self._set_faults(0.0)
        count = round(self._seconds / EVERY)
        stride = max(self._seconds - QUIET, 0.0) / max(count, 1)
        for number, card in zip(range(count), self._cards(), strict=False):
            self._play(card, round(QUIET + (number + self._random.uniform(0.1, 0.9)) * stride, 1))
        return self._actions

    def _cards(self) -> Iterator[str]:
        while True:
            yield from self._random.sample(DECK, len(DECK))

    def _play(self, card: str, at: float) -> None:
        played = False
        match card:
            case "kill-worker":
                played = self._hit_worker(at, "kill-worker", self._random.choice([0.0, 0.0, 3.0]), rest=3.0)
            case "stop-worker":
                # Over when the plan is, or soon after; too late for that, it is a short one.
                length = self._between(22, 27) if at + 20 < self._seconds else self._between(2, 6)
                played = self._hit_worker(at, "stop-worker", length, rest=1.0)
            case "pause-device" | "pause-campaign":
                played = self._pause(card, at)
            case "leave":
                do = self._random.choice(["opt-out", "stop", "skip", "terminate"])
                self._actions.append({"at": at, "do": do, "person": self._random.randrange(40)})
                played = True
            case "reply":
                says = self._random.choice(["STOP", "Call me", "Go on"])
                person, times = self._random.randrange(40), self._random.choice([1, 1, 3])
                self._actions.append(
                    {"at": at, "do": "reply", "person": person, "says": says, "times": times}
                )
                played = True
            case "outage":
                played = self._begin_outage(at)
            case "cancel-campaign" | "remove-step":
                # Late, and not in every plan: what follows meets less.
                played = at > LATE * self._seconds and self._take(card, at, LONGEST)
                if played:
                    self._actions.append({"at": at, "do": card})
            case "kill-temporal" | "kill-postgres" | "kill-gateway":
                played = self._take(card, at, RECOVERY)
                if played:
                    self._actions.append({"at": at, "do": card})
        if not played:
            self._set_faults(at)

    def _hit_worker(self, at: float, do: str, length: float, rest: float) -> bool:
        for worker in self._random.sample(range(WORKERS), WORKERS):
            if self._take(f"worker {worker}", at, length + rest):
                self._actions.append({"at": at, "do": do, "worker": worker, "for": length})
                return True
        return False

    def _pause(self, card: str, at: float) -> bool:
        length = self._between(2, 6)
        whom = (
            {"campaign": CAMPAIGN}
            if card == "pause-campaign"
            else {"device": self._random.choice(list(DEVICES))}
        )
        if not self._take(f"pause {whom}", at, length):
            return False
        self._actions.append({"at": at, "do": "pause", **whom})
        self._actions.append({"at": min(round(at + length, 1), self._seconds), "do": "resume", **whom})
        return True

    def _begin_outage(self, at: float) -> bool:
        device = self._random.choice(list(DEVICES))
        length = EXPIRES_AFTER + self._between(*OUTAGE)
        if at + length > self._seconds or not self._take(f"outage of {device}", at, length):
            return False
        self._outages.append((device, at + length))
        self._set_faults(at)
        return True

    def _set_faults(self, at: float) -> None:
        # Every list contains the lasting faults, as it replaces the list before.
        refusals = [{"kind": "refuse", "phone": number} for number in self._refused]
        outages = [
            {"kind": "offline", "device": device, "for_seconds": round(end - at, 1)}
            for device, end in self._outages
            if at < end
        ]
        faults = [*refusals, *outages, *self._fault_mix()]
        self._actions.append({"at": at, "do": "faults", "faults": faults})

    def _fault_mix(self) -> list[dict[str, Any]]:
        """A slow gateway, so that messages are in flight when things happen, and two kinds of faults."""
        draw = self._random
        after = draw.choice([True, False])
        kinds: list[dict[str, Any]] = [
            {"kind": "drop", "probability": 0.3},
            {"kind": "drop", "after_accepting": True, "probability": 0.3},
            {"kind": "hang", "seconds": self._between(3, 14), "after_accepting": after, "probability": 0.15},
            {"kind": "fail", "status": draw.choice([500, 502]), "after_accepting": after, "probability": 0.3},
            {"kind": "fail", "status": 503, "probability": 0.3},
            {"kind": "garble", "probability": 0.3},
            {"kind": "rate_limit", "retry_after": self._between(1, 3), "as_date": after, "probability": 0.3},
            {"kind": "offline", "for_seconds": self._between(2, 5)},
            {"kind": "offline", "device": draw.choice(list(DEVICES)), "for_seconds": self._between(3, 6)},
            {"kind": "fail", "on": "read", "probability": 0.5},
            {"kind": "garble", "on": "read", "probability": 0.5},
        ]
        slow = {"kind": "latency", "seconds": 0.1}
        return [
            {**slow, "to_seconds": self._between(0.5, 1.5)},
            {**slow, "to_seconds": self._between(0.5, 1.5), "after_accepting": True},
            *draw.sample(kinds, 2),
        ]

    def _take(self, what: str, at: float, length: float) -> bool:
        """True if it was free; marks it as busy."""
        if self._free_at.get(what, 0.0) > at:
            return False
        self._free_at[what] = at + length
        return True

    def _between(self, least: float, most: float) -> float:
        return round(self._random.uniform(least, most), 1)
