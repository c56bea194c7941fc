"""Errors that are shown to people.

    DrumbeatError                 one clear line: what is wrong, where, how to mend it
    ├── InvalidInput              a file, option or argument cannot be used as it stands
    │   └── InvalidPhone          not a phone number that anybody can have
    ├── NotFound                  no device, lead, sequence, contact or message of that name
    ├── Conflict                  right in itself, but not in the present state
    │   ├── NoAudience            a campaign would go to no lead
    │   └── NeedsConsent          it concerns contacts in a way that an operator has to say yes to
    └── Unavailable               Temporal, PostgreSQL or the simulated gateway cannot be reached

Errors of a gateway are another family, distinguished by whether it could have accepted the message:
see :mod:`messaging.gateways.base`.
"""

from collections.abc import Sequence

__all__ = [
    "Conflict",
    "DrumbeatError",
    "InvalidInput",
    "InvalidPhone",
    "NeedsConsent",
    "NoAudience",
    "NotFound",
    "Unavailable",
]


class DrumbeatError(Exception):
    """Base of the errors that are shown to people; ``str(error)`` says everything in one line."""


class InvalidInput(DrumbeatError):
    """A file, an option or an argument cannot be used as it stands."""


class InvalidPhone(InvalidInput):
    """The text is not a phone number that anybody can have."""


class NotFound(DrumbeatError):
    """There is no such device, lead, sequence, contact or message."""


class Conflict(DrumbeatError):
    """The request is valid, but not possible in the present state."""


class NoAudience(Conflict):
    """No lead would get the campaign."""


class NeedsConsent(Conflict):
    """The request affects contacts in a way that an operator must agree to; ``lines`` say how."""

    def __init__(self, lines: Sequence[str]) -> None:
        super().__init__(f"nothing was changed: {'; '.join(lines)}")
        self.lines = tuple(lines)


class Unavailable(DrumbeatError):
    """A server that this needs cannot be reached."""
