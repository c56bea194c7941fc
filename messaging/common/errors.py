"""What can go wrong, as a person has to read it.

    DrumbeatError                 one clear line: what is wrong, where, how to mend it
    ├── InvalidInput              a file, option or argument cannot be used as it stands
    │   └── InvalidPhone          not a phone number that anybody can have
    ├── NotFound                  no device, lead, sequence, contact or message of that name
    ├── Conflict                  right in itself, but not in the present state
    │   └── NeedsConsent          it concerns contacts in a way that an operator has to say yes to
    └── Unavailable               Temporal, PostgreSQL or the simulated gateway cannot be reached

Errors of a gateway are another family, told apart by whether it could have accepted the message:
see :mod:`messaging.gateways.base`.
"""

from collections.abc import Sequence

__all__ = [
    "Conflict",
    "DrumbeatError",
    "InvalidInput",
    "InvalidPhone",
    "NeedsConsent",
    "NotFound",
    "Unavailable",
]


class DrumbeatError(Exception):
    """Base of the errors that are shown to people; ``str(error)`` is the whole story in one line."""


class InvalidInput(DrumbeatError):
    """A file, an option or an argument cannot be used as it stands."""


class InvalidPhone(InvalidInput):
    """The text is not a phone number that anybody can have."""


class NotFound(DrumbeatError):
    """There is no such device, lead, sequence, contact or message."""


class Conflict(DrumbeatError):
    """The request is right in itself, but not in the present state of what it is about."""


class NeedsConsent(Conflict):
    """The request concerns contacts in a way that an operator has to say yes to; ``lines`` say how."""

    def __init__(self, lines: Sequence[str]) -> None:
        super().__init__(f"nothing was changed: {'; '.join(lines)}")
        self.lines = tuple(lines)


class Unavailable(DrumbeatError):
    """A server that this needs cannot be reached."""
