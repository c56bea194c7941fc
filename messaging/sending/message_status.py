"""The statuses of messages."""

from enum import StrEnum

__all__ = ["SETTLED", "UNSETTLED", "WAITING", "MessageStatus"]


class MessageStatus(StrEnum):
    """The statuses of a row of the ledger; see the diagram in docs/design.md."""

    PENDING = "pending"
    QUEUED = "queued"
    PROCESSING = "processing"
    SENT = "sent"
    FAILED = "failed"
    UNCONFIRMED = "unconfirmed"
    SUPPRESSED = "suppressed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


WAITING = frozenset({MessageStatus.PENDING, MessageStatus.QUEUED})
"""No attempt has claimed the message, or each attempt has given it back. In SQL: ``is_waiting(status)``."""

UNSETTLED = WAITING | {MessageStatus.PROCESSING}
"""Drumbeat will still do something with the message by itself. In SQL: ``is_unsettled(status)``."""

SETTLED = frozenset(MessageStatus) - UNSETTLED
"""Drumbeat does nothing more with the message by itself."""
