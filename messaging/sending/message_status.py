"""Where a message of the ledger stands."""

from enum import StrEnum

__all__ = ["MessageStatus"]


class MessageStatus(StrEnum):
    """The states of a row of the ledger; see the diagram in docs/design.md."""

    PENDING = "pending"
    QUEUED = "queued"
    PROCESSING = "processing"
    SENT = "sent"
    FAILED = "failed"
    UNCONFIRMED = "unconfirmed"
    SUPPRESSED = "suppressed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"

    @property
    def settled(self) -> bool:
        """Whether nothing more comes of it by itself."""
        return self not in (MessageStatus.PENDING, MessageStatus.QUEUED, MessageStatus.PROCESSING)
