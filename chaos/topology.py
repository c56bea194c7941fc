"""The participants of a run: the devices, the people, the sequence and the campaign, with their names in plans."""

from messaging.common.values import Value

__all__ = [
    "CAMPAIGN",
    "CAMPAIGN_TEXT",
    "DEVICES",
    "EXPIRES",
    "EXPIRES_AFTER",
    "LAST_STEP",
    "MOST_PEOPLE",
    "REPLIES",
    "SEQUENCE",
    "STEPS",
    "WORKERS",
    "Traits",
    "device_of",
]


class Traits(Value):
    """The properties of a device. ``idempotency`` and ``lookup`` are those of its gateway."""

    idempotency: bool
    lookup: bool
    min_delay: float = 0
    """Seconds."""
    max_delay: float = 0

    @property
    def blind(self) -> bool:
        """True if nothing can find out what became of a message in doubt, so that it may stay unconfirmed."""
        return not self.idempotency and not self.lookup


DEVICES: dict[str, Traits] = {
    "keys": Traits(idempotency=True, lookup=False),
    "lookup": Traits(idempotency=False, lookup=True),
    "neither": Traits(idempotency=False, lookup=False),
    "paced": Traits(idempotency=True, lookup=True, min_delay=0.2, max_delay=0.4),
}

SEQUENCE = "story"
STEPS = {"one": "The first step", "two": "The second step", "three": "The third step"}
"""The text of each step, which identifies the step."""

LAST_STEP = "three"

EXPIRES, EXPIRES_AFTER = "two", 6
"""The step that expires, and after how many seconds."""

REPLIES: dict[str, str] = {"STOP": "opts out", "Call me": "stops", "Go on": "continues"}
"""What people may reply, and what that does to the sequence."""

CAMPAIGN = "sale"
CAMPAIGN_TEXT = "Half price today"

WORKERS = 2

MOST_PEOPLE = 1_000


def device_of(index: int) -> str:
    """The device that writes to the person with this number."""
    return list(DEVICES)[index % len(DEVICES)]
