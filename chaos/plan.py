"""What goes wrong, and when: a plan, written from a seed or by somebody."""

import random
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    model_validator,
)

from chaos.topology import CAMPAIGN, DEVICES, MOST_PEOPLE, SEQUENCE, WORKERS
from rig.people import phone
from simulator.api import Fault

__all__ = [
    "CONTACTS",
    "LEADS",
    "SECONDS",
    "Action",
    "Hold",
    "KillServer",
    "KillWorker",
    "Leave",
    "Plan",
    "Retract",
    "SetFaults",
    "StopWorker",
    "make_plan",
    "parse_action",
    "plain",
]

SECONDS, CONTACTS, LEADS = 90.0, 80, 120
"""Of a plan for which nobody says otherwise."""

LONGEST = 86_400.0
"""Seconds of a plan."""

LONG_STOP = 25.0
"""Seconds: a worker that was stopped for so long has lost its claims (15 s) and its activities (20 s)."""

SERVERS = {"kill-temporal": "temporal", "kill-postgres": "postgres", "kill-gateway": "simulator"}
"""What the supervisor calls the server that an action kills."""

PHONES = frozenset(phone(index) for index in range(MOST_PEOPLE))


def _number(value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError(f"{value!r} is not a number of seconds")  # noqa: TRY004 - pydantic takes ValueError
    return value


def _known(fault: Any) -> Any:
    if fault.device is not None and fault.device not in DEVICES:
        raise ValueError(f"there is no device {fault.device!r}, known are {', '.join(DEVICES)}")
    if fault.phone is not None and fault.phone not in PHONES:
        first, last = phone(0), phone(MOST_PEOPLE - 1)
        raise ValueError(f"nobody has the phone {fault.phone!r}, people have {first} to {last}")
    return fault


Seconds = Annotated[float, BeforeValidator(_number), Field(ge=0, le=LONGEST, allow_inf_nan=False)]
Worker = Annotated[int, Field(ge=0, lt=WORKERS)]


class _Action(BaseModel):
    """Something that is done ``at`` so many seconds after the start. ``note``: what came of it; not read."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    at: Seconds
    note: str | None = None


class KillWorker(_Action):
    """SIGKILL to a worker; it is started again ``for`` seconds later."""

    do: Literal["kill-worker"]
    worker: Worker
    seconds: Seconds = Field(0.0, alias="for")


class StopWorker(_Action):
    """SIGSTOP to a worker, and SIGCONT ``for`` seconds later."""

    do: Literal["stop-worker"]
    worker: Worker
    seconds: Seconds = Field(LONG_STOP, alias="for")


class KillServer(_Action):
    """SIGKILL to a server, which the supervisor starts again."""

    do: Literal["kill-temporal", "kill-postgres", "kill-gateway"]

    @property
    def server(self) -> str:
        """What the supervisor calls it."""
        return SERVERS[self.do]


class SetFaults(_Action):
    """The gateway gets these faults, and has no others from now on."""

    do: Literal["faults"]
    faults: list[Annotated[Fault, AfterValidator(_known)]]


class Hold(_Action):
    """Pauses or resumes the campaign, the sequence or a device."""

    do: Literal["pause", "resume"]
    campaign: Literal["sale"] | None = None
    sequence: Literal["story"] | None = None
    device: Literal["keys", "lookup", "neither", "paced"] | None = None

    @model_validator(mode="after")
    def _one(self) -> "Hold":
        if sum(name is not None for name in (self.campaign, self.sequence, self.device)) != 1:
            raise ValueError(f"name one: 'campaign': {CAMPAIGN!r}, 'sequence': {SEQUENCE!r}, or a 'device'")
        return self


class Leave(_Action):
    """A person leaves: opts out, is stopped, skips the step that comes next, or has its workflows ended by hand.

    Who ends a contact's workflow stops the contact afterwards, as the audit says.
    """

    do: Literal["opt-out", "stop", "skip", "terminate"]
    person: Annotated[int, Field(ge=0, lt=MOST_PEOPLE)]


class Retract(_Action):
    """The campaign is cancelled, or the last step of the sequence is removed."""

    do: Literal["cancel-campaign", "remove-step"]


Action = KillWorker | StopWorker | KillServer | SetFaults | Hold | Leave | Retract
_ONE: TypeAdapter[Action] = TypeAdapter(Annotated[Action, Field(discriminator="do")])


class Plan(BaseModel):
    """A whole run. ``seed`` decides when who is enrolled, and for ``make_plan``, what goes wrong."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    seed: int
    seconds: Annotated[float, Field(gt=0, le=LONGEST, allow_inf_nan=False)]
    contacts: Annotated[int, Field(ge=0, le=MOST_PEOPLE)]
    leads: Annotated[int, Field(ge=0, le=MOST_PEOPLE)]
    actions: tuple[Action, ...]


def parse_action(data: object) -> Action:
    """An action as a plan file has it. Raises pydantic's ValidationError."""
    return _ONE.validate_python(data)


def plain(action: Action) -> dict[str, Any]:
    """The action as a plan file has it."""
    fields = action.model_dump(mode="json", by_alias=True, exclude_unset=True)
    return {"at": fields.pop("at"), "do": fields.pop("do"), **fields}


def make_plan(seed: int, seconds: float = SECONDS, contacts: int = CONTACTS, leads: int = LEADS) -> Plan:
    """The same seed makes the same plan, everywhere and for ever (of one version of Drumbeat)."""
    written = sorted(_Author(seed, seconds).write(), key=lambda action: float(action["at"]))
    return Plan(
        seed=seed,
        seconds=seconds,
        contacts=contacts,
        leads=leads,
        actions=tuple(parse_action(action) for action in written),
    )


EVERY = 2.7
"""Seconds between two actions, about."""

QUIET = 2.0
"""Seconds at the start, so that there is something to be caught."""

RECOVERY = 12.0
"""Seconds before the same server dies again: it is to be caught at work, not at its start."""

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
    *("retract",),
)
"""What happens in a minute and a half; the seed shuffles it. A longer plan goes through it again."""


class _Author:
    """Writes one plan. An action that would only meet what lies down already gives way to other faults."""

    def __init__(self, seed: int, seconds: float) -> None:
        self._random = random.Random(f"plan {seed}")  # noqa: S311 - repeatable, not secret
        self._seconds = seconds
        self._free_at: dict[str, float] = {}
        # For good, and so in every list of faults: a refusal that comes and goes is another story.
        self._refused = [phone(index) for index in sorted(self._random.sample(range(20), 2))]
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
            case "retract":
                # Late, and not in every plan: what follows meets less.
                do = self._random.choice(["cancel-campaign", "remove-step", "nothing"])
                if at > LATE * self._seconds and do != "nothing" and self._take(do, at, LONGEST):
                    self._actions.append({"at": at, "do": do})
                    played = True
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

    def _set_faults(self, at: float) -> None:
        refusals = [{"kind": "refuse", "phone": number} for number in self._refused]
        self._actions.append({"at": at, "do": "faults", "faults": [*refusals, *self._fault_mix()]})

    def _fault_mix(self) -> list[dict[str, Any]]:
        """A gateway that takes its time, so that it is caught with messages in its hands, and two kinds of faults."""
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
        """Whether it is not busy with something else; from now on it is."""
        if self._free_at.get(what, 0.0) > at:
            return False
        self._free_at[what] = at + length
        return True

    def _between(self, least: float, most: float) -> float:
        return round(self._random.uniform(least, most), 1)
