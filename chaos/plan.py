"""Plans: what goes wrong, and when."""

from typing import Annotated, Any, Literal, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    model_validator,
)
from pydantic_core import PydanticCustomError

from chaos.topology import CAMPAIGN, DEVICES, MOST_PEOPLE, SEQUENCE, WORKERS
from rig.people import phone
from simulator.api import Fault, Latency, Terminal

__all__ = [
    "CONTACTS",
    "FAULTS",
    "LEADS",
    "LONGEST",
    "SECONDS",
    "Action",
    "Hold",
    "KillServer",
    "KillWorker",
    "Leave",
    "ListedAction",
    "Number",
    "Plan",
    "PlanSeconds",
    "Reply",
    "Retract",
    "SetFaults",
    "StopWorker",
    "parse_action",
    "plain",
]

SECONDS, CONTACTS, LEADS = 90.0, 80, 120
"""Defaults of a plan."""

LONGEST = 900.0
"""The most seconds of a plan. In a longer one, no messages would be under way, and its file would exceed the limit for
files.
"""

LONG_STOP = 25.0
"""Seconds. A worker that was stopped this long has lost its claims (15 s) and its activities (20 s)."""

SERVERS = {"kill-temporal": "temporal", "kill-postgres": "postgres", "kill-gateway": "simulator"}
"""The supervisor's name of the server that an action kills."""

FAULTS: tuple[type[BaseModel], ...] = (Latency, *get_args(Terminal))

PHONES = frozenset(phone(index) for index in range(MOST_PEOPLE))


def _number(value: object) -> object:
    if isinstance(value, bool):
        raise PydanticCustomError("seconds", "is not a number of seconds")
    return value


def _known(fault: Any) -> Any:
    if fault.device is not None and fault.device not in DEVICES:
        raise PydanticCustomError(
            "device", f"there is no device {fault.device!r}, known are {', '.join(DEVICES)}"
        )
    if fault.phone is not None and fault.phone not in PHONES:
        first, last = phone(0), phone(MOST_PEOPLE - 1)
        raise PydanticCustomError(
            "phone", f"nobody has the phone {fault.phone!r}, people have {first} to {last}"
        )
    return fault


Seconds = Annotated[float, BeforeValidator(_number), Field(ge=0, le=LONGEST, allow_inf_nan=False)]
PlanSeconds = Annotated[float, Field(gt=0, le=LONGEST, allow_inf_nan=False)]
Number = Annotated[int, Field(ge=0, le=MOST_PEOPLE)]
"""The number of contacts or leads."""
Worker = Annotated[int, Field(ge=0, lt=WORKERS)]


class _Action(BaseModel):
    """An action ``at`` this many seconds after the start. ``note``: its result, which is written but not read."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    at: Seconds
    note: str | None = None


class KillWorker(_Action):
    """Sends SIGKILL to a worker; it is started again ``for`` seconds later."""

    do: Literal["kill-worker"]
    worker: Worker
    seconds: Seconds = Field(0.0, alias="for")


class StopWorker(_Action):
    """Sends SIGSTOP to a worker, and SIGCONT ``for`` seconds later."""

    do: Literal["stop-worker"]
    worker: Worker
    seconds: Seconds = Field(LONG_STOP, alias="for")


class KillServer(_Action):
    """Sends SIGKILL to a server, which the supervisor starts again."""

    do: Literal["kill-temporal", "kill-postgres", "kill-gateway"]

    @property
    def server(self) -> str:
        """The supervisor's name of it."""
        return SERVERS[self.do]


class SetFaults(_Action):
    """Sets these faults of the gateway, and no others."""

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
            raise PydanticCustomError(
                "whom", f"name one: 'campaign': {CAMPAIGN!r}, 'sequence': {SEQUENCE!r}, or a 'device'"
            )
        return self


class Leave(_Action):
    """A contact opts out, is stopped, skips its next step, or has its workflow terminated.

    After terminating a workflow, the contact is stopped, as the audit advises.
    """

    do: Literal["opt-out", "stop", "skip", "terminate"]
    person: Annotated[int, Field(ge=0, lt=MOST_PEOPLE)]


class Reply(_Action):
    """The person replies to their device; the gateway reports it ``times`` times, at the same moment."""

    do: Literal["reply"]
    person: Annotated[int, Field(ge=0, lt=MOST_PEOPLE)]
    says: Literal["STOP", "Call me", "Go on"]
    times: Annotated[int, Field(ge=1, le=20)] = 1


class Retract(_Action):
    """The campaign is cancelled, or the last step of the sequence is removed."""

    do: Literal["cancel-campaign", "remove-step"]


Action = KillWorker | StopWorker | KillServer | SetFaults | Hold | Leave | Reply | Retract
ListedAction = Annotated[Action, Field(discriminator="do")]
"""One action of a list in a file; its errors are those of its kind."""
_ONE: TypeAdapter[Action] = TypeAdapter(ListedAction)


class Plan(BaseModel):
    """A whole run. ``seed`` decides when each contact is enrolled and, in ``make_plan``, what goes wrong."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    seed: int
    seconds: PlanSeconds
    contacts: Number
    leads: Number
    actions: tuple[Action, ...]


def parse_action(data: object) -> Action:
    """An action as a plan file has it. Raises pydantic's ValidationError."""
    return _ONE.validate_python(data)


def plain(action: Action) -> dict[str, Any]:
    """The action as a plan file has it."""
    fields = action.model_dump(mode="json", by_alias=True, exclude_unset=True)
    return {"at": fields.pop("at"), "do": fields.pop("do"), **fields}
