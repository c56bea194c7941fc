"""The IDs that make a second message of the same impossible, and what a message is called."""

import hashlib
from uuid import UUID, uuid5

from messaging.common.phones import require_e164

__all__ = ["campaign_message_id", "message_name", "sequence_message_id"]


MESSAGES = UUID("e3157350-96cd-4eb6-b785-94f64b6114c6")
"""The namespace of message IDs. To change it is to forget every message ever sent."""


def sequence_message_id(step_id: int, phone: str) -> UUID:
    """The ID of the message of one step (its row in ``sequence_steps``) to one phone; the key is ``sequence-step:{id}:{phone}``.

    The device is no part of it: a message that is given to another device, since its own was replaced, stays the same
    message, with the same row in the ledger.
    """
    return uuid5(MESSAGES, f"sequence-step:{step_id}:{require_e164(phone)}")


def campaign_message_id(campaign_id: int, phone: str) -> UUID:
    """The ID of a campaign's message to one phone; the key is ``campaign:{id}:{phone}``.

    It is a UUID of version 8 from SHA-256, in the manner of RFC 9562, appendix B.2: PostgreSQL makes the same for a
    whole audience at once (``campaign_message_id``), and has no SHA-1, which version 5 needs.
    """
    key = f"campaign:{campaign_id}:{require_e164(phone)}"
    digest = bytearray(hashlib.sha256(MESSAGES.bytes + key.encode()).digest()[:16])
    digest[6] = digest[6] & 0x0F | 0x80
    digest[8] = digest[8] & 0x3F | 0x80
    return UUID(bytes=bytes(digest))


def message_name(campaign: str | None, sequence: str | None, step: str | None) -> str:
    """What a message is called where people read of it: ``campaign black-friday``, or ``cold-vitac / welcome``."""
    return f"campaign {campaign}" if campaign else f"{sequence} / {step}"
