"""The part of the simulator that its clients may import: the faults, as in ``PUT /v1/faults``."""

import random
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

__all__ = [
    "Anywhere",
    "Drop",
    "Fail",
    "Fault",
    "Garble",
    "Hang",
    "Latency",
    "Offline",
    "RateLimit",
    "Refuse",
    "Terminal",
]

Seconds = Annotated[float, Field(ge=0, le=86_400, allow_inf_nan=False)]


class Anywhere(BaseModel):
    """The common fields of faults: where they act, how often and how long.

    ``device`` and ``phone`` restrict it; without them it acts on all. ``on``: sends, reads (look-ups and capabilities)
    or all. ``probability`` is drawn for each request; it ends after ``count`` requests, or ``for_seconds`` after it was
    set.
    """

    model_config = ConfigDict(extra="forbid")

    kind: str
    id: int | None = None
    device: str | None = None
    phone: str | None = None
    on: Literal["send", "read", "all"] = "send"
    probability: Annotated[float, Field(gt=0, le=1)] = 1.0
    count: Annotated[int, Field(ge=1)] | None = None
    for_seconds: Seconds | None = None
    until: float | None = None
    """Unix time of its end; set by the gateway from ``for_seconds``."""

    @property
    def everywhere(self) -> bool:
        """True if it acts on all devices and phones."""
        return self.device is None and self.phone is None

    def described(self) -> str:
        """Its kind and where it acts, in words, e.g. ``rate limit for sales-1``."""
        where = " to ".join(part for part in (self.device, self.phone) if part is not None)
        return self.kind.replace("_", " ") + (f" for {where}" if where else "")


class Latency(Anywhere):
    """The gateway takes ``seconds``, or between ``seconds`` and ``to_seconds``, before it accepts, or after."""

    kind: Literal["latency"]
    seconds: Seconds
    to_seconds: Seconds | None = None
    after_accepting: bool = False

    def draw(self) -> float:
        """How long this time, in seconds."""
        return random.uniform(self.seconds, self.to_seconds if self.to_seconds is not None else self.seconds)  # noqa: S311


class Refuse(Anywhere):
    """A permanent refusal."""

    kind: Literal["refuse"]
    status: Annotated[int, Field(ge=400, lt=500)] = 422
    code: str = "recipient_unavailable"
    reason: str = "The recipient is not on WhatsApp."


class RateLimit(Anywhere):
    """429; with ``retry_after`` seconds as a number or as an HTTP date."""

    kind: Literal["rate_limit"]
    retry_after: Seconds | None = 5
    as_date: bool = False


class Fail(Anywhere):
    """An internal error of the gateway, before or after it accepted the message."""

    kind: Literal["fail"]
    status: Annotated[int, Field(ge=500, lt=600)] = 500
    after_accepting: bool = False


class Drop(Anywhere):
    """The connection is closed without an answer."""

    kind: Literal["drop"]
    after_accepting: bool = False


class Hang(Anywhere):
    """No answer: until the client gives up, or for ``seconds``, after which the connection is closed."""

    kind: Literal["hang"]
    seconds: Seconds | None = None
    after_accepting: bool = False


class Garble(Anywhere):
    """200 with a meaningless body, after the message was accepted."""

    kind: Literal["garble"]
    after_accepting: Literal[True] = True


class Offline(Anywhere):
    """Everywhere: connections are refused. For a device or a phone: 503, not accepted."""

    kind: Literal["offline"]
    on: Literal["send", "read", "all"] = "all"

    @model_validator(mode="after")
    def _all_or_nothing(self) -> "Offline":
        if self.everywhere and (self.probability < 1 or self.count is not None or self.on != "all"):
            raise ValueError(
                "'offline' for all devices takes no probability, count or 'on': nobody can connect"
            )
        return self


Terminal = Refuse | RateLimit | Fail | Drop | Hang | Garble | Offline
Fault = Annotated[Latency | Terminal, Field(discriminator="kind")]
