"""Who is told what happens, for counting: by default nobody."""

from collections.abc import Iterable
from datetime import timedelta

__all__ = ["NOBODY", "Observer"]


class Observer:
    """Called at the end of what it names, in the path of each message: a method must be quick, and raise nothing.

    No argument names a person.
    """

    def attempt_ended(
        self,
        *,
        device: str,
        gateway: str,
        kind: str,
        status: str | None,
        took: timedelta,
        late: timedelta | None,
    ) -> None:
        """An attempt to send a message. ``kind``: of what the message is: ``sequence``, ``campaign`` or ``other``. ``status``: the
        message's, if it is settled now; None if it is to be tried again. ``late``: how long after its due time it was sent,
        if this attempt has sent it.
        """

    def webhook_answered(self, *, gateway: str, answer: int, took: timedelta) -> None:
        """A request of a gateway. ``gateway``: ``unknown`` if no device has the address. ``answer``: the HTTP status."""

    def receipts_recorded(self, gateway: str, statuses: Iterable[str]) -> None:
        """Receipts of messages, whether they said something new or not."""

    def inbound_recorded(self, effects: Iterable[str]) -> None:
        """Inbound messages that were not known yet: what each has done (:data:`messaging.replies.record.InboundEffect`)."""


NOBODY = Observer()
