"""Message IDs, which make a second message for the same step or campaign and phone impossible; and names for people."""

import hashlib
from uuid import UUID, uuid5

from messaging.common.phones import require_e164

__all__ = ["campaign_message_id", "message_name", "sequence_message_id"]


MESSAGES = UUID("e3157350-96cd-4eb6-b785-94f64b6114c6")
"""The namespace of message IDs. Never change it: with another one, every message that was ever sent is forgotten."""


def sequence_message_id(step_id: int, phone: str) -> UUID:
    """The ID of the message of one step (its row in ``sequence_steps``) to one phone; the key is ``sequence-step:{id}:{phone}``.

    The device is not part of the key: a message that moves to another device stays the same message, with the same row
    in the ledger.
    """
    return uuid5(MESSAGES, f"sequence-step:{step_id}:{require_e164(phone)}")


def campaign_message_id(campaign_id: int, phone: str) -> UUID:
    """The ID of a campaign's message to one phone; the key is ``campaign:{id}:{phone}``.

    It is a UUID of version 8 from SHA-256, as in RFC 9562, appendix B.2. PostgreSQL makes the same IDs for a whole
    audience at once (``campaign_message_id``), and it has no SHA-1, which version 5 needs.
    """
    key = f"campaign:{campaign_id}:{require_e164(phone)}"
    digest = bytearray(hashlib.sha256(MESSAGES.bytes + key.encode()).digest()[:16])
    digest[6] = digest[6] & 0x0F | 0x80
    digest[8] = digest[8] & 0x3F | 0x80
    return UUID(bytes=bytes(digest))


def message_name(
    campaign: str | None, sequence: str | None, step: str | None, purpose: str | None = None
) -> str:
    """The name of a message for people: ``campaign black-friday``, ``cold-vitac / welcome`` or ``opt-out
    confirmation``.
    """
    return purpose or (f"campaign {campaign}" if campaign else f"{sequence} / {step}")
